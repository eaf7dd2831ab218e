#define _GNU_SOURCE
#include "CRefuse.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

struct request {
    pid_t *pid;
    const char *file;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
    char *const *argv;
    char *const *envp;
    enum crefuse_call call;
    int error, result;
};

// Stands in the sixth argument of what a thread does in the place of a call that it has counted.
static const unsigned counted = 0x636f756e;

// Has this thread's calls come to `action`, but for those that are counted already.
static int filter(enum crefuse_call call, unsigned action) {
    unsigned number = call & 0xffff, second = (unsigned)call >> 16;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 6),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, second ? ~0u : 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, counted, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return errno;
    return 0;
}

int crefuse_from_now_on(enum crefuse_call call, int error) {
    return filter(call, SECCOMP_RET_ERRNO | (unsigned)error);
}

static _Thread_local long count;

long crefuse_count(void) { return count; }

// The call was not carried out: it is now, and its result put where it would stand.
static void carry_out(int signal, siginfo_t *info, void *context) {
    (void)signal;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    int before = errno;
    count++;
    long result = syscall(
        info->si_syscall, registers[REG_RDI], registers[REG_RSI], registers[REG_RDX], registers[REG_R10],
        registers[REG_R8], counted);
    registers[REG_RAX] = result == -1 ? -errno : result;
    errno = before;
}

int crefuse_count_from_now_on(enum crefuse_call call) {
    struct sigaction action = {.sa_sigaction = carry_out, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSYS, &action, NULL)) return errno;
    return filter(call, SECCOMP_RET_TRAP);
}

// A filter is its thread's for good, and goes to what the thread starts: the test's own threads have none.
static void *spawn(void *argument) {
    struct request *request = argument;
    request->result = crefuse_from_now_on(request->call, request->error);
    if (request->result == 0)
        request->result = posix_spawnp(
            request->pid, request->file, request->actions, request->attributes, request->argv, request->envp);
    return NULL;
}

int crefuse_posix_spawnp(
    pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
    char *const argv[], char *const envp[], enum crefuse_call call, int error) {
    struct request request = {pid, file, actions, attributes, argv, envp, call, error, 0};
    pthread_t thread;
    int result = pthread_create(&thread, NULL, spawn, &request);
    if (result) return result;
    pthread_join(thread, NULL);
    return request.result;
}

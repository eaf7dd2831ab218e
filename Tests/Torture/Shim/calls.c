#define _GNU_SOURCE
#include "CTorture.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    _exit(127);
}

// Only the calls looked for stop their task: all others run at full speed (seccomp(2), SECCOMP_RET_TRACE).
static void filter(const int *calls, unsigned count) {
    struct sock_filter code[CTORTURE_CALLS_MAX + 3];
    unsigned length = 0;
    code[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < count; i++)
        code[length++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], (unsigned char)(count - i), 0);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {.len = (unsigned short)length, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        fail("prctl(PR_SET_SECCOMP)");
}

pid_t ctorture_start(
    char *const argv[], char *const environment[], const char *directory, const int standard[3], const int *calls,
    unsigned count) {
    if (count > CTORTURE_CALLS_MAX) return -EINVAL;
    int gate[2];
    if (pipe2(gate, O_CLOEXEC)) return -errno;
    pid_t child = fork();
    if (child == 0) {
        char go;
        // Nothing comes where the tracer could not attach.
        if (close(gate[1]) || read(gate[0], &go, 1) != 1) _exit(127);
        for (int i = 0; i < 3; i++)
            if (dup2(standard[i], i) < 0) fail("dup2");
        if (chdir(directory)) fail("chdir");
        filter(calls, count);
        execve(argv[0], argv, environment);
        fail(argv[0]);
    }
    int error = child < 0 ? errno : 0;
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                   PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD;
    if (!error && ptrace(PTRACE_SEIZE, child, 0, options)) error = errno;
    if (!error && write(gate[1], "", 1) != 1) error = errno;
    close(gate[0]);
    close(gate[1]);
    return error ? -error : child;
}

static void tick(int signal) { (void)signal; }

void ctorture_tick(void) {
    // No SA_RESTART: it interrupts waitpid.
    struct sigaction action = {.sa_handler = tick};
    struct itimerval every = {{0, 100000}, {0, 100000}};
    if (sigaction(SIGALRM, &action, NULL) || setitimer(ITIMER_REAL, &every, NULL)) fail("setitimer");
}

// A task that has been killed is no more to be found, and is reported soon.
void ctorture_continue(pid_t task, int signal) { ptrace(PTRACE_CONT, task, 0, signal); }

struct ctorture_event ctorture_next(void) {
    for (;;) {
        struct ctorture_event event = {.kind = CTORTURE_NOTHING};
        int status;
        event.task = waitpid(-1, &status, __WALL);
        if (event.task < 0) {
            if (errno != EINTR && errno != ECHILD) fail("waitpid");
            if (errno == ECHILD) event.kind = CTORTURE_NOBODY;
            return event;
        }
        if (!WIFSTOPPED(status)) {
            event.kind = CTORTURE_GONE;
            event.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            return event;
        }
        event.code = WSTOPSIG(status);
        if (status >> 16 == PTRACE_EVENT_SECCOMP) {
            struct user_regs_struct of;
            if (ptrace(PTRACE_GETREGS, event.task, 0, &of)) continue;
            event.kind = CTORTURE_CALL;
            event.number = (int)of.orig_rax;
            event.arguments[0] = of.rdi;
            event.arguments[1] = of.rsi;
            event.arguments[2] = of.rdx;
            event.arguments[3] = of.r10;
            return event;
        }
        if (status >> 16 == PTRACE_EVENT_EXEC) {
            event.kind = CTORTURE_EXEC;
            return event;
        }
        if (status >> 16) {
            ctorture_continue(event.task, 0);
        } else if (event.code == (SIGTRAP | 0x80)) {
            event.kind = CTORTURE_RESULT;
            return event;
        } else if (event.code == SIGILL || event.code == SIGTRAP || event.code == SIGABRT || event.code == SIGSEGV) {
            event.kind = CTORTURE_CRASH;
            return event;
        } else {
            ctorture_continue(event.task, event.code);
        }
    }
}

void ctorture_refuse(pid_t task, int error) {
    struct user_regs_struct of;
    if (ptrace(PTRACE_GETREGS, task, 0, &of)) return;
    // No such call: it is skipped, and what stands in rax is its result (seccomp(2)).
    of.orig_rax = (unsigned long long)-1;
    of.rax = (unsigned long long)-(long long)error;
    ptrace(PTRACE_SETREGS, task, 0, &of);
    ctorture_continue(task, 0);
}

void ctorture_shorten(pid_t task) {
    struct user_regs_struct of;
    if (ptrace(PTRACE_GETREGS, task, 0, &of)) return;
    of.rdx = (of.rdx + 1) / 2;
    ptrace(PTRACE_SETREGS, task, 0, &of);
    ctorture_continue(task, 0);
}

void ctorture_carry_out(pid_t task) { ptrace(PTRACE_SYSCALL, task, 0, 0); }

void ctorture_give(pid_t task, int error) {
    struct user_regs_struct of;
    if (ptrace(PTRACE_GETREGS, task, 0, &of)) return;
    of.rax = (unsigned long long)-(long long)error;
    ptrace(PTRACE_SETREGS, task, 0, &of);
    ctorture_continue(task, 0);
}

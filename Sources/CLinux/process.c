#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int clinux_pidfd_open(pid_t pid) {
    // Linux 5.3; the descriptor is close-on-exec by itself (pidfd_open(2)).
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

int clinux_pidfd_signal(int pidfd, int signal) {
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int clinux_reap(pid_t pid, bool block, int *code) {
    siginfo_t info = {0};
    int result;
    do result = waitid(P_PID, (id_t)pid, &info, WEXITED | (block ? 0 : WNOHANG));
    while (result && errno == EINTR);
    if (result) return -errno;
    if (info.si_pid == 0) return 0;
    *code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return 1;
}

static _Atomic uint64_t continuations;

static void on_continue(int signal) {
    (void)signal;
    atomic_fetch_add_explicit(&continuations, 1, memory_order_relaxed);
}

int clinux_count_continuations(void) {
    struct sigaction action = {.sa_handler = on_continue, .sa_flags = SA_RESTART};
    return sigaction(SIGCONT, &action, NULL) ? -errno : 0;
}

uint64_t clinux_continuations(void) {
    return atomic_load_explicit(&continuations, memory_order_relaxed);
}

int clinux_die_with_parent(int signal) {
    return prctl(PR_SET_PDEATHSIG, signal) ? -errno : 0;
}

// Starts `program` with `actions`, which it takes over, unless making them ended with an `error`.
static int spawn(
    const char *program, const char *const argv[], posix_spawn_file_actions_t *actions, int error, pid_t *pid) {
    posix_spawnattr_t attributes;
    if (!error) error = posix_spawnattr_init(&attributes);
    if (!error) {
        // The child starts with default actions and an empty mask, whatever the parent blocks or ignores.
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        // A process group of its own: a key typed at the parent's terminal is the parent's to handle.
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        // A name with a slash in it is not looked up on the PATH.
        // Of the child's calls dup2(2) may say that it was interrupted: then there is no child.
        do error = posix_spawnp(pid, program, actions, &attributes, (char *const *)argv, environ);
        while (error == EINTR);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(actions);
    return -error;
}

int clinux_spawn_self(const char *const argv[], const int *descriptors, int count, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return -error;
    // Descriptor i becomes 3 + i in the child. Callers pass numbers above that range, so no dup2 overwrites a source.
    for (int i = 0; i < count && !error; i++)
        error = posix_spawn_file_actions_adddup2(&actions, descriptors[i], 3 + i);
    return spawn("/proc/self/exe", argv, &actions, error, pid);
}

int clinux_spawn_tool(const char *const argv[], const int standard[3], pid_t *pid) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return -error;
    for (int i = 0; i < 3 && !error; i++)
        error = posix_spawn_file_actions_adddup2(&actions, standard[i], i);
    return spawn(argv[0], argv, &actions, error, pid);
}

int clinux_socket_pair(int out[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out) ? -errno : 0;
}

int clinux_eventfd(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int clinux_wait_readable(const int *descriptors, int count, int64_t timeout_ns, uint64_t *mask) {
    struct pollfd polled[64];
    if (count < 0 || count > 64) return -EINVAL;
    for (int i = 0; i < count; i++) polled[i] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
    int ready = ppoll(polled, (nfds_t)count, &timeout, NULL);
    if (ready < 0) return -errno;
    *mask = 0;
    for (int i = 0; i < count; i++)
        if (polled[i].revents) *mask |= (uint64_t)1 << i;
    return ready;
}

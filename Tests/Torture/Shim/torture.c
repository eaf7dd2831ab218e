#define _GNU_SOURCE
#include "CTorture.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    _exit(1);
}

pid_t ctorture_fork(void) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0)) fail("ptrace(PTRACE_TRACEME)");
        ctorture_mark();
        return 0;
    }
    int status;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) fail("a device does not start");
    if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL)) fail("ptrace(PTRACE_SETOPTIONS)");
    return child;
}

void ctorture_mark(void) { syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP); }

static uint64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/// Waits for the child's next stop or its end; false where that takes too long.
static int wait_for(pid_t child, int *status, unsigned timeout_ms) {
    uint64_t deadline = timeout_ms ? milliseconds() + timeout_ms : 0;
    for (;;) {
        pid_t found = waitpid(child, status, timeout_ms ? WNOHANG : 0);
        if (found == child) return 1;
        if (found < 0) fail("waitpid");
        if (milliseconds() >= deadline) return 0;
        sched_yield();
    }
}

uint64_t ctorture_run(pid_t child, uint64_t limit, unsigned timeout_ms, enum ctorture_stop *stop, int *code) {
    int isFree = limit == UINT64_MAX;
    *code = 0;
    for (uint64_t done = 0; done < limit; done++) {
        if (ptrace(isFree ? PTRACE_CONT : PTRACE_SINGLESTEP, child, 0, 0)) fail("ptrace");
        int status;
        if (!wait_for(child, &status, timeout_ms)) {
            *stop = CTORTURE_BLOCKED;
            return done;
        }
        if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) continue;
        if (WIFSTOPPED(status)) {
            *code = WSTOPSIG(status);
            *stop = *code == SIGSTOP ? CTORTURE_MARK : CTORTURE_SIGNALLED;
        } else {
            *code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            *stop = CTORTURE_EXITED;
        }
        return done + 1;
    }
    *stop = CTORTURE_STEPPED;
    return limit;
}

bool ctorture_is_at_system_call(pid_t child) {
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, child, 0, &registers)) fail("ptrace(PTRACE_GETREGS)");
    errno = 0;
    long code = ptrace(PTRACE_PEEKTEXT, child, registers.rip, 0);
    // syscall: 0f 05 (Intel SDM vol. 2B).
    return errno == 0 && (code & 0xffff) == 0x050f;
}

void ctorture_kill(pid_t child) {
    if (kill(child, SIGKILL)) fail("kill");
    int status;
    do
        if (waitpid(child, &status, 0) != child) fail("waitpid");
    while (WIFSTOPPED(status));
}

static char watched[256];

static void expire(int signal) {
    (void)signal;
    ssize_t written = write(STDERR_FILENO, watched, strlen(watched));
    (void)written;
    _exit(1);
}

void ctorture_watch(const char *what, unsigned seconds) {
    alarm(0);
    snprintf(watched, sizeof watched, "torture: hangs: %s\n", what);
    signal(SIGALRM, expire);
    alarm(seconds);
}

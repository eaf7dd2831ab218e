// What the kill campaign needs of ptrace(2), which Swift cannot call, and of fork(2), which it may not.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/// How a device came to stand still, or ended.
enum ctorture_stop {
    /// It has carried out the instructions it was allowed.
    CTORTURE_STEPPED,
    /// It has reached a `ctorture_mark`.
    CTORTURE_MARK,
    /// It waits for somebody; the time is up and it still does.
    CTORTURE_BLOCKED,
    /// It has ended, and is reaped.
    CTORTURE_EXITED,
    /// It is about to get a signal that is none of ours.
    CTORTURE_SIGNALLED,
};

/// fork(2); the child is traced, dies with its parent, and is to call `ctorture_mark` before anything else.
pid_t ctorture_fork(void);
/// Stops the calling process, for its tracer to see: a system call and nothing around it.
void ctorture_mark(void);
/// Lets a stopped child carry out up to `limit` instructions, or run freely where that is UINT64_MAX; ends early at a
/// mark, at its end, and where an instruction takes `timeout_ms`, if that is not zero. How many were carried out; `*code` is the signal or
/// the exit status, 128 and the signal for one that a signal has ended.
uint64_t ctorture_run(pid_t child, uint64_t limit, unsigned timeout_ms, enum ctorture_stop *stop, int *code);
/// Whether a stopped child's next instruction is a system call.
bool ctorture_is_at_system_call(pid_t child);
/// SIGKILL, and wait until nothing of the child can move any more.
void ctorture_kill(pid_t child);
/// Ends the calling process with status 1, and `what` on standard error, unless it is called again in time.
void ctorture_watch(const char *what, unsigned seconds);

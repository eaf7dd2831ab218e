// What the campaigns need of ptrace(2), which Swift cannot call, and of fork(2), which it may not.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
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
/// mark, at its end, and where an instruction takes `timeout_ms`, if that is not zero. How many were carried out;
/// `*code` is the signal or the exit status, 128 and the signal for one that a signal has ended.
uint64_t ctorture_run(pid_t child, uint64_t limit, unsigned timeout_ms, enum ctorture_stop *stop, int *code);
/// Whether a stopped child's next instruction is a system call.
bool ctorture_is_at_system_call(pid_t child);
/// SIGKILL, and wait until nothing of the child can move any more.
void ctorture_kill(pid_t child);
/// Ends the calling process with status 1, and `what` on standard error, unless it is called again in time.
void ctorture_watch(const char *what, unsigned seconds);

// calls.c — a whole program, each of its processes and threads, stopped at chosen system calls.

#define CTORTURE_CALLS_MAX 120

enum ctorture_kind {
    /// None of the others: some time has passed.
    CTORTURE_NOTHING,
    /// All tasks have gone.
    CTORTURE_NOBODY,
    /// A task is about to make one of the calls: `number` and `arguments`.
    CTORTURE_CALL,
    /// A call that was to be carried out has been.
    CTORTURE_RESULT,
    /// A process runs another program from now on.
    CTORTURE_EXEC,
    /// A task is about to get the signal `code`, which tells of a bug.
    CTORTURE_CRASH,
    /// A task has ended, and is reaped: its exit status is `code`, or 128 and the signal that ended it.
    CTORTURE_GONE,
};

struct ctorture_event {
    enum ctorture_kind kind;
    pid_t task;
    int code, number;
    uint64_t arguments[4];
};

/// Starts `argv[0]` in `directory`, with `standard[i]` as descriptor i, traced with all that it starts; it stops at
/// these calls. Its number, or -errno. It dies with the caller.
pid_t ctorture_start(
    char *const argv[], char *const environment[], const char *directory, const int standard[3], const int *calls,
    unsigned count);
/// Lets `ctorture_next` return now and then, from now on.
void ctorture_tick(void);
/// Waits for the next event of any task. The task stands still then, unless it is gone.
struct ctorture_event ctorture_next(void);
/// Lets a task go on, after any event; with a signal, if that is not zero.
void ctorture_continue(pid_t task, int signal);
/// Lets the call fail with `error`, as if the kernel had not carried it out.
void ctorture_refuse(pid_t task, int error);
/// Lets the call have half of the bytes that it asks for in its third argument.
void ctorture_shorten(pid_t task);
/// Lets the call be carried out, and stops with CTORTURE_RESULT. Then `ctorture_give` makes `error` its result.
void ctorture_carry_out(pid_t task);
void ctorture_give(pid_t task, int error);

// What a process does between two marks, an instruction at a time: ptrace(2), which Swift cannot call, and Capstone, which
// says what of memory an instruction reads and writes.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What the instructions between two marks did. Lines are of 64 bytes; a bit a line of the memory that is watched.
struct ccounts_tally {
    uint64_t instructions;
    /// With a lock prefix, or an exchange with memory, which locks without one.
    uint64_t locked;
    uint64_t system_calls;
    uint64_t *lines_read, *lines_written;
};

/// Which version of the C library this is.
const char *ccounts_libc_version(void);

/// fork(2); the child is traced and dies with its parent. It stands still at its first mark.
pid_t ccounts_fork(void);
/// Stops the calling process for its tracer.
void ccounts_mark(void);
/// Lets a child that stands at a mark run to its next.
bool ccounts_skip(pid_t child);
/// The same, an instruction at a time; what was done is added to the tally. The memory that is watched lies at the same
/// place in the child. False, with the child ended, where it ends or there are more than `limit` instructions.
bool ccounts_follow(pid_t child, const void *memory, size_t bytes, uint64_t limit, struct ccounts_tally *tally);
/// Waits for the child's end; its exit status, or 128 and the signal.
int ccounts_end(pid_t child);

// What Swift cannot say: variadic or unexported system calls, and instructions.
//
// One system call or one instruction sequence each, no policy. Calls return a
// result of zero or more, or -errno. Each can go when glibc's module map or
// the standard library exports the same.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

// memory.c — memfd_create(2), fallocate(2) and the mmap family's GNU parts.
#define CLINUX_HUGE_NONE 0
#define CLINUX_HUGE_2M 21
#define CLINUX_HUGE_1G 30
int clinux_memfd_create(const char *name, int huge_page_shift, bool close_on_exec);
int clinux_populate_write(void *start, size_t bytes);
int clinux_advise_huge(void *start, size_t bytes);
int clinux_punch_hole(int fd, uint64_t offset, uint64_t bytes);
int64_t clinux_next_data(int fd, int64_t offset);
int64_t clinux_next_hole(int fd, int64_t offset);
int clinux_random(uint64_t *word);

// files.c — open file description locks (fcntl(2)).
/// Opens the file behind descriptor `fd` once more: an open file description of its own, close-on-exec.
int clinux_reopen(int fd);
/// Takes, changes or gives back a lock of `fd`'s open file description on bytes of the file, at once or not at all:
/// -EAGAIN where another description's lock is in the way. `type` is F_RDLCK, F_WRLCK or F_UNLCK.
int clinux_lock_bytes(int fd, short type, uint64_t offset, uint64_t bytes);
/// Where a lock begins that keeps `fd`'s description from a write lock on these bytes; -ENOENT where none does.
int64_t clinux_find_lock(int fd, uint64_t offset, uint64_t bytes);

// threads.c — scheduling, futex(2), robust mutexes, membarrier(2).
#define CLINUX_CPU_MAX 1024
/// Restricts the calling thread to `cpus`, numbers below CLINUX_CPU_MAX.
int clinux_set_allowed_cpus(const int *cpus, int count);
/// Fills `cpus` with the calling thread's allowed processors, ascending; returns how many.
int clinux_allowed_cpus(int *cpus, int capacity);
/// The processor that the calling thread runs on (getcpu(2)).
int clinux_current_cpu(void);
/// What the kernel has counted for the calling thread (getrusage(2), RUSAGE_THREAD).
int clinux_thread_usage(uint64_t *involuntary_switches, uint64_t *minor_faults);
/// Names the calling thread, for ps -L: at most 15 bytes.
int clinux_name_thread(const char *name);
/// Calls `body` with a stack pointer at the same offset in its page at every start; the kernel draws the main thread's
/// (arch_align_stack() in arch/x86/kernel/process.c).
void clinux_call_on_even_stack(void (*body)(void *), void *context);
int clinux_set_timer_slack(uint64_t nanoseconds);
/// Waits while `*word == expected`, until `deadline_ns` of CLOCK_MONOTONIC. Works between processes.
int clinux_futex_wait(const void *word, uint32_t expected, uint64_t deadline_ns);
int clinux_futex_wake(const void *word, int count);
/// Makes zeroed memory a robust mutex for several processes. Writes only words that never change again, always the
/// same: any number of threads may call it, at any time, also while the mutex is in use.
#define CLINUX_MUTEX_BYTES 64
int clinux_mutex_init(void *mutex);
/// 0, or 1 where the owner has died: the caller then owns it, repairs what it guards, and calls `consistent`.
int clinux_mutex_lock(void *mutex);
/// The same until `deadline_ns` of CLOCK_MONOTONIC; -ETIMEDOUT then.
int clinux_mutex_lock_until(void *mutex, uint64_t deadline_ns);
int clinux_mutex_consistent(void *mutex);
int clinux_mutex_unlock(void *mutex);
int clinux_membarrier_register(void);
int clinux_membarrier_global(void);

// process.c — pidfd_open(2), waitid(2), prctl(2), socket pairs, eventfd(2), poll(2).
int clinux_pidfd_open(pid_t pid);
/// Sends `signal` to the process behind `pidfd`: no race with a reused pid.
int clinux_pidfd_signal(int pidfd, int signal);
/// Reaps the child `pid`. 1: reaped, with `*code` its exit status, or minus the signal that ended it; 0: still running.
int clinux_reap(pid_t pid, bool block, int *code);
/// Counts from now on how often this process takes SIGCONT. The handler adds to a word and does nothing else.
int clinux_count_continuations(void);
uint64_t clinux_continuations(void);
int clinux_die_with_parent(int signal);
int clinux_spawn_self(const char *const argv[], const int *descriptors, int count, pid_t *pid);
/// Starts `argv[0]`, looked up on the PATH, with `standard[i]` as descriptor i; all three are above 2.
int clinux_spawn_tool(const char *const argv[], const int standard[3], pid_t *pid);
int clinux_socket_pair(int out[2]);
int clinux_eventfd(void);
/// Waits until one of up to 64 descriptors is readable or hung up: how many are, 0 at the time-out; `mask` has a bit each.
int clinux_wait_readable(const int *descriptors, int count, int64_t timeout_ns, uint64_t *mask);

// uring.c — io_uring_setup(2), io_uring_register(2): buffers that the kernel keeps pinned.
/// A ring without queues; its descriptor.
int clinux_uring_create(void);
/// Gives the ring a table of `buffer_slots` empty slots.
int clinux_uring_add_table(int ring, unsigned buffer_slots);
/// Pins each buffer into its slot, from `slot` on, or clears the slot where the buffer is empty: how many, before one that
/// failed, or -errno where that was the first.
int clinux_uring_set_buffers(int ring, unsigned slot, const struct iovec *buffers, unsigned count);
/// Reads from `file` into memory as an io_uring operation (IORING_OP_READ), and waits for it: bytes, or -errno.
int clinux_uring_read(int file, void *to, unsigned bytes);
/// Raises RLIMIT_MEMLOCK (getrlimit(2)) to its hard limit; that limit in bytes, INT64_MAX for none.
int64_t clinux_raise_locked_memory(void);
/// Whether this process has the capability CAP_IPC_LOCK in effect (capget(2)).
bool clinux_may_lock_memory(void);

// fault.c — userfaultfd(2) for write protection, stores that may fault, SCM_RIGHTS (unix(7)).
/// Lets `[start, start + bytes)` of this process be write-protected page by page, through the descriptor, by any
/// process that has it; a protected store raises SIGBUS (ioctl_userfaultfd(2), UFFD_FEATURE_SIGBUS).
int clinux_userfault_open(void *start, size_t bytes);
/// `start` is an address in the process that opened the descriptor. No store lands after it returns.
int clinux_userfault_protect(int fault, uint64_t start, uint64_t bytes, bool protect);
/// Installs the SIGBUS handler that `clinux_fill_watched` needs, for the whole process.
int clinux_watch_faults(void);
enum clinux_filler {
    CLINUX_FILL_NT_SSE2, CLINUX_FILL_NT_AVX2, CLINUX_FILL_NT_AVX512,
    CLINUX_FILL_STOSQ, CLINUX_FILL_MEMSET, CLINUX_FILL_MOVSB
};
/// Fills `[to, to + bytes)` with `word`, or from `from`; the address of the first store that raised SIGBUS, else NULL.
/// Recovery jumps over the frames of this file and fill.c alone.
void *clinux_fill_watched(enum clinux_filler filler, void *to, uint64_t word, const void *from, size_t bytes);
int clinux_send_descriptor(int socket, int descriptor, const void *message, size_t bytes);
/// A packet of exactly `bytes`, and the descriptor that came with it.
int clinux_receive_descriptor(int socket, void *message, size_t bytes);

// socket.c — streams that carry descriptors (unix(7), SCM_RIGHTS).
#define CLINUX_DESCRIPTORS_MAX 32
int clinux_stream_pair(int out[2]);
int clinux_accept(int listener);
/// What has arrived, without waiting: bytes, 0 at the end of the stream, -EAGAIN where nothing has. `descriptors` are the
/// caller's to close, close-on-exec; `truncated`: others came with them that did not fit, or that the process may not have.
ssize_t clinux_receive_with_descriptors(
    int socket, void *to, size_t bytes, int descriptors[CLINUX_DESCRIPTORS_MAX], int *count, bool *truncated);
/// Sends what there is room for, without waiting: bytes; the descriptors go with the first of them.
ssize_t clinux_send_with_descriptors(
    int socket, const void *from, size_t bytes, const int *descriptors, int count);

// build.c — the git revision the program was built from, + behind it where there were uncommitted changes.
const char *clinux_build_revision(void);

// cpu.c — instructions.
bool clinux_has_invariant_tsc(void);
bool clinux_has_avx2(void);
bool clinux_has_avx512(void);
/// The time-stamp counter once every earlier instruction has finished and before any later one starts
/// (rdtscp; lfence: Intel SDM vol. 2B, RDTSCP).
uint64_t clinux_tsc(void);
void clinux_pause(void);
/// Whether the two that follow do anything here.
bool clinux_has_add_loops(void);
/// `rounds`, at least 1, of 64 adds, each of which waits for the one before: one a cycle.
void clinux_add_chain(uint64_t rounds);
/// The same in eight chains that do not wait for each other: as many a cycle as the core can do.
void clinux_add_wide(uint64_t rounds);
/// Keeps the compiler from moving memory accesses across it; the processor is free to. For the fast side of a
/// membarrier(2), where the slow side orders the processors.
static inline void clinux_compiler_barrier(void) { __asm__ __volatile__("" ::: "memory"); }

// fill.c — the write engines' inner loops. `bytes` is a multiple of 64, `to` aligned to 64.
// Non-temporal ones end with sfence: a release store does not order them (Intel SDM vol. 1, 10.4.6.2).
void clinux_fill_nt_sse2(void *to, uint64_t word, size_t bytes);
void clinux_fill_nt_avx2(void *to, uint64_t word, size_t bytes);
void clinux_fill_nt_avx512(void *to, uint64_t word, size_t bytes);
void clinux_fill_rep_stosq(void *to, uint64_t word, size_t bytes);
void clinux_copy_rep_movsb(void *to, const void *from, size_t bytes);

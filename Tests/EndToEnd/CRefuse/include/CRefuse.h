// Programs and threads that the kernel refuses a system call, as it does where a feature is missing or forbidden; and
// threads that count one.
#pragma once
#include <linux/io_uring.h>
#include <spawn.h>
#include <sys/syscall.h>

/// The numbers of system calls, which Swift does not see; in the upper half the second argument, where only the calls
/// with that one are meant.
enum crefuse_call {
    CREFUSE_EVENTFD = SYS_eventfd2,
    CREFUSE_FALLOCATE = SYS_fallocate,
    CREFUSE_FUTEX = SYS_futex,
    CREFUSE_FIND_LOCK = SYS_fcntl | 36 << 16, // F_OFD_GETLK
    CREFUSE_GET_MEMPOLICY = SYS_get_mempolicy,
    CREFUSE_IO_URING_SETUP = SYS_io_uring_setup,
    CREFUSE_IO_URING_REGISTER = SYS_io_uring_register,
    CREFUSE_IO_URING_UPDATE = SYS_io_uring_register | IORING_REGISTER_BUFFERS_UPDATE << 16,
    CREFUSE_MEMBARRIER = SYS_membarrier,
    CREFUSE_MBIND = SYS_mbind,
    CREFUSE_MEMFD_CREATE = SYS_memfd_create,
    CREFUSE_PIDFD_OPEN = SYS_pidfd_open,
    CREFUSE_PRCTL = SYS_prctl,
    CREFUSE_PPOLL = SYS_ppoll,
    CREFUSE_RECEIVE = SYS_recvfrom,
    CREFUSE_SEND = SYS_sendto,
    CREFUSE_SET_LOCK = SYS_fcntl | 37 << 16, // F_OFD_SETLK
    CREFUSE_SOCKETPAIR = SYS_socketpair,
    CREFUSE_USERFAULTFD = SYS_userfaultfd,
};

/// Makes system call `call` fail with `error` in this thread, and in what it starts, by a seccomp filter (seccomp(2)).
/// Needs no privileges. Returns 0 or an error number.
int crefuse_from_now_on(enum crefuse_call call, int error);

/// Counts in this thread how often it makes system call `call`, which is carried out as ever; its sixth argument must
/// mean nothing to the kernel. Needs no privileges. Returns 0 or an error number.
int crefuse_count_from_now_on(enum crefuse_call call);

/// How often that was so far.
long crefuse_count(void);

/// posix_spawnp(3), with a seccomp filter (seccomp(2)) in the new process, and in all that it starts, which makes
/// system call `call` fail with `error`. Needs no privileges. Returns 0 or an error number.
int crefuse_posix_spawnp(
    pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
    char *const argv[], char *const envp[], enum crefuse_call call, int error);

#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// Linux 6.4; Debian 12's headers are of 6.1.
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif

int clinux_userfault_open(void *start, size_t bytes) {
    int fault = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (fault < 0) return -errno;
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                    UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED,
    };
    struct uffdio_register range = {
        .range = {.start = (uintptr_t)start, .len = bytes},
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    if (ioctl(fault, UFFDIO_API, &api) || ioctl(fault, UFFDIO_REGISTER, &range)) {
        int error = errno;
        close(fault);
        return -error;
    }
    return fault;
}

int clinux_userfault_protect(int fault, uint64_t start, uint64_t bytes, bool protect) {
    struct uffdio_writeprotect change = {
        .range = {.start = start, .len = bytes},
        .mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
    };
    int result;
    // EAGAIN: the address space changes under our hands; nothing is lost by doing it again (ioctl_userfaultfd(2)).
    do result = ioctl(fault, UFFDIO_WRITEPROTECT, &change);
    while (result && errno == EAGAIN);
    return result ? -errno : 0;
}

// The store under watch of this thread: where it may fault, and where to go on then.
static _Thread_local struct {
    sigjmp_buf *resume;
    uintptr_t start, end, fault;
} watched;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr;
    if (watched.resume && at >= watched.start && at < watched.end) {
        watched.fault = at;
        siglongjmp(*watched.resume, 1);
    }
    // A fault that nobody watches ends the process as it would have without us, when the store is tried again.
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    // A signal that somebody has sent comes from no store, and would not come again.
    if (info->si_code <= 0) raise(signal);
}

int clinux_watch_faults(void) {
    // SA_NODEFER, so that the jump out of the handler leaves no signal blocked, and saving the mask is not needed.
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

void *clinux_fill_watched(enum clinux_filler filler, void *to, uint64_t word, const void *from, size_t bytes) {
    sigjmp_buf resume;
    watched.start = (uintptr_t)to;
    watched.end = (uintptr_t)to + bytes;
    if (sigsetjmp(resume, 0)) {
        watched.resume = NULL;
#if defined(__x86_64__)
        // What was stored before the fault may be non-temporal, and the fill's own fence was never reached.
        __builtin_ia32_sfence();
#endif
        return (void *)watched.fault;
    }
    watched.resume = &resume;
    // The compiler may not move the stores out from under the watch.
    __asm__ __volatile__("" ::: "memory");
    switch (filler) {
    case CLINUX_FILL_NT_SSE2: clinux_fill_nt_sse2(to, word, bytes); break;
    case CLINUX_FILL_NT_AVX2: clinux_fill_nt_avx2(to, word, bytes); break;
    case CLINUX_FILL_NT_AVX512: clinux_fill_nt_avx512(to, word, bytes); break;
    case CLINUX_FILL_STOSQ: clinux_fill_rep_stosq(to, word, bytes); break;
    case CLINUX_FILL_MEMSET: memset(to, (int)(word & 0xff), bytes); break;
    case CLINUX_FILL_MOVSB: clinux_copy_rep_movsb(to, from, bytes); break;
    }
    __asm__ __volatile__("" ::: "memory");
    watched.resume = NULL;
    return NULL;
}

int clinux_send_descriptor(int socket, int descriptor, const void *message, size_t bytes) {
    struct iovec part = {.iov_base = (void *)message, .iov_len = bytes};
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
    memset(&control, 0, sizeof control);
    struct msghdr packet = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    ssize_t sent;
    do sent = sendmsg(socket, &packet, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int clinux_receive_descriptor(int socket, void *message, size_t bytes) {
    struct iovec part = {.iov_base = message, .iov_len = bytes};
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
    struct msghdr packet = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t received;
    do received = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    if ((size_t)received != bytes || !header || header->cmsg_type != SCM_RIGHTS) return -EPROTO;
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
    return descriptor;
}

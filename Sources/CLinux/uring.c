#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// glibc has no io_uring. Registering needs no queue: the rings are never mapped.

int clinux_uring_create(unsigned buffer_slots) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
    if (ring < 0) return -errno;
    // The descriptor is close-on-exec by itself (io_uring_setup(2)). A sparse table: Linux 5.19.
    struct io_uring_rsrc_register table;
    memset(&table, 0, sizeof table);
    table.nr = buffer_slots;
    table.flags = IORING_RSRC_REGISTER_SPARSE;
    if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS2, &table, sizeof table) < 0) {
        int error = errno;
        close(ring);
        return -error;
    }
    return ring;
}

int clinux_uring_set_buffer(int ring, unsigned slot, void *start, size_t bytes) {
    struct iovec buffer = {.iov_base = start, .iov_len = bytes};
    struct io_uring_rsrc_update2 update;
    memset(&update, 0, sizeof update);
    update.offset = slot;
    update.data = (uint64_t)(uintptr_t)&buffer;
    update.nr = 1;
    int done = (int)syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS_UPDATE, &update, sizeof update);
    return done < 0 ? -errno : done == 1 ? 0 : -EAGAIN;
}

int64_t clinux_raise_locked_memory(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit)) return -errno;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_MEMLOCK, &limit)) return -errno;
    return limit.rlim_max > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_max;
}

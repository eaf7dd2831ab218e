#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// glibc has no io_uring. Registering needs no queue: the rings are never mapped.

int clinux_uring_create(void) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    // The descriptor is close-on-exec by itself (io_uring_setup(2)).
    int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
    return ring < 0 ? -errno : ring;
}

int clinux_uring_add_table(int ring, unsigned buffer_slots) {
    // A sparse table: Linux 5.19.
    struct io_uring_rsrc_register table;
    memset(&table, 0, sizeof table);
    table.nr = buffer_slots;
    table.flags = IORING_RSRC_REGISTER_SPARSE;
    return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS2, &table, sizeof table) < 0 ? -errno : 0;
}

int clinux_uring_set_buffers(int ring, unsigned slot, const struct iovec *buffers, unsigned count) {
    struct io_uring_rsrc_update2 update;
    memset(&update, 0, sizeof update);
    update.offset = slot;
    update.data = (uint64_t)(uintptr_t)buffers;
    update.nr = count;
    int done = (int)syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS_UPDATE, &update, sizeof update);
    return done < 0 ? -errno : done;
}

int64_t clinux_raise_locked_memory(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit)) return -errno;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_MEMLOCK, &limit)) return -errno;
    return limit.rlim_max > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_max;
}

bool clinux_may_lock_memory(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data)) return false;
    return data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK);
}

int clinux_uring_read(int file, void *to, unsigned bytes) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
    if (ring < 0) return -errno;
    size_t queue_bytes = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
    size_t tail_bytes = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
    if (tail_bytes > queue_bytes) queue_bytes = tail_bytes;
    // One mapping holds both rings since Linux 5.4 (IORING_FEAT_SINGLE_MMAP); its end lets go of all three.
    char *queue = mmap(NULL, queue_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *entry = mmap(
        NULL, sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
    int result = -ENOMEM;
    if (queue != MAP_FAILED && entry != MAP_FAILED) {
        memset(entry, 0, sizeof *entry);
        entry->opcode = IORING_OP_READ;
        entry->fd = file;
        entry->addr = (uint64_t)(uintptr_t)to;
        entry->len = bytes;
        *(unsigned *)(queue + parameters.sq_off.array) = 0;
        __atomic_store_n((unsigned *)(queue + parameters.sq_off.tail), 1, __ATOMIC_RELEASE);
        if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) {
            result = -errno;
        } else {
            while (!__atomic_load_n((unsigned *)(queue + parameters.cq_off.tail), __ATOMIC_ACQUIRE)) usleep(100);
            result = ((struct io_uring_cqe *)(queue + parameters.cq_off.cqes))->res;
        }
    }
    if (queue != MAP_FAILED) munmap(queue, queue_bytes);
    if (entry != MAP_FAILED) munmap(entry, sizeof *entry);
    close(ring);
    return result;
}

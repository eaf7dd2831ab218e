#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

// Linux 5.14; absent from older headers (include/uapi/asm-generic/mman-common.h).
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

int clinux_memfd_create(const char *name, int huge_page_shift, bool close_on_exec) {
    unsigned flags = close_on_exec ? MFD_CLOEXEC : 0;
    if (huge_page_shift) flags |= MFD_HUGETLB | ((unsigned)huge_page_shift << MFD_HUGE_SHIFT);
    int fd = memfd_create(name, flags);
    return fd < 0 ? -errno : fd;
}

int clinux_populate_write(void *start, size_t bytes) {
    return madvise(start, bytes, MADV_POPULATE_WRITE) ? -errno : 0;
}

int clinux_advise_huge(void *start, size_t bytes) {
    return madvise(start, bytes, MADV_HUGEPAGE) ? -errno : 0;
}

int clinux_punch_hole(int fd, uint64_t offset, uint64_t bytes) {
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return fallocate(fd, mode, (off_t)offset, (off_t)bytes) ? -errno : 0;
}

int64_t clinux_next_data(int fd, int64_t offset) {
    off_t found = lseek(fd, offset, SEEK_DATA);
    return found < 0 ? -errno : found;
}

int64_t clinux_next_hole(int fd, int64_t offset) {
    off_t found = lseek(fd, offset, SEEK_HOLE);
    return found < 0 ? -errno : found;
}

int clinux_random(uint64_t *word) {
    ssize_t count;
    // Interrupted before the kernel has enough, in the first moments of a machine; so few bytes come whole.
    do count = getrandom(word, sizeof *word, 0);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : 0;
}

#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int clinux_reopen(int fd) {
    char path[32];
    // A duplicate would share its locks with the original; opening the file anew does not (proc_pid_fd(5)).
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int opened;
    do opened = open(path, O_RDWR | O_CLOEXEC);
    while (opened < 0 && errno == EINTR);
    return opened < 0 ? -errno : opened;
}

static struct flock lock_of(short type, uint64_t offset, uint64_t bytes) {
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = (off_t)bytes};
}

int clinux_lock_bytes(int fd, short type, uint64_t offset, uint64_t bytes) {
    struct flock lock = lock_of(type, offset, bytes);
    return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

int64_t clinux_find_lock(int fd, uint64_t offset, uint64_t bytes) {
    struct flock lock = lock_of(F_WRLCK, offset, bytes);
    if (fcntl(fd, F_OFD_GETLK, &lock)) return -errno;
    return lock.l_type == F_UNLCK ? -ENOENT : lock.l_start;
}

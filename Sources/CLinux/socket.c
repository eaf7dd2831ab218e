#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int clinux_stream_pair(int out[2]) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) ? -errno : 0;
}

int clinux_accept(int listener) {
    int fd;
    do fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

ssize_t clinux_receive_with_descriptors(
    int socket, void *to, size_t bytes, int descriptors[CLINUX_DESCRIPTORS_MAX], int *count, bool *truncated) {
    struct iovec part = {.iov_base = to, .iov_len = bytes};
    union { struct cmsghdr header; char room[CMSG_SPACE(CLINUX_DESCRIPTORS_MAX * sizeof(int))]; } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *count = 0;
    *truncated = false;
    ssize_t received;
    do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;
    *truncated = message.msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t length = header->cmsg_len - CMSG_LEN(0);
        // All of them together fit in the room that the kernel was given.
        memcpy(descriptors + *count, CMSG_DATA(header), length);
        *count += (int)(length / sizeof(int));
    }
    return received;
}

ssize_t clinux_send_with_descriptors(
    int socket, const void *from, size_t bytes, const int *descriptors, int count) {
    if (count < 0 || count > CLINUX_DESCRIPTORS_MAX) return -EINVAL;
    struct iovec part = {.iov_base = (void *)from, .iov_len = bytes};
    union { struct cmsghdr header; char room[CMSG_SPACE(CLINUX_DESCRIPTORS_MAX * sizeof(int))]; } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, (size_t)count * sizeof(int));
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

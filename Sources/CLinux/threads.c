#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clinux_set_allowed_cpus(const int *cpus, int count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++) {
        if (cpus[i] < 0 || cpus[i] >= CLINUX_CPU_MAX) return -EINVAL;
        CPU_SET(cpus[i], &set);
    }
    return sched_setaffinity(0, sizeof set, &set) ? -errno : 0;
}

int clinux_allowed_cpus(int *cpus, int capacity) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return -errno;
    int count = 0;
    for (int cpu = 0; cpu < CLINUX_CPU_MAX && count < capacity; cpu++)
        if (CPU_ISSET(cpu, &set)) cpus[count++] = cpu;
    return count;
}

int clinux_current_cpu(void) {
    int cpu = sched_getcpu();
    return cpu < 0 ? -errno : cpu;
}

int clinux_thread_usage(uint64_t *involuntary_switches, uint64_t *minor_faults) {
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage)) return -errno;
    *involuntary_switches = (uint64_t)usage.ru_nivcsw;
    *minor_faults = (uint64_t)usage.ru_minflt;
    return 0;
}

int clinux_set_timer_slack(uint64_t nanoseconds) {
    return prctl(PR_SET_TIMERSLACK, nanoseconds) ? -errno : 0;
}

int clinux_futex_wait(const void *word, uint32_t expected, uint64_t deadline_ns) {
    struct timespec at = {(time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000)};
    // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time (futex(2)); no PRIVATE flag: shared between processes.
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &at, NULL, FUTEX_BITSET_MATCH_ANY);
    return result < 0 ? -errno : 0;
}

int clinux_futex_wake(const void *word, int count) {
    long result = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
    return result < 0 ? -errno : (int)result;
}

_Static_assert(sizeof(pthread_mutex_t) <= CLINUX_MUTEX_BYTES, "a mutex fits its place in shared memory");

int clinux_mutex_init(void *mutex) {
    union {
        pthread_mutex_t mutex;
        int words[sizeof(pthread_mutex_t) / sizeof(int)];
    } fresh;
    memset(&fresh, 0, sizeof fresh);
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error) return -error;
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!error) error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!error) error = pthread_mutex_init(&fresh.mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    if (error) return -error;
    // A free mutex is zero but for what kind it is (glibc: nptl/pthread_mutex_init.c), which no operation changes.
    for (size_t i = 0; i < sizeof fresh.words / sizeof *fresh.words; i++)
        if (fresh.words[i]) __atomic_store_n((int *)mutex + i, fresh.words[i], __ATOMIC_RELAXED);
    return 0;
}

int clinux_mutex_lock(void *mutex) {
    int error = pthread_mutex_lock(mutex);
    return error == EOWNERDEAD ? 1 : -error;
}

int clinux_mutex_lock_until(void *mutex, uint64_t deadline_ns) {
    struct timespec at = {(time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000)};
    int error = pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &at);
    return error == EOWNERDEAD ? 1 : -error;
}

int clinux_mutex_consistent(void *mutex) { return -pthread_mutex_consistent(mutex); }

int clinux_mutex_unlock(void *mutex) { return -pthread_mutex_unlock(mutex); }

int clinux_membarrier_register(void) {
    long result = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
    return result < 0 ? -errno : 0;
}

int clinux_membarrier_global(void) {
    long result = syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
    return result < 0 ? -errno : 0;
}

int clinux_name_thread(const char *name) {
    return prctl(PR_SET_NAME, name) ? -errno : 0;
}

__attribute__((noinline)) void clinux_call_on_even_stack(void (*body)(void *), void *context) {
    // What is on top of this frame is skipped to the end of its page.
    char *const skipped = __builtin_alloca(((uintptr_t)__builtin_frame_address(0) & 4095) + 64);
    __asm__ volatile("" : : "r"(skipped) : "memory");
    body(context);
    __asm__ volatile("" : : "r"(skipped) : "memory");
}

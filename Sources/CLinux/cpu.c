#include "CLinux.h"
#include <sched.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

bool clinux_has_invariant_tsc(void) {
    unsigned a, b, c, d;
    // CPUID 8000_0007h EDX bit 8 (AMD APM vol. 3, E.4.7); rdtscp is 8000_0001h EDX bit 27.
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(d & (1u << 27))) return false;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
}

bool clinux_has_avx2(void) { return __builtin_cpu_supports("avx2"); }
bool clinux_has_avx512(void) { return __builtin_cpu_supports("avx512f"); }

uint64_t clinux_tsc(void) {
    unsigned aux;
    uint64_t now = __rdtscp(&aux);
    _mm_lfence();
    return now;
}

void clinux_pause(void) { _mm_pause(); }

#else

bool clinux_has_invariant_tsc(void) { return false; }
bool clinux_has_avx2(void) { return false; }
bool clinux_has_avx512(void) { return false; }
uint64_t clinux_tsc(void) { return 0; }
void clinux_pause(void) { __asm__ __volatile__("yield" ::: "memory"); }

#endif

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

bool clinux_has_add_loops(void) { return true; }

// Of registers: some processors add a small constant while they rename, several of a chain in a cycle (Intel's Golden
// Cove). 64 a round, so that counting the rounds is a hundredth of the work.
void clinux_add_chain(uint64_t rounds) {
    uint64_t sum = 0;
    __asm__ __volatile__(
        ".p2align 6\n"
        "1:\n"
        ".rept 64\n"
        "add %[one], %[sum]\n"
        ".endr\n"
        "dec %[rounds]\n"
        "jnz 1b"
        : [sum] "+r"(sum), [rounds] "+r"(rounds)
        : [one] "r"((uint64_t)1)
        : "cc");
}

void clinux_add_wide(uint64_t rounds) {
    uint64_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    __asm__ __volatile__(
        ".p2align 6\n"
        "1:\n"
        ".rept 8\n"
        "add %[one], %[a]\n"
        "add %[one], %[b]\n"
        "add %[one], %[c]\n"
        "add %[one], %[d]\n"
        "add %[one], %[e]\n"
        "add %[one], %[f]\n"
        "add %[one], %[g]\n"
        "add %[one], %[h]\n"
        ".endr\n"
        "dec %[rounds]\n"
        "jnz 1b"
        : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [e] "+r"(e), [f] "+r"(f), [g] "+r"(g), [h] "+r"(h),
          [rounds] "+r"(rounds)
        : [one] "r"((uint64_t)1)
        : "cc");
}

#else

bool clinux_has_invariant_tsc(void) { return false; }
bool clinux_has_avx2(void) { return false; }
bool clinux_has_avx512(void) { return false; }
uint64_t clinux_tsc(void) { return 0; }
void clinux_pause(void) { __asm__ __volatile__("yield" ::: "memory"); }
bool clinux_has_add_loops(void) { return false; }
void clinux_add_chain(uint64_t rounds) { (void)rounds; }
void clinux_add_wide(uint64_t rounds) { (void)rounds; }

#endif

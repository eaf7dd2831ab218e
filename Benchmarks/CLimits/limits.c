#define _GNU_SOURCE
#include "CLimits.h"
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

uint64_t climits_per_page_pair(void *table, size_t entries, uint64_t open) {
    struct entry { _Atomic uint64_t word; uint64_t rest; } *entry = table;
    uint64_t refused = 0;
    for (size_t i = 0; i < entries; i++)
        refused += (atomic_fetch_add_explicit(&entry[i].word, 1, memory_order_acquire) & open) != open;
    for (size_t i = 0; i < entries; i++)
        atomic_fetch_sub_explicit(&entry[i].word, 1, memory_order_release);
    return refused;
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void fill_512(char *to, uint64_t word, size_t bytes) {
    const __m512i line = _mm512_set1_epi64((long long)word);
    for (char *end = to + bytes; to < end; to += 64) _mm512_stream_si512((__m512i *)to, line);
}

__attribute__((target("avx2"))) static void fill_256(char *to, uint64_t word, size_t bytes) {
    const __m256i line = _mm256_set1_epi64x((long long)word);
    for (char *end = to + bytes; to < end; to += 32) _mm256_stream_si256((__m256i *)to, line);
}

static void fill_128(char *to, uint64_t word, size_t bytes) {
    const __m128i line = _mm_set1_epi64x((long long)word);
    for (char *end = to + bytes; to < end; to += 16) _mm_stream_si128((__m128i *)to, line);
}

void climits_fill_nt(void *to, uint64_t word, size_t bytes) {
    if (__builtin_cpu_supports("avx512f")) fill_512(to, word, bytes);
    else if (__builtin_cpu_supports("avx2")) fill_256(to, word, bytes);
    else fill_128(to, word, bytes);
    _mm_sfence();
}
#else
void climits_fill_nt(void *to, uint64_t word, size_t bytes) {
    for (uint64_t *at = to, *end = at + bytes / 8; at < end; at++) *at = word;
}
#endif

void climits_system_calls(size_t count) {
    for (size_t i = 0; i < count; i++) syscall(SYS_getppid);
}

#include "CLinux.h"

#if defined(__x86_64__)
#include <immintrin.h>

void clinux_fill_nt_sse2(void *to, uint64_t word, size_t bytes) {
    const __m128i line = _mm_set1_epi64x((long long)word);
    for (char *at = to, *end = at + bytes; at < end; at += 64) {
        _mm_stream_si128((__m128i *)at, line);
        _mm_stream_si128((__m128i *)at + 1, line);
        _mm_stream_si128((__m128i *)at + 2, line);
        _mm_stream_si128((__m128i *)at + 3, line);
    }
    _mm_sfence();
}

__attribute__((target("avx2"))) void clinux_fill_nt_avx2(void *to, uint64_t word, size_t bytes) {
    const __m256i line = _mm256_set1_epi64x((long long)word);
    for (char *at = to, *end = at + bytes; at < end; at += 64) {
        _mm256_stream_si256((__m256i *)at, line);
        _mm256_stream_si256((__m256i *)at + 1, line);
    }
    _mm_sfence();
}

__attribute__((target("avx512f"))) void clinux_fill_nt_avx512(void *to, uint64_t word,
                                                              size_t bytes) {
    const __m512i line = _mm512_set1_epi64((long long)word);
    for (char *at = to, *end = at + bytes; at < end; at += 64) {
        _mm512_stream_si512((__m512i *)at, line);
    }
    _mm_sfence();
}

void clinux_fill_rep_stosq(void *to, uint64_t word, size_t bytes) {
    size_t words = bytes / 8;
    __asm__ __volatile__("rep stosq" : "+D"(to), "+c"(words) : "a"(word) : "memory");
}

void clinux_copy_rep_movsb(void *to, const void *from, size_t bytes) {
    __asm__ __volatile__("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

#else
#include <string.h>

// No non-temporal or string instructions: ordinary stores, which the release of the unpin orders.
void clinux_fill_nt_sse2(void *to, uint64_t word, size_t bytes) {
    for (uint64_t *at = to, *end = at + bytes / 8; at < end; at++) *at = word;
}
void clinux_fill_nt_avx2(void *to, uint64_t word, size_t bytes) { clinux_fill_nt_sse2(to, word, bytes); }
void clinux_fill_nt_avx512(void *to, uint64_t word, size_t bytes) { clinux_fill_nt_sse2(to, word, bytes); }
void clinux_fill_rep_stosq(void *to, uint64_t word, size_t bytes) { clinux_fill_nt_sse2(to, word, bytes); }
void clinux_copy_rep_movsb(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }

#endif

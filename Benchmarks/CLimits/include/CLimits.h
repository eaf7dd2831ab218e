// The least that the parts of a DMA can cost, in plain C: what our Swift is held against.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// A lock per page: adds one to the first word of each 16-byte entry, checks the state bit, then takes all back.
/// The number of entries whose bit was not `open`.
uint64_t climits_per_page_pair(void *table, size_t entries, uint64_t open);
/// Fills `[to, to + bytes)`, aligned to 64, past the caches, with the widest stores there are; ends with sfence.
void climits_fill_nt(void *to, uint64_t word, size_t bytes);
/// A system call that does next to nothing, `count` times.
void climits_system_calls(size_t count);

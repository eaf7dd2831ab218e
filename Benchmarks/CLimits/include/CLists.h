// A pin and an unpin of a list of ranges, in plain C: what each family of strategies is held against.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// As `PageRange` lies in memory: the first page, and how many.
struct climits_range { uint64_t start, count; };

/// One device alone with a guest of 1 GiB, all of it shared, and what the forms below keep for it.
struct climits_device;
/// NULL where there is no memory for it.
struct climits_device *climits_device_make(void);
void climits_device_free(struct climits_device *);

// Each pins `count` ranges of one page, or one of the whole GiB, and unpins them; zero where all of it was open.

/// Nothing: what a call costs by itself.
int climits_nothing(struct climits_device *, const struct climits_range *, size_t count);
/// `slots`: bounds and list by release, one exchange, the open bits; a store.
int climits_published(struct climits_device *, const struct climits_range *, size_t count);
/// `epoch`: a journal entry and its list by plain stores, the open bits; a store.
int climits_unfenced(struct climits_device *, const struct climits_range *, size_t count);
/// `perpage`: a journal entry and its list, then an addition to a word a page.
int climits_counted_pages(struct climits_device *, const struct climits_range *, size_t count);
/// `rangetree`: the same, to a lane among the leaves, or of the root.
int climits_counted_lanes(struct climits_device *, const struct climits_range *, size_t count);
/// `longlived`: a bit a page of what is registered, or the one registration; nothing is shared.
int climits_registered(struct climits_device *, const struct climits_range *, size_t count);
/// `mutexlist`: a node a range on a list under a robust mutex that processes share.
int climits_locked_list(struct climits_device *, const struct climits_range *, size_t count);
/// `intervaltree`: a node a range in an AVL tree, each with the end of its subtree, under such a mutex.
int climits_locked_tree(struct climits_device *, const struct climits_range *, size_t count);

#define _GNU_SOURCE
#include "CLists.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef _Atomic uint64_t word;

enum { pages = 1 << 18, longest = 1024 };
static const uint64_t open_lanes = 0x8000800080008000, one_lanes = 0x0001000100010001;

struct node { uint64_t lower, upper, end; struct node *left, *right; int height; };

struct climits_device {
    word *entries, *lanes, *registered;
    // Each on a line of its own, as in an arena.
    _Alignas(64) word root;
    _Alignas(64) word freeze;
    _Alignas(64) word onlookers;
    _Alignas(64) word header;
    _Alignas(64) word number;
    _Alignas(64) word entry, state;
    _Alignas(64) word list[1 + longest];
    _Alignas(64) pthread_mutex_t mutex;
    _Alignas(64) struct node nodes[longest];
    struct node *first;
    uint64_t tokens;
};

#define load(w) atomic_load_explicit(&(w), memory_order_seq_cst)
#define peek(w) atomic_load_explicit(&(w), memory_order_relaxed)
#define release(w, value) atomic_store_explicit(&(w), value, memory_order_release)
#define compiler_barrier() atomic_signal_fence(memory_order_seq_cst)

struct climits_device *climits_device_make(void) {
    struct climits_device *device = aligned_alloc(64, (sizeof *device + 63) / 64 * 64);
    if (!device) return NULL;
    *device = (struct climits_device){0};
    device->entries = calloc(pages, 16);
    device->lanes = calloc(pages / 4, 8);
    device->registered = calloc(pages / 64, 8);
    if (!device->entries || !device->lanes || !device->registered) {
        climits_device_free(device);
        return NULL;
    }
    for (size_t page = 0; page < pages; page++) device->entries[2 * page] = 1ull << 63;
    for (size_t i = 0; i < pages / 4; i++) device->lanes[i] = open_lanes;
    for (size_t i = 0; i < pages / 64; i++) device->registered[i] = ~0ull;
    device->root = open_lanes;
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&device->mutex, &kind);
    return device;
}

void climits_device_free(struct climits_device *device) {
    free(device->entries);
    free(device->lanes);
    free(device->registered);
    free(device);
}

// MARK: What several have in common

static inline uint64_t packed(struct climits_range range) { return range.start << 32 | (range.count - 1); }

/// A token, and two calls that a caller sees no further into: as a library in C has them.
struct pin { struct climits_range range; uint64_t device, entry, ticket, count; };
#define call __attribute__((noinline)) static int
#define pin_and_unpin(name) \
    int climits_##name(struct climits_device *device, const struct climits_range *ranges, size_t count) { \
        struct pin pin; \
        return name##_pin(device, ranges, count, &pin) || name##_unpin(device, &pin); \
    }

/// Writes the list down and its bounds before it; nonzero where it reaches past the guest.
static inline int write_list(word *list, const struct climits_range *ranges, size_t count, struct climits_range *hull) {
    uint64_t lower = UINT64_MAX, upper = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t end = ranges[i].start + ranges[i].count;
        release(list[i + 1], packed(ranges[i]));
        lower = ranges[i].start < lower ? ranges[i].start : lower;
        upper = end > upper ? end : upper;
    }
    release(list[0], lower << 32 | (upper - lower - 1));
    *hull = (struct climits_range){lower, upper - lower};
    return upper > pages;
}

static inline int is_open(struct climits_device *device, struct climits_range range) {
    if (range.count == 1)
        return load(device->lanes[range.start / 4]) >> (15 + 16 * (range.start & 3)) & 1;
    return (load(device->root) & open_lanes) == open_lanes;
}

/// The journal's entry goes free, intent, held, releasing, free.
static inline int begin(struct climits_device *device, const struct climits_range *ranges, size_t count, struct pin *pin) {
    uint64_t what = packed(ranges[0]);
    if (count > 1) {
        if (write_list(device->list, ranges, count, &pin->range)) return 1;
        what = 0xffffffffull << 32 | count;
    } else {
        if (ranges[0].start + ranges[0].count > pages) return 1;
        pin->range = ranges[0];
    }
    uint64_t ticket = (peek(device->state) & ~3ull) + 4;
    pin->device = 0;
    pin->entry = 0;
    pin->ticket = ticket;
    pin->count = count;
    release(device->entry, what);
    release(device->state, ticket | 1);
    compiler_barrier();
    return peek(device->freeze) & 1;
}

static inline void hold(struct climits_device *device, const struct pin *pin) { release(device->state, pin->ticket | 2); }

static inline int begin_release(struct climits_device *device, const struct pin *pin) {
    if (pin->device || peek(device->state) != (pin->ticket | 2)) return 1;
    release(device->state, pin->ticket | 3);
    compiler_barrier();
    return peek(device->freeze) & 1;
}

static inline int end(struct climits_device *device, const struct pin *pin) {
    int has_onlookers = load(device->onlookers) != 0;
    release(device->state, pin->ticket);
    return has_onlookers;
}

int climits_nothing(struct climits_device *device, const struct climits_range *ranges, size_t count) {
    return !device || !ranges || !count;
}

// MARK: Published

call published_pin(struct climits_device *device, const struct climits_range *ranges, size_t count, struct pin *pin) {
    if (peek(device->header)) return 1;
    pin->range = ranges[0];
    if (count > 1) {
        if (write_list(device->list, ranges, count, &pin->range)) return 1;
    } else {
        if (ranges[0].start + ranges[0].count > pages) return 1;
        release(device->list[0], packed(ranges[0]));
    }
    uint64_t number = peek(device->number) + 1, header = number << 11 | count;
    atomic_store_explicit(&device->number, number, memory_order_relaxed);
    atomic_exchange_explicit(&device->header, header, memory_order_seq_cst);
    for (size_t i = 0; i < count; i++)
        if (!is_open(device, ranges[i])) return 1;
    pin->device = 0;
    pin->entry = 0;
    pin->ticket = header;
    return 0;
}

call published_unpin(struct climits_device *device, const struct pin *pin) {
    if (pin->device || peek(device->header) != pin->ticket) return 1;
    release(device->header, 0);
    compiler_barrier();
    return load(device->onlookers) != 0;
}

pin_and_unpin(published)

call unfenced_pin(struct climits_device *device, const struct climits_range *ranges, size_t count, struct pin *pin) {
    if (begin(device, ranges, count, pin)) return 1;
    for (size_t i = 0; i < count; i++)
        if (!is_open(device, ranges[i])) return 1;
    hold(device, pin);
    return 0;
}

call unfenced_unpin(struct climits_device *device, const struct pin *pin) {
    if (begin_release(device, pin)) return 1;
    release(device->state, pin->ticket);
    compiler_barrier();
    return load(device->onlookers) != 0;
}

pin_and_unpin(unfenced)

// MARK: Counted

call counted_pages_pin(struct climits_device *device, const struct climits_range *ranges, size_t count, struct pin *pin) {
    const uint64_t open = 1ull << 63, flags = 7ull << 61 | 1ull << 31;
    if (begin(device, ranges, count, pin)) return 1;
    for (size_t i = 0; i < count; i++)
        for (uint64_t page = ranges[i].start; page < ranges[i].start + ranges[i].count; page++)
            if ((atomic_fetch_add_explicit(&device->entries[2 * page], 1, memory_order_acquire) & flags) != open) return 1;
    hold(device, pin);
    return 0;
}

call counted_pages_unpin(struct climits_device *device, const struct pin *pin) {
    if (begin_release(device, pin)) return 1;
    for (size_t i = 0; i < pin->count; i++) {
        uint64_t range = pin->count > 1 ? peek(device->list[i + 1]) : packed(pin->range);
        for (uint64_t page = range >> 32, last = page + (range & 0xffffffff); page <= last; page++)
            atomic_fetch_sub_explicit(&device->entries[2 * page], 1, memory_order_seq_cst);
    }
    return end(device, pin);
}

pin_and_unpin(counted_pages)

static inline word *lanes_of(struct climits_device *device, uint64_t start, uint64_t count, uint64_t *addend) {
    *addend = count == 1 ? 1ull << 16 * (start & 3) : one_lanes;
    return count == 1 ? &device->lanes[start / 4] : &device->root;
}

call counted_lanes_pin(struct climits_device *device, const struct climits_range *ranges, size_t count, struct pin *pin) {
    uint64_t one;
    if (begin(device, ranges, count, pin)) return 1;
    for (size_t i = 0; i < count; i++) {
        word *lanes = lanes_of(device, ranges[i].start, ranges[i].count, &one);
        uint64_t old = atomic_fetch_add_explicit(lanes, one, memory_order_acquire);
        if ((old & (one << 15 | one << 14)) != one << 15) return 1;
    }
    hold(device, pin);
    return 0;
}

call counted_lanes_unpin(struct climits_device *device, const struct pin *pin) {
    uint64_t one;
    if (begin_release(device, pin)) return 1;
    for (size_t i = 0; i < pin->count; i++) {
        uint64_t range = pin->count > 1 ? peek(device->list[i + 1]) : packed(pin->range);
        word *lanes = lanes_of(device, range >> 32, (range & 0xffffffff) + 1, &one);
        atomic_fetch_sub_explicit(lanes, one, memory_order_seq_cst);
    }
    return end(device, pin);
}

pin_and_unpin(counted_lanes)

// MARK: Registered

call registered_pin(struct climits_device *device, const struct climits_range *ranges, size_t count, struct pin *pin) {
    if (peek(device->freeze)) return 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t start = ranges[i].start;
        if (start + ranges[i].count > pages) return 1;
        if (ranges[i].count == 1 && !(peek(device->registered[start / 64]) >> (start & 63) & 1)) return 1;
    }
    device->tokens++;
    *pin = (struct pin){.range = ranges[0]};
    return 0;
}

call registered_unpin(struct climits_device *device, const struct pin *pin) {
    if (pin->device || !device->tokens) return 1;
    device->tokens--;
    return peek(device->freeze) != 0;
}

pin_and_unpin(registered)

// MARK: Under one mutex

static inline int lock(struct climits_device *device) { return pthread_mutex_lock(&device->mutex); }

call locked_list_pin(struct climits_device *device, const struct climits_range *ranges, size_t count, struct pin *pin) {
    if (begin(device, ranges, count, pin) || lock(device)) return 1;
    int closed = 0;
    for (size_t i = 0; i < count; i++) {
        struct node *node = &device->nodes[i];
        closed |= !is_open(device, ranges[i]);
        *node = (struct node){.lower = ranges[i].start, .upper = ranges[i].start + ranges[i].count, .right = device->first};
        if (device->first) device->first->left = node;
        device->first = node;
    }
    hold(device, pin);
    pthread_mutex_unlock(&device->mutex);
    return closed;
}

call locked_list_unpin(struct climits_device *device, const struct pin *pin) {
    if (begin_release(device, pin) || lock(device)) return 1;
    for (size_t i = 0; i < pin->count; i++) {
        struct node *node = &device->nodes[i];
        if (node->left) node->left->right = node->right;
        else device->first = node->right;
        if (node->right) node->right->left = node->left;
    }
    int failed = end(device, pin) || device->first;
    pthread_mutex_unlock(&device->mutex);
    return failed;
}

pin_and_unpin(locked_list)

static inline int height(struct node *node) { return node ? node->height : 0; }
static inline uint64_t end_of(struct node *node) { return node ? node->end : 0; }

static inline struct node *update(struct node *node) {
    int left = height(node->left), right = height(node->right);
    uint64_t end = node->upper;
    if (end_of(node->left) > end) end = end_of(node->left);
    if (end_of(node->right) > end) end = end_of(node->right);
    node->height = 1 + (left > right ? left : right);
    node->end = end;
    return node;
}

static struct node *rotate_right(struct node *node) {
    struct node *top = node->left;
    node->left = top->right;
    top->right = update(node);
    return update(top);
}

static struct node *rotate_left(struct node *node) {
    struct node *top = node->right;
    node->right = top->left;
    top->left = update(node);
    return update(top);
}

static inline struct node *balance(struct node *node) {
    int lean = height(node->left) - height(node->right);
    if (lean > 1) {
        if (height(node->left->left) < height(node->left->right)) node->left = rotate_left(node->left);
        return rotate_right(node);
    }
    if (lean < -1) {
        if (height(node->right->right) < height(node->right->left)) node->right = rotate_right(node->right);
        return rotate_left(node);
    }
    return update(node);
}

/// Equal starts are ordered by place, so that a node can be found again.
static inline int precedes(struct node *a, struct node *b) { return a->lower < b->lower || (a->lower == b->lower && a < b); }

static struct node *insert(struct node *tree, struct node *node) {
    if (!tree) return update(node);
    if (precedes(node, tree)) tree->left = insert(tree->left, node);
    else tree->right = insert(tree->right, node);
    return balance(tree);
}

static struct node *take_first(struct node *tree, struct node **first) {
    if (!tree->left) { *first = tree; return tree->right; }
    tree->left = take_first(tree->left, first);
    return balance(tree);
}

static struct node *take(struct node *tree, struct node *node) {
    if (tree != node) {
        if (precedes(node, tree)) tree->left = take(tree->left, node);
        else tree->right = take(tree->right, node);
        return balance(tree);
    }
    if (!tree->right) return tree->left;
    struct node *next, *right = take_first(tree->right, &next);
    next->left = tree->left;
    next->right = right;
    return balance(next);
}

call locked_tree_pin(struct climits_device *device, const struct climits_range *ranges, size_t count, struct pin *pin) {
    if (begin(device, ranges, count, pin) || lock(device)) return 1;
    int closed = 0;
    for (size_t i = 0; i < count; i++) {
        struct node *node = &device->nodes[i];
        closed |= !is_open(device, ranges[i]);
        *node = (struct node){.lower = ranges[i].start, .upper = ranges[i].start + ranges[i].count};
        device->first = insert(device->first, node);
    }
    hold(device, pin);
    pthread_mutex_unlock(&device->mutex);
    return closed;
}

call locked_tree_unpin(struct climits_device *device, const struct pin *pin) {
    if (begin_release(device, pin) || lock(device)) return 1;
    for (size_t i = 0; i < pin->count; i++) device->first = take(device->first, &device->nodes[i]);
    int failed = end(device, pin) || device->first;
    pthread_mutex_unlock(&device->mutex);
    return failed;
}

pin_and_unpin(locked_tree)

/* The counted tree: lock-free pins against conversions that deny or wait.
 *
 * Four pages and radix 2, for CountedTree's radix 4: the root's lane i stands for leaf word i. Names are those of
 * CountedTree, CountedPins, RMPTable and Conversion. Every step is one atomic operation on one word, as a 64-bit
 * read-modify-write is; between steps anything may happen. That is the coherence order of each word, which is all
 * the argument needs.
 *
 * Promise: no page is ever pinned and private. In the end: no count is left, each leaf lane is open exactly where
 * its page is shared, and each lane of the root exactly where both lanes below it are.
 *
 * Mutants, each of which must be caught:
 *   RESTORE           a refused conversion puts the root's lane back instead of working it out
 *   NO_LOCK           two converters change the root's lanes at once
 *   LEAF_COUNTS_ONLY  a conversion does not look at the counts above its page
 *   LEAF_CLOSED_ONLY  a conversion does not close the lane above its page
 *   SHORT_UNDO        a refused pin leaves its last count
 *   CHECK_THEN_COUNT  a pin looks first and counts then
 *   UNCLAIM_FIRST     a conversion gives its claim up before it has opened the pages
 * Places that a run must come to, or it says nothing:
 *   REACH_DENIED, REACH_WAITED, REACH_UNDONE (two words), REACH_HELD (above the leaves)
 */
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef CONVERTERS
#define CONVERTERS 2
#endif

#define PAGES 4
#define ROOT  2
#define LEAF(page) ((page) / 2)
#define LANE(page) ((page) % 2)

typedef Word {
    bool open[2];
    byte pins[2]
}
Word word[3];
bool lock;                      /* the tree's ConverterLock */

bool shared[PAGES];             /* the RMP table */
bool converting[PAGES];

byte held[PAGES];               /* ghost: pins that devices were told they have */
byte done;

/* ---- devices -------------------------------------------------------------------------------------------------- */

/* One fetch-add on the lanes first...last of a word; was_open as the old value says. */
inline count(index, first, last) {
    atomic {
        was_open = word[index].open[first] && word[index].open[last];
        word[index].pins[first] = word[index].pins[first] + 1;
        if
        :: first != last -> word[index].pins[last] = word[index].pins[last] + 1
        :: else -> skip
        fi
    }
}

inline uncount(index, first, last) {
    atomic {
        assert(word[index].pins[first] > 0 && word[index].pins[last] > 0);
        word[index].pins[first] = word[index].pins[first] - 1;
        if
        :: first != last -> word[index].pins[last] = word[index].pins[last] - 1
        :: else -> skip
        fi
    }
}

/* A range of each shape, up to mirroring: its pages, and its cover of one word or two. */
#define SHAPES 5
inline choose(shape) {
    if
    :: shape == 0 -> from = 0; to = 0; words = 1; index[0] = 0;    first[0] = 0; last[0] = 0
    :: shape == 1 -> from = 0; to = 1; words = 1; index[0] = ROOT; first[0] = 0; last[0] = 0
    :: shape == 2 -> from = 0; to = 3; words = 1; index[0] = ROOT; first[0] = 0; last[0] = 1
    :: shape == 3 -> from = 1; to = 2; words = 2; index[0] = 0;    first[0] = 1; last[0] = 1;
                                                  index[1] = 1;    first[1] = 0; last[1] = 0
    :: shape == 4 -> from = 0; to = 2; words = 2; index[0] = 1;    first[0] = 0; last[0] = 0;
                                                  index[1] = ROOT; first[1] = 0; last[1] = 0
    fi
}

/* One pin and its unpin. */
proctype Device(byte shape) {
    byte page, step, from, to;
    byte words, index[2], first[2], last[2];
    bool was_open;

    atomic { choose(shape) }
    do
    :: step == words -> break
    :: else ->
#ifdef CHECK_THEN_COUNT
        was_open = word[index[step]].open[first[step]] && word[index[step]].open[last[step]];
        if
        :: was_open -> count(index[step], first[step], last[step]); was_open = true
        :: else -> break
        fi;
#else
        count(index[step], first[step], last[step]);
        if
        :: was_open -> skip
        :: else -> uncount(index[step], first[step], last[step]); break
        fi;
#endif
        step++
    od;
    if
    :: step == words ->
        atomic {
            for (page : from .. to) {
                held[page] = held[page] + 1;
                assert(shared[page])
            }
#ifdef REACH_HELD
            assert(index[words - 1] != ROOT)
#endif
        }
        /* the write */
        atomic {
            for (page : from .. to) {
                held[page] = held[page] - 1;
                assert(shared[page])
            }
        }
    :: else ->
#ifdef REACH_UNDONE
        assert(step == 0);
#endif
#ifdef SHORT_UNDO
        step = (step > 0 -> step - 1 : 0)
#else
        skip
#endif
    fi;
    do
    :: step > 0 -> step--; uncount(index[step], first[step], last[step])
    :: else -> break
    od;
    done++
}

/* ---- converters ----------------------------------------------------------------------------------------------- */

inline acquire() {
#ifdef NO_LOCK
    skip
#else
    atomic { !lock -> lock = true }
#endif
}

inline release() {
#ifdef NO_LOCK
    skip
#else
    lock = false
#endif
}

inline close_lanes(page) {
    acquire();
    word[LEAF(page)].open[LANE(page)] = false;
#ifndef LEAF_CLOSED_ONLY
    word[ROOT].open[LEAF(page)] = false;
#endif
    release()
}

/* The lane above is worked out from its children: reading them is a step, writing it another. */
inline open_lanes(page) {
    acquire();
    word[LEAF(page)].open[LANE(page)] = true;
    both_open = word[LEAF(page)].open[0] && word[LEAF(page)].open[1];
    if
    :: both_open -> word[ROOT].open[LEAF(page)] = true
    :: else -> skip
    fi;
    release()
}

inline put_lanes_back(page) {
    acquire();
    word[LEAF(page)].open[LANE(page)] = true;
    if
    :: was_open -> word[ROOT].open[LEAF(page)] = true
    :: else -> skip
    fi;
    release()
}

inline first_pinned(page) {
    is_pinned = word[LEAF(page)].pins[LANE(page)] > 0;
#ifndef LEAF_COUNTS_ONLY
    is_pinned = is_pinned || word[ROOT].pins[LEAF(page)] > 0
#endif
}

/* Makes its page private, and shared again. */
proctype Converter(byte page) {
    bool is_pinned, both_open, was_open, is_claimed;

    atomic {
        is_claimed = shared[page] && !converting[page];
        converting[page] = converting[page] || is_claimed
    }
    if
    :: !is_claimed -> goto share
    :: else -> skip
    fi;
    was_open = word[ROOT].open[LEAF(page)];
    close_lanes(page);
    first_pinned(page);
    if
    :: is_pinned ->
        if
        ::
#ifdef REACH_DENIED
            assert(false);
#endif
#ifdef UNCLAIM_FIRST
            converting[page] = false;
            open_lanes(page);
#else
# ifdef RESTORE
            put_lanes_back(page);
# else
            open_lanes(page);
# endif
            converting[page] = false;
#endif
            goto end
        ::
            (word[LEAF(page)].pins[LANE(page)] == 0);
#ifndef LEAF_COUNTS_ONLY
            (word[ROOT].pins[LEAF(page)] == 0);
#endif
#ifdef REACH_WAITED
            assert(false)
#else
            skip
#endif
        fi
    :: else -> skip
    fi;
    atomic {
        shared[page] = false;
        assert(held[page] == 0)
    }
    converting[page] = false;

share:
    atomic {
        is_claimed = !shared[page] && !converting[page];
        converting[page] = converting[page] || is_claimed
    }
    if
    :: is_claimed ->
        shared[page] = true;
#ifdef UNCLAIM_FIRST
        converting[page] = false;
        open_lanes(page)
#else
        open_lanes(page);
        converting[page] = false
#endif
    :: else -> skip
    fi;

end:
    done++
}

/* Every choice of shapes and pages. The order among devices, and among converters, makes no difference. */
init {
    byte i, shape, page;

    atomic {
        for (i : 0 .. 2) {
            word[i].open[0] = true;
            word[i].open[1] = true
        }
        for (i : 0 .. PAGES - 1) { shared[i] = true }
        for (i : 1 .. DEVICES) {
            do
            :: shape < SHAPES - 1 -> shape++
            :: break
            od;
            run Device(shape)
        }
        /* Pages 0 and 1 have a leaf word in common; 3 would be 2's mirror image. */
        for (i : 1 .. CONVERTERS) {
            do
            :: page < 2 -> page++
            :: break
            od;
            run Converter(page)
        }
        shape = 0;
        page = 0
    }
    (done == DEVICES + CONVERTERS);
    atomic {
        for (i : 0 .. 2) { assert(word[i].pins[0] == 0 && word[i].pins[1] == 0) }
        for (i : 0 .. PAGES - 1) { assert(word[LEAF(i)].open[LANE(i)] == shared[i] && !converting[i]) }
        for (i : 0 .. 1) { assert(word[ROOT].open[i] == (word[i].open[0] && word[i].open[1])) }
    }
}

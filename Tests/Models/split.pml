/* A 2 MiB entry that conversions split while pins count on it, as `perpage` does.
 *
 * A region of two pages, for 512. The entry of page 0, the head, speaks for both pages until it is split; whoever
 * looks for the entry of a page reads the head first and acts in a later step, when all may be different. Names are
 * those of RMPTable, EntryCover and CountedPins; every step is one atomic operation on one word.
 *
 * Promise: no page is ever pinned and private. In the end: no count and no claim is left, and the table says of each
 * page what its last conversion made it.
 *
 * Mutants, each of which must be caught:
 *   STALE_HEAD        a claim does not see that the head has been split since it was looked up
 *   STALE_PIN         a pin does not see it
 *   HEAD_FIRST        a split changes the head before it has written the other entry
 *   KEEPS_CLAIM       a split leaves the head claimed by whoever converts the other page
 * Places that a run must come to, or it says nothing:
 *   REACH_SPLIT, REACH_STALE_CLAIM, REACH_STALE_PIN, REACH_DENIED
 */
#define PAGES 2
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef CONVERTERS
#define CONVERTERS 2
#endif

typedef Entry {
    bool shared;
    bool converting;
    bool split;                 /* of the head alone */
    byte pins
}
Entry entry[PAGES];

bool is_private[PAGES];         /* ghost: what the last conversion made the page */
byte held[PAGES];               /* ghost: pins that devices were told they have */
byte done;

/* The entry that speaks for a page, and the split bit that it has while it does. */
inline look_up(page) {
    if
    :: entry[0].split -> at = page; split = (page == 0)
    :: else -> at = 0; split = false
    fi
}

/* The page behind the entry's last one. */
#define NEXT(page, at, split) ((at) == 0 && !(split) -> PAGES : (page) + 1)

/* ---- devices -------------------------------------------------------------------------------------------------- */

inline release(from, to) {
    page = from;
    do
    :: page < to ->
        look_up(page);
        atomic {
            assert(entry[at].pins > 0);
            entry[at].pins = entry[at].pins - 1;
            page = NEXT(page, at, split)
        }
    :: else -> break
    od
}

/* One pin of the pages from ..< to, and its unpin. */
proctype Device(byte from, to) {
    byte page, refused, at, i;
    bool split, was_open;

    page = from;
    do
    :: page < to ->
        look_up(page);
        atomic {
            was_open = entry[at].shared && !entry[at].converting;
#ifdef REACH_STALE_PIN
            assert(!was_open || at != 0 || entry[at].split == split);
#endif
#ifndef STALE_PIN
            was_open = was_open && (at != 0 || entry[at].split == split);
#endif
            entry[at].pins = entry[at].pins + 1
        }
        if
        :: was_open -> page = NEXT(page, at, split)
        :: else ->
            /* At the same word: the page may have another entry by now. */
            entry[at].pins = entry[at].pins - 1;
            break
        fi
    :: else -> break
    od;
    if
    :: page >= to ->
        atomic {
            for (i : from .. to - 1) {
                held[i] = held[i] + 1;
                assert(!is_private[i])
            }
        }
        /* the write */
        atomic {
            for (i : from .. to - 1) {
                held[i] = held[i] - 1;
                assert(!is_private[i])
            }
            i = 0
        }
        release(from, to)
    :: else ->
        refused = page;
        release(from, refused)
    fi;
    done++
}

/* ---- converters ----------------------------------------------------------------------------------------------- */

inline claim(wants_shared) {
    page = from;
    is_claimed = true;
    do
    :: page < to ->
        look_up(page);
        atomic {
            if
            :: entry[at].converting || entry[at].shared == wants_shared -> is_claimed = false; break
#ifdef STALE_HEAD
            :: at != page && entry[at].split != split -> is_claimed = false; break
#else
            :: at == 0 && entry[at].split != split ->
# ifdef REACH_STALE_CLAIM
                assert(false);
# endif
                is_claimed = false;
                break
#endif
            :: else ->
                entry[at].converting = true;
                page = NEXT(page, at, split)
            fi
        }
    :: else -> break
    od;
    if
    :: !is_claimed -> release_claim(page)
    :: else -> skip
    fi
}

inline release_claim(end_of_claim) {
    claimed = end_of_claim;
    page = from;
    do
    :: page < claimed ->
        look_up(page);
        atomic {
            entry[at].converting = !entry[at].converting;
            page = NEXT(page, at, split)
        }
    :: else -> break
    od
}

inline first_pinned() {
    page = from;
    is_pinned = false;
    do
    :: page < to ->
        look_up(page);
        is_pinned = is_pinned || entry[at].pins > 0;
        page = NEXT(page, at, split)
    :: else -> break
    od
}

inline split_head() {
    atomic {
        entry[0].split = true;
#ifndef KEEPS_CLAIM
        entry[0].converting = (from == 0)
#endif
    }
}

inline split_other() {
    atomic {
        entry[1].shared = entry[0].shared;
        entry[1].converting = (to == PAGES)
    }
}

inline split_entries() {
    if
    :: !entry[0].split && to - from < PAGES ->
#ifdef REACH_SPLIT
        assert(false);
#endif
#ifdef HEAD_FIRST
        split_head();
        split_other()
#else
        split_other();
        split_head()
#endif
    :: else -> skip
    fi
}

inline commit(becomes_private) {
    page = from;
    do
    :: page < to ->
        look_up(page);
        atomic {
            for (i : page .. (NEXT(page, at, split)) - 1) {
                if
                :: i < to -> is_private[i] = becomes_private; assert(held[i] == 0)
                :: else -> skip
                fi
            }
            entry[at].shared = !entry[at].shared;
            page = NEXT(page, at, split);
            i = 0
        }
    :: else -> break
    od
}

/* Makes the pages from ..< to private unless one is pinned, and shared again. */
proctype Converter(byte from, to) {
    byte page, at, i, claimed;
    bool split, is_claimed, is_pinned;

    claim(false);
    if
    :: is_claimed ->
        first_pinned();
        if
        :: is_pinned ->
#ifdef REACH_DENIED
            assert(false);
#endif
            release_claim(to)
        :: else ->
            split_entries();
            commit(true);
            release_claim(to)
        fi
    :: else -> skip
    fi;
    claim(true);
    if
    :: is_claimed ->
        split_entries();
        commit(false);
        release_claim(to)
    :: else -> skip
    fi;
    done++
}

/* Every choice of ranges, from a whole entry that is shared or private. The order among devices, and among
 * converters, makes no difference. */
#define RANGES 3
#define FROM(range) ((range) == 1 -> 1 : 0)
#define TO(range)   ((range) == 0 -> 1 : 2)
init {
    byte i, range;

    atomic {
        if
        :: entry[0].shared = true
        :: is_private[0] = true; is_private[1] = true
        fi;
        for (i : 1 .. DEVICES) {
            do
            :: range < RANGES - 1 -> range++
            :: break
            od;
            run Device(FROM(range), TO(range))
        }
        range = 0;
        for (i : 1 .. CONVERTERS) {
            do
            :: range < RANGES - 1 -> range++
            :: break
            od;
            run Converter(FROM(range), TO(range))
        }
        range = 0
    }
    (done == DEVICES + CONVERTERS);
    atomic {
        for (i : 0 .. PAGES - 1) {
            assert(entry[i].pins == 0 && !entry[i].converting);
            if
            :: entry[0].split -> assert(entry[i].shared == !is_private[i])
            :: else -> assert(entry[0].shared == !is_private[i])
            fi
        }
    }
}

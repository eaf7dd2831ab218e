/* Pins that are journal entries, with the orderings that Swift gives them (views.h): epoch.pml has the same on
 * x86-TSO.
 *
 * A device writes down page 0, or another page that nobody converts, in the one entry it has, and looks at the open
 * bits of page 0, with no barrier. The conversion has one in its place, membarrier(2). With LISTS the entry refers to a
 * list of two ranges, always in the same place, so that the next pin's is read for it. Names are those of Epoch and
 * JournalWriter.
 *
 * Promise: no access to page 0 races, and no wake-up is lost.
 *
 * Mutants, each of which must be caught (and the others, of which none may be):
 *   NO_BARRIER        a conversion issues no membarrier
 *   RANGE             RELAXED: an entry that names another page by now does not say that the old pin's writes are
 *                     over
 *   LIST              RELAXED: the same of a word of a list, with LISTS
 *   END               RELAXED
 *   LOOK_RANGE, LOOK_LIST
 *                     RELAXED
 *   CHECK             RELAXED: a pin does not acquire the conversion that shared the page
 *   BEGIN             RELAXED without harm: the barrier makes it visible
 * Places that a run must come to, or it says nothing:
 *   REACH_REFUSED, REACH_DENIED, REACH_SLEEP, REACH_OTHER (the entry names another page when it is read),
 *   with LISTS REACH_MIXED (words of two lists)
 */
#ifndef DEVICES
#define DEVICES 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef CONVERSIONS
#define CONVERSIONS ROUNDS
#endif

#define BITS    0
#define WAITING 1
#define UNPINS  2
#ifdef LISTS
#define EACH    4
#else
#define EACH    2
#endif
#define RANGE_OF(device) (3 + EACH * (device))
#define STATE_OF(device) (4 + EACH * (device))
#define LIST_OF(device)  (5 + EACH * (device))  /* and the word behind it */
#define WORDS   (3 + EACH * DEVICES)
#define PAGES   DEVICES
#define THREADS (DEVICES + 1)
#define DEPTH   6
#include "views.h"

#ifndef RANGE
#define RANGE      RELEASE      /* JournalWriter.begin, the range */
#endif
#ifndef LIST
#define LIST       RELEASE      /* JournalWriter.beginList */
#endif
#ifndef BEGIN
#define BEGIN      RELEASE      /* JournalWriter.begin, the state */
#endif
#ifndef END
#define END        RELEASE      /* JournalWriter.end */
#endif
#ifndef CHECK
#define CHECK      ACQUIRE      /* Epoch.Device.pin */
#endif
#ifndef LOOK_RANGE
#define LOOK_RANGE ACQUIRE      /* Epoch.firstPublished, the range */
#endif
#ifndef LOOK_LIST
#define LOOK_LIST  ACQUIRE      /* Journal.forEachRange */
#endif
#ifndef LOOK_STATE
#define LOOK_STATE ACQUIRE      /* Epoch.firstPublished, the state */
#endif

/* What an entry's range says: page 0 is 1, the other is 2, and this one: see the list. */
#define A_LIST 3

bool asleep;

proctype Device(byte me) {
    byte round, page, from, found;

    for (round : 1 .. ROUNDS) {
        if
        :: page = 1
        :: page = 2
        fi;
#ifdef LISTS
        if
        :: store(LIST_OF(me), page, LIST); store(LIST_OF(me) + 1, 2, LIST)
        :: store(LIST_OF(me), 2, LIST); store(LIST_OF(me) + 1, page, LIST)
        fi;
        store(RANGE_OF(me), A_LIST, RANGE);
#else
        store(RANGE_OF(me), page, RANGE);
#endif
        store(STATE_OF(me), 1, BEGIN);
        load(BITS, found, CHECK);
        if
        :: page == 1 && found -> access(me)
        :: page == 1 && !found ->
#ifdef REACH_REFUSED
            assert(false);
#endif
            skip
        :: else -> skip
        fi;
        page = 0;
        store(STATE_OF(me), 0, END);
        load(WAITING, found, SEQ_CST);
        if
        :: found > 0 ->
            d_step { modify(UNPINS, old + 1, SEQ_CST) };
            asleep = false      /* futex(2), FUTEX_WAKE */
        :: else -> skip
        fi;
        found = 0
    }
}

/* Epoch.firstPinned */
inline look() {
#ifndef NO_BARRIER
    barrier();
#endif
    pinned = false;
    for (i : 0 .. DEVICES - 1) {
        load(STATE_OF(i), found, LOOK_STATE);
        if
        :: found ->
            load(RANGE_OF(i), found, LOOK_RANGE);
#ifdef REACH_OTHER
            assert(found != 2);
#endif
            pinned = pinned || found == 1;
#ifdef LISTS
            if
            :: found == A_LIST ->
                load(LIST_OF(i), found, LOOK_LIST);
# ifdef REACH_MIXED
                place = seen[me].at[LIST_OF(i)];
# endif
                pinned = pinned || found == 1;
                load(LIST_OF(i) + 1, found, LOOK_LIST);
# ifdef REACH_MIXED
                assert(place == seen[me].at[LIST_OF(i) + 1]);
# endif
                pinned = pinned || found == 1
            :: else -> skip
            fi;
#endif
            skip
        :: else -> skip
        fi
    }
    i = 0;
    found = 0
}

inline wait_for_unpins() {
    d_step { modify(WAITING, old + 1, SEQ_CST) };
    do
    :: true ->
        load(UNPINS, unpins, SEQ_CST);
        look();
        if
        :: !pinned -> break
        :: else -> skip
        fi;
        atomic { asleep = (LATEST(UNPINS) == unpins) };
#ifdef REACH_SLEEP
        assert(!asleep);
#endif
        !asleep
    od;
    unpins = 0;
    d_step { modify(WAITING, old - 1, SEQ_CST) }
}

inline stamp_or_check() {
    for (i : 0 .. DEVICES - 1) { access(i) }
    i = 0
}

proctype Converter(byte me) {
    byte round, from, found, unpins, i;
    bool pinned;
#ifdef REACH_MIXED
    byte place;
#endif

    for (round : 1 .. CONVERSIONS) {
        d_step { modify(BITS, 0, ACQ_REL) };
        look();
        if
        :: pinned ->
            if
            :: wait_for_unpins()
            :: true             /* deny */
            fi
        :: else -> skip
        fi;
        if
        :: !pinned -> stamp_or_check(); stamp_or_check()
        :: else ->
#ifdef REACH_DENIED
            assert(false);
#endif
            pinned = false
        fi;
        d_step { modify(BITS, 1, ACQ_REL) }
    }
}

init {
    byte i;

    atomic {
        for (i : 0 .. WORDS - 1) { memory[i].length = 1 }
        memory[BITS].value[0] = 1;
        for (i : 0 .. DEVICES - 1) { run Device(i) }
        run Converter(DEVICES)
    }
}

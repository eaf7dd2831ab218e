/* Published pins with the orderings that Swift gives them (views.h): slots.pml has the same on x86-TSO.
 *
 * A device publishes page 0, or another page that nobody converts, looks at the open bits of page 0, writes it, and
 * empties its slot. What it pins next may overwrite the slot before the conversion reads it. Header and list of a slot
 * are one word here, and views_lists.pml has them apart. Names are those of Slots and Coordination.
 *
 * Promise: no access to page 0 races, and no wake-up is lost.
 *
 * Mutants, each of which must be caught (and the others, of which none may be):
 *   PUBLISH           ACQ_REL, RELEASE, ACQUIRE: no barrier between publishing and looking
 *   CHECK             ACQUIRE: the same. On x86-TSO that does no harm, since the exchange is a barrier there
 *   NO_FENCE          a conversion looks without one (it does no harm on x86-TSO either: the closing is a barrier)
 *   SCAN              RELAXED; ACQUIRE without harm, since the fence comes first
 *   UNPIN, CLOSE      RELAXED: UNPIN is caught, CLOSE does no harm
 *   NO_BARRIER        a waiting conversion issues no membarrier
 * Places that a run must come to, or it says nothing:
 *   REACH_REFUSED, REACH_DENIED, REACH_SLEEP, REACH_OTHER (the slot names another page when it is read)
 */
#ifndef DEVICES
#define DEVICES 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define BITS    0
#define WAITING 1
#define UNPINS  2
#define SLOT(device) (3 + (device))
#define WORDS   (3 + DEVICES)
#define PAGES   DEVICES
#define THREADS (DEVICES + 1)
#define DEPTH   6
#include "views.h"

#ifndef PUBLISH
#define PUBLISH SEQ_CST         /* Slots.Device.pin, the exchange */
#endif
#ifndef CHECK
#define CHECK   SEQ_CST         /* Forest.isOpen */
#endif
#ifndef UNPIN
#define UNPIN   RELEASE         /* Slots.Device.release */
#endif
#ifndef CLOSE
#define CLOSE   ACQ_REL         /* CountedTree.close */
#endif
#ifndef OPEN
#define OPEN    ACQ_REL         /* CountedTree.open */
#endif
#ifndef SCAN
#define SCAN    SEQ_CST         /* PublishedPins.firstPinned */
#endif

bool asleep;

proctype Device(byte me) {
    byte round, from, found;

    for (round : 1 .. ROUNDS) {
        if
        :: d_step { modify(SLOT(me), 2, PUBLISH) }
        :: d_step { modify(SLOT(me), 1, PUBLISH) };
           load(BITS, found, CHECK);
           if
           :: found -> access(me)
           :: else ->
#ifdef REACH_REFUSED
              assert(false);
#endif
              skip
           fi
        fi;
        store(SLOT(me), 0, UNPIN);
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

inline scan() {
    pinned = false;
    for (i : 0 .. DEVICES - 1) {
        load(SLOT(i), found, SCAN);
#ifdef REACH_OTHER
        assert(found != 2);
#endif
        pinned = pinned || found == 1
    }
    i = 0;
    found = 0
}

/* Slots.firstPinned */
inline look() {
#ifndef NO_FENCE
    fence(me);
#endif
    scan()
}

inline wait_for_unpins() {
    d_step { modify(WAITING, old + 1, SEQ_CST) };
    do
    :: true ->
        load(UNPINS, unpins, SEQ_CST);
        look();
#ifndef NO_BARRIER
        if
        :: pinned -> barrier(); scan()
        :: else -> skip
        fi;
#endif
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

    for (round : 1 .. ROUNDS) {
        d_step { modify(BITS, 0, CLOSE) };
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
        d_step { modify(BITS, 1, OPEN) }
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

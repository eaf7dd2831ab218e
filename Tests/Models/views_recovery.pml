/* A torn pin is counted anew while a device lives, with the orderings that Swift gives (views.h): recovery.pml has
 * the same on x86-TSO, with several deaths.
 *
 * Device 1 has died and left its entry torn, its count in place or not. Device 0 pins and unpins the same word. Names
 * are those of Journal, JournalWriter, Coordination and Recovery.
 *
 * Promise: the count is never less than the pins that device 0 holds, and in the end none is left.
 *
 * Mutants, each of which must be caught (and the others, of which none may be):
 *   NO_BARRIER        no membarrier
 *   HOLD, END         RELAXED: the journal says what the counts do not say yet
 *   LOOK_STATE        RELAXED: the same, on the other side
 *   RECOUNT           RELAXED, with or without harm: the journals have been acquired before
 *   BEGIN             RELAXED without harm: the barrier makes it visible
 * Places that a run must come to, or it says nothing:
 *   REACH_FROZEN, REACH_HELD, REACH_WAIT
 */
#define DEVICES 1
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define COUNT   0
#define STATE   1               /* of device 0 */
#define FREEZE  2
#define WORDS   3
#define PAGES   1
#define THREADS 2
#define DEPTH   18
#include "views.h"

/* Journal.State */
#define FREE      0
#define INTENT    1
#define HELD      2
#define RELEASING 3

#ifndef BEGIN
#define BEGIN      RELEASE      /* JournalWriter.begin, JournalWriter.beginRelease */
#endif
#ifndef HOLD
#define HOLD       RELEASE      /* JournalWriter.hold */
#endif
#ifndef END
#define END        RELEASE      /* JournalWriter.end */
#endif
#ifndef LOOK_STATE
#define LOOK_STATE ACQUIRE      /* Arena.forEachHeldPin */
#endif
#ifndef RECOUNT
#define RECOUNT    ACQUIRE      /* CountedCover.correct, the load */
#endif

bool holds;                     /* ghost */

inline begin(moving, still) {
    store(STATE, moving, BEGIN);
    load(FREEZE, frozen, ACQUIRE);
    do
    :: frozen ->
#ifdef REACH_FROZEN
        assert(false);
#endif
        store(STATE, still, RELEASE);
        /* Coordination.waitForThaw: goes on once it has loaded the thaw. */
        d_step { LATEST(FREEZE) == 0 -> seen[me].at[FREEZE] = memory[FREEZE].length - 1 };
        store(STATE, moving, RELEASE);
        load(FREEZE, frozen, ACQUIRE)
    :: else -> break
    od;
    frozen = 0
}

proctype Device(byte me) {
    byte round, from, frozen;

    for (round : 1 .. ROUNDS) {
        begin(INTENT, FREE);
        d_step { modify(COUNT, old + 1, ACQUIRE); holds = true };
        store(STATE, HELD, HOLD);
        begin(RELEASING, HELD);
        d_step { holds = false; modify(COUNT, old - 1, SEQ_CST) };
        store(STATE, FREE, END)
    }
}

proctype Recovery(byte me) {
    byte from, state, now, held, i;

    store(FREEZE, 1, SEQ_CST);
#ifndef NO_BARRIER
    barrier();
#endif
    load(STATE, state, LOOK_STATE);
    do
    :: state == INTENT || state == RELEASING ->
#ifdef REACH_WAIT
        assert(false);
#endif
        load(STATE, state, LOOK_STATE)
    :: else -> break
    od;
#ifdef REACH_HELD
    assert(state != HELD);
#endif
    held = (state == HELD);
    load(COUNT, now, RECOUNT);
    d_step {
        modify(COUNT, old + held - now, ACQ_REL);
        assert(LATEST(COUNT) >= holds && LATEST(COUNT) < 128)
    };
    store(FREEZE, 0, SEQ_CST)
}

init {
    byte i;

    atomic {
        for (i : 0 .. WORDS - 1) { memory[i].length = 1 }
        if
        :: memory[COUNT].value[0] = 1
        :: true
        fi;
        run Device(0);
        run Recovery(1)
    }
    (_nr_pr == 1);
    assert(LATEST(COUNT) == 0)
}

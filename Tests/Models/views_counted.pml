/* Counted pins, waiting converters and the oracle's ledger, with release and acquire alone (views.h).
 *
 * One word with its open bit and its count, the page's entry in the table, the ledger's sequence and the number of
 * the page's last conversion, and the words of Coordination. One vCPU makes the page private, another shared again.
 * Every ordering is a name, with the Swift declaration that has it; a mutant gives one a weaker ordering.
 *
 * Promise: no access to the page races, neither a device's writes with the canary's stamp and check, nor one
 * converter's with the other's; the ledger accuses no device; no wake-up is lost.
 *
 * Mutants, each of which must be caught (and the others, of which none may be):
 *   PIN, UNPIN, LOOK, OPEN, CLAIM     RELAXED (BARE where the order of all is kept)
 *   UNPIN, LOOK, WAITERS, COUNT_IN    no more than ACQUIRE or ACQ_REL: a wake-up is lost
 *   MARK_FIRST                        a device notes the ledger's sequence before it has its pin: it is accused
 *                                     wrongly
 *   COMMIT and GIVE_UP                RELAXED both; either alone is enough
 *   CLOSE, MARK, NUMBER               RELAXED without harm: what the pin and the look acquire is enough
 * Places that a run must come to, or it says nothing:
 *   REACH_REFUSED, REACH_DENIED, REACH_SLEEP, REACH_SHARED_AGAIN, REACH_SECOND_WRITE
 */
#ifndef DEVICES
#define DEVICES 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

/* Words. */
#define COUNT    0              /* bit 7: open; below: pins */
#define TABLE    1              /* bit 0: private, bit 1: converting */
#define SEQUENCE 2
#define LAST     3
#define WAITING  4
#define UNPINS   5
#define WORDS    6
/* A device's own part of the page; the converters stamp and check all parts. */
#define PAGES    DEVICES
#define THREADS  (DEVICES + 2)
#define DEPTH    14
#include "views.h"

#ifndef PIN
#define PIN      ACQUIRE        /* CountedPins.pin, the addition */
#endif
#ifndef UNPIN
#define UNPIN    SEQ_CST        /* CountedCover.release, the subtraction; the undo in CountedPins.pin */
#endif
#ifndef CLOSE
#define CLOSE    ACQ_REL        /* CountedTree.close */
#endif
#ifndef OPEN
#define OPEN     ACQ_REL        /* CountedTree.open */
#endif
#ifndef LOOK
#define LOOK     SEQ_CST        /* CountedTree.firstPinned */
#endif
#ifndef CLAIM
#define CLAIM    ACQ_REL        /* RMPTable.claim */
#endif
#ifndef COMMIT
#define COMMIT   ACQ_REL        /* RMPTable.commit */
#endif
#ifndef GIVE_UP
#define GIVE_UP  RELEASE        /* RMPTable.releaseClaim */
#endif
#ifndef MARK
#define MARK     ACQUIRE        /* ConversionLedger.mark */
#endif
#ifndef NUMBER
#define NUMBER   RELEASE        /* ConversionLedger.record */
#endif
#ifndef WAITERS
#define WAITERS  SEQ_CST        /* Coordination.hasWaiters */
#endif
#ifndef COUNT_IN
#define COUNT_IN SEQ_CST        /* Coordination.waitForUnpins, the addition */
#endif

#define OPEN_BIT 128
#define PRIVATE 1
#define CONVERTING 2

bool asleep;
byte writes;                    /* ghost */

inline announce_unpin() {
    load(WAITING, found, WAITERS);
    if
    :: found > 0 ->
        d_step { modify(UNPINS, old + 1, SEQ_CST) };
        asleep = false          /* futex(2), FUTEX_WAKE */
    :: else -> skip
    fi
}

proctype Device(byte me) {
    byte round, from, found, mark;
    bool was_open;

    for (round : 1 .. ROUNDS) {
#ifdef MARK_FIRST
        load(SEQUENCE, mark, MARK);
#endif
        d_step {
            modify(COUNT, old + 1, PIN);
            was_open = old >= OPEN_BIT
        }
        if
        :: was_open ->
#ifndef MARK_FIRST
            load(SEQUENCE, mark, MARK);
#endif
            access(me);
            load(LAST, found, ACQUIRE);
            assert(found <= mark);
#ifdef REACH_SECOND_WRITE
            assert(found == 0);
#endif
            skip
        :: else ->
#ifdef REACH_REFUSED
            assert(false);
#endif
            skip
        fi;
        d_step { modify(COUNT, old - 1, UNPIN); was_open = false; mark = 0 };
        announce_unpin();
        found = 0
    }
}

inline stamp_or_check() {
    for (i : 0 .. DEVICES - 1) { access(i) }
    i = 0
}

/* A compare-exchange of the table's entry from `expected` to `expected` and converting. */
inline claim(expected) {
    d_step {
        is_claimed = (LATEST(TABLE) == expected);
        if
        :: is_claimed -> modify(TABLE, old | CONVERTING, CLAIM)
        :: else -> skip
        fi
    }
}

inline look() {
    load(COUNT, found, LOOK);
    found = found & (OPEN_BIT - 1)
}

inline wait_for_unpins() {
    d_step { modify(WAITING, old + 1, COUNT_IN) };
    do
    :: true ->
        load(UNPINS, unpins, SEQ_CST);
        look();
        if
        :: found == 0 -> break
        :: else -> skip
        fi;
        /* futex(2), FUTEX_WAIT: compares and sleeps in one step */
        atomic { asleep = (LATEST(UNPINS) == unpins) };
#ifdef REACH_SLEEP
        assert(!asleep);
#endif
        !asleep
    od;
    unpins = 0;
    d_step { modify(WAITING, old - 1, SEQ_CST) }
}

proctype ToPrivate(byte me) {
    byte round, from, found, unpins, i;
    bool is_claimed;

    for (round : 1 .. ROUNDS) {
        claim(0);
        if
        :: is_claimed ->
            d_step { modify(COUNT, old & (OPEN_BIT - 1), CLOSE) };
            look();
            if
            :: found > 0 ->
                if
                :: wait_for_unpins()
                :: true         /* deny */
                fi
            :: else -> skip
            fi;
            if
            :: found == 0 ->
                d_step { modify(SEQUENCE, old + 1, RELAXED) };
                store(LAST, LATEST(SEQUENCE), NUMBER);
                stamp_or_check();
                d_step { modify(TABLE, old ^ PRIVATE, COMMIT) }
            :: else ->
#ifdef REACH_DENIED
                assert(false);
#endif
                found = 0;
                d_step { modify(COUNT, old | OPEN_BIT, OPEN) }
            fi;
            d_step { modify(TABLE, old ^ CONVERTING, GIVE_UP); is_claimed = false }
        :: else -> skip
        fi
    }
}

proctype ToShared(byte me) {
    byte round, i;
    bool is_claimed;

    for (round : 1 .. ROUNDS) {
        claim(PRIVATE);
        if
        :: is_claimed ->
            stamp_or_check();
            d_step { modify(TABLE, old ^ PRIVATE, COMMIT) };
            d_step { modify(COUNT, old | OPEN_BIT, OPEN) };
            d_step { modify(TABLE, old ^ CONVERTING, GIVE_UP); is_claimed = false };
#ifdef REACH_SHARED_AGAIN
            assert(false)
#endif
        :: else -> skip
        fi
    }
}

init {
    byte i;

    atomic {
        for (i : 0 .. WORDS - 1) { memory[i].length = 1 }
        memory[COUNT].value[0] = OPEN_BIT;
        for (i : 0 .. DEVICES - 1) { run Device(i) }
        run ToPrivate(DEVICES);
        run ToShared(DEVICES + 1)
    }
}

/* Recovery of a dead device: the journal, the freeze and the recount, on x86-TSO.
 *
 * A device's stores to its journal entry go through its store buffer; its additions to counts are locked operations,
 * which wait until the buffer is empty. It looks at `freeze` with a plain load right after it has written down what
 * it is about to do: the load may come before the store is visible. The recovery's side pays: membarrier(2) empties
 * every buffer. Names are those of Journal, JournalWriter, Coordination and Recovery.
 *
 * Every device takes a pin of two words and gives it back, over and over; a mortal one may die at any step. Promise:
 * no count is ever less than that of the pins that living devices hold, none is taken below zero, and in the end none
 * is left.
 *
 * With LIVE the living devices go on for ever, and what is promised besides, under weak fairness: a dead device's
 * pins go.
 *
 * Words are counted anew in pieces, one in each freeze, and devices go on between them. A pin or an unpin waits for one
 * whole freeze at most: `waits` says that a device waits, and no freeze begins before it has come past the last one.
 *
 * Mutants, each of which must be caught:
 *   NO_BARRIER        no membarrier (with FENCE, the device pays instead: that must hold)
 *   NO_CHECK          devices do not look at the freeze
 *   CHECK_FIRST       devices look at the freeze before they write down what they are about to do
 *   NO_WAIT           the recovery does not wait for pins and unpins under way
 *   RELEASING_IS_GONE a living device's pin that says `releasing` is not waited for: it may be held again
 *   HELD_ONCE         who holds what is read in the first freeze, for all pieces
 *   THAW_EARLY        devices go on before the piece has its counts
 *   NO_LET_THROUGH    a freeze begins while devices still wait for the end of the last one
 *   NO_LOCK           (two mortal devices) two recoveries at once
 *   ABANDON_LATE      (two mortal devices) a device is known to be dead once its own recovery has the lock
 * Places that a run must come to, or it says nothing:
 *   REACH_PIN_FROZEN, REACH_UNPIN_FROZEN, REACH_TORN_INTENT, REACH_TORN_RELEASING, REACH_HELD
 */
#ifndef MORTAL
#define MORTAL 1                /* devices 0 ..< MORTAL may die */
#endif
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#define WORDS 2

/* Journal.State */
#define FREE      0
#define INTENT    1
#define HELD      2
#define RELEASING 3

byte state[DEVICES];            /* of each device's journal entry, as memory has it */
byte pins[WORDS];               /* the counts */
byte freeze;                    /* moves with each beginning and end: odd while there is one */
bool waits[DEVICES];
bool abandoned[DEVICES];
bool recovery_lock;

/* Store buffers, first in, first out: only the device's own journal entry is ever stored to. */
#define DEPTH 2
typedef Buffer {
    byte value[DEPTH];
    byte length
}
Buffer buffer[DEVICES];

bool dead[DEVICES];
bool recovered[DEVICES];
bool holds[DEVICES];            /* ghost: the device was told that it has a pin, and has not given it back */
byte done;

/* ---- the machine ---------------------------------------------------------------------------------------------- */

#define IS_DRAINED(device) (buffer[device].length == 0)

inline drain_one(device) {
    state[device] = buffer[device].value[0];
    buffer[device].value[0] = buffer[device].value[1];
    buffer[device].value[1] = 0;
    buffer[device].length = buffer[device].length - 1
}

/* A store is visible to others when it leaves the buffer, at any time later. */
proctype StoreBuffer(byte device) {
end:
    do
    :: atomic { buffer[device].length > 0 -> drain_one(device) }
    od
}

inline store(new) {
    atomic {
        buffer[me].length < DEPTH;
        buffer[me].value[buffer[me].length] = new;
        buffer[me].length = buffer[me].length + 1
    }
}

/* What a pin that a living device holds has in every word. */
inline check_pins() {
    for (w : 0 .. WORDS - 1) {
        assert(pins[w] >= holders)
    }
}

inline count_holders() {
    holders = 0;
    for (other : 0 .. DEVICES - 1) {
        holders = holders + (holds[other] && !dead[other])
    }
}

/* ---- a device ------------------------------------------------------------------------------------------------- */

inline maybe_die() {
    if
    :: me < MORTAL -> atomic { dead[me] = true; holds[me] = false }; goto out
    :: true
    fi
}

#define IS_FROZEN (freeze % 2 == 1)

/* Writes down `moving` and looks at the freeze; goes back to `still` and waits while there is one. */
inline begin(moving, still) {
#ifdef CHECK_FIRST
    !IS_FROZEN;
    store(moving)
#else
    store(moving);
    maybe_die();
# ifdef FENCE
    IS_DRAINED(me);
# endif
# ifndef NO_CHECK
    waited = 0;
    do
    :: IS_FROZEN ->
# ifdef REACH_PIN_FROZEN
        assert(still != FREE);
# endif
# ifdef REACH_UNPIN_FROZEN
        assert(still != HELD);
# endif
        waits[me] = true;
        store(still);
        maybe_die();
        seen = freeze;
        if
        :: seen % 2 == 1 -> freeze != seen; waited++; assert(waited <= 1)
        :: else -> skip
        fi;
        seen = 0;
        store(moving);
#  ifdef FENCE
        IS_DRAINED(me)
#  endif
    :: else -> waits[me] = false; waited = 0; break
    od
# endif
#endif
}

inline add(index) {
    atomic { IS_DRAINED(me) -> pins[index] = pins[index] + 1 }
}

inline subtract(index) {
    atomic {
        IS_DRAINED(me) ->
        assert(pins[index] > 0);
        pins[index] = pins[index] - 1;
        count_holders();
        check_pins();
        holders = 0; other = 0; w = 0
    }
}

proctype Device(byte me) {
    byte round, other, w, holders, seen, waited;

#ifdef LIVE
    do
    :: true ->
#else
    for (round : 1 .. ROUNDS) {
#endif
        begin(INTENT, FREE);
        maybe_die();
        add(0);
        maybe_die();
        add(1);
        maybe_die();
        store(HELD);
        holds[me] = true;
        maybe_die();
        holds[me] = false;
        begin(RELEASING, HELD);
        maybe_die();
        subtract(0);
        maybe_die();
        subtract(1);
        maybe_die();
        store(FREE);
        maybe_die()
#ifdef LIVE
    od;
#else
    }
#endif
out:
    done++
}

/* ---- the recovery of a device that has died ------------------------------------------------------------------- */

#define IS_MOVING(device) (state[device] == INTENT || state[device] == RELEASING)

inline acquire() {
#ifndef NO_LOCK
    atomic { !recovery_lock -> recovery_lock = true }
#endif
    skip
}

inline release() {
    recovery_lock = false
}

/* membarrier(2): an interrupt on every processor in turn empties its buffer. */
inline barrier() {
    for (other : 0 .. DEVICES - 1) {
        atomic {
            do
            :: buffer[other].length > 0 -> drain_one(other)
            :: else -> break
            od
        }
    }
}

#ifdef RELEASING_IS_GONE
# define IS_WAITED_FOR(device) (state[device] == INTENT)
#else
# define IS_WAITED_FOR(device) IS_MOVING(device)
#endif

inline let_through() {
    for (other : 0 .. DEVICES - 1) {
        (abandoned[other] || !waits[other])
    }
}

/* What all journals call held, one read after the other: whoever lives and is inside something is waited for. */
inline read_held() {
    held = 0;
    for (other : 0 .. DEVICES - 1) {
        atomic {
#ifndef NO_WAIT
            (abandoned[other] || !IS_WAITED_FOR(other));
#endif
            held = held + (state[other] == HELD)
        }
    }
}

inline correct(index, change) {
    atomic {
        pins[index] = pins[index] + change;
        count_holders();
        check_pins();
        holders = 0; other = 0; w = 0
    }
}

proctype Recovery(byte me) {
    byte index, other, w, held, holders;
    short now;

end:
    (dead[me] && IS_DRAINED(me));       /* reaped */
#ifndef ABANDON_LATE
    abandoned[me] = true;
#endif
    acquire();
    abandoned[me] = true;
    if
    :: IS_MOVING(me) ->
#ifdef REACH_TORN_INTENT
        assert(state[me] != INTENT);
#endif
#ifdef REACH_TORN_RELEASING
        assert(state[me] != RELEASING);
#endif
        for (index : 0 .. WORDS - 1) {
#ifndef NO_LET_THROUGH
            let_through();
#endif
            freeze++;
#ifndef NO_BARRIER
            barrier();
#endif
#ifdef HELD_ONCE
            if
            :: index == 0 -> read_held()
            :: else -> skip
            fi;
#else
            read_held();
#endif
#ifdef THAW_EARLY
            freeze++;
#endif
            now = pins[index];
            correct(index, held - now);
#ifndef THAW_EARLY
            freeze++
#endif
        }
        state[me] = FREE
    :: state[me] == HELD ->
#ifdef REACH_HELD
        assert(false);
#endif
        for (index : 0 .. WORDS - 1) {
            assert(pins[index] > 0);
            correct(index, -1)
        }
        state[me] = FREE
    :: state[me] == FREE -> skip
    fi;
    abandoned[me] = false;
    waits[me] = false;
    release();
    recovered[me] = true
}

#ifdef LIVE
ltl live { [] (dead[0] -> <> (recovered[0] && !IS_FROZEN)) }
#endif

#define IS_OVER(device) (IS_DRAINED(device) && (!dead[device] || recovered[device]))

init {
    byte i;

    atomic {
        for (i : 0 .. DEVICES - 1) {
            run Device(i);
            run StoreBuffer(i)
        }
        for (i : 0 .. MORTAL - 1) { run Recovery(i) }
    }
    (done == DEVICES);
    for (i : 0 .. DEVICES - 1) { IS_OVER(i) }
    atomic {
        for (i : 0 .. WORDS - 1) { assert(pins[i] == 0) }
        for (i : 0 .. DEVICES - 1) { assert(state[i] == FREE) }
        assert(!IS_FROZEN && !recovery_lock)
    }
}

/* A recovery beside a conversion that waits for what it takes back, on x86-TSO: counts are set right while a page is closed
 * and opened in the same word, and a recovery may be refused half way and tried again.
 *
 * A word has a count and says whether it is open; every change of either is a locked operation. A device takes a pin of
 * both words, or of one, and gives it back; what it stores to its journal goes through its store buffer. Device 0 may
 * die at any step. Its recovery takes a held pin's counts back one by one; a torn pin's words it counts anew, one in
 * each freeze, by one addition to each, and it writes down which are left. Before the second it may run out of time: then
 * it is called again, or never. The converter, of word WORD, takes no part in a freeze. Names are those of Recovery,
 * Recount, Freeze and Conversion; recovery.pml has the freeze, onlooker.pml the waiting.
 *
 * Promise: no page is private while a device has it, a dead one's held pin until its recovery has taken that word back. A
 * converter that waits for ever is an invalid end state, but for a word that a recovery has left for good. In the end no
 * count is left but there, and every word is open.
 *
 * Mutants, each of which must be caught:
 *   STORED_COUNT      the corrected word is stored as it was read, and not added to
 *   CLEARED_FIRST     a word is set to no counts, and then to those of the held pins
 *   RELEASE_SILENT    what a recovery takes back of held pins is told to nobody
 *   REFUSED_SILENT    a recovery that runs out of time tells nobody what it has done
 *   DONE_EARLY        the journal's entry is cleared before its last word has been counted
 *   DEAD_IS_HELD      a dead device's torn pin is counted like a held one
 *   RELEASED_AGAIN    a recovery that is called again takes the held pin's counts back once more
 * Places that a run must come to, or it says nothing:
 *   REACH_CLOSED_RECOUNT (a word is counted anew while it is closed), REACH_WAITED (for a dead device's pin),
 *   REACH_AGAIN, REACH_REFUSED, REACH_HELD,
 *   WORD=1 REACH_LEFT (to its deadline)
 */
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef WORD
#define WORD 0
#endif
#define WORDS 2
#define ALL   3

/* Journal.State */
#define FREE      0
#define INTENT    1
#define HELD      2
#define RELEASING 3

byte state[DEVICES];            /* of each device's journal entry, as memory has it */
byte range[DEVICES];            /* the entry's words, a bit each; stored before its state, and by one who may */
byte pins[WORDS];
byte closed;
byte private;
byte freeze;                    /* odd while there is one */
bool waits[DEVICES];
bool abandoned;

byte onlookers;
byte changes;

/* Store buffers, first in, first out: only the device's own journal entry's state is ever stored to. */
#define DEPTH 2
typedef Buffer {
    byte value[DEPTH];
    byte length
}
Buffer buffer[DEVICES];

byte holds[DEVICES];            /* ghost: the words that the device was told that it has */
bool dead;
bool recovered;
bool gave_up;
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
    :: d_step { buffer[device].length > 0 -> drain_one(device) }
    od
}

inline store(new) {
    d_step {
        buffer[me].length < DEPTH ->
        buffer[me].value[buffer[me].length] = new;
        buffer[me].length = buffer[me].length + 1
    }
}

#define BIT(index) (1 << (index))

/* ---- a device ------------------------------------------------------------------------------------------------- */

inline maybe_die() {
    if
    :: me == 0 -> dead = true; goto out
    :: true
    fi
}

#define IS_FROZEN (freeze % 2 == 1)

/* Writes down `moving`, and goes back to `still` for as long as there is a freeze. */
inline begin(moving, still) {
    store(moving);
    maybe_die();
    do
    :: IS_FROZEN ->
        waits[me] = true;
        store(still);
        maybe_die();
        seen = freeze;
        if
        :: seen % 2 == 1 -> freeze != seen
        :: else -> skip
        fi;
        seen = 0;
        store(moving)
    :: else -> waits[me] = false; break
    od
}

inline announce() {
    if
    :: onlookers > 0 -> changes++
    :: else -> skip
    fi
}

inline subtract(index) {
    d_step { IS_DRAINED(me) -> assert(pins[index] > 0); pins[index] = pins[index] - 1 }
}

proctype Device(byte me) {
    byte seen, words, counted;
    bool is_refused;

    if
    :: words = 1
    :: words = ALL
    fi;
    /* The entry's range leaves the buffer before its state does, and nobody reads it before that. */
    range[me] = words;
    begin(INTENT, FREE);
    maybe_die();
    d_step { IS_DRAINED(me) -> pins[0] = pins[0] + 1; is_refused = closed & 1; counted = 1 };
    maybe_die();
    if
    :: !is_refused && words == ALL ->
        d_step { IS_DRAINED(me) -> pins[1] = pins[1] + 1; is_refused = (closed & 2) != 0; counted = ALL };
        maybe_die()
    :: else -> skip
    fi;
    if
    :: is_refused ->
#ifdef REACH_REFUSED
        assert(me != 0 || onlookers == 0);
#endif
        skip
    :: else ->
        /* They are the device's from the load that found them open on: nothing is lost if the ghost comes later. */
        d_step {
            buffer[me].length < DEPTH ->
            buffer[me].value[buffer[me].length] = HELD;
            buffer[me].length = buffer[me].length + 1;
            holds[me] = words;
            assert((private & words) == 0)
        };
        maybe_die();
        holds[me] = 0;
        begin(RELEASING, HELD);
        maybe_die()
    fi;
    subtract(0);
    maybe_die();
    if
    :: counted == ALL -> subtract(1); maybe_die()
    :: else -> skip
    fi;
    announce();
    maybe_die();
    store(FREE);
    maybe_die();
out:
    skip;
    d_step { seen = 0; words = 0; counted = 0; is_refused = false };
    done++
}

/* ---- the recovery of device 0 --------------------------------------------------------------------------------- */

inline let_through() {
    for (other : 1 .. DEVICES - 1) {
        !waits[other]
    }
}

/* membarrier(2): at some moment of the call, each buffer is empty. */
inline barrier() {
    for (other : 0 .. DEVICES - 1) {
        IS_DRAINED(other)
    }
}

/* What the journals call held of a word; the living are waited for where they are inside something. */
inline read_held(index) {
    held = 0;
    for (other : 0 .. DEVICES - 1) {
        d_step {
            ((other == 0 && abandoned) || state[other] == FREE || state[other] == HELD) ->
            held = held + ((state[other] == HELD
#ifdef DEAD_IS_HELD
                || other == 0
#endif
                ) && (range[other] & BIT(index)))
        }
    }
}

inline correct(index) {
    now = pins[index];
#ifdef STORED_COUNT
    was_closed = closed & BIT(index);
    d_step {
        pins[index] = held;
        closed = (closed & (ALL - BIT(index))) | was_closed
    }
#else
# ifdef CLEARED_FIRST
    pins[index] = pins[index] - now;
    pins[index] = pins[index] + held;
# else
    d_step {
#  ifdef REACH_CLOSED_RECOUNT
        assert(!(closed & BIT(index)) || now == held);
#  endif
        pins[index] = pins[index] + held - now
    }
# endif
#endif
}

inline recount(index) {
    let_through();
    freeze++;
    barrier();
    read_held(index);
    correct(index);
    freeze++
}

proctype Recovery() {
    byte me = 0;
    byte other, held, was_closed, tries;
    short now;

end:
    (dead && IS_DRAINED(0));            /* reaped */
again:
    abandoned = true;
    tries++;
    if
    :: state[0] == HELD ->
#ifdef REACH_HELD
        assert(false);
#endif
        for (other : 0 .. WORDS - 1) {
            if
            :: range[0] & BIT(other) ->
                d_step {
                    assert(pins[other] > 0);
                    pins[other] = pins[other] - 1;
                    holds[0] = holds[0] & (ALL - BIT(other))
                }
            :: else -> skip
            fi
        }
#ifdef RELEASED_AGAIN
        if
        :: tries == 1 -> goto again
        :: else -> skip
        fi;
#endif
        state[0] = FREE
    :: state[0] == INTENT || state[0] == RELEASING ->
        if
        :: range[0] & 1 ->
            recount(0);
            if
            :: range[0] == ALL ->
                range[0] = 2;
#ifdef DONE_EARLY
                state[0] = FREE;
#endif
                if
                :: tries == 1 ->
                    /* Out of time; whoever waits for what is done is told. */
#ifdef REACH_AGAIN
                    assert(false);
#endif
#ifndef REFUSED_SILENT
                    announce();
#endif
                    if
                    :: true -> goto again
                    :: true -> gave_up = true; goto over
                    fi
                :: true -> skip
                fi
            :: else -> range[0] = 0
            fi
        :: else -> skip
        fi;
        if
        :: range[0] == 2 -> recount(1)
        :: else -> skip
        fi;
        state[0] = FREE
    :: state[0] == FREE -> skip
    fi;
#ifdef RELEASE_SILENT
    goto out;
#endif
    announce();
out:
    abandoned = false;
    waits[0] = false;
over:
    recovered = true
}

/* ---- a converter ---------------------------------------------------------------------------------------------- */

/* A word that is pinned for good: only the conversion's deadline ends it. */
#define IS_LEFT (gave_up && range[0] & BIT(WORD))

proctype Converter() {
    byte seen, other;

    d_step { closed = closed | BIT(WORD) };
    if
    :: pins[WORD] > 0 ->
        onlookers++;
        /* The counter first, then the search. */
        do
        :: seen = changes;
            if
            :: pins[WORD] == 0 -> break
            :: else ->
#ifdef REACH_WAITED
                assert(!dead || recovered);
#endif
                if
                :: changes != seen
                :: IS_LEFT ->
#ifdef REACH_LEFT
                    assert(false);
#endif
                    goto left
                fi
            fi
        od;
        onlookers--
    :: else -> skip
    fi;
    d_step {
        private = private | BIT(WORD);
        for (other : 0 .. DEVICES - 1) { assert((holds[other] & BIT(WORD)) == 0) }
        other = 0;
        seen = 0
    };
    d_step { private = private & (ALL - BIT(WORD)) };
    goto open;
left:
    onlookers--;
open:
    skip;
    d_step { closed = closed & (ALL - BIT(WORD)) };
    done++
}

#define IS_OVER (done == DEVICES + 1 && (!dead || recovered))

init {
    byte i;

    atomic {
        for (i : 0 .. DEVICES - 1) {
            run Device(i);
            run StoreBuffer(i)
        }
        run Converter();
        run Recovery()
    }
    IS_OVER;
    for (i : 0 .. DEVICES - 1) { IS_DRAINED(i) }
    atomic {
        for (i : 0 .. WORDS - 1) { assert(pins[i] == 0 || (gave_up && i == 1)) }
        for (i : 0 .. DEVICES - 1) { assert(state[i] == FREE || (gave_up && i == 0)) }
        assert(closed == 0 && onlookers == 0 && !IS_FROZEN)
    }
}

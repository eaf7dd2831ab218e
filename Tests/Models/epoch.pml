/* A pin without a fence against a conversion that issues a barrier, on x86-TSO.
 *
 * A device's stores to its own entry and to the page go through its store buffer, and none of its operations waits
 * for them: its looks at the page's openness and at `waiters` may come before they are visible. The converter's
 * writes are locked operations. membarrier(2) empties every buffer. Names are those of Epoch and Coordination.
 *
 * Every device pins the one page, writes it and gives it back, over and over; the converter makes it private and
 * shared again, and is refused or waits where it meets a pin. Promise: no store reaches the page while it is
 * private, no device believes that it holds the page then, and a converter that sleeps is woken (it would be an
 * invalid end state).
 *
 * Mutants, each of which must be caught:
 *   NO_BARRIER        the converter looks without one
 *   BARRIER_FIRST     the barrier comes before the page is closed
 *   NO_WAIT           the converter converts whoever is inside
 *   LOOK_FIRST        a device looks whether the page is open before it writes its entry
 *   SLEEP_NO_BARRIER  the first look begins with a barrier, those of a waiting converter do not
 * Places that a run must come to, or it says nothing:
 *   REACH_REFUSED, REACH_OVERTAKEN, REACH_DENIED, REACH_SLEEP, REACH_WAITED
 */
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

/* What a store in a buffer is to. */
#define LEAVE 0                 /* the entry: free */
#define ENTER 1                 /* the entry: holds the page, or is about to */
#define WRITE 2                 /* the page */

bool inside[DEVICES];           /* each device's entry, as memory has it */
bool is_open = true;            /* the page's lanes in the tree */
bool is_private;
byte waiters;
byte unpins;
bool asleep;

/* Store buffers, first in, first out. */
#define DEPTH 4
typedef Buffer {
    byte value[DEPTH];
    byte length
}
Buffer buffer[DEVICES];

bool holds[DEVICES];            /* ghost: the device was told that it has a pin, and has not given it back */
byte done;

/* ---- the machine ---------------------------------------------------------------------------------------------- */

inline drain_one(device) {
    if
    :: buffer[device].value[0] == WRITE -> assert(!is_private)
    :: else -> inside[device] = (buffer[device].value[0] == ENTER)
    fi;
    for (slot : 1 .. DEPTH - 1) {
        buffer[device].value[slot - 1] = buffer[device].value[slot]
    }
    buffer[device].value[DEPTH - 1] = 0;
    slot = 0;
    buffer[device].length = buffer[device].length - 1
}

/* A store is visible to others when it leaves the buffer, at any time later. */
proctype StoreBuffer(byte device) {
    byte slot;
end:
    do
    :: atomic { buffer[device].length > 0 -> drain_one(device) }
    od
}

inline store(what) {
    atomic {
        buffer[me].length < DEPTH;
        buffer[me].value[buffer[me].length] = what;
        buffer[me].length = buffer[me].length + 1
    }
}

/* ---- a device ------------------------------------------------------------------------------------------------- */

/* An unpin, or the end of a refused pin. A locked operation empties the buffer first. */
inline leave() {
    store(LEAVE);
    if
    :: waiters > 0 ->
        buffer[me].length == 0;
        unpins++;
        asleep = false          /* futex(2), FUTEX_WAKE */
    :: else -> skip
    fi
}

proctype Device(byte me) {
    byte round;
    bool found;

    for (round : 1 .. ROUNDS) {
#ifdef LOOK_FIRST
        found = is_open;
        store(ENTER);
#else
        store(ENTER);
        found = is_open;
#endif
        if
        :: found ->
            atomic { holds[me] = true; assert(!is_private) };
#ifdef REACH_OVERTAKEN
            assert(inside[me]);
#endif
            store(WRITE);
            holds[me] = false
        :: else ->
#ifdef REACH_REFUSED
            assert(false);
#endif
            skip
        fi;
        found = false;
        leave()
    }
    done++
}

/* ---- the converter -------------------------------------------------------------------------------------------- */

/* membarrier(2): an interrupt on every processor in turn empties its buffer. */
inline barrier() {
    skip;
#ifndef NO_BARRIER
    for (other : 0 .. DEVICES - 1) {
        atomic {
            do
            :: buffer[other].length > 0 -> drain_one(other)
            :: else -> break
            od
        }
    }
    other = 0
#endif
}

/* firstPublished */
inline look() {
    pinned = false;
    for (other : 0 .. DEVICES - 1) {
        pinned = pinned || inside[other]
    }
    other = 0
}

inline wait_for_unpins() {
    waiters++;
    do
    :: true ->
        seen = unpins;
#ifndef SLEEP_NO_BARRIER
        barrier();
#endif
        look();
        if
        :: !pinned -> break
        :: else -> skip
        fi;
        /* futex(2), FUTEX_WAIT: compares and sleeps in one step */
        atomic { asleep = (unpins == seen) };
#ifdef REACH_SLEEP
        assert(!asleep);
#endif
        !asleep
    od;
    waiters--
}

proctype Converter() {
    byte round, other, slot, seen;
    bool pinned;

    for (round : 1 .. ROUNDS) {
#ifdef BARRIER_FIRST
        barrier();
        is_open = false;
#else
        is_open = false;
        barrier();
#endif
        look();
#ifdef NO_WAIT
        pinned = false;
#endif
        if
        :: pinned ->
            if
            :: true ->          /* deny */
#ifdef REACH_DENIED
                assert(false);
#endif
                skip
            :: true ->          /* wait */
                wait_for_unpins();
#ifdef REACH_WAITED
                assert(false)
#endif
            fi
        :: else -> skip
        fi;
        if
        :: !pinned ->
            atomic {
                is_private = true;
                for (other : 0 .. DEVICES - 1) { assert(!holds[other]) }
                other = 0
            };
            is_private = false
        :: else -> skip
        fi;
        pinned = false;
        seen = 0;
        is_open = true
    }
    done++
}

init {
    byte i;

    atomic {
        for (i : 0 .. DEVICES - 1) {
            run Device(i);
            run StoreBuffer(i)
        }
        run Converter()
    }
    (done == DEVICES + 1);
    for (i : 0 .. DEVICES - 1) { buffer[i].length == 0 }
    for (i : 0 .. DEVICES - 1) { assert(!inside[i]) }
}

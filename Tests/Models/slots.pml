/* Published pins: slots and the tree's bits, against a conversion that denies or waits, on x86-TSO.
 *
 * A device publishes by an exchange, a locked operation, which waits until its store buffer is empty; then it loads
 * the bits. It unpins by a plain store, which goes through the buffer, and then looks for waiters: the load may come
 * before the store is visible. The conversion closes the tree by locked operations and then loads the slots one by
 * one. One that waits counts itself in and issues a membarrier(2), which empties every buffer. Names are those of
 * Slots, PublishedPins and Coordination.
 *
 * A slot's header and list are one word here; views_lists.pml has them apart, on a memory that is weaker still.
 *
 * Page 0 is converted; devices pin it alone (they look at the leaf) or with its neighbour (they look at the root).
 * Counted pins, which take over where slots are full, are in tree.pml.
 *
 * Promise: page 0 is never pinned and private, and no wake-up is lost: a converter that sleeps for ever is an invalid
 * end state. In the end no slot is taken, and the bits are those of the page's state.
 *
 * Mutants, each of which must be caught:
 *   STORE             a device publishes by a plain store
 *   LOOK_FIRST        a device looks first and publishes then
 *   PLAIN_CLOSE       a conversion closes the tree by plain stores, with no barrier before its look
 *   SCAN_FIRST        a conversion reads the slots before it closes the tree
 *   LEAF_CLOSED_ONLY  a conversion does not close the bit above its page
 *   NO_BARRIER        a waiting conversion issues no membarrier (with LOCKED_UNPIN, the device pays instead: that must
 *                     hold)
 *   BARRIER_FIRST     a waiting conversion issues it before it counts itself in
 *   SEEN_LATE         a waiting conversion reads the futex's word after the slots
 * Places that a run must come to, or it says nothing:
 *   REACH_REFUSED, REACH_DENIED, REACH_BOTH, REACH_WAITED, REACH_SLEEP, REACH_LATE (no slot is taken after the barrier)
 */
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

/* Memory: the devices' slots, then the bits. A slot has nothing, page 0, or both pages. */
#define LEAF DEVICES
#define ROOT (DEVICES + 1)
byte memory[DEVICES + 2];

bool private;
byte waiters;
byte unpins;
bool asleep;

byte holders;                   /* ghost: devices that were told that they have page 0 */
byte refusals;
byte done;

/* ---- the machine ---------------------------------------------------------------------------------------------- */

/* Store buffers, first in, first out: the devices', and the converter's at the end. */
#define CONVERTER DEVICES
#define DEPTH 2
typedef Buffer {
    byte address[DEPTH];
    byte value[DEPTH];
    byte length
}
Buffer buffer[DEVICES + 1];

#define IS_DRAINED(who) (buffer[who].length == 0)

/* A store is visible to others when it leaves the buffer, at any time later. */
proctype StoreBuffer(byte who) {
end:
    do
    :: d_step {
        buffer[who].length > 0 ->
        memory[buffer[who].address[0]] = buffer[who].value[0];
        buffer[who].address[0] = buffer[who].address[1];
        buffer[who].value[0] = buffer[who].value[1];
        buffer[who].address[1] = 0;
        buffer[who].value[1] = 0;
        buffer[who].length = buffer[who].length - 1
    }
    od
}

inline store(where, what) {
    d_step {
        buffer[me].length < DEPTH ->
        buffer[me].address[buffer[me].length] = where;
        buffer[me].value[buffer[me].length] = what;
        buffer[me].length = buffer[me].length + 1
    }
}

inline exchange(where, what) {
    d_step {
        IS_DRAINED(me) ->
        memory[where] = what
    }
}

/* ---- a device ------------------------------------------------------------------------------------------------- */

#define BITS (shape == 1 -> LEAF : ROOT)

inline publish() {
#ifdef STORE
    store(me, shape)
#else
    exchange(me, shape)
#endif
}

/* From the load that finds the pages open on, they are the device's. */
inline hold() {
    holders++;
    assert(!private)
}

inline release() {
#ifdef LOCKED_UNPIN
    exchange(me, 0);
#else
    store(me, 0);
#endif
    seen = waiters;
    if
    :: seen > 0 ->
        d_step {
            IS_DRAINED(me) ->
            unpins++;
            asleep = false      /* futex(2), FUTEX_WAKE */
        }
    :: else -> skip
    fi
}

proctype Device(byte me) {
    byte shape, seen, round;
    bool is_open;

    for (round : 1 .. ROUNDS) {
        if
        :: shape = 1
        :: shape = 2
        fi;
#ifdef LOOK_FIRST
        is_open = memory[BITS];
        if
        :: is_open -> atomic { publish(); hold() }
        :: else -> skip
        fi;
#else
        publish();
        atomic {
            is_open = memory[BITS];
            if
            :: is_open -> hold()
            :: else -> skip
            fi
        }
#endif
        if
        :: is_open -> holders--
        :: else ->
            refusals++;
#ifdef REACH_REFUSED
            assert(false)
#endif
        fi;
        release()
    }
    done++
}

/* ---- the converter -------------------------------------------------------------------------------------------- */

inline close() {
#ifdef PLAIN_CLOSE
    store(LEAF, 0);
    store(ROOT, 0)
#else
    exchange(LEAF, 0);
# ifndef LEAF_CLOSED_ONLY
    exchange(ROOT, 0)
# endif
#endif
}

inline open() {
    exchange(LEAF, 1);
    exchange(ROOT, 1)
}

/* One load for each slot. */
inline scan() {
    found = false;
    for (slot : 0 .. DEVICES - 1) {
        found = found || memory[slot] != 0
    }
}

/* membarrier(2): at some moment of the call, each buffer is empty. */
inline barrier() {
    for (slot : 0 .. DEVICES - 1) {
        IS_DRAINED(slot)
    }
}

inline look() {
#ifndef SEEN_LATE
    seen = unpins;
#endif
    scan();
#if !defined(NO_BARRIER) && !defined(BARRIER_FIRST)
    if
    :: found ->
        barrier();
        scan();
# ifdef REACH_LATE
        assert(found)
# endif
    :: else -> skip
    fi;
#endif
#ifdef SEEN_LATE
    seen = unpins
#endif
}

inline wait() {
#ifdef BARRIER_FIRST
    barrier();
#endif
    waiters++;
    look();
    do
    :: !found -> break
    :: else ->
        /* futex(2), FUTEX_WAIT: compares and sleeps in one step */
        d_step {
            asleep = (unpins == seen);
#ifdef REACH_SLEEP
            assert(!asleep)
#endif
        }
        !asleep;
        look()
    od;
    waiters--
}

proctype Converter() {
    byte me = CONVERTER;
    byte slot, seen, round, refused;
    bool found;

    for (round : 1 .. ROUNDS) {
        refused = refusals;
#ifdef SCAN_FIRST
        scan();
        close();
#else
        close();
        scan();
#endif
        if
        :: found ->
            if
            :: wait();
#ifdef REACH_WAITED
                assert(false)
#endif
            :: true                     /* deny */
            fi
        :: else -> skip
        fi;
        if
        :: found ->
#ifdef REACH_DENIED
            assert(false);
#endif
#ifdef REACH_BOTH
            assert(refusals == refused);
#endif
            open()
        :: else ->
            d_step {
                private = true;
                assert(holders == 0)
            }
            private = false;
            open()
        fi
    }
    done++
}

init {
    byte i;

    atomic {
        memory[LEAF] = 1;
        memory[ROOT] = 1;
        for (i : 0 .. DEVICES) { run StoreBuffer(i) }
        for (i : 0 .. DEVICES - 1) { run Device(i) }
        run Converter()
    }
    done == DEVICES + 1;
    for (i : 0 .. DEVICES) { IS_DRAINED(i) }
    for (i : 0 .. DEVICES - 1) { assert(memory[i] == 0) }
    assert(memory[LEAF] && memory[ROOT] && !private && holders == 0)
}

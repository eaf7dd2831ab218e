/* A conversion that waits by polling, beside others that sleep: nobody stays pending once nothing is pinned, on
 * x86-TSO.
 *
 * A conversion that finds its page pinned becomes an onlooker and pays for a membarrier(2); then it reads a counter and
 * searches again. Whatever ends a claim on pages moves the counter where there are onlookers: an unpin, a pin that is
 * refused after it could be seen, a recovery. A poll that finds the counter where it was does not search. A conversion
 * that sleeps is an onlooker as well, counts itself a sleeper, and sleeps in the kernel for as long as the counter is
 * what it was; who moves the counter looks for sleepers then.
 *
 * A device publishes its pin by an exchange, a locked operation, which waits until its store buffer is empty. It ends
 * one by a plain store, which goes through the buffer, and then looks for onlookers: the load may come before the store
 * is visible. Converter i has page i to itself; devices pin either page or both. Strategies whose search needs a mutex
 * (MUTEX) may have a search without an answer; a conversion may be given up (IMPATIENT). Device 0 may die at any step
 * (MORTAL): its recovery clears page 0 and then page 1, or gives up between the two, and a page that stays pinned so is
 * for the deadlines of conversions.
 *
 * Promise: no page is private while a device writes it, or a dead one has its pin. A converter that is pending or
 * asleep for ever is an invalid end state, but for a page that a recovery has given up. In the end nobody is an
 * onlooker, and no slot is taken but by such a page.
 *
 * Variants, which must hold:
 *   LOCKED_UNPIN NO_BARRIER  a pin is ended by a locked operation, so that no membarrier is needed
 *   COUNTED_FIRST            a sleeper counts itself before its search, not right before it sleeps
 * Mutants, each of which must be caught:
 *   CLOSE_LATE        a conversion searches before it closes its page
 *   SEARCH_FIRST      pending on the strength of the search before it became an onlooker
 *   NO_BARRIER        no membarrier
 *   BARRIER_FIRST     a membarrier before it becomes an onlooker
 *   COUNTER_LATE      the counter is read after the search
 *   UNANSWERED_SEEN   a search without an answer takes the counter along
 *   PLAIN_MOVE        the counter is moved by a load and a store
 *   REFUSED_SILENT    a refused pin does not move the counter
 *   RECOVERY_SILENT   a recovery does not
 *   FOUND_ONLY        a recovery does where it found a pin: the dead one may have ended its pin and told nobody
 *   GIVES_UP_SILENT   a recovery that gives up does not
 *   NO_ONLOOKER       a sleeper is no onlooker
 *   NO_COMPARE        the futex does not compare its word before it sleeps
 *   COUNTED_LATE      a sleeper counts itself after that comparison
 *   SLEEPERS_FIRST    who moves the counter looks for sleepers before that
 * Places that a run must come to, or it says nothing:
 *   REACH_UNMOVED (a poll without a search), REACH_DONE (was pending, and gets in), REACH_SLEEP, REACH_WAKE,
 *   REACH_REFUSED, REACH_UNANSWERED, REACH_LATE (nothing is pinned after the barrier), REACH_ABANDONED,
 *   REACH_TOLD_NOBODY, REACH_GAVE_UP, REACH_LEFT (to its deadline)
 */
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef CONVERTERS
#define CONVERTERS 2
#endif
#ifndef SLEEPERS
#define SLEEPERS 1              /* the last of the converters sleep, the others poll */
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif

/* A bit for each page. */
byte slot[DEVICES];
byte closed;
byte private;

byte onlookers;
byte sleepers;
byte changes;                   /* the counter */
bool asleep[CONVERTERS];

byte holds[DEVICES];            /* ghost: pages a device was told that it has; of a dead one until its recovery */
bool dead;
bool recovered;
bool gave_up;
byte done;

/* ---- the machine ---------------------------------------------------------------------------------------------- */

/* Store buffers, first in, first out: the devices', each of its own slot, and the recovery's, of slot 0. */
#define RECOVERY DEVICES
#define DEPTH 2
typedef Buffer {
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
        slot[(who == RECOVERY -> 0 : who)] = buffer[who].value[0];
        buffer[who].value[0] = buffer[who].value[1];
        buffer[who].value[1] = 0;
        buffer[who].length = buffer[who].length - 1
    }
    od
}

inline store(what) {
    d_step {
        buffer[me].length < DEPTH ->
        buffer[me].value[buffer[me].length] = what;
        buffer[me].length = buffer[me].length + 1
    }
}

/* membarrier(2): at some moment of the call, each buffer is empty. */
inline barrier() {
    for (other : 0 .. DEVICES) {
        IS_DRAINED(other)
    }
    other = 0
}

/* ---- whoever ends a claim on pages ---------------------------------------------------------------------------- */

inline maybe_die() {
#ifdef MORTAL
    if
    :: me == 0 -> dead = true; goto out
    :: true
    fi
#else
    skip
#endif
}

inline move_counter() {
#ifdef PLAIN_MOVE
    value = changes;
    maybe_die();
    IS_DRAINED(me);
    changes = value + 1;
    value = 0
#else
    d_step { IS_DRAINED(me) -> changes++ }
#endif
}

inline announce() {
    looking = onlookers;
    maybe_die();
    if
    :: looking > 0 ->
#ifdef SLEEPERS_FIRST
        sleeping = sleepers;
        move_counter();
#else
        move_counter();
        maybe_die();
        sleeping = sleepers;
#endif
        maybe_die();
        if
        :: sleeping > 0 ->
            /* futex(2), FUTEX_WAKE */
            d_step {
                for (other : 0 .. CONVERTERS - 1) {
#ifdef REACH_WAKE
                    assert(!asleep[other]);
#endif
                    asleep[other] = false
                }
                other = 0
            }
        :: else -> skip
        fi
    :: else -> skip
    fi;
    looking = 0;
    sleeping = 0
}

/* ---- a device ------------------------------------------------------------------------------------------------- */

inline publish() {
    atomic {
        IS_DRAINED(me) ->
        if
        :: pages = 1
        :: pages = 2
        :: pages = 3
        fi;
        slot[me] = pages
    }
}

inline end_pin() {
#ifdef LOCKED_UNPIN
    d_step { IS_DRAINED(me) -> slot[me] = 0 }
#else
    store(0)
#endif
}

proctype Device(byte me) {
    byte pages, looking, sleeping, other, round;
#ifdef PLAIN_MOVE
    byte value;
#endif
    bool is_open;

    for (round : 1 .. ROUNDS) {
        publish();
        maybe_die();
        /* From the load that finds the pages open on, they are the device's. */
        d_step {
            is_open = (closed & pages) == 0;
            if
            :: is_open ->
                holds[me] = pages;
                assert((private & pages) == 0)
            :: else -> skip
            fi;
            pages = 0
        };
        maybe_die();
        if
        :: is_open -> d_step { holds[me] = 0; is_open = false }
        :: else ->
#ifdef REACH_REFUSED
            assert(onlookers == 0);
#endif
#ifdef REFUSED_SILENT
            end_pin();
            goto next
#endif
            skip
        fi;
        end_pin();
        maybe_die();
        announce();
next:
        skip
    }
out:
    done++
}

/* ---- the recovery of device 0 --------------------------------------------------------------------------------- */

#ifdef MORTAL
inline let_go(page) {
    d_step {
        holds[0] = holds[0] & (3 - page);
        pages = pages & (3 - page)
    }
    store(pages)
}

proctype Recovery() {
    byte me = RECOVERY;
    byte pages, looking, sleeping, other;
# ifdef PLAIN_MOVE
    byte value;
# endif
    bool any;

end:
    (dead && IS_DRAINED(0));            /* reaped */
    pages = slot[0];
    any = pages != 0;
# ifdef REACH_TOLD_NOBODY
    assert(any || onlookers == 0);
# endif
    let_go(1);
    if
    :: true ->
# ifdef REACH_GAVE_UP
        assert(!any);
# endif
        gave_up = true;
# ifdef GIVES_UP_SILENT
        goto out;
# endif
    :: true -> let_go(2)
    fi;
# ifdef FOUND_ONLY
    if
    :: !any -> goto out
    :: else -> skip
    fi;
# endif
# ifndef RECOVERY_SILENT
    announce();
# endif
out:
    recovered = true
}
#endif

/* ---- a converter ---------------------------------------------------------------------------------------------- */

#define PAGE   (1 << me)
#define SLEEPS (me >= CONVERTERS - SLEEPERS)

/* A page that is pinned for good: only the conversion's deadline ends it. */
#define IS_LEFT (gave_up && IS_DRAINED(RECOVERY) && (slot[0] & PAGE))

/* One load for each slot. */
inline search() {
    is_pinned = false;
    for (other : 0 .. DEVICES - 1) {
        is_pinned = is_pinned || (slot[other] & PAGE)
    }
    other = 0;
    is_answered = true;
#ifdef MUTEX
    if
    :: true
    :: true ->
# ifdef REACH_UNANSWERED
        assert(onlookers == 0);
# endif
        d_step { is_pinned = true; is_answered = false }
    fi
#endif
}

/* What is remembered is the counter as it was before a search that had an answer. */
inline look() {
#ifdef COUNTER_LATE
    search();
    before = changes;
#else
    before = changes;
    search();
#endif
#ifndef UNANSWERED_SEEN
    if
    :: is_answered -> seen = before; has_seen = true
    :: else -> skip
    fi;
#else
    seen = before;
    has_seen = true;
#endif
    before = 0
}

inline become_onlooker() {
#ifdef BARRIER_FIRST
    barrier();
#endif
#ifdef NO_ONLOOKER
    onlookers = onlookers + !SLEEPS;
#else
    onlookers++;
#endif
#ifdef COUNTED_FIRST
    sleepers = sleepers + SLEEPS;
#endif
#if !defined(NO_BARRIER) && !defined(BARRIER_FIRST)
    barrier();
#endif
#ifdef SEARCH_FIRST
    seen = changes;
    has_seen = true
#else
    look();
# ifdef REACH_LATE
    assert(is_pinned)
# endif
#endif
}

inline stay_onlooker_no_more() {
#ifdef NO_ONLOOKER
    onlookers = onlookers - !SLEEPS;
#else
    onlookers--;
#endif
#ifdef COUNTED_FIRST
    sleepers = sleepers - SLEEPS;
#endif
}

inline make_private() {
    d_step {
        private = private | PAGE;
        for (other : 0 .. DEVICES - 1) { assert((holds[other] & PAGE) == 0) }
        other = 0
    }
}

/* Until a poll has something to do: one that finds the counter where it was changes nothing. */
inline poll() {
#ifdef REACH_UNMOVED
    assert(!has_seen || changes != seen);
#endif
    (!has_seen || changes != seen || IS_LEFT)
}

/* futex(2), FUTEX_WAIT: compares and sleeps in one step. Nobody sleeps without an answer. */
inline sleep() {
#if !defined(COUNTED_FIRST) && !defined(COUNTED_LATE)
    sleepers++;
#endif
    if
    :: !has_seen -> skip
    :: else ->
        d_step {
#ifdef NO_COMPARE
            asleep[me] = true;
#else
            asleep[me] = (changes == seen);
#endif
#ifdef REACH_SLEEP
            assert(!asleep[me])
#endif
        }
#ifdef COUNTED_LATE
        sleepers++;
#endif
        (!asleep[me] || IS_LEFT);
        asleep[me] = false;
#ifdef COUNTED_LATE
        sleepers--
#endif
    fi;
#if !defined(COUNTED_FIRST) && !defined(COUNTED_LATE)
    sleepers--
#endif
}

proctype Converter(byte me) {
    byte seen, before, other;
    bool is_pinned, is_answered, has_seen;

#ifdef CLOSE_LATE
    search();
    d_step { closed = closed | PAGE };
#else
    d_step { closed = closed | PAGE };
    search();
#endif
    if
    :: is_pinned ->
        become_onlooker();
        do
        :: !is_pinned ->
#ifdef REACH_DONE
            assert(false);
#endif
            break
#ifdef IMPATIENT
        :: is_pinned ->
# ifdef REACH_ABANDONED
            assert(false);
# endif
            break
#endif
        :: is_pinned && IS_LEFT ->
#ifdef REACH_LEFT
            assert(false);
#endif
            break
        :: is_pinned ->
            if
            :: SLEEPS -> sleep()
            :: else -> poll()
            fi;
            look()
        od;
        if
        :: is_pinned -> skip
        :: else ->
            make_private()
        fi;
        stay_onlooker_no_more()
    :: else ->
        make_private()
    fi;
    d_step { private = private & (3 - PAGE); closed = closed & (3 - PAGE) };
    d_step { seen = 0; has_seen = false; is_pinned = false; is_answered = false };
    done++
}

init {
    byte i;

    atomic {
        for (i : 0 .. DEVICES - 1) {
            run Device(i);
            run StoreBuffer(i)
        }
        for (i : 0 .. CONVERTERS - 1) { run Converter(i) }
#ifdef MORTAL
        run StoreBuffer(RECOVERY);
        run Recovery()
#endif
    }
    done == DEVICES + CONVERTERS && (!dead || recovered);
    for (i : 0 .. DEVICES) { IS_DRAINED(i) }
    atomic {
        for (i : 0 .. DEVICES - 1) { assert(slot[i] == 0 || (i == 0 && gave_up && slot[i] == 2)) }
        assert(onlookers == 0 && sleepers == 0 && closed == 0 && private == 0)
    }
}

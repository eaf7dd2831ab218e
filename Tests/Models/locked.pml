/* Pins under one robust mutex, whose owner may die: `mutexlist` and `intervaltree`.
 *
 * Whatever devices and converters write for one another lies between two operations on the mutex, which are locked;
 * so the interleavings of single steps are all there is. An index entry is written in two steps, which stand for a
 * tree's rotations. Names are those of LockedPins, PinIndex, Journal and RobustMutex.
 *
 * Every device pins the page and gives it back; device 0 may die at any step. Converters make the page private, and
 * are refused or wait. Promise: no page is private under a pin, of a dead device neither until its recovery; nobody
 * reads a half written index; who waits is woken; in the end nothing is listed.
 *
 * Mutants, each of which must be caught:
 *   NO_REPAIR         the next owner does not make the index anew
 *   LOOK_BEFORE       a device looks whether the page is open before it has the mutex
 *   LOOK_FIRST        a conversion looks for pins before it closes the page
 *   LOOK_OUTSIDE      a conversion looks without the mutex
 *   RELEASING_IS_GONE a repair leaves out what a living device is about to give back
 *   FREE_FIRST        an unpin frees the journal's entry before it has the mutex
 *   NO_REMOVE         a recovery clears the journal, and leaves the index
 *   ANNOUNCE_FIRST    an unpin looks for waiters before its pin is off the list
 * Places that a run must come to, or it says nothing:
 *   REACH_REPAIR, REACH_HALF (a repair finds a half-written entry), REACH_REFUSED, REACH_DENIED, REACH_SLEEP
 */
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#define MORTAL 1

/* Journal.State */
#define FREE      0
#define INTENT    1
#define HELD      2
#define RELEASING 3

#define NOBODY 255
byte owner = NOBODY;
bool owner_died;                /* FUTEX_OWNER_DIED */

byte state[DEVICES];
byte entry[DEVICES];            /* of the index: absent, half written, there */
bool is_open = true;
bool is_private;
byte waiters;
byte unpins;
bool asleep;

bool dead[DEVICES];
bool recovered[DEVICES];
bool holds[DEVICES];            /* ghost; of a dead device until its recovery */
byte done;

#define CONVERTER DEVICES
#define RECOVERY  (DEVICES + 1)

inline unlock() { owner = NOBODY }

/* PinIndex.rebuild */
inline rebuild() {
    for (other : 0 .. DEVICES - 1) {
        atomic {
#ifdef REACH_HALF
            assert(entry[other] != 1);
#endif
#ifdef RELEASING_IS_GONE
            entry[other] = (state[other] == HELD -> 2 : 0)
#else
            entry[other] = (state[other] == HELD || state[other] == RELEASING -> 2 : 0)
#endif
        }
    }
    other = 0
}

inline lock(who) {
    atomic { owner == NOBODY -> owner = who; must_repair = owner_died; owner_died = false };
    if
    :: must_repair ->
#ifdef REACH_REPAIR
        assert(false);
#endif
        must_repair = false;
#ifndef NO_REPAIR
        rebuild()
#endif
    :: else -> skip
    fi
}

inline announce_unpin() {
    if
    :: waiters > 0 -> unpins++; asleep = false
    :: else -> skip
    fi
}

/* The kernel walks the list of what the thread holds (robust_list). */
inline maybe_die() {
    if
    :: me < MORTAL ->
        atomic {
            dead[me] = true;
            owner_died = owner_died || owner == me;
            owner = (owner == me -> NOBODY : owner)
        };
        goto out
    :: true
    fi
}

proctype Device(byte me) {
    byte round, other;
    bool was_open, must_repair;

    for (round : 1 .. ROUNDS) {
        state[me] = INTENT;
        maybe_die();
#ifdef LOOK_BEFORE
        was_open = is_open;
        lock(me);
#else
        lock(me);
        maybe_die();
        was_open = is_open;
#endif
        if
        :: was_open ->
            assert(entry[me] == 0);
            entry[me] = 1;
            maybe_die();
            entry[me] = 2;
            maybe_die();
            atomic { state[me] = HELD; holds[me] = true };
            maybe_die();
            unlock();
            maybe_die();
            /* the write */
            atomic { state[me] = RELEASING; holds[me] = false };
            maybe_die();
#ifdef FREE_FIRST
            state[me] = FREE;
#endif
#ifdef ANNOUNCE_FIRST
            announce_unpin();
#endif
            lock(me);
            maybe_die();
            assert(entry[me] == 2);
            entry[me] = 1;
            maybe_die();
            entry[me] = 0;
            maybe_die();
            state[me] = FREE;
            maybe_die();
            unlock();
            maybe_die();
#ifndef ANNOUNCE_FIRST
            announce_unpin()
#endif
        :: else ->
#ifdef REACH_REFUSED
            assert(false);
#endif
            state[me] = FREE;
            unlock()
        fi;
        was_open = false
    }
out:
    done++
}

proctype Recovery() {
    byte other;
    bool must_repair;

end:
    dead[0];
    /* Its writes are over: inflight.pml. */
    lock(RECOVERY);
    if
    :: state[0] == HELD || state[0] == RELEASING ->
#ifndef NO_REMOVE
        assert(entry[0] == 2);
        entry[0] = 1;
        entry[0] = 0
#endif
    :: else -> assert(entry[0] == 0)
    fi;
    atomic { state[0] = FREE; holds[0] = false };
    unlock();
    announce_unpin();
    recovered[0] = true
}

inline look() {
#ifndef LOOK_OUTSIDE
    lock(CONVERTER);
#endif
    pinned = false;
    for (other : 0 .. DEVICES - 1) {
        assert(entry[other] != 1);
        pinned = pinned || entry[other] == 2
    }
    other = 0;
#ifndef LOOK_OUTSIDE
    unlock()
#endif
}

proctype Converter() {
    byte other, seen;
    bool pinned, must_repair;

#ifdef LOOK_FIRST
    look();
    is_open = false;
#else
    is_open = false;
    look();
#endif
    if
    :: pinned ->
        if
        :: true ->
#ifdef REACH_DENIED
            assert(false);
#endif
            skip
        :: waiters++;
            do
            :: true ->
                seen = unpins;
                look();
                if
                :: !pinned -> break
                :: else -> skip
                fi;
                atomic { asleep = (unpins == seen) };
#ifdef REACH_SLEEP
                assert(!asleep);
#endif
                !asleep
            od;
            seen = 0;
            waiters--
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
        /* From here on, too. */
        atomic {
            for (other : 0 .. DEVICES - 1) { assert(!holds[other]) }
            is_private = false;
            other = 0
        }
    :: else -> skip
    fi;
    is_open = true;
    done++
}

init {
    byte i;

    atomic {
        for (i : 0 .. DEVICES - 1) { run Device(i) }
        run Recovery();
        run Converter()
    }
    done == DEVICES + 1 && (!dead[0] || recovered[0]);
    atomic {
        for (i : 0 .. DEVICES - 1) { assert(entry[i] == 0 && state[i] == FREE) }
        assert(owner == NOBODY)
    }
}

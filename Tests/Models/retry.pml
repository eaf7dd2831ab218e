/* A waiting conversion and devices that try again for as long as it is in their way.
 *
 * A device adds its count, finds the page closed, takes the count back, and tries again: RequestPins.takeAfterWaiting.
 * The converter looks for counts and cannot tell such a one from a pin: Coordination.waitForUnpins. So attempts may
 * hold up the very conversion that they wait for. Pins never refuse one another: without a conversion nobody tries
 * again.
 *
 * Checked under weak fairness (a process that could always go on does): every step of every process is such.
 *   STOPS             the converter gets in, if from some time on nobody is inside an attempt, however long they went
 *                     on
 *   DEADLINES         it comes to an end, and so does each request, though the others never stop
 * Without either, for ever: a run is found in which converter and devices keep one another waiting. That is why both
 * have a deadline. The random pauses of RequestPins make such a run improbable, which no model says.
 *
 * Mutants, each of which must be caught:
 *   LOOK_FIRST        (STOPS) an unpin looks for waiters before it takes its count away
 *   NO_CLOCK          (DEADLINES) the converter leaves the deadline to the futex, which somebody may always wake
 *                     before
 * Places that a run must come to, or it says nothing:
 *   REACH_REFUSED, REACH_SLEEP, REACH_PASSED, REACH_WAITED
 */
#ifndef DEVICES
#define DEVICES 2
#endif

byte pins;
bool is_open = true;
byte waiters;
bool moved;                     /* the word `unpins`, since the converter has read it */
bool asleep;

bool inside[DEVICES];           /* an attempt, or a pin */
bool passed;                    /* the deadlines */
bool over;                      /* the conversion */
bool trying[DEVICES];           /* a request that has been refused and is neither done nor given up */

inline take_back() {
#ifdef LOOK_FIRST
    seen = waiters;
    pins--;
#else
    pins--;
    seen = waiters;
#endif
    if
    :: seen > 0 -> atomic { moved = true; asleep = false }
    :: else -> skip
    fi;
    seen = 0;
    inside[me] = false
}

proctype Device(byte me) {
    byte seen;
    bool was_open;

end:
    do
    :: atomic { inside[me] = true; pins++; was_open = is_open };
       if
       :: was_open ->
           atomic { was_open = false; trying[me] = false };
           /* the write */
           take_back()
       :: else ->
#ifdef REACH_REFUSED
           assert(false);
#endif
           trying[me] = true;
           take_back();
#ifdef DEADLINES
           if
           :: passed -> trying[me] = false      /* and on with the next request */
           :: else -> skip
           fi
#endif
       fi
    :: atomic { true -> trying[me] = false }; break     /* no more requests */
    od
}

proctype Converter() {
    byte found;

    is_open = false;
    found = pins;
    if
    :: found > 0 ->
        waiters++;
        do
        :: true ->
            moved = false;
            found = pins;
            if
            :: found == 0 -> break
            :: else -> skip
            fi;
#if defined(DEADLINES) && !defined(NO_CLOCK)
            if
            :: passed ->
# ifdef REACH_PASSED
                assert(false);
# endif
                break
            :: else -> skip
            fi;
#endif
            atomic { asleep = !moved };
#ifdef REACH_SLEEP
            assert(!asleep);
#endif
#if defined(DEADLINES) && defined(NO_CLOCK)
            if
            :: !asleep
            :: atomic { asleep && passed -> asleep = false; break }
            fi
#elif defined(DEADLINES)
            !asleep || passed;
            asleep = false
#else
            !asleep
#endif
        od;
        waiters--;
#ifdef REACH_WAITED
        assert(found > 0);
#endif
    :: else -> skip
    fi;
    found = 0;
    is_open = true;
    over = true
}

/* The time that a deadline takes is over some time. */
proctype Clock() {
    passed = true
}

init {
    byte i;

    atomic {
        for (i : 0 .. DEVICES - 1) { run Device(i) }
        run Converter();
        run Clock()
    }
}

#ifdef LIVE
# define STILL (!inside[0] && !inside[1])
# ifdef STOPS
ltl live { (<> [] STILL) -> (<> over) }
# elif defined(DEADLINES)
ltl live { (<> over) && [] (trying[0] -> <> !trying[0]) }
# else
ltl live { <> over }
# endif
#endif

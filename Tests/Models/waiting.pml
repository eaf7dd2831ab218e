/* A conversion that waits for unpins: no wake-up is lost.
 *
 * The converter counts itself in and reads the counts then; an unpin takes its count away and looks for waiters then.
 * Both are locked operations followed by loads, so no store buffer comes between, and the interleavings of single
 * steps are all there is. Names are those of Coordination. A converter that sleeps for ever is an invalid end state.
 *
 * Mutants, each of which must be caught:
 *   LOOK_FIRST        an unpin looks for waiters before it takes its count away
 *   COUNT_IN_LATE     the converter reads the counts before it counts itself in
 *   NO_COMPARE        the futex does not compare its word before it sleeps
 *   SEEN_LATE         the converter reads the futex's word after the counts
 * Places that a run must come to, or it says nothing:
 *   REACH_SLEEP, REACH_WAKE
 */
#ifndef DEVICES
#define DEVICES 2
#endif
#define CONVERTERS 2

byte pins = DEVICES;
byte waiters;
byte unpins;
bool asleep[CONVERTERS];

proctype Device() {
    byte seen, i;

#ifdef LOOK_FIRST
    seen = waiters;
    pins--;
#else
    pins--;
    seen = waiters;
#endif
    if
    :: seen > 0 ->
        unpins++;
        /* futex(2), FUTEX_WAKE */
        atomic {
            for (i : 0 .. CONVERTERS - 1) {
#ifdef REACH_WAKE
                assert(!asleep[i]);
#endif
                asleep[i] = false
            }
        }
    :: else -> skip
    fi
}

inline look() {
#ifdef SEEN_LATE
    found = pins;
    seen = unpins
#else
    seen = unpins;
    found = pins
#endif
}

proctype Converter(byte me) {
    byte seen, found;

#ifdef COUNT_IN_LATE
    look();
    waiters++;
#else
    waiters++;
    look();
#endif
    do
    :: found == 0 -> break
    :: else ->
        /* futex(2), FUTEX_WAIT: compares and sleeps in one step */
        atomic {
#ifdef NO_COMPARE
            asleep[me] = true;
#else
            asleep[me] = (unpins == seen);
#endif
#ifdef REACH_SLEEP
            assert(!asleep[me])
#endif
        }
        !asleep[me];
        look()
    od;
    waiters--
}

init {
    byte i;

    atomic {
        for (i : 1 .. DEVICES) { run Device() }
        for (i : 0 .. CONVERTERS - 1) { run Converter(i) }
    }
}

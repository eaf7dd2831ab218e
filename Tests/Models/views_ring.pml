/* A queue between two processes, with the orderings that Swift gives them (views.h): the virtqueue with notifications,
 * and, but for those, the ring of samples.
 *
 * The driver fills the one entry there is, publishes it, and waits until it is used before it fills it again. The device
 * polls; before it sleeps it asks for notifications and looks once more. Names are those of Ring and SampleRing. An
 * honest guest: what a hostile one does with its memory is for the tests to try.
 *
 * Promise: no access to the entry races, and neither side waits for ever.
 *
 * Mutants, each of which must be caught:
 *   PUBLISH, USE         BARE: what was written before is not there yet
 *   TAKE, REUSE          RELAXED: the same, on the other side
 *   AGAIN, ASK           ACQ_REL: the driver does not see that the device is about to sleep, nor it the entry
 *   WANTS, LOOK_AGAIN    ACQUIRE: the same
 *   ASK_LATE             the device looks once more before it asks
 * Places that a run must come to, or it says nothing:
 *   REACH_NOTIFIED, REACH_ASLEEP, REACH_SEEN (on the second look)
 */
#define DEVICES 1
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define AVAILABLE 0             /* the driver's index */
#define FLAGS     1             /* of the device: 1 where it wants no notification */
#define USED      2             /* the device's index */
#define WORDS     3
#define PAGES     1             /* the entry, and what it names */
#define THREADS   2
#define DEPTH     20
#include "views.h"

#ifndef PUBLISH
#define PUBLISH    RELEASE      /* Ring.publish, SampleRing.Producer.append */
#endif
#ifndef AGAIN
#define AGAIN      SEQ_CST      /* Ring.wantsNotification, the exchange */
#endif
#ifndef WANTS
#define WANTS      SEQ_CST      /* Ring.wantsNotification, the load */
#endif
#ifndef TAKE
#define TAKE       ACQUIRE      /* Ring.published, SampleRing.Consumer.drain */
#endif
#ifndef USE
#define USE        RELEASE      /* Ring.publish, SampleRing.Consumer.drain */
#endif
#ifndef REUSE
#define REUSE      ACQUIRE      /* Ring.published, SampleRing.Producer.waitForSpace */
#endif
#ifndef ASK
#define ASK        SEQ_CST      /* Ring.enableNotifications, the exchange */
#endif
#ifndef LOOK_AGAIN
#define LOOK_AGAIN SEQ_CST      /* Ring.enableNotifications, the load */
#endif

bool kicked;                    /* the event descriptor */

proctype Driver(byte me) {
    byte round, from, found;

    for (round : 1 .. ROUNDS) {
        access(0);
        store(AVAILABLE, round, PUBLISH);
        d_step { modify(AVAILABLE, old, AGAIN) };
        load(FLAGS, found, WANTS);
        if
        :: found == 0 ->
#ifdef REACH_NOTIFIED
            assert(false);
#endif
            kicked = true
        :: else -> skip
        fi;
        /* Polls; until there is something to see it might as well stand still. */
        LATEST(USED) == round;
        do
        :: load(USED, found, REUSE);
           if
           :: found == round -> break
           :: else -> skip
           fi
        od
    }
}

proctype Device(byte me) {
    byte taken, from, found;

    do
    :: load(AVAILABLE, found, TAKE);
       if
       :: found != taken ->
           access(0);
           taken++;
           store(USED, taken, USE)
       :: else ->
#ifdef ASK_LATE
           load(AVAILABLE, found, LOOK_AGAIN);
           d_step { modify(FLAGS, 0, ASK) };
#else
           d_step { modify(FLAGS, 0, ASK) };
           load(AVAILABLE, found, LOOK_AGAIN);
#endif
#ifdef REACH_SEEN
           assert(found == taken);
#endif
           if
           :: found == taken ->
#ifdef REACH_ASLEEP
               assert(kicked);
#endif
end:           kicked;
               kicked = false
           :: else -> skip
           fi;
           store(FLAGS, 1, RELAXED)        /* Ring.suppressNotifications */
       fi
    od
}

init {
    byte i;

    atomic {
        for (i : 0 .. WORDS - 1) { memory[i].length = 1 }
        memory[FLAGS].value[0] = 1;
        run Device(0);
        run Driver(1)
    }
}

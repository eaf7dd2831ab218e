/* Pages taken from the devices before they become private: `fault`, and `--enforce mmu` under any strategy.
 *
 * A device writes by a processor that has a translation of the page in its TLB, or fetches one; what it has stored
 * lies in a buffer of its own, write-combining ones among them, until it drains. The hypervisor write-protects the
 * page in the device's page table (userfaultfd(2)), and the kernel interrupts every processor that may have a
 * translation: it drops that and empties its buffers, which an interrupt does (Intel SDM vol. 3A, "Buffering of Write
 * Combining Memory Locations"). Then the conversion commits. Names are those of DeviceMMU and PageStateEffects.
 *
 * Promise: no store reaches the page while it is private; a device that faults writes again when the page is shared.
 *
 * Mutants, each of which must be caught:
 *   COMMIT_FIRST      the conversion commits before it protects the page
 *   NO_SHOOTDOWN      (the kernel's) the page table is changed, no processor is interrupted
 *   NO_DRAIN          (the processor's) translations are dropped by a broadcast, and no buffer is emptied (INVLPGB)
 *   LIFT_FIRST        the protection is lifted before the page is the device's again: with the canary still to be
 *                     checked
 * Places that a run must come to, or it says nothing:
 *   REACH_FAULT, REACH_BUFFERED (a store translated before the protection), REACH_STALE (a translation from before it)
 */
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

bool protected[DEVICES];        /* in each device's page table */
bool cached[DEVICES];           /* a translation that allows stores, in the processor's TLB */
bool buffered[DEVICES];
bool is_private;
byte done;

proctype StoreBuffer(byte who) {
end:
    do
    :: atomic { buffered[who] -> buffered[who] = false; assert(!is_private) }
    od
}

proctype Device(byte me) {
    byte round;

    for (round : 1 .. ROUNDS) {
        do
        :: atomic {
            cached[me] && !buffered[me] ->
#ifdef REACH_STALE
            assert(!protected[me]);
#endif
            buffered[me] = true
           };
           break
        :: atomic { !cached[me] && !protected[me] -> cached[me] = true }
        :: atomic { !cached[me] && protected[me] -> skip };
#ifdef REACH_FAULT
           assert(false);
#endif
           !protected[me]       /* `--on-fault retry` */
        od
    }
    done++
}

inline shoot_down() {
    skip;
#ifndef NO_SHOOTDOWN
    for (i : 0 .. DEVICES - 1) {
        atomic {
            cached[i] = false;
#ifndef NO_DRAIN
# ifdef REACH_BUFFERED
            assert(!buffered[i]);
# endif
            buffered[i] = false
#endif
        }
    }
    i = 0
#endif
}

inline protect(value) {
    for (i : 0 .. DEVICES - 1) { protected[i] = value }
    i = 0;
    if
    :: value -> shoot_down()
    :: else -> skip
    fi
}

proctype Converter() {
    byte round, i;

    for (round : 1 .. ROUNDS) {
#ifdef COMMIT_FIRST
        is_private = true;
        protect(true);
#else
        protect(true);
        is_private = true;
#endif
#ifdef LIFT_FIRST
        protect(false);
        is_private = false
#else
        is_private = false;     /* the canary has been checked */
        protect(false)
#endif
    }
    done++
}

init {
    byte i;

    atomic {
        for (i : 0 .. DEVICES - 1) {
            run StoreBuffer(i);
            run Device(i)
        }
        run Converter()
    }
    done == DEVICES + 1
}

/* A device dies with writes in flight: nothing of its pins may be given back before none of them can land any more.
 *
 * A device's stores to the page go through its store buffer, and a write by the kernel (a system call, as readv(2))
 * goes on whatever strikes the thread that asked for it. SIGKILL may strike at any step. Of the kernel this is
 * assumed: a thread has ended once its last system call has, and its processor has emptied its store buffer by then,
 * since it has run the kernel; a process can be reaped once all its threads have ended. Names are those of
 * DeviceRecovery.recoverTheDead and CountedCover.recover: the harness's part is to reap first.
 *
 * Promise: no write lands on the page while it is private; the page can be made private in the end.
 *
 * Mutants, each of which must be caught:
 *   KILLED_IS_DEAD    pins are taken back as soon as the device has been sent SIGKILL
 *   NO_DRAIN          (the kernel's) a thread ends with a store still in its buffer
 *   NO_QUIESCE        (the kernel's) a write outlives the process that asked for it, as one by a disk's own DMA
 *                     might: a device that asks for such must have them ended before its pins are taken back. Ours
 *                     ask for none
 * Places that a run must come to, or it says nothing:
 *   REACH_STORE (in the buffer at the kill), REACH_REQUEST (in flight at the kill), REACH_WAITED, REACH_PRIVATE
 */
#define DEPTH 2

byte pins;
bool is_open = true;
bool is_private;

byte buffered;                  /* stores to the page in the device's store buffer */
byte requested;                 /* writes that the kernel has been asked for and not ended */
bool killed;
bool threads_ended;
bool reaped;
bool recovered;
bool converted;

proctype StoreBuffer() {
end:
    do
    :: atomic { buffered > 0 -> buffered--; assert(!is_private) }
    od
}

/* Writes page by page, at any time, until it is done or cancelled. */
proctype Kernel() {
end:
    do
    :: atomic { requested > 0 -> assert(!is_private) }
    :: atomic { requested > 0 -> requested-- }
    od
}

/* Pins the page, writes it by stores and by requests, waits for the requests, unpins. */
proctype Device() {
    bool was_open;

    {
        atomic { pins++; was_open = is_open };
        if
        :: was_open ->
            do
            :: atomic { buffered < DEPTH -> buffered++ }
            :: atomic { requested < 1 -> requested++ }
            :: break
            od;
            requested == 0
        :: else -> skip
        fi;
        atomic { buffered == 0 -> pins-- };     /* a locked operation */
        false                                   /* the harness kills it in any case */
    } unless {
        killed
    };
    /* The system call it is in ends; the processor goes on with another thread. */
#ifndef NO_DRAIN
    buffered == 0;
#endif
    threads_ended = true
}

proctype Harness() {
    atomic {
        killed = true;
#ifdef REACH_STORE
        assert(buffered == 0);
#endif
#ifdef REACH_REQUEST
        assert(requested == 0);
#endif
    }
#ifdef KILLED_IS_DEAD
    skip;
#else
    threads_ended;
# ifndef NO_QUIESCE
    requested == 0;
# endif
#endif
    reaped = true;
    /* The counts of its journal: here all there are. */
    atomic { pins = 0; recovered = true }
}

proctype Converter() {
    is_open = false;
#ifdef REACH_WAITED
    assert(pins == 0);
#endif
    pins == 0;
    is_private = true;
#ifdef REACH_PRIVATE
    assert(!recovered);
#endif
    converted = true
}

init {
    atomic {
        run StoreBuffer();
        run Kernel();
        run Device();
        run Harness();
        run Converter()
    }
    recovered && converted
}

/* Pins that are kept across DMAs, and a conversion that asks for them: `longlived`, and with PINCACHE `pincache`.
 *
 * Two pages, each a word with its open bit and its count; both sides change them by locked operations, and all else
 * that they share here is changed so or read after such, so that the interleavings of single steps are all there is
 * (the open bits of a page stand for its lanes in tree.pml). A device has a registration of each page, or of both; a
 * DMA in one has a token. Names are those of Registrations, LongLived, PinCache, Coordination and RequestLoop.
 *
 * A request has one range or two. In the end the device has nothing to do, and sleeps until it is kicked. A converter
 * waits without a deadline: one that nobody answers is an invalid end state. DEADLINE gives it one.
 *
 * Promise: no page is private while a device has a pin or a token of it; who asks is answered.
 *
 * Mutants, each of which must be caught:
 *   IN_USE            a device lets go while a token is out
 *   SEEN_LATE         a device notes what it has been asked after it has looked which pages are closed
 *   SEEN_IN_USE       a device notes it although a token keeps it from letting go
 *   NO_SERVICE        a device does not look when it has nothing to do
 *   ASK_FIRST         a converter asks before it closes the page
 *   KICK_FIRST        a converter wakes the devices before it asks
 *   NO_KICK           it does not wake them
 *   NO_TAKE_BACK      a device has a token of a registration that was let go
 *   PARTS_FIRST       (PINCACHE) a union's parts are let go before it is pinned
 * Places that a run must come to, or it says nothing:
 *   REACH_REVOKED, REACH_IN_USE (asked under a token), REACH_BACK, REACH_ALONE (the DMA's range is pinned alone),
 *   REACH_WAITED, REACH_UNION (PINCACHE, under a token of a part), REACH_GAVE_UP (DEADLINE)
 */
#ifndef CONVERTERS
#define CONVERTERS 1
#endif
#ifndef ROUNDS
#define ROUNDS 2                /* requests */
#endif
#ifndef TURNS
#define TURNS 1                 /* conversions to private and back, of each converter */
#endif

#define PAGES  2
#define RANGES 3                /* page 0, page 1, both */
#define FIRST(range) ((range) == 1 -> 1 : 0)
#define LAST(range)  ((range) == 0 -> 0 : 1)

bool open[PAGES] = true;
byte pins[PAGES];
bool is_private[PAGES];
bool converting[PAGES];

byte revocations;
byte waiters;
byte unpins;
bool asleep[CONVERTERS];
bool kicked;                    /* the device's event descriptor: what was notified stays so until it is read */

byte held[PAGES];               /* ghost */
bool is_set_up;

/* ---- the device ----------------------------------------------------------------------------------------------- */

inline announce_unpin() {
    if
    :: waiters > 0 ->
        atomic {
            unpins++;
            for (i : 0 .. CONVERTERS - 1) { asleep[i] = false }
            i = 0
        }
    :: else -> skip
    fi
}

/* CountedPins.pin */
inline try_pin(range) {
    page = FIRST(range);
    ok = true;
    do
    :: page <= LAST(range) ->
        atomic { pins[page] = pins[page] + 1; ok = open[page] };
        if
        :: ok -> page++
        :: else ->
            pins[page] = pins[page] - 1;
            do
            :: page > FIRST(range) -> page--; pins[page] = pins[page] - 1
            :: else -> break
            od;
            announce_unpin();
            break
        fi
    :: else -> break
    od;
    page = 0
}

inline unpin_all(range) {
    page = FIRST(range);
    do
    :: page <= LAST(range) -> pins[page] = pins[page] - 1; page++
    :: else -> break
    od;
    page = 0;
    announce_unpin()
}

inline let_go(which) {
    atomic { kept[which] = false };
    unpin_all(which)
}

/* Registrations.isAskedFor, letGoOfWhatIsClosed */
inline service() {
    if
#ifdef IN_USE
    :: revocations != revocations_seen ->
#else
    :: revocations != revocations_seen && tokens == 0 ->
#endif
#ifndef SEEN_LATE
        revocations_seen = revocations;
#endif
        for (r : 0 .. RANGES - 1) {
            if
            :: kept[r] && !(open[FIRST(r)] && open[LAST(r)]) ->
#ifdef REACH_REVOKED
                assert(false);
#endif
                let_go(r)
            :: else -> skip
            fi
        }
        r = 0;
#ifdef SEEN_LATE
        revocations_seen = revocations
#endif
    :: revocations != revocations_seen && tokens > 0 ->
#ifdef REACH_IN_USE
        assert(false);
#endif
#ifdef SEEN_IN_USE
        revocations_seen = revocations
#else
        skip
#endif
    :: else -> skip
    fi
}

inline grant(range, is_a_token) {
    atomic {
        given[count] = range;
        is_token[count] = is_a_token;
        count++;
        tokens = tokens + is_a_token;
        for (page : FIRST(range) .. LAST(range)) {
            held[page] = held[page] + 1;
            assert(!is_private[page])
        }
        page = 0
    }
}

/* The registration that takes in the range is pinned, after this where `ok`. */
inline keep(range) {
#ifdef PINCACHE
# ifdef PARTS_FIRST
    for (r : 0 .. 1) {
        if
        :: range == 2 && kept[r] -> let_go(r)
        :: else -> skip
        fi
    }
    r = 0;
# endif
    try_pin(range);
    if
    :: ok ->
        for (r : 0 .. 1) {
            if
            :: range == 2 && kept[r] ->
# ifdef REACH_UNION
                assert(tokens == 0);
# endif
                let_go(r)
            :: else -> skip
            fi
        }
        r = 0;
        kept[range] = true
    :: else -> skip
    fi
#else
    if
    :: range < 2 ->
# ifdef NO_TAKE_BACK
        ok = true
# else
        try_pin(range);
#  ifdef REACH_BACK
        assert(!ok);
#  endif
        kept[range] = ok
# endif
    :: else -> ok = false       /* in none of them */
    fi
#endif
}

inline pin(range) {
    service();
    if
    :: kept[range] || kept[2] -> ok = true; grant(range, 1)
    :: else ->
        keep(range);
        if
        :: ok -> grant(range, 1)
        :: else ->
            try_pin(range);
            if
            :: ok ->
#ifdef REACH_ALONE
                assert(false);
#endif
                grant(range, 0)
            :: else -> skip
            fi
        fi
    fi
}

/* RequestPins.giveBack */
inline unpin_chunk() {
    do
    :: count > 0 ->
        atomic {
            count--;
            wanted = given[count];
            for (page : FIRST(wanted) .. LAST(wanted)) { held[page] = held[page] - 1 }
            page = 0
        }
        if
        :: is_token[count] -> is_token[count] = false; tokens--; service()
        :: else -> unpin_all(wanted)
        fi;
        given[count] = 0
    :: else -> break
    od;
    wanted = 0
}

proctype Device() {
    byte round, revocations_seen, tokens, page, r, i, count, wanted;
    byte given[2];
    bool ok, kept[RANGES], is_token[2];

#ifndef PINCACHE
    atomic {
        for (page : 0 .. PAGES - 1) { pins[page] = 1; kept[page] = true }
        page = 0;
        is_set_up = true
    }
#endif
    for (round : 1 .. ROUNDS) {
        do
        :: count < 2 ->
            select(wanted : 0 .. RANGES - 1);
            pin(wanted);
            if
            :: !ok -> break
            :: ok -> skip
            :: ok -> break      /* that was the last range */
            fi
        :: else -> break
        od;
        /* the write */
        unpin_chunk();
        ok = false
    }
    round = 0;
end:
    do
    :: kicked ->
        kicked = false;
#ifndef NO_SERVICE
        service()
#endif
    od
}

/* ---- a converter ---------------------------------------------------------------------------------------------- */

inline ask() {
#ifdef KICK_FIRST
    kicked = true;
    revocations++
#else
    revocations++;
# ifndef NO_KICK
    kicked = true
# endif
#endif
}

proctype Converter(byte me) {
    byte page, turn, seen;
    bool pinned;

    for (turn : 1 .. TURNS) {
        if
        :: page = 0
        :: page = 1
        fi;
        atomic { !converting[page] -> converting[page] = true };
#ifdef ASK_FIRST
        ask();
        open[page] = false;
#else
        open[page] = false;
#endif
        pinned = pins[page] > 0;
        if
        :: pinned ->
#ifndef ASK_FIRST
            ask();
#endif
            waiters++;
            do
            :: true ->
                seen = unpins;
                pinned = pins[page] > 0;
                if
                :: !pinned -> break
                :: else -> skip
                fi;
                if
                :: atomic { asleep[me] = (unpins == seen) }
#ifdef DEADLINE
                :: break
#endif
                fi;
                !asleep[me]
            od;
            seen = 0;
            waiters--;
#ifdef REACH_WAITED
            assert(pinned);
#endif
        :: else -> skip
        fi;
        if
        :: !pinned ->
            atomic {
                is_private[page] = true;
                assert(held[page] == 0)
            }
            is_private[page] = false
        :: else ->
#ifdef REACH_GAVE_UP
            assert(false);
#endif
            skip
        fi;
        pinned = false;
        open[page] = true;
        atomic { converting[page] = false; page = 0 }
    }
}

init {
    byte i;

    run Device();
#ifndef PINCACHE
    is_set_up;
#endif
    atomic {
        for (i : 0 .. CONVERTERS - 1) { run Converter(i) }
    }
}

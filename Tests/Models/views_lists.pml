/* Published lists with the orderings that Swift gives them (views.h): slots.pml and views_slots.pml take a slot's
 * header and list for one word, here they are several. How a conversion waits for one is told there.
 *
 * A device writes a list down in its slot, first its ranges and then their hull, publishes it by the header, looks at
 * the open bits of each range, writes the pages, and empties the header; its next list goes to the same place. A
 * conversion of page 0 reads header, hull and ranges while that goes on, and the header again where it has met its
 * page. Names are those of PublishedPins and Slots.
 *
 * Promise: no access to page 0 races. With EXACT also: a conversion is denied only for a pin that was there at the
 * first look and has the page, be it a pin that is refused in the end.
 *
 * Mutants, each of which must be caught (and the others, of which none may be):
 *   WRITE_HULL, WRITE_RANGES, READ_HULL, READ_RANGES
 *                     RELAXED: a word of a later list does not say that the earlier pin's writes are over
 *   PUBLISH           ACQ_REL: no barrier between publishing and looking
 *   CHECK             ACQUIRE: the same
 *   UNPIN             RELAXED
 *   FIRST_LOOK        BARE: a header does not say that its list is in place; ACQUIRE without harm, since the fence
 *                     comes first
 *   SECOND_LOOK       BARE: a header that has moved does not say that the pin's writes are over; ACQUIRE without harm
 *   CLOSE             RELAXED without harm
 *   OPEN              RELAXED
 *   NO_FENCE          a conversion looks without one
 *   LOOK_FIRST        a device looks at the open bits and publishes then
 *   HEADER_FIRST      a device publishes the header and writes the list then
 *   LIST_EARLY        a device writes another list down before it has emptied the header
 *   FIRST_ALONE       a device looks at the open bits of the first range alone
 *   HULL_OF_FIRST     the hull is that of the first range alone
 *   ONE_LOOK          a conversion that has met its page does not look again
 *   EQUAL_NUMBERS     headers of lists of one length are equal
 *                     (these two are caught with EXACT alone: conversions are denied for nothing, but no pin passes)
 * Places that a run must come to, or it says nothing:
 *   REACH_REFUSED, REACH_DENIED, REACH_MOVED (another header at the second look), REACH_BETWEEN (page 0 lies in the
 *   hull and in no range), REACH_MIXED (words of two lists), REACH_PASSED (the list of the first look has page 0, and
 *   what is read has it not)
 */
#ifndef PINS
#define PINS        2
#endif
#ifndef CONVERSIONS
#define CONVERSIONS 2
#endif

#define BITS    0
#define HEADER  1
#define HULL    2
#define RANGE   3               /* and the one behind it */
#define WORDS   5
#define PAGES   1
#define THREADS 2
#if PINS > CONVERSIONS
#define DEPTH   (2 * PINS + 1)
#else
#define DEPTH   (2 * CONVERSIONS + 1)
#endif
#include "views.h"

#ifndef WRITE_HULL
#define WRITE_HULL   RELEASE    /* PublishedPins.write, of the hull */
#endif
#ifndef WRITE_RANGES
#define WRITE_RANGES RELEASE    /* the same of the ranges */
#endif
#ifndef PUBLISH
#define PUBLISH      SEQ_CST    /* PublishedPins.publish */
#endif
#ifndef CHECK
#define CHECK        SEQ_CST    /* Forest.isOpen */
#endif
#ifndef UNPIN
#define UNPIN        RELEASE    /* Slots.Device.release */
#endif
#ifndef CLOSE
#define CLOSE        ACQ_REL    /* CountedTree.close */
#endif
#ifndef OPEN
#define OPEN         ACQ_REL    /* CountedTree.open */
#endif
#ifndef FIRST_LOOK
#define FIRST_LOOK   SEQ_CST    /* PublishedPins.firstPinned, its first load */
#endif
#ifndef SECOND_LOOK
#define SECOND_LOOK  SEQ_CST    /* PublishedPins.firstPinned, its last load */
#endif
#ifndef READ_HULL
#define READ_HULL    ACQUIRE    /* the same of a list, of the hull */
#endif
#ifndef READ_RANGES
#define READ_RANGES  ACQUIRE    /* the same, of the ranges */
#endif

/* What a word of a list says: page 0, or pages that nobody converts. */
#define PAGE    1
#define OTHERS  2

/* A number, and how many ranges: never zero. */
#ifdef EQUAL_NUMBERS
#define HEAD    (4 + count)
#else
#define HEAD    (4 * round + count)
#endif
#define COUNT(header) ((header) & 3)

bool has[DEPTH];                /* ghost: which of the header's values stand for a list with page 0 */

inline publish() {
    d_step {
        modify(HEADER, HEAD, PUBLISH);
        has[memory[HEADER].length - 1] = (one == PAGE || two == PAGE)
    }
}

/* PublishedPins.write */
inline write_list(first, second, hull) {
    if
    :: count == 2 ->
        store(RANGE, first, WRITE_RANGES);
        store(RANGE + 1, second, WRITE_RANGES)
    :: else -> skip
    fi;
    store(HULL, hull, WRITE_HULL)
}

/* The bits of other pages are always open. */
inline look_at_bits() {
    is_open = 1;
#ifdef FIRST_ALONE
    if
    :: one == PAGE -> load(BITS, is_open, CHECK)
#else
    if
    :: one == PAGE || two == PAGE -> load(BITS, is_open, CHECK)
#endif
    :: else -> skip
    fi
}

proctype Device(byte me) {
    byte round, from, one, two, hull, count, is_open;

    for (round : 1 .. PINS) {
        d_step { count = 2; hull = PAGE };
        if
        :: d_step { one = PAGE; count = 1 }
        :: d_step { one = OTHERS; count = 1; hull = OTHERS }
        :: d_step { one = PAGE; two = OTHERS }
        :: d_step { one = OTHERS; two = PAGE }
        :: d_step { one = OTHERS; two = OTHERS }    /* below and above page 0 */
        fi;
#ifdef HULL_OF_FIRST
        hull = one;
#endif
#ifdef HEADER_FIRST
        publish();
#endif
#ifdef LOOK_FIRST
        look_at_bits();
#endif
        write_list(one, two, hull);
#ifndef HEADER_FIRST
        publish();
#endif
#ifndef LOOK_FIRST
        look_at_bits();
#endif
#ifdef LIST_EARLY
        write_list(OTHERS, OTHERS, OTHERS);
#endif
        if
        :: is_open && (one == PAGE || two == PAGE) -> access(0)
        :: is_open && !(one == PAGE || two == PAGE) -> skip
        :: else ->
#ifdef REACH_REFUSED
            assert(false);
#endif
            skip
        fi;
        store(HEADER, 0, UNPIN);
        d_step { one = 0; two = 0; hull = 0; count = 0; is_open = 0 }
    }
}

/* PublishedPins.firstPinned of a list */
inline read_list() {
    load(HULL, found, READ_HULL);
    if
    :: found == OTHERS || COUNT(header) == 1 -> met = (found == PAGE)
    :: else ->
        load(RANGE, found, READ_RANGES);
#ifdef REACH_MIXED
        place = seen[me].at[RANGE];
#endif
        met = (found == PAGE);
        load(RANGE + 1, found, READ_RANGES);
        met = met || found == PAGE;
#ifdef REACH_MIXED
        assert(place == seen[me].at[RANGE + 1]);
#endif
#ifdef REACH_BETWEEN
        assert(met);
#endif
    fi;
    found = 0
}

/* PublishedPins.firstPinned */
inline look() {
#ifndef NO_FENCE
    fence(me);
#endif
    met = false;
    load(HEADER, header, FIRST_LOOK);
    if
    :: header ->
        is_there = has[seen[me].at[HEADER]];
        read_list();
#ifdef REACH_PASSED
        assert(met || !is_there);
#endif
#ifndef ONE_LOOK
        if
        :: met ->
            load(HEADER, found, SECOND_LOOK);
# ifdef REACH_MOVED
            assert(found == header);
# endif
            met = (found == header)
        :: else -> skip
        fi;
#endif
#ifdef EXACT
        assert(is_there || !met);
#endif
        skip
    :: else -> skip
    fi;
    d_step { header = 0; found = 0; is_there = false }
}

proctype Converter(byte me) {
    byte round, from, header, found;
    bool met, is_there;
#ifdef REACH_MIXED
    byte place;
#endif

    for (round : 1 .. CONVERSIONS) {
        d_step { modify(BITS, 0, CLOSE) };
        do
        :: true ->
            look();
            if
            :: !met -> break
            :: met -> break             /* deny */
            :: met -> skip              /* wait, and look again */
            fi
        od;
        if
        :: !met -> access(0); access(0) /* private, and shared again */
        :: else ->
#ifdef REACH_DENIED
            assert(false);
#endif
            met = false
        fi;
        d_step { modify(BITS, 1, OPEN) }
    }
}

init {
    byte i;

    atomic {
        for (i : 0 .. WORDS - 1) { memory[i].length = 1 }
        memory[BITS].value[0] = 1;
        run Device(0);
        run Converter(1)
    }
}

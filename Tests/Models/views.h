/* Memory weaker than x86-TSO: release and acquire of C11, as Swift has them (SE-0410), for models whose name begins
 * with `views`.
 *
 * A word is the list of all values it ever had, in its coherence order. Every thread has a view: for each word, the
 * latest value that it knows of. A load takes any value from there on, so a thread may see the stores of another in
 * any order, or late. A value that was released carries its writer's view; who acquires it knows what the writer
 * knew. A modification follows the last value and hands on what that carried (a release sequence). Sequentially
 * consistent operations besides share one view of such stores: those of one word are in one order with those of
 * another.
 *
 * Words that are stored to plainly have one writer each, so every new value comes last. Loads take no value of the
 * future: what a processor may store before a load that comes first in the program is not in here.
 *
 * Pages are ordinary memory: two accesses of which neither thread knows the other's are a race, which C11 leaves
 * undefined and a processor may reorder. That no access races is the promise, in this memory's terms.
 *
 * A model defines WORDS, PAGES, THREADS and DEPTH (values of a word), and includes this. `me` is the thread.
 */
#define RELAXED 0
#define ACQUIRE 1
#define RELEASE 2
#define ACQ_REL 3
#define SEQ_CST 7
#define BARE    4               /* no ordering of Swift's: sequentially consistent, but carries nothing */

typedef View {
    byte at[WORDS + PAGES]
}
typedef Word {
    byte length;
    byte value[DEPTH];
    View view[DEPTH]            /* what each value carries */
}
Word memory[WORDS];
View seen[THREADS];
View total;                     /* the sequentially consistent stores and fences so far */
byte accesses[PAGES];

hidden byte last, k;
hidden byte old;                /* of a modification: the value before */

#define LATEST(word) memory[word].value[memory[word].length - 1]
#define MAX(a, b) ((a) > (b) -> (a) : (b))

inline join(to, from) {
    for (k : 0 .. WORDS + PAGES - 1) { to.at[k] = MAX(to.at[k], from.at[k]) }
    k = 0
}

/* Takes a value in, `last`. */
inline know(word, order) {
    if
    :: ((order) & ACQUIRE) -> join(seen[me], memory[word].view[last])
    :: else -> skip
    fi
}

/* Adds a value behind the last. */
inline append(word, what, order) {
    last = memory[word].length;
    assert(last < DEPTH);
    memory[word].length = last + 1;
    memory[word].value[last] = what;
    seen[me].at[word] = last;
    if
    :: ((order) & RELEASE) -> join(memory[word].view[last], seen[me])
    :: else -> memory[word].view[last].at[word] = last
    fi;
    if
    :: ((order) & 4) -> total.at[word] = last
    :: else -> skip
    fi
}

inline store(word, what, order) {
    d_step { append(word, what, order) }
}

/* One atomic operation; `what` is said in terms of `old`. To be called in a d_step, where `old` is needed. */
inline modify(word, what, order) {
    last = memory[word].length - 1;
    old = memory[word].value[last];
    know(word, order);
    assert(last + 1 < DEPTH);
    join(memory[word].view[last + 1], memory[word].view[last]);
    append(word, what, order)
}

/* `from` is a local variable, zero between loads. */
inline load(word, result, order) {
    atomic {
        from = MAX(seen[me].at[word], (((order) & 4) -> total.at[word] : 0));
        do
        :: from + 1 < memory[word].length -> from++
        :: break
        od;
        d_step {
            last = from;
            seen[me].at[word] = last;
            know(word, order);
            result = memory[word].value[last];
            from = 0
        }
    }
}

/* atomicMemoryFence(ordering: .sequentiallyConsistent) of a thread. */
inline fence(thread) {
    d_step {
        join(seen[thread], total);
        join(total, seen[thread])
    }
}

/* An access to a page that must not race. */
inline access(page) {
    d_step {
        assert(seen[me].at[WORDS + (page)] == accesses[page]);
        accesses[page] = accesses[page] + 1;
        seen[me].at[WORDS + (page)] = accesses[page]
    }
}

/* membarrier(2): at some moment of the call each device's processor has passed a full barrier. */
inline barrier() {
    fence(me);
    for (i : 0 .. DEVICES - 1) { fence(i) }
    i = 0;
    fence(me)
}

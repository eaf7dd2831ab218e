// Which mutant this process is, chosen when it starts and inherited by what it starts.
#pragma once
#include <stdbool.h>

/// MUTANT of the environment; 0 where it is unset: the product as it is. -1 where MUTANTS_REACHED names a file, of a
/// byte for each mutant: those that the process comes by are set to one there, and none of them is in force.
extern int cmutant_chosen;
extern unsigned char *cmutant_reached;

static inline bool cmutant_is(int number) {
    if (__builtin_expect(cmutant_chosen == 0, 1)) return false;
    if (cmutant_chosen < 0) cmutant_reached[number] = 1;
    return cmutant_chosen == number;
}

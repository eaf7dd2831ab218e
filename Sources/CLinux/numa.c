#include "CLinux.h"

// What libnuma does not find or is refused it says on standard error by itself, with these two, which it defines as weak
// for a program to replace (numa(3)). Whoever called it sees the result, and says what it means.

void numa_error(char *where);
void numa_warn(int number, char *format, ...);

void numa_error(char *where) { (void)where; }

void numa_warn(int number, char *format, ...) {
    (void)number;
    (void)format;
}

#include "CLinux.h"

const char *clinux_build_revision(void) { return DMA_BENCH_REVISION; }

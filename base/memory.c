#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/exit.h"

_Noreturn void ts_no_memory(void)
{
    (void)fputs("out of memory: give this machine more, or free some\n", stderr);
    _Exit(TS_EXIT_FAILURE); /* what else a program does at its end may want memory, too */
}

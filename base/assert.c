#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void ts_assert_fail(const char *cond, const char *file, int line, const char *func)
{
    fprintf(stderr, "%s:%d: %s: invariant broken: %s\n", file, line, func, cond);
    abort();
}

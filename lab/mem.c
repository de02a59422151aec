#include "lab/mem.h"

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void no_memory(size_t n, size_t size)
{
    fprintf(stderr, "lab: no memory for %zu × %zu bytes; use fewer clients or rounds\n", n, size);
    exit(70);
}

void *lab_calloc(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1);
    if (p == NULL) {
        no_memory(n, size);
    }
    return p;
}

void *lab_realloc(void *old, size_t n, size_t size)
{
    void *p = reallocarray(old, n > 0 ? n : 1, size > 0 ? size : 1);
    if (p == NULL) {
        no_memory(n, size);
    }
    return p;
}

/* Counts the allocations that get no memory: a library for LD_PRELOAD, in front of malloc, calloc
 * and realloc. That they get none is the kernel's doing (RLIMIT_AS, lab/fault_memory.c).
 *
 * Limits: what the C library takes from the kernel for itself (the stacks of threads) is not seen.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lab/host/record.h"

#define STACK_BYTES ((size_t)1 << 20)
#define PAGE_BYTES 4096

typedef void *malloc_fn(size_t size);
typedef void *calloc_fn(size_t n, size_t size);
typedef void *realloc_fn(void *old, size_t size);

/* An interposed function has no argument of ours: the one place for globals. The functions are set
 * by the first call, before any thread is there. */
static struct {
    malloc_fn *malloc;
    calloc_fn *calloc;
    realloc_fn *realloc;
    struct host_record *record; /* NULL: nothing is counted */
} layer;

static void find(void *out, const char *name)
{
    void *next = dlsym(RTLD_NEXT, name);
    memcpy(out, &next, sizeof(next));
}

static void find_all(void)
{
    if (layer.malloc == NULL) {
        find(&layer.calloc, "calloc");
        find(&layer.realloc, "realloc");
        find(&layer.malloc, "malloc");
    }
}

/* The stack of the first thread grows as it is used, which the limit would forbid as well: the
 * process would end without having asked for memory. So it has its usual size before. */
static void grow_stack(void)
{
    volatile char pages[STACK_BYTES];
    for (size_t i = 0; i < sizeof(pages); i += PAGE_BYTES) {
        pages[i] = 1;
    }
}

__attribute__((constructor)) static void set_up(void)
{
    grow_stack();
    find_all();
    layer.record = lab_record_own();
}

static void *told(void *p, size_t size)
{
    if (p == NULL && size > 0 && layer.record != NULL) {
        (void)atomic_fetch_add(&layer.record->refused, 1);
    }
    return p;
}

void *malloc(size_t size)
{
    find_all();
    return told(layer.malloc(size), size);
}

void *calloc(size_t n, size_t size)
{
    find_all();
    return told(layer.calloc(n, size), n == 0 ? 0 : size);
}

void *realloc(void *old, size_t size)
{
    find_all();
    return told(layer.realloc(old, size), size);
}

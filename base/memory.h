/* Memory that a program cannot go on without. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/* Ends the program, with a sentence as its last words and a status after which it is started again.
 */
_Noreturn void ts_no_memory(void);

/* `p` is what malloc, calloc or realloc gave for some bytes. Going on without it would be another
 * result than the other replicas have, or a request forgotten. */
static inline void ts_must(const void *p)
{
    if (p == NULL) {
        ts_no_memory();
    }
}

#endif

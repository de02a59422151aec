/* Memory for the lab's programs: they cannot do anything useful without it, so a failed
 * allocation ends the program with a sentence. Never used by the product itself. */
#ifndef LAB_MEM_H
#define LAB_MEM_H

#include <stddef.h>

/* Zeroed memory; gives. Never NULL. */
void *lab_calloc(size_t n, size_t size);
/* Grows `old` (may be NULL) to n × size bytes; gives. Never NULL. */
void *lab_realloc(void *old, size_t n, size_t size);

#endif

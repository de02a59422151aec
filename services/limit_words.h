/* Limits of a service, as words of its group's `options`: "name=number name=number …". */
#ifndef SERVICES_LIMIT_WORDS_H
#define SERVICES_LIMIT_WORDS_H

#include <stddef.h>
#include <stdint.h>

#define LIMIT_BLANKS " \t\n"

/* One limit: the words of a service are a table of these. */
struct limit_word {
    const char *name;
    size_t at;     /* offset of its uint64_t in the service's limits */
    uint64_t low;  /* smallest … */
    uint64_t high; /* … and largest value that is allowed */
};

enum limit_result {
    LIMIT_TAKEN,
    LIMIT_WRONG, /* its name, and no number or one out of range */
    LIMIT_OTHER, /* none of these names */
};

/* Takes the word of `len` bytes (no blanks in it) into `limits`, if it is one of `words`. The
 * number is plain decimal digits. */
enum limit_result limit_word_take(const struct limit_word *words, size_t count, const char *word,
                                  size_t len, void *limits);

#endif

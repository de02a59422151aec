/* Scenario tests: commands in, trace out, in one text file that is reviewed as a diff.
 *
 *     # Comments and blank lines stand between blocks and are kept.
 *     world voters=3
 *     prepare A
 *     ----
 *     A -> v1 prepare 1.1.100
 *
 * A block is one or more command lines, `----`, and the trace they are expected to give, up to a
 * blank line. A runner is script_main with its own commands; it takes [--update] FILE...;
 * --update writes the trace that came out into the file instead of comparing. */
#ifndef TESTS_SCRIPT_SCRIPT_H
#define TESTS_SCRIPT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_WORDS_MAX 24

/* A growing text, NUL-terminated. */
struct script_text {
    char *data;
    size_t len;
    size_t cap;
};

/* One command line: words split at blanks. words[0] is the command. */
struct script_command {
    int count;
    char *words[SCRIPT_WORDS_MAX];
};

struct script_runner {
    const char *name;
    /* A fresh state for each file; NULL ends the run. */
    void *(*open)(void);
    void (*close)(void *state);
    /* Carries out one command and prints its trace. False: no such command or bad arguments;
     * what is wrong was printed to `out`. */
    bool (*run)(void *state, const struct script_command *cmd, struct script_text *out);
};

void script_printf(struct script_text *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void script_text_free(struct script_text *out);

/* The value of the argument "key=value"; NULL when it is absent. */
const char *script_arg(const struct script_command *cmd, const char *key);
/* The same as a number, `otherwise` when it is absent or none. */
uint64_t script_arg_u64(const struct script_command *cmd, const char *key, uint64_t otherwise);
/* Whether the bare word stands among the arguments. */
bool script_flag(const struct script_command *cmd, const char *word);

/* Exit status of main: 0 when every file gave its trace (or was updated). */
int script_main(const struct script_runner *runner, int argc, char **argv);

#endif

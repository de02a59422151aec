/* What tests of the command line share: a cluster, and a sheet that a command prints to. */
#ifndef TESTS_UNIT_CLI_FIXTURE_H
#define TESTS_UNIT_CLI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/cli.h"

static const char CLUSTER[] = "cluster: demo\n"
                              "nics:\n"
                              "  - {name: nic1, paths: [10.0.0.1, 10.0.1.1]}\n"
                              "  - {name: nic2, paths: [10.0.0.2, 10.0.1.2]}\n"
                              "arbiters:\n"
                              "  - {name: arb1, paths: [10.0.0.3, 10.0.1.3]}\n"
                              "groups:\n"
                              "  - {name: kv, service: kv, port: 6379}\n";

/* What was printed to it; the text is to be freed. */
struct sheet {
    struct cli cli;
    char *text;
    size_t len;
};

static inline void sheet_begin(struct sheet *s)
{
    s->cli.out = open_memstream(&s->text, &s->len);
    s->cli.err = s->cli.out;
    assert_non_null(s->cli.out);
}

#endif

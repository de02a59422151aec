/* Which processes are taken for a node's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab/nodes_procs.h"

/* Goal: only a program of ours with exactly this data directory is taken for the node's. */
static void test_procs_match_needs_program_and_directory(void **state)
{
    (void)state;
    static const struct {
        const char *cmdline;
        size_t len;
        bool match;
    } CASES[] = {
#define LINE(text, match) {text, sizeof(text), match}
        LINE("/x/nicd\0--config\0c\0--node\0nic1\0--data\0/run/nic1", true),
        LINE("/x/replica\0--data\0/run/nic1\0--group\0kv", true),
        LINE("/x/replica\0--data\0/run/nic10", false),
        LINE("/x/replica\0--data", false),
        LINE("/x/vi\0--data\0/run/nic1", false),
        LINE("/x/replica", false),
        {"/x/replica\0--data\0/run/nic1", 27, false}, /* cut off */
        {"", 0, false},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct nodes_proc p;
        assert_int_equal(nodes_procs_match(CASES[i].cmdline, CASES[i].len, "/run/nic1", &p),
                         CASES[i].match);
        if (i == 1) {
            assert_string_equal(p.program, "replica");
            assert_string_equal(p.group, "kv");
        }
    }
}

/* Goal: a node is told by the directory right in RUN, and by nothing that only looks like one. */
static void test_procs_match_run_gives_the_node(void **state)
{
    (void)state;
    static const struct {
        const char *cmdline;
        size_t len;
        const char *node; /* NULL: none of this run */
    } CASES[] = {
#define ROW(text, node) {text, sizeof(text), node}
        ROW("/x/nicd\0--config\0c\0--node\0nic1\0--data\0/run/nic1", "nic1"),
        ROW("/x/replica\0--data\0/run/arb1\0--group\0kv", "arb1"),
        ROW("/x/vi\0--data\0/run/nic1", NULL),
        ROW("/x/nicd\0--data\0/run2/nic1", NULL),
        ROW("/x/nicd\0--data\0/run/nic1/x", NULL),
        ROW("/x/nicd\0--data\0/run/..", NULL),
        ROW("/x/nicd\0--data\0/run/", NULL),
        ROW("/x/nicd\0--data\0/run", NULL),
        ROW("/x/nicd\0--data\0/other/run/nic1", NULL),
        ROW("/x/nicd\0--data\0/run/a-name-that-is-longer-than-a-node-can-have", NULL),
        ROW("/x/nicd\0--data", NULL),
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char node[CFG_NAME_MAX] = "";
        bool match = nodes_procs_match_run(CASES[i].cmdline, CASES[i].len, "/run", node);
        assert_int_equal(match, CASES[i].node != NULL);
        assert_string_equal(node, match ? CASES[i].node : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_procs_match_needs_program_and_directory),
        cmocka_unit_test(test_procs_match_run_gives_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

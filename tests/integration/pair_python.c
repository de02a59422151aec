/* Goal: Debian's python3-redis works with the pair unmodified, and its classes for Redis' Sentinel
 * fail over by themselves. What it does stands in clients/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define PYTHON "/usr/bin/python3" /* Debian's own: python3-redis is installed for that one */
#define SKIPPED 77

struct fixture fixture = {.name = "python"};

/* Runs a program of clients/ with the group, the pid of the primary's replica and the NICs. */
static void run_client(const char *name)
{
    char path[512];
    char pid[16];
    char nics[LAB_NICS][96];
    char said[8192];
    struct ts_why why = {{0}};
    struct nodes_proc replica;
    const char *primary = lab_pair_node(&fixture.pair, fixture_primary(&fixture));
    assert_true(nodes_find(&fixture.pair.run, primary, "replica", LAB_PAIR_GROUP, &replica));
    snprintf(path, sizeof path, "%s/%s", CLIENTS_DIR, name);
    snprintf(pid, sizeof pid, "%d", (int)replica.pid);
    for (unsigned i = 0; i < LAB_NICS; i++) {
        snprintf(nics[i], sizeof nics[i], "%s:6379", fixture.pair.cluster.nodes[i].paths[0]);
    }
    const char *argv[] = {PYTHON, path, LAB_PAIR_GROUP, pid, nics[0], nics[1], NULL};
    if (lab_exec(argv, NULL, said, sizeof said, &why) != TS_OK) {
        print_error("%s\n%s\n", why.text, said);
        fail();
    }
    print_message("%s", said);
}

static void test_sentinel_client_goes_on_with_the_new_primary(void **state)
{
    (void)state;
    run_client("sentinel_failover.py");
}

static void test_subscribers_are_told_of_the_new_primary(void **state)
{
    (void)state;
    run_client("switch_message.py");
}

static void test_session_writes_are_executed_once(void **state)
{
    (void)state;
    run_client("session_failover.py");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentinel_client_goes_on_with_the_new_primary),
        cmocka_unit_test(test_subscribers_are_told_of_the_new_primary),
        cmocka_unit_test(test_session_writes_are_executed_once),
    };
    const char *argv[] = {PYTHON, "-c", "import redis.sentinel", NULL};
    struct ts_why why = {{0}};
    if (lab_exec(argv, NULL, NULL, 0, &why) != TS_OK) {
        (void)fprintf(stderr, "pair_python: skipped: Debian's python3-redis is not installed\n");
        return SKIPPED;
    }
    return fixture_run(tests);
}

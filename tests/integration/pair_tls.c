/* Goal: a pair whose clients speak TLS and have a password: Debian's clients work with it, and fail
 * over by themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define PYTHON "/usr/bin/python3" /* Debian's own: python3-redis is installed for that one */
#define SKIPPED 77
#define WAIT_MS 60000
#define USER "app"
#define PASSWORD "a-password-of-some-length"

struct fixture fixture = {.name = "tls", .tls = true};
static char ca_file[TS_PATH_MAX];
static char said[16384];

static const char *host(unsigned nic)
{
    return fixture.pair.cluster.nodes[nic].paths[0];
}

static enum ts_err shell(const char *line)
{
    struct ts_why why;
    const char *argv[] = {"sh", "-c", line, NULL};
    return lab_exec(argv, NULL, said, sizeof(said), &why);
}

static void test_user_is_added_and_known(void **state)
{
    (void)state;
    char line[3 * TS_PATH_MAX];
    unsigned primary = fixture_primary(&fixture);
    assert_int_equal(ts_path(ca_file, NULL, fixture.run, "nic1/tls/ca.pem"), TS_OK);
    snprintf(line, sizeof(line),
             "echo %s | %s/twinstep user add %s --role write --password-stdin "
             "--dir %s",
             PASSWORD, fixture.pair.run.bin, USER, fixture.run);
    assert_int_equal(shell(line), TS_OK);
    snprintf(line, sizeof(line),
             "redis-cli --tls --cacert %s --no-auth-warning --user %s --pass %s "
             "-h %s INCR n 2>&1",
             ca_file, USER, PASSWORD, host(primary));
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        (void)!shell(line);
    } while (strstr(said, "AUTH failed") != NULL);
    assert_int_not_equal(strtol(said, NULL, 10), 0);
    snprintf(line, sizeof(line), "redis-cli -h %s PING 2>&1", host(primary));
    (void)!shell(line);
    assert_null(strstr(said, "PONG"));
}

static void test_sentinel_client_goes_on_over_tls(void **state)
{
    (void)state;
    char line[3 * TS_PATH_MAX];
    struct nodes_proc replica;
    const char *primary = lab_pair_node(&fixture.pair, fixture_primary(&fixture));
    assert_true(nodes_find(&fixture.pair.run, primary, "replica", LAB_PAIR_GROUP, &replica));
    snprintf(line, sizeof(line), PYTHON " %s/tls_failover.py %s %d %s %s %s %s:6379 %s:6379 2>&1",
             CLIENTS_DIR, LAB_PAIR_GROUP, (int)replica.pid, ca_file, USER, PASSWORD, host(0),
             host(1));
    enum ts_err err = shell(line);
    print_message("%s", said);
    assert_int_equal(err, TS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_is_added_and_known),
        cmocka_unit_test(test_sentinel_client_goes_on_over_tls),
    };
    if (shell(PYTHON " -c 'import redis.sentinel'") != TS_OK) {
        (void)fprintf(stderr, "pair_tls: skipped: Debian's python3-redis is not installed\n");
        return SKIPPED;
    }
    return fixture_run(tests);
}

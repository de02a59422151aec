/* Goal: Debian's own clients work with the pair unmodified: redis-cli in both protocols and
 * redis-benchmark with the primary; the secondary sends them to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/exec.h"
#include "tests/integration/fixture.h"

struct fixture fixture = {.name = "clients", .calm = true};

static const char *host(unsigned nic)
{
    return fixture.pair.cluster.nodes[nic].paths[0];
}

/* What redis-cli prints, its last line end cut off. */
static void cli(unsigned nic, const char *option, const char *a, const char *b, const char *c,
                char out[1024])
{
    struct ts_why why = {{0}};
    const char *argv[] = {"redis-cli", "-h", host(nic), "-p", "6379", option, a, b, c, NULL};
    if (lab_exec(argv, NULL, out, 1024, &why) != TS_OK) {
        print_error("%s\n", why.text);
        fail();
    }
    out[strcspn(out, "\n")] = '\0';
}

static void test_redis_cli_on_the_primary(void **state)
{
    (void)state;
    static const char *const protocols[] = {"-2", "-3"};
    unsigned primary = fixture_primary(&fixture);
    char out[1024];
    for (size_t i = 0; i < 2; i++) {
        const char *p = protocols[i];
        cli(primary, p, "FLUSHALL", NULL, NULL, out);
        assert_string_equal(out, "OK");
        cli(primary, p, "SET", "greeting", "hello", out);
        assert_string_equal(out, "OK");
        cli(primary, p, "GET", "greeting", NULL, out);
        assert_string_equal(out, "hello");
        cli(primary, p, "APPEND", "greeting", " you", out);
        assert_string_equal(out, "9");
        cli(primary, p, "INCR", "visits", NULL, out);
        assert_string_equal(out, "1");
        cli(primary, p, "EXPIRE", "greeting", "1000", out);
        assert_string_equal(out, "1");
        cli(primary, p, "DBSIZE", NULL, NULL, out);
        assert_string_equal(out, "2");
        cli(primary, p, "GET", "missing", NULL, out);
        assert_string_equal(out, "");
        cli(primary, p, "ROLE", NULL, NULL, out);
        assert_string_equal(out, "master");
    }
}

static void test_redis_cli_on_the_secondary_is_sent_on(void **state)
{
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    char out[1024];
    char expected[128];
    snprintf(expected, sizeof expected, "READONLY primary is %s:6379", host(primary));
    cli(1 - primary, "-2", "SET", "key", "value", out);
    assert_non_null(strstr(out, expected));
    cli(1 - primary, "-2", "GET", "key", NULL, out);
    assert_non_null(strstr(out, expected));
    cli(1 - primary, "-2", "PING", NULL, NULL, out);
    assert_string_equal(out, "PONG");
    cli(1 - primary, "-2", "ROLE", NULL, NULL, out);
    assert_string_equal(out, "slave");
}

static void test_redis_benchmark_on_the_primary(void **state)
{
    (void)state;
    static const char *const pipelines[] = {"1", "16"};
    char out[8192];
    for (size_t i = 0; i < 2; i++) {
        struct ts_why why = {{0}};
        const char *argv[] = {"redis-benchmark",
                              "-h",
                              host(fixture_primary(&fixture)),
                              "-p",
                              "6379",
                              "-t",
                              "ping_inline,ping_mbulk,set,get,incr,mset",
                              "-n",
                              "4000",
                              "-c",
                              "20",
                              "-r",
                              "1000",
                              "-P",
                              pipelines[i],
                              "--csv",
                              NULL};
        if (lab_exec(argv, NULL, out, sizeof out, &why) != TS_OK) {
            print_error("%s\n%s\n", why.text, out);
            fail();
        }
        assert_null(strstr(out, "rror"));
        assert_non_null(strstr(out, "\"SET\""));
        assert_non_null(strstr(out, "\"GET\""));
        assert_non_null(strstr(out, "\"INCR\""));
        assert_non_null(strstr(out, "\"MSET"));
    }
}

/* Goal: INFO and ROLE say what is so now: both replicas are in sync, the secondary's position moves
 * with each write, and the secondary names its primary and has no replicas of its own. */
static void test_info_and_role_tell_the_present_members(void **state)
{
    (void)state;
    static char out[2][4096];
    char expected[128];
    unsigned primary = fixture_primary(&fixture);
    unsigned long long offset = 0;
    for (int i = 0; i < 2; i++) {
        struct ts_why why = {{0}};
        char command[256];
        snprintf(command, sizeof command,
                 "redis-cli -h %s -p 6379 INCR visits && redis-cli -h %s -p 6379 ROLE && "
                 "redis-cli -h %s -p 6379 INFO replication",
                 host(primary), host(primary), host(primary));
        const char *argv[] = {"sh", "-c", command, NULL};
        assert_int_equal(lab_exec(argv, NULL, out[0], sizeof out[0], &why), TS_OK);
        snprintf(expected, sizeof expected, "%s\n6379\n", host(1 - primary));
        const char *role = strstr(out[0], expected);
        assert_non_null(role);
        unsigned long long now = strtoull(role + strlen(expected), NULL, 10);
        assert_true(now > offset);
        offset = now;
    }
    assert_non_null(strstr(out[0], "connected_slaves:1\r"));
    assert_non_null(strstr(out[0], "state=online,offset="));
    assert_null(strstr(out[0], "offset=0,"));
    const char *in_sync = strstr(out[0], "twinstep_in_sync:nic");
    assert_non_null(in_sync);
    assert_non_null(memchr(in_sync, ',', strcspn(in_sync, "\r")));
    struct ts_why why = {{0}};
    const char *argv[] = {"redis-cli", "-h",   host(1 - primary), "-p",
                          "6379",      "INFO", "replication",     NULL};
    assert_int_equal(lab_exec(argv, NULL, out[1], sizeof out[1], &why), TS_OK);
    assert_non_null(strstr(out[1], "role:slave\r"));
    assert_non_null(strstr(out[1], "master_link_status:up\r"));
    assert_non_null(strstr(out[1], "master_sync_in_progress:0\r"));
    assert_non_null(strstr(out[1], "connected_slaves:0\r"));
    assert_null(strstr(out[1], "slave0:"));
}

/* It stops at the first error reply, with the text of it. */
static void test_redis_benchmark_on_the_secondary_refused(void **state)
{
    (void)state;
    struct ts_why why = {{0}};
    char command[256];
    char out[8192];
    snprintf(command, sizeof command,
             "redis-benchmark -h %s -p 6379 -t set -n 100 -c 2 -q 2>&1 || true",
             host(1 - fixture_primary(&fixture)));
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(lab_exec(argv, NULL, out, sizeof out, &why), TS_OK);
    assert_non_null(strstr(out, "READONLY primary is"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_cli_on_the_primary),
        cmocka_unit_test(test_redis_cli_on_the_secondary_is_sent_on),
        cmocka_unit_test(test_redis_benchmark_on_the_primary),
        cmocka_unit_test(test_info_and_role_tell_the_present_members),
        cmocka_unit_test(test_redis_benchmark_on_the_secondary_refused),
    };
    return fixture_run(tests);
}

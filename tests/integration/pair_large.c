/* Goal: values of the greatest length that are allowed, from many connections at once or in deep
 * pipelines, are served by a healthy pair: nobody fails over, and no client that reads what it
 * asked for is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/exec.h"
#include "services/kv/kv.h"
#include "tests/integration/fixture.h"

#define KV_LOOPBACK "" /* kv_process.h: not started here */
#include "tests/integration/kv_process.h"

#define VALUE KV_VALUE_MAX_DEFAULT
#define PIPELINE 300
#define ROUNDS 3
#define WAIT_MS 60000

struct fixture fixture = {.name = "large", .calm = true};

static uint64_t epoch_now(void)
{
    struct lab_state state;
    assert_true(lab_pair_wait_redundant(&fixture.pair, WAIT_MS, &state));
    return state.replica[lab_state_primary(&state)].epoch;
}

static void sh(const char *command, char *out, size_t cap)
{
    struct ts_why why = {{0}};
    const char *argv[] = {"sh", "-c", command, NULL};
    if (lab_exec(argv, NULL, out, cap, &why) != TS_OK) {
        print_error("%s\n%s\n", why.text, out);
        fail();
    }
}

static const char *primary_host(void)
{
    return fixture.pair.cluster.nodes[fixture_primary(&fixture)].paths[0];
}

/* That nothing has happened since the epoch was `before`. */
static void expect_calm(uint64_t before, const char *host)
{
    char command[256];
    char out[4096];
    snprintf(command, sizeof(command), "redis-cli -h %s -p 6379 INFO", host);
    sh(command, out, sizeof(out));
    assert_non_null(strstr(out, "twinstep_role:primary"));
    assert_non_null(strstr(out, "closed_unanswered:0\r"));
    assert_non_null(strstr(out, "closed_slow_readers:0\r"));
    assert_int_equal(epoch_now(), before);
}

static void benchmark(const char *host, const char *options)
{
    char command[256];
    char out[8192];
    snprintf(command, sizeof(command), "redis-benchmark -h %s -p 6379 -d %u --csv %s 2>&1", host,
             VALUE, options);
    sh(command, out, sizeof(out));
    assert_null(strstr(out, "rror"));
}

static void test_sets_of_the_longest_values_by_50_connections(void **state)
{
    (void)state;
    const char *host = primary_host();
    uint64_t before = epoch_now();
    for (int i = 0; i < ROUNDS; i++) {
        benchmark(host, "-t set -n 300 -c 50");
    }
    expect_calm(before, host);
}

static void test_gets_of_the_longest_values_in_pipelines(void **state)
{
    (void)state;
    const char *host = primary_host();
    uint64_t before = epoch_now();
    benchmark(host, "-t set -n 1 -c 1");
    benchmark(host, "-t get -n 512 -c 1 -P 128");
    benchmark(host, "-t get -n 1600 -c 50 -P 16");
    expect_calm(before, host);
}

/* Reads `len` bytes of replies, which are compared by nobody but the client itself. */
static void take(int fd, size_t len)
{
    static char chunk[256 * 1024];
    while (len > 0) {
        size_t n = kv_receive(fd, chunk, len < sizeof(chunk) ? len : sizeof(chunk));
        assert_true(n > 0);
        len -= n;
    }
}

/* One client sends a value and asks for it many times at once, in rounds and in the log. */
static void test_one_pipeline_of_the_longest_values(void **state)
{
    (void)state;
    const char *host = primary_host();
    uint64_t before = epoch_now();
    int fd = kv_connect(host, 6379);
    size_t reply = (size_t)snprintf(NULL, 0, "$%u\r\n\r\n", VALUE) + VALUE;
    size_t cap = VALUE + 64;
    char *request = malloc(cap);
    assert_non_null(request);
    size_t n = (size_t)snprintf(request, cap, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%u\r\n", VALUE);
    memset(request + n, 'v', VALUE);
    memcpy(request + n + VALUE, "\r\n", 2);
    kv_send(fd, request, n + VALUE + 2);
    for (int i = 0; i < PIPELINE; i++) {
        kv_send(fd, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 20);
    }
    take(fd, 5 + PIPELINE * reply);
    for (int i = 0; i < PIPELINE; i++) {
        kv_send(fd, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n", 41);
    }
    take(fd, PIPELINE * reply + 9 * 4 + 90 * 5 + (PIPELINE - 99) * 6);
    free(request);
    close(fd);
    expect_calm(before, host);
}

/* What the log window does not hold any more comes from the journal. */
static void test_secondary_catches_up_on_the_longest_values(void **state)
{
    (void)state;
    const char *host = primary_host();
    unsigned other = LAB_NICS - 1 - fixture_primary(&fixture);
    fixture_kill_node(other);
    benchmark(host, "-t set -n 200 -c 4");
    fixture_start_node(other);
    assert_true(fixture_primary(&fixture) != other); /* in sync again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_of_the_longest_values_by_50_connections),
        cmocka_unit_test(test_gets_of_the_longest_values_in_pipelines),
        cmocka_unit_test(test_one_pipeline_of_the_longest_values),
        cmocka_unit_test(test_secondary_catches_up_on_the_longest_values),
    };
    return fixture_run(tests);
}

/* The operator hands over (R4.5): with a running pair under load, the twinstep command, and what it
 * says when it cannot be. Nothing that was acknowledged is lost; how long the clients waited is
 * told, and judged by nobody here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/clock.h"
#include "lab/counter.h"
#include "lab/exec.h"
#include "tests/integration/fixture.h"
#include "tests/integration/kv_process.h"

#define WAIT_MS 30000
#define GRACE_MS 5000

/* A failover that nobody asked for would close the connections that must stay. */
struct fixture fixture = {.name = "handoff", .calm = true};
static char said[16 * 1024];

static const char *name(unsigned nic)
{
    return lab_pair_node(&fixture.pair, nic);
}

/* Runs `twinstep handoff …`; `said` has what it printed and why not. True when it exited with 0. */
static bool handoff(const char *group, const char *nic, const char *option)
{
    char command[TS_PATH_MAX + 256];
    struct ts_why why = {{0}};
    snprintf(command, sizeof command, "'%s/twinstep' handoff --dir '%s' %s %s %s 2>&1",
             fixture.pair.run.bin, fixture.run, group, nic == NULL ? "" : nic,
             option == NULL ? "" : option);
    const char *argv[] = {"sh", "-c", command, NULL};
    return lab_exec(argv, NULL, said, sizeof said, &why) == TS_OK;
}

static void expect_refused(const char *group, const char *nic, const char *sentence)
{
    bool done = handoff(group, nic, NULL);
    if (done || strstr(said, sentence) == NULL) {
        print_error("handoff %s %s: \"%s\" is missing in:\n%s\n", group, nic == NULL ? "" : nic,
                    sentence, said);
        fail();
    }
}

static void wait_redundant(void)
{
    struct lab_state state;
    char text[1024];
    if (!lab_pair_wait_redundant(&fixture.pair, WAIT_MS, &state)) {
        lab_state_text(&fixture.pair, &state, text, sizeof text);
        print_error("not redundant again: %s\n", text);
        fail();
    }
}

/* Goal: what cannot be is refused with what is wrong, and nothing changes. */
static void test_handoff_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct ts_why why = {{0}};
    unsigned primary = fixture_primary(&fixture);
    expect_refused("nosuch", NULL, "has no group \"nosuch\"");
    expect_refused("kv", "nic9", "has no NIC \"nic9\"");
    expect_refused("kv", name(2), "has no NIC"); /* the arbiter */
    expect_refused("kv", name(primary), "is the primary of kv already");
    assert_int_equal(nodes_stop(&fixture.pair.run, name(1 - primary), GRACE_MS, &why), TS_OK);
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    struct lab_state now;
    do {
        assert_true(lab_now_ns() < end);
        lab_pair_state(&fixture.pair, &now);
        lab_pause_ms(20);
    } while (!lab_state_has_alarm(&now, "not-redundant"));
    expect_refused("kv", name(1 - primary), "is not in sync");
    expect_refused("kv", NULL, "no other replica of group kv is in sync");
    assert_int_equal(nodes_start(&fixture.pair.run, name(1 - primary), NULL, &why), TS_OK);
    wait_redundant();
    assert_int_equal(fixture_primary(&fixture), primary);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Goal: there and back under load, by name and without: each time the other one serves, nothing is
 * lost, no process has ended, and `explain` names the operator. */
static void test_handoffs_under_load_lose_nothing(void **state)
{
    (void)state;
    uint64_t gap[HANDOFFS];
    struct lab_load *load = fixture_load(&fixture, "handoff");
    for (unsigned i = 0; i < HANDOFFS; i++) {
        wait_redundant();
        unsigned primary = fixture_primary(&fixture);
        lab_load_reset_gap(load);
        if (!handoff("kv", i % 2 == 0 ? NULL : name(1 - primary), i % 3 == 0 ? "--json" : NULL)) {
            print_error("%s\n", said);
            fail();
        }
        assert_non_null(strstr(said, name(1 - primary)));
        assert_true(lab_load_wait_acks(load, 50, WAIT_MS));
        gap[i] = lab_load_now(load).longest_gap_ns;
        wait_redundant();
        assert_int_equal(fixture_primary(&fixture), 1 - primary);
    }
    qsort(gap, HANDOFFS, sizeof gap[0], by_size);
    uint64_t median = gap[HANDOFFS / 2];
    print_message("%d handoffs: the load's longest pause was %.1f ms in the median, %.1f ms at "
                  "most\n",
                  HANDOFFS, (double)median / 1e6, (double)gap[HANDOFFS - 1] / 1e6);
    fixture_judge(load);
}

/* Goal: the command's epochs and those of `explain` are one story: the same one before, and the
 * takeover's is not above the one that the command saw last. */
static void test_handoff_tells_epochs_as_explain_does(void **state)
{
    (void)state;
    char command[TS_PATH_MAX + 256];
    unsigned long long told[2];
    unsigned long long explained[2];
    struct ts_why why = {{0}};
    wait_redundant();
    assert_true(handoff("kv", NULL, NULL));
    const char *at = strstr(said, "; epoch ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "; epoch %llu before, %llu now", &told[0], &told[1]), 2);
    wait_redundant();
    snprintf(command, sizeof command, "'%s/twinstep' explain --dir '%s' 2>&1", fixture.pair.run.bin,
             fixture.run);
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(lab_exec(argv, NULL, said, sizeof said, &why), TS_OK);
    at = strstr(said, ", epoch ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, ", epoch %llu to %llu", &explained[0], &explained[1]), 2);
    assert_true(explained[0] == told[0] && explained[1] == told[0] + 1);
    assert_true(explained[1] <= told[1]);
}

/* ---- a client that stays connected ---- */

#define PIPELINE 16

static struct lab_counter *start_counter(unsigned nic, unsigned number)
{
    struct lab_addrs addrs = lab_pair_addrs(&fixture.pair);
    struct lab_counter *c = NULL;
    struct ts_why why = {{0}};
    char key[16];
    snprintf(key, sizeof key, "count%u", number);
    if (lab_counter_start(&c, &addrs.a[nic], key, PIPELINE, &why) != TS_OK) {
        print_error("%s\n", why.text);
        fail();
    }
    return c;
}

/* Goal: a pipelined client that stays where it is sees no error: each of its requests is carried
 * out once, in order, across the handoff, and goes on afterwards by way of the old primary. */
static void test_connected_client_sees_no_error(void **state)
{
    (void)state;
    uint64_t gap[HANDOFFS];
    for (unsigned i = 0; i < HANDOFFS; i++) {
        struct lab_counter_result r;
        wait_redundant();
        struct lab_counter *c = start_counter(fixture_primary(&fixture), i);
        assert_true(lab_counter_wait(c, 10 * PIPELINE, WAIT_MS));
        if (!handoff("kv", NULL, NULL)) {
            print_error("%s\n", said);
            fail();
        }
        bool goes_on = lab_counter_wait(c, 10 * PIPELINE, WAIT_MS);
        lab_counter_stop(c, &r);
        if (!goes_on || r.closed || r.wrong[0] != '\0' || r.answered != r.sent) {
            print_error("handoff %u: %s, %llu of %llu answered %s\n", i,
                        r.closed ? "closed" : "not closed", (unsigned long long)r.answered,
                        (unsigned long long)r.sent, r.wrong);
            fail();
        }
        gap[i] = r.gap_ns;
    }
    qsort(gap, HANDOFFS, sizeof gap[0], by_size);
    uint64_t median = gap[HANDOFFS / 2];
    print_message("%d handoffs: a connected client's longest pause was %.1f ms in the median, "
                  "%.1f ms at most\n",
                  HANDOFFS, (double)median / 1e6, (double)gap[HANDOFFS - 1] / 1e6);
}

/* Goal: who is carried on learns by the closed connection that the new primary is gone; nothing is
 * answered twice or out of order before. */
static void test_carried_on_client_is_closed_with_the_primary(void **state)
{
    (void)state;
    struct lab_counter_result r;
    wait_redundant();
    unsigned primary = fixture_primary(&fixture);
    struct lab_counter *c = start_counter(primary, HANDOFFS);
    assert_true(lab_counter_wait(c, PIPELINE, WAIT_MS));
    if (!handoff("kv", name(1 - primary), NULL)) {
        print_error("%s\n", said);
        fail();
    }
    wait_redundant();
    fixture_kill_node(1 - primary);
    assert_true(lab_counter_wait_closed(c, WAIT_MS));
    lab_counter_stop(c, &r);
    assert_true(r.closed && r.answered > 0);
    assert_string_equal(r.wrong, "");
    fixture_start_node(1 - primary);
    wait_redundant();
}

/* ---- clients that are more than a plain connection ---- */

static struct kv_replies ask(int fd, const char *line, size_t replies)
{
    struct kv_replies r = {0};
    kv_send(fd, line, strlen(line));
    assert_true(kv_receive_replies(fd, &r, replies));
    assert_non_null(r.data);
    return r;
}

static void expect_in(int fd, const char *line, size_t replies, const char *text)
{
    struct kv_replies r = ask(fd, line, replies);
    if (strstr(r.data, text) == NULL) {
        fail_msg("\"%s\" is missing in the answer to %s%s", text, line, r.data);
    }
    free(r.data);
}

static int connect_to_nic(unsigned nic)
{
    struct lab_addrs addrs = lab_pair_addrs(&fixture.pair);
    char host[INET_ADDRSTRLEN];
    assert_non_null(inet_ntop(AF_INET, &addrs.a[nic].sin_addr, host, sizeof host));
    return kv_connect(host, ntohs(addrs.a[nic].sin_port));
}

/* The session's id from SESSION.OPEN's answer. */
static void open_session(int fd, const char *session, char id[64])
{
    char line[64];
    snprintf(line, sizeof line, "SESSION.OPEN %s\r\n", session);
    struct kv_replies r = ask(fd, line, 1);
    const char *at = strchr(r.data, '\n');
    assert_non_null(at);
    snprintf(id, 64, "%.*s", (int)strcspn(at + 1, "\r"), at + 1);
    free(r.data);
}

/* Goal: RESP3, names and sessions hold at the other end. A session that was resumed elsewhere takes
 * nothing more from the connection that is carried on, and one that goes on counts as before. */
static void test_protocol_and_session_are_carried_on(void **state)
{
    (void)state;
    char id[2][64];
    char line[128];
    wait_redundant();
    unsigned primary = fixture_primary(&fixture);
    int resp3 = connect_to_nic(primary);
    int writer = connect_to_nic(primary);
    int late = connect_to_nic(primary);
    int within = connect_to_nic(primary);
    expect_in(resp3, "HELLO 3 SETNAME three\r\n", 1, "proto");
    expect_in(resp3, "CLIENT SETINFO LIB-NAME lib\r\n", 1, "+OK");
    open_session(writer, "carried", id[0]);
    open_session(late, "late", id[1]);
    expect_in(writer, "HELLO 3\r\nSET carried 0\r\nINCR carried\r\nSESSION.ACK 1\r\n", 4, ":1\r\n");
    expect_in(late, "SET late 0\r\n", 1, "+OK");
    expect_in(within, "MULTI\r\nSET within 1\r\n", 2, "+QUEUED");
    if (!handoff("kv", name(1 - primary), NULL)) {
        print_error("%s\n", said);
        fail();
    }
    expect_in(resp3, "GET nosuch\r\nCLIENT INFO\r\n", 2, "_\r\n=");
    expect_in(resp3, "CLIENT INFO\r\n", 1, " name=three ");
    expect_in(resp3, "CLIENT INFO\r\n", 1, " resp=3 lib-name=lib ");
    expect_in(writer, "INCR carried\r\nGET nosuch\r\n", 2, ":2\r\n_\r\n");
    expect_in(writer, "SESSION.NEXT 2\r\nINCR carried\r\nINCR carried\r\nINCR carried\r\n", 4,
              "+OK\r\n:1\r\n:2\r\n:3\r\n");
    /* Nothing of it was acknowledged by the way: who resumes gets all after what it acknowledged.
     */
    int again = connect_to_nic(1 - primary);
    snprintf(line, sizeof line, "SESSION.RESUME %s 1\r\n", id[0]);
    expect_in(again, line, 1, "*3\r\n:1\r\n:2\r\n:3\r\n");
    expect_in(writer, "INCR carried\r\n", 1, "-OLDCONNECTION");
    snprintf(line, sizeof line, "SESSION.RESUME %s 1\r\n", id[1]);
    expect_in(again, line, 1, "*0\r\n");
    expect_in(late, "SET late 1\r\n", 1, "-OLDCONNECTION"); /* it is carried on from here */
    expect_in(again, "GET late\r\n", 1, "$1\r\n0\r\n");
    expect_in(within, "GET within\r\n", 1, "-READONLY"); /* what began here cannot end there */
    expect_in(within, "EXEC\r\nGET within\r\n", 2, "-EXECABORT");
    close(resp3);
    close(writer);
    close(late);
    close(within);
    close(again);
}

/* Goal: a subscriber hears of the new primary and is closed, since what is published is published
 * there; who waits for that word alone gets it, and stays. */
static void test_subscribers_are_told_and_closed(void **state)
{
    (void)state;
    char got[1024];
    size_t len = 0;
    size_t n = 0;
    wait_redundant();
    unsigned primary = fixture_primary(&fixture);
    int news = connect_to_nic(primary);
    int watcher = connect_to_nic(primary);
    expect_in(news, "SUBSCRIBE news +switch-master\r\n", 2, "news");
    expect_in(watcher, "SUBSCRIBE +switch-master\r\n", 1, "+switch-master");
    if (!handoff("kv", name(1 - primary), NULL)) {
        print_error("%s\n", said);
        fail();
    }
    while (len + 1 < sizeof got && (n = kv_receive(news, got + len, sizeof got - 1 - len)) > 0) {
        len += n;
    }
    got[len] = '\0';
    assert_non_null(strstr(got, "+switch-master\r\n"));
    assert_int_equal(n, 0); /* closed */
    expect_in(watcher, "PING\r\n", 2, "+switch-master\r\n");
    expect_in(watcher, "PING\r\n", 1, "pong");
    close(news);
    close(watcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handoff_that_cannot_be_is_refused),
        cmocka_unit_test(test_handoffs_under_load_lose_nothing),
        cmocka_unit_test(test_handoff_tells_epochs_as_explain_does),
        cmocka_unit_test(test_connected_client_sees_no_error),
        cmocka_unit_test(test_protocol_and_session_are_carried_on),
        cmocka_unit_test(test_subscribers_are_told_and_closed),
        cmocka_unit_test(test_carried_on_client_is_closed_with_the_primary),
    };
    return fixture_run(tests);
}

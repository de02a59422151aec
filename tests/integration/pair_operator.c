/* What an operator sees and does, with a running pair and the twinstep command. The tests stand
 * in one order and share the pair. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define WAIT_MS 60000
#define ARBITER 2 /* index of the arbiter's node */

static struct fixture fixture;
static char said[64 * 1024];

/* Runs `twinstep WORD --dir RUN [option]`; `said` has what it printed, however it ended. */
static void twinstep(const char *word, const char *option)
{
    char program[TS_PATH_MAX];
    struct ts_why why;
    assert_int_equal(ts_path(program, NULL, fixture.pair.run.bin, "twinstep"), TS_OK);
    const char *argv[] = {program, word, "--dir", fixture.run, option, NULL};
    enum ts_err err = lab_exec(argv, NULL, said, sizeof(said), &why);
    assert_true(err == TS_OK || err == TS_ERR_REFUSED); /* alarms are a status of their own */
}

static void expect_said(const char *text)
{
    if (strstr(said, text) == NULL) {
        print_error("\"%s\" is missing in:\n%s\n", text, said);
        fail();
    }
}

static void kill_node(unsigned index)
{
    const char *name = lab_pair_node(&fixture.pair, index);
    assert_true(nodes_signal_all(&fixture.pair.run, name, SIGKILL) > 0);
    assert_true(nodes_wait_gone(&fixture.pair.run, name, WAIT_MS));
}

static void start_node(unsigned index)
{
    struct ts_why why = {{0}};
    if (nodes_start(&fixture.pair.run, lab_pair_node(&fixture.pair, index), NULL, &why) != TS_OK) {
        print_error("%s\n", why.text);
        fail();
    }
}

static void wait_alarm(const char *code)
{
    struct lab_state now;
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        lab_pair_state(&fixture.pair, &now);
    } while (!lab_state_has_alarm(&now, code));
}

/* Goal: with the arbiter and the primary gone nobody serves, and `status` says so in the heading
 * and as an alarm, instead of naming the dead primary. The events keep it. */
static void test_status_without_primary_says_so(void **state)
{
    char text[160];
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    const char *name = lab_pair_node(&fixture.pair, primary);
    kill_node(ARBITER);
    kill_node(primary);
    wait_alarm("no-primary");
    twinstep("status", NULL);
    expect_said("group kv  no primary seen for ");
    snprintf(text, sizeof(text), " s, %s was the last  epoch ", name);
    expect_said(text);
    snprintf(text, sizeof(text), "no-primary        kv     %s",
             lab_pair_node(&fixture.pair, LAB_NICS - 1 - primary));
    expect_said(text);
    twinstep("status", "--json");
    expect_said("\"primary\": null");
    twinstep("events", NULL);
    expect_said("cluster-cfgd kv: alarm-no-primary epoch=");
    snprintf(text, sizeof(text), "last-primary=%s ", name);
    expect_said(text);

    start_node(ARBITER);
    start_node(primary);
    primary = fixture_primary(&fixture);
    twinstep("status", NULL);
    snprintf(text, sizeof(text), "group kv  primary %s  epoch ",
             lab_pair_node(&fixture.pair, primary));
    expect_said(text);
    expect_said("no alarms");
    twinstep("events", NULL);
    expect_said("cluster-cfgd kv: primary-seen epoch=");
}

static int begin(void **state)
{
    (void)state;
    fixture_begin(&fixture, "operator");
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_end(&fixture, true);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_without_primary_says_so),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

/* Goal: a NIC's disk is lost for good while clients write; twinstep nic replace puts a blank one in
 * its place, which comes in sync, and takes over with all that was acknowledged; the lost one, when
 * it is found again, is refused. So it is with an arbiter's. Their voters vote again: the group
 * goes on when another one fails then. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define WAIT_MS 60000

struct fixture fixture = {.name = "replace"};
static char said[1024 * 1024]; /* all events of a few nodes, too */
static struct lab_load *load;
static unsigned lost; /* index of the NIC */

/* `twinstep WORDS --dir RUN`; `said` has all that it printed. Gives whether its status was 0. */
__attribute__((format(printf, 1, 2))) static bool twinstep(const char *format, ...)
{
    char words[256];
    char command[2 * TS_PATH_MAX];
    struct ts_why why;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    (void)snprintf(command, sizeof(command), "%s/twinstep %s --dir %s 2>&1", fixture.pair.run.bin,
                   words, fixture.run);
    const char *argv[] = {"sh", "-c", command, NULL};
    enum ts_err err = lab_exec(argv, NULL, said, sizeof(said), &why);
    assert_true(err == TS_OK || err == TS_ERR_REFUSED);
    return err == TS_OK;
}

static void expect_said(const char *text)
{
    if (strstr(said, text) == NULL) {
        print_error("\"%s\" is missing in:\n%s\n", text, said);
        fail();
    }
}

static const char *name_of(unsigned index)
{
    return lab_pair_node(&fixture.pair, index);
}

/* Renames RUN/NAME`from` to RUN/NAME`to`. */
static void move(const char *from, const char *to)
{
    char a[TS_PATH_MAX];
    char b[TS_PATH_MAX];
    assert_int_equal(ts_path(a, NULL, fixture.run, "%s%s", name_of(lost), from), TS_OK);
    assert_int_equal(ts_path(b, NULL, fixture.run, "%s%s", name_of(lost), to), TS_OK);
    assert_int_equal(rename(a, b), 0);
}

/* Until this NIC is primary, or (NULL) both are in sync; alarms of the lost voter stand. */
static void wait_for(const unsigned *primary)
{
    struct lab_state s;
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    for (;;) {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        lab_pair_state(&fixture.pair, &s);
        int p = lab_state_primary(&s);
        bool both =
            p >= 0 && s.replica[p].in_sync == s.replica[p].members && s.replica[1 - p].known;
        if (primary == NULL ? both : p == (int)*primary) {
            return;
        }
    }
}

static void test_what_is_not_lost_is_not_replaced(void **state)
{
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    lost = LAB_NICS - 1 - primary;
    load = fixture_load(&fixture, "replace");
    assert_false(twinstep("nic replace %s --yes", name_of(lost)));
    expect_said("runs here");
    assert_false(twinstep("nic replace nic9 --yes"));
    expect_said("has no NIC or arbiter \"nic9\"");
    fixture_kill_node(lost);
    struct lab_state s;
    do {
        lab_pause_ms(20);
        lab_pair_state(&fixture.pair, &s);
    } while (s.replica[primary].in_sync == s.replica[primary].members);
    assert_false(twinstep("nic replace %s --yes", name_of(lost)));
    expect_said("that disk is not blank");
    move("", ".lost");
    assert_false(twinstep("up --nic %s", name_of(lost)));
    expect_said("twinstep nic replace");
    assert_false(twinstep("nic replace %s", name_of(lost)));
    expect_said("Say --yes");
    assert_true(twinstep("nic replace %s --dry-run", name_of(lost)));
    expect_said("nothing that is known here speaks against it");
}

/* Without the arbiter nothing can be decided: the new disk waits, and is lost as well. Meanwhile
 * the arbiter's, which is good, may not be given up. */
static void test_a_replacement_is_lost(void **state)
{
    (void)state;
    fixture_kill_node(LAB_NICS);
    assert_false(twinstep("nic replace %s --yes --timeout 2", name_of(lost)));
    expect_said("is not done after 2 s");
    assert_false(twinstep("nic replace %s --dry-run", name_of(LAB_NICS)));
    expect_said("does not vote now");
    fixture_kill_node(lost);
    move("", ".first");
    fixture_start_node(LAB_NICS);
}

static void test_a_blank_disk_comes_in_sync(void **state)
{
    (void)state;
    if (!twinstep("nic replace %s --yes", name_of(lost))) {
        print_error("%s\n", said);
        fail();
    }
    expect_said("is in sync in all its groups, and its voter votes");
    wait_for(NULL);
    (void)twinstep("status");
    assert_null(strstr(said, "voter-joining"));
    (void)twinstep("events");
    expect_said("enrolled");
}

/* It has everything: it takes over, and the clients' promises are judged behind that. */
static void test_it_takes_over(void **state)
{
    (void)state;
    struct nodes_proc proc;
    unsigned primary = LAB_NICS - 1 - lost;
    assert_true(nodes_find(&fixture.pair.run, name_of(primary), "replica", "kv", &proc));
    assert_true(nodes_signal(&fixture.pair.run, name_of(primary), &proc, SIGKILL));
    wait_for(&lost);
    wait_for(NULL);
}

/* With its voter, and the arbiter's, it goes on when the other NIC fails. */
static void test_its_voter_makes_a_majority(void **state)
{
    (void)state;
    unsigned other = LAB_NICS - 1 - lost;
    fixture_kill_node(other);
    wait_for(&lost);
    struct nodes_proc proc;
    assert_true(nodes_find(&fixture.pair.run, name_of(lost), "replica", "kv", &proc));
    assert_true(nodes_signal(&fixture.pair.run, name_of(lost), &proc, SIGKILL));
    wait_for(&lost); /* it starts again, which two voters have to confirm */
    fixture_start_node(other);
    wait_for(NULL);
}

static void test_an_arbiter_is_replaced(void **state)
{
    (void)state;
    unsigned nic = lost;
    lost = LAB_NICS;
    fixture_kill_node(lost);
    move("", ".lost");
    if (!twinstep("nic replace %s --yes", name_of(lost))) {
        print_error("%s\n", said);
        fail();
    }
    expect_said("votes after");
    lost = nic;
    test_its_voter_makes_a_majority(state);
}

static void test_the_lost_disk_is_refused(void **state)
{
    (void)state;
    char refused[TS_PATH_MAX];
    unsigned other = LAB_NICS - 1 - lost;
    assert_int_equal(ts_path(refused, NULL, fixture.run, "%s/groups/kv/refused", name_of(lost)),
                     TS_OK);
    fixture_kill_node(lost);
    move("", ".new");
    move(".lost", "");
    fixture_start_node(lost);
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (access(refused, F_OK) != 0) {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
    }
    wait_for(&other);
    do { /* its voter runs, and is not counted */
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        (void)twinstep("status");
    } while (strstr(said, "voter-replaced") == NULL);
    fixture_kill_node(lost);
    move("", ".lost");
    move(".new", "");
    fixture_start_node(lost);
    wait_for(NULL);
    fixture_judge(load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_lost_is_not_replaced),
        cmocka_unit_test(test_a_replacement_is_lost),
        cmocka_unit_test(test_a_blank_disk_comes_in_sync),
        cmocka_unit_test(test_it_takes_over),
        cmocka_unit_test(test_its_voter_makes_a_majority),
        cmocka_unit_test(test_an_arbiter_is_replaced),
        cmocka_unit_test(test_the_lost_disk_is_refused),
    };
    return fixture_run(tests);
}

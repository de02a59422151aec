/* A replica whose journal fails ends itself (R2.11): its end is the word on which the other one
 * goes on. nicd starts it again, with growing pauses; a disk that was merely full is used again
 * when there is room, one that failed a sync is refused. Nothing that was acknowledged is lost.
 *
 * The disks are those of lab/disk, with errors on demand. The tests stand in one order and
 * share the pair: the last ones leave it without disks. */
#include <errno.h>
#include <setjmp.h>
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

#define WAIT_MS 30000
#define GRACE_MS 5000

struct fixture fixture = {.name = "baddisk"};
static char order_dir[LAB_SCRATCH_MAX];
static char order[TS_PATH_MAX]; /* the file that tells the disks what to fail */

static const char *name(unsigned nic)
{
    return lab_pair_node(&fixture.pair, nic);
}

/* From now on each such call on the journal of this NIC's replica fails. */
static void break_disk(unsigned nic, const char *call, int error)
{
    char draft[TS_PATH_MAX + 8];
    snprintf(draft, sizeof draft, "%s.new", order);
    FILE *f = fopen(draft, "w");
    assert_non_null(f);
    fprintf(f, "%s %d /%s/groups/kv/segment", call, error, name(nic));
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(draft, order), 0);
}

static void mend_disks(void)
{
    assert_int_equal(unlink(order), 0);
}

/* How many lines of a log of this NIC match the pattern. */
static unsigned count_lines(unsigned nic, const char *program, const char *pattern)
{
    char command[1024];
    char out[64];
    struct ts_why why = {{0}};
    snprintf(command, sizeof command, "grep -cE '%s' '%s/%s/log/%s.log' || :", pattern, fixture.run,
             name(nic), program);
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(lab_exec(argv, NULL, out, sizeof out, &why), TS_OK);
    return (unsigned)strtoul(out, NULL, 10);
}

static void wait_lines(unsigned nic, const char *program, const char *pattern, unsigned at_least)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (count_lines(nic, program, pattern) < at_least) {
        if (lab_now_ns() > end) {
            print_error("%s: not %u times in the log of %s: %s\n", name(nic), at_least, program,
                        pattern);
            fail();
        }
        lab_pause_ms(20);
    }
}

static void wait_primary(unsigned nic)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    struct lab_state state;
    do {
        assert_true(lab_now_ns() < end);
        lab_pair_state(&fixture.pair, &state);
        lab_pause_ms(20);
    } while (lab_state_primary(&state) != (int)nic);
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

static bool is_abandoned(unsigned nic)
{
    char path[TS_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s/groups/kv/abandoned", fixture.run, name(nic));
    return access(path, F_OK) == 0;
}

/* Goal: the primary's disk is full. Its replica says so and ends, the other one goes on; it is
 * started again and again, and is back when there is room. */
static void test_full_disk_of_primary_is_used_again(void **state)
{
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    struct lab_load *load = fixture_load(&fixture, "full");
    break_disk(primary, "write", ENOSPC);
    wait_lines(primary, "replica-kv", "cannot write the journal in", 1);
    wait_lines(primary, "replica-kv", "free space on this file system", 1);
    wait_primary(1 - primary);
    assert_true(lab_load_wait_acks(load, 100, WAIT_MS));
    wait_lines(primary, "nicd", "starts again in", 3);
    assert_int_equal(count_lines(primary, "nicd", "exited with status 78"), 0); /* no long wait */
    assert_false(is_abandoned(primary));
    mend_disks();
    wait_redundant();
    fixture_judge(load);
}

/* Goal: the primary's disk hangs without an error. It asks the other one to take over, and clients
 * are answered again; when it works again, its replica is back, as the same process. */
static void test_hung_disk_of_primary_is_left_to_the_other(void **state)
{
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    unsigned ends = count_lines(primary, "nicd", "starts again in");
    struct lab_load *load = fixture_load(&fixture, "hang");
    lab_load_reset_gap(load);
    break_disk(primary, "sync", 0);
    wait_primary(1 - primary);
    assert_true(lab_load_wait_acks(load, 100, WAIT_MS));
    print_message("a hung disk of the primary: the longest pause was %llu ms\n",
                  (unsigned long long)(lab_load_now(load).longest_gap_ns / TS_NS_PER_MS));
    mend_disks();
    wait_redundant();
    assert_int_equal(count_lines(primary, "nicd", "starts again in"), ends);
    fixture_judge(load);
}

/* Goal: a secondary's disk hangs. The primary removes it and goes on. */
static void test_hung_disk_of_secondary_is_not_waited_for(void **state)
{
    (void)state;
    struct lab_state now;
    unsigned primary = fixture_primary(&fixture);
    struct lab_load *load = fixture_load(&fixture, "lame");
    lab_load_reset_gap(load);
    break_disk(1 - primary, "sync", 0);
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pair_state(&fixture.pair, &now);
        lab_pause_ms(20);
    } while (!lab_state_has_alarm(&now, "not-redundant") ||
             !lab_state_has_alarm(&now, "disk-hangs"));
    assert_true(lab_load_wait_acks(load, 100, WAIT_MS));
    print_message("a hung disk of the secondary: the longest pause was %llu ms\n",
                  (unsigned long long)(lab_load_now(load).longest_gap_ns / TS_NS_PER_MS));
    mend_disks();
    wait_redundant();
    assert_int_equal(fixture_primary(&fixture), primary);
    fixture_judge(load);
}

/* Goal: a lone primary with a full disk answers nobody, and keeps what it acknowledged. */
static void test_full_disk_of_lone_primary_loses_nothing(void **state)
{
    (void)state;
    struct ts_why why = {{0}};
    unsigned primary = fixture_primary(&fixture);
    struct lab_load *load = fixture_load(&fixture, "lone");
    unsigned ends = count_lines(primary, "nicd", "starts again in");
    assert_int_equal(nodes_stop(&fixture.pair.run, name(1 - primary), GRACE_MS, &why), TS_OK);
    assert_true(lab_load_wait_acks(load, 100, WAIT_MS));
    break_disk(primary, "write", ENOSPC);
    wait_lines(primary, "nicd", "starts again in", ends + 1);
    mend_disks();
    assert_true(lab_load_wait_acks(load, 100, WAIT_MS));
    assert_int_equal(nodes_start(&fixture.pair.run, name(1 - primary), NULL, &why), TS_OK);
    wait_redundant();
    fixture_judge(load);
}

/* Goal: after one failed sync the disk is not used any more: the replica ends, the other one goes
 * on alone, each new start is refused with the reason, and nicd waits long between them. */
static void test_failed_sync_of_primary_ends_trust(void **state)
{
    (void)state;
    struct lab_state now;
    unsigned primary = fixture_primary(&fixture);
    struct lab_load *load = fixture_load(&fixture, "sync");
    break_disk(primary, "sync", EIO);
    wait_lines(primary, "replica-kv", "cannot fdatasync", 1);
    wait_primary(1 - primary);
    mend_disks();
    assert_true(lab_load_wait_acks(load, 100, WAIT_MS));
    wait_lines(primary, "replica-kv", "is not trusted any more", 1);
    wait_lines(primary, "nicd", "starts again in [0-9]{4} ms", 1); /* only a person can help */
    assert_true(is_abandoned(primary));
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pair_state(&fixture.pair, &now);
        lab_pause_ms(20);
    } while (!lab_state_has_alarm(&now, "process-down"));
    fixture_judge(load);
}

/* Goal: so it is when the sync failed for want of space: what it was to carry is as unknown. */
static void test_failed_sync_without_space_ends_trust(void **state)
{
    (void)state;
    struct lab_state now;
    lab_pair_state(&fixture.pair, &now);
    int lone = lab_state_primary(&now);
    assert_true(lone >= 0 && !is_abandoned((unsigned)lone));
    break_disk((unsigned)lone, "sync", ENOSPC);
    wait_lines((unsigned)lone, "replica-kv", "cannot fdatasync",
               1); /* an idle primary writes, too */
    wait_lines((unsigned)lone, "replica-kv", "is not trusted any more", 1);
    mend_disks();
}

/* Stops the learner's process for so long that the link to it breaks, and lets it go on. */
static void break_link(unsigned nic)
{
    struct nodes_proc proc;
    if (nodes_find(&fixture.pair.run, name(nic), NULL, LAB_PAIR_GROUP, &proc)) {
        (void)nodes_signal(&fixture.pair.run, name(nic), &proc, SIGSTOP);
        lab_pause_ms(150);
        (void)nodes_signal(&fixture.pair.run, name(nic), &proc, SIGCONT);
        lab_pause_ms(50);
    }
}

/* More than the primary's log window, which is 64 MiB. */
static void write_much(unsigned primary)
{
    struct ts_why why = {{0}};
    char out[4096];
    const char *host = fixture.pair.cluster.nodes[primary].paths[0];
    const char *argv[] = {"redis-benchmark", "-h", host,  "-p", "6379", "-t",    "set", "-d",
                          "500000",          "-n", "160", "-c", "2",    "--csv", NULL};
    if (lab_exec(argv, NULL, out, sizeof out, &why) != TS_OK) {
        print_error("%s\n%s\n", why.text, out);
        fail();
    }
}

/* Goal: a learner far behind catches up although reads of the journal for it fail, although its
 * link breaks while they are under way, and although so many are left over that new ones are
 * refused. */
static void test_catch_up_survives_lost_reads(void **state)
{
    (void)state;
    struct ts_why why = {{0}};
    unsigned primary = fixture_primary(&fixture);
    struct lab_load *load = fixture_load(&fixture, "reads");
    unsigned learner = 1 - primary;
    assert_int_equal(nodes_stop(&fixture.pair.run, name(learner), GRACE_MS, &why), TS_OK);
    write_much(primary);
    break_disk(primary, "read", EIO);
    assert_int_equal(nodes_start(&fixture.pair.run, name(learner), NULL, &why), TS_OK);
    wait_lines(primary, "replica-kv", "catch-up of a learner: cannot read", 3);
    break_disk(primary, "read", 0); /* they hang */
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (count_lines(primary, "replica-kv", "catch-up of a learner: busy") == 0) {
        assert_true(lab_now_ns() < end);
        break_link(learner);
    }
    assert_true(lab_load_wait_acks(load, 100, WAIT_MS)); /* a learner holds up nobody */
    mend_disks();
    wait_redundant();
    fixture_judge(load);
}

static int begin(void **state)
{
    const char *base = getenv("TMPDIR");
    assert_int_equal(lab_scratch_make("order", order_dir), TS_OK);
    snprintf(order, sizeof order, "%s/order", order_dir);
    setenv("LABDISK_DIR", base == NULL ? "/tmp" : base, 1);
    setenv("LABDISK_ONLY", "/groups/", 1);
    setenv("LABDISK_FAIL", order, 1);
    setenv("LD_PRELOAD", LABDISK_LIBRARY, 1);
    return fixture_set_up(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk_of_primary_is_used_again),
        cmocka_unit_test(test_full_disk_of_lone_primary_loses_nothing),
        cmocka_unit_test(test_hung_disk_of_primary_is_left_to_the_other),
        cmocka_unit_test(test_hung_disk_of_secondary_is_not_waited_for),
        cmocka_unit_test(test_catch_up_survives_lost_reads),
        cmocka_unit_test(test_failed_sync_of_primary_ends_trust),
        cmocka_unit_test(test_failed_sync_without_space_ends_trust),
    };
    int status = fixture_finish(cmocka_run_group_tests(tests, begin, NULL));
    lab_scratch_remove(order_dir);
    return status;
}

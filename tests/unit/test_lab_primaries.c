/* Primaries by the recorders: one an epoch, whatever the files look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lab/primaries.h"
#include "lab/scratch.h"

static int teardown(void **state)
{
    lab_primaries_free(*state);
    return 0;
}

static int setup(void **state)
{
    static struct lab_primaries p;
    *state = &p;
    return 0;
}

static void add(struct lab_primaries *p, const char *node, const char *program, const char *kind,
                unsigned group, unsigned epoch, const char *instance, unsigned at)
{
    char line[512];
    (void)snprintf(line, sizeof(line),
                   "{\"seq\":1,\"mono_ns\":%u,\"program\":\"%s\",\"group\":%u,\"instance\":\"%s\","
                   "\"kind\":\"%s\",\"epoch\":%u}\n",
                   at, program, group, instance, kind, epoch);
    lab_primaries_add(p, node, line, 100);
}

/* Goal: each epoch of each group counts once, also when two files tell of it. */
static void test_epochs_are_counted(void **state)
{
    struct lab_primaries *p = *state;
    add(p, "nic1", "replica", "active", 1, 3, "a1", 100);
    add(p, "nic1.lost-1", "replica", "active", 1, 3, "a1", 100);
    add(p, "nic2", "replica", "active", 1, 4, "b1", 110);
    add(p, "nic2", "replica", "active", 2, 3, "b2", 110);
    assert_int_equal(p->begun, 3);
    assert_int_equal(p->two, 0);
}

/* Goal: a second primary of an epoch that had begun before is found, too; what was over before the
 * time that is asked for is not told again. */
static void test_epochs_that_had_begun_before_count(void **state)
{
    struct lab_primaries *p = *state;
    add(p, "nic1", "replica", "active", 1, 1, "a1", 40);
    add(p, "nic2", "replica", "active", 1, 1, "b1", 50);
    assert_int_equal(p->two, 0);
    add(p, "nic1", "replica", "active", 1, 2, "a1", 60);
    add(p, "nic2", "replica", "active", 1, 2, "b1", 110);
    assert_int_equal(p->begun, 0);
    assert_int_equal(p->two, 1);
    assert_non_null(strstr(p->first, "in epoch 2"));
}

/* Goal: a second process that served in an epoch is found, and both are named. */
static void test_two_primaries_of_an_epoch_are_found(void **state)
{
    struct lab_primaries *p = *state;
    add(p, "nic1", "replica", "active", 1, 3, "a1", 100);
    add(p, "nic1", "replica", "active", 1, 5, "a1", 105);
    add(p, "nic2", "replica", "active", 1, 3, "b1", 110);
    assert_int_equal(p->begun, 2);
    assert_int_equal(p->two, 1);
    assert_non_null(strstr(p->first, "nic1 (process a1) and nic2 (process b1)"));
    assert_non_null(strstr(p->first, "in epoch 3"));
}

/* Goal: other events, older ones and torn lines are left alone. */
static void test_other_lines_are_left_alone(void **state)
{
    struct lab_primaries *p = *state;
    add(p, "nic1", "replica", "active", 1, 3, "a1", 99);
    assert_int_equal(p->begun, 0);
    add(p, "nic1", "replica", "sealed", 1, 3, "a1", 100);
    add(p, "nic1", "heartbeatd", "active", 1, 3, "a1", 100);
    lab_primaries_add(p, "nic1", "{\"seq\":7,\"kind\":\"active\",\"mono_ns\":500,\"epo", 0);
    lab_primaries_add(p, "nic1", "\"active\"", 0);
    lab_primaries_add(p, "nic1", "{\"kind\":\"active\"}", 0);
    assert_int_equal(p->count, 1);
    assert_int_equal(p->two, 0);
}

static void put(const char *dir, const char *node, const char *file, const char *instance)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, node);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/%s/log", dir, node);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/%s/log/%s", dir, node, file);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    (void)fprintf(out,
                  "{\"mono_ns\":200,\"program\":\"replica\",\"group\":1,\"instance\":\"%s\","
                  "\"kind\":\"active\",\"epoch\":9}\n{\"mono_",
                  instance);
    assert_int_equal(fclose(out), 0);
}

/* Goal: recorders of nodes and of disks that were put aside are read, the older files, too. */
static void test_recorders_of_disks_put_aside_are_read(void **state)
{
    struct lab_primaries *p = *state;
    char dir[LAB_SCRATCH_MAX];
    assert_int_equal(lab_scratch_make("primaries", dir), TS_OK);
    put(dir, "nic1", "events.jsonl", "a1");
    put(dir, "nic2.lost-1", "events.1.jsonl", "b1");
    assert_int_equal(lab_primaries_read(p, dir, 100, NULL), TS_OK);
    assert_int_equal(p->begun, 1);
    assert_int_equal(p->two, 1);
    lab_scratch_remove(dir);
    struct ts_why why = {{0}};
    assert_int_not_equal(lab_primaries_read(p, dir, 100, &why), TS_OK);
    assert_non_null(strstr(why.text, dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(test_epochs_are_counted),
        TEST(test_epochs_that_had_begun_before_count),
        TEST(test_two_primaries_of_an_epoch_are_found),
        TEST(test_other_lines_are_left_alone),
        TEST(test_recorders_of_disks_put_aside_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

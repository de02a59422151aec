/* The slot file (R1.3): whatever a crash does to one write, the record is the old
 * one or the new one; whatever is damaged is repaired or refused, never guessed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/io/slot_file.h"
#include "base/io/slot_format.h"
#include "tests/unit/disk_fixture.h"

#define COPY 4096

struct slot_fix {
    char dir[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    char saved[TS_PATH_MAX];
    struct ts_slot_file *f;
    struct ts_why why;
};

static const struct ts_incarnation inc = {0x1234};

static struct ts_bytes text(const char *s)
{
    return (struct ts_bytes){(const uint8_t *)s, strlen(s)};
}

static int setup(void **state)
{
    struct slot_fix *x = calloc(1, sizeof(*x));
    disk_make(x->dir);
    assert_int_equal(ts_path(x->path, NULL, x->dir, "slots"), TS_OK);
    assert_int_equal(ts_path(x->saved, NULL, x->dir, "saved"), TS_OK);
    assert_int_equal(ts_slot_format(x->path, inc, 1000, text("first"), &x->why), TS_OK);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct slot_fix *x = *state;
    disk_remove(x->dir);
    free(x);
    return 0;
}

/* Opens, gives whether the value is `want`, closes. */
static bool holds(struct slot_fix *x, const char *want, unsigned repaired)
{
    enum ts_err err = ts_slot_open(&x->f, x->path, inc, &x->why);
    if (err != TS_OK) {
        print_error("open: %s\n", x->why.text);
        return false;
    }
    struct ts_bytes v = ts_slot_value(x->f);
    bool same = v.len == strlen(want) && memcmp(v.data, want, v.len) == 0;
    unsigned n = ts_slot_repaired(x->f);
    ts_slot_close(x->f);
    return same && n == repaired;
}

static void write_closed(struct slot_fix *x, const char *value)
{
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_OK);
    assert_int_equal(ts_slot_write(x->f, text(value), &x->why), TS_OK);
    ts_slot_close(x->f);
}

/* Goal: records of any length up to the maximum, the newest one counts. */
static void test_write_gives_newest_at_open(void **state)
{
    struct slot_fix *x = *state;
    assert_true(holds(x, "first", 0));
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_OK);
    uint64_t generation = ts_slot_generation(x->f);
    uint8_t mem[COPY];
    for (size_t len = 0; len < 1000; len += 37) {
        memset(mem, (int)len, sizeof(mem));
        assert_int_equal(ts_slot_write(x->f, (struct ts_bytes){mem, len}, &x->why), TS_OK);
        assert_int_equal(ts_slot_value(x->f).len, len);
        assert_true(ts_slot_generation(x->f) == ++generation);
    }
    assert_int_equal(ts_slot_write(x->f, (struct ts_bytes){mem, COPY}, &x->why), TS_ERR_LIMIT);
    assert_int_equal(ts_slot_write(x->f, text("last"), &x->why), TS_OK);
    ts_slot_close(x->f);
    assert_true(holds(x, "last", 0));
}

/* Goal: each bad copy alone is repaired from its twin; the value stays the newest. */
static void test_open_single_bad_copy_is_repaired(void **state)
{
    struct slot_fix *x = *state;
    write_closed(x, "second");
    write_closed(x, "third");
    const long spots[] = {0, 8, 13, 17, 25, 33, 37, 41};
    for (long copy = 0; copy < 4; copy++) {
        for (size_t i = 0; i < sizeof(spots) / sizeof(spots[0]); i++) {
            disk_flip(x->path, copy * COPY + spots[i]);
            assert_true(holds(x, "third", 1));
            assert_true(holds(x, "third", 0));
        }
    }
}

/* Goal: every state a crash can leave one write in: each copy old, new, or garbage. */
static void test_open_after_torn_write_gives_old_or_new(void **state)
{
    struct slot_fix *x = *state;
    write_closed(x, "old"); /* generation 3; the next write goes over generation 2 */
    uint8_t *before;
    uint8_t *after;
    size_t len;
    assert_int_equal(ts_file_read(x->path, 1 << 20, &before, &len, NULL), TS_OK);
    write_closed(x, "new");
    assert_int_equal(ts_file_read(x->path, 1 << 20, &after, &len, NULL), TS_OK);
    unsigned slot = ts_slot_of(4);
    for (int combination = 0; combination < 9; combination++) {
        int how[2] = {combination / 3, combination % 3};
        uint8_t *image = malloc(len);
        memcpy(image, before, len);
        for (unsigned copy = 0; copy < 2; copy++) {
            size_t at = (size_t)ts_slot_copy_offset(COPY, slot, copy);
            if (how[copy] == 1) {
                memcpy(image + at, after + at, COPY);
            } else if (how[copy] == 2) {
                memset(image + at + 20, 0xee, 30); /* half written */
            }
        }
        assert_int_equal(ts_file_replace(x->path, image, len, 0600, NULL), TS_OK);
        free(image);
        bool has_new = how[0] == 1 || how[1] == 1;
        bool one_bad = how[0] != how[1];
        assert_true(holds(x, has_new ? "new" : "old", one_bad ? 1 : 0));
        write_closed(x, "next"); /* and it can be written again */
        assert_true(holds(x, "next", 0));
    }
    free(before);
    free(after);
}

/* Goal: both slots unreadable is damage, never an empty record. */
static void test_open_all_copies_bad_is_corrupt(void **state)
{
    struct slot_fix *x = *state;
    for (long copy = 0; copy < 4; copy++) {
        disk_flip(x->path, copy * COPY + 42);
    }
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_ERR_CORRUPT);
    assert_non_null(strstr(x->why.text, x->path));
    uint8_t zeros[4 * COPY] = {0};
    assert_int_equal(ts_file_replace(x->path, zeros, sizeof(zeros), 0600, NULL), TS_OK);
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_ERR_CORRUPT);
}

/* Goal: a missing file is "not formatted"; formatting twice is refused. */
static void test_open_missing_is_not_found(void **state)
{
    struct slot_fix *x = *state;
    assert_int_equal(ts_slot_format(x->path, inc, 10, text("x"), &x->why), TS_ERR_EXISTS);
    assert_int_equal(unlink(x->path), 0);
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_ERR_NOT_FOUND);
    assert_int_equal(ts_slot_format(x->path, inc, 2, text("long"), &x->why), TS_ERR_LIMIT);
}

/* Goal: one owner at a time; closing gives the file up. */
static void test_open_twice_is_busy(void **state)
{
    struct slot_fix *x = *state;
    struct ts_slot_file *second = NULL;
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_OK);
    assert_int_equal(ts_slot_open(&second, x->path, inc, &x->why), TS_ERR_BUSY);
    assert_non_null(strstr(x->why.text, "in use"));
    ts_slot_close(x->f);
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_OK);
    ts_slot_close(x->f);
}

/* Goal: a file cut short, of another disk, or of a later format is refused by name. */
static void test_open_foreign_file_is_refused(void **state)
{
    struct slot_fix *x = *state;
    assert_int_equal(ts_slot_open(&x->f, x->path, (struct ts_incarnation){5}, &x->why),
                     TS_ERR_CORRUPT);
    assert_non_null(strstr(x->why.text, "0000000000001234"));
    disk_copy(x->path, x->saved);
    assert_int_equal(truncate(x->path, 3 * COPY), 0);
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_ERR_CORRUPT);
    disk_copy(x->saved, x->path);
    disk_flip(x->path, 0 * COPY + 8); /* the version of both copies of slot 0 */
    disk_flip(x->path, 2 * COPY + 8);
    assert_int_equal(ts_slot_open(&x->f, x->path, inc, &x->why), TS_ERR_VERSION);
}

/* Goal: a copy that was written to the other slot's place does not count. */
static void test_open_misplaced_copy_is_ignored(void **state)
{
    struct slot_fix *x = *state;
    write_closed(x, "newest"); /* generation 3, slot 1 */
    uint8_t *image;
    size_t len;
    assert_int_equal(ts_file_read(x->path, 1 << 20, &image, &len, NULL), TS_OK);
    memcpy(image + COPY, image, COPY); /* slot 0's first copy over slot 1's */
    assert_int_equal(ts_file_replace(x->path, image, len, 0600, NULL), TS_OK);
    free(image);
    assert_true(holds(x, "newest", 1));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_write_gives_newest_at_open),
        T(test_open_single_bad_copy_is_repaired),
        T(test_open_after_torn_write_gives_old_or_new),
        T(test_open_all_copies_bad_is_corrupt),
        T(test_open_missing_is_not_found),
        T(test_open_twice_is_busy),
        T(test_open_foreign_file_is_refused),
        T(test_open_misplaced_copy_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

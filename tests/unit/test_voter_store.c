/* A voter's disk: all parts or none, ordered durable writes, one failure ends it. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster-cfg/io/voter_store.h"
#include "tests/unit/disk_fixture.h"

static atomic_bool is_full;

/* This program's own: a disk is full when a test says so. */
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    if (atomic_load(&is_full)) {
        errno = ENOSPC;
        return -1;
    }
    return (ssize_t)syscall(SYS_pwrite64, fd, data, len, offset);
}

struct store_fix {
    char dir[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    uv_loop_t loop;
    struct voter_store *s;
    unsigned done; /* completions, in order */
    unsigned failed;
    enum ts_err failed_err;
    bool closed;
    struct ts_why why;
};

/* What one write expects. */
struct expect {
    struct store_fix *x;
    unsigned index;
};

static struct ts_bytes text(const char *s)
{
    return (struct ts_bytes){(const uint8_t *)s, strlen(s)};
}

static void on_failed(void *arg, enum ts_err err, const char *sentence)
{
    struct store_fix *x = arg;
    (void)sentence;
    x->failed++;
    x->failed_err = err;
}

static void on_done(void *arg)
{
    struct expect *e = arg;
    assert_int_equal(e->x->done, e->index);
    e->x->done++;
}

static void on_closed(void *arg)
{
    ((struct store_fix *)arg)->closed = true;
}

static enum ts_err open_store(struct store_fix *x)
{
    x->closed = false;
    x->done = 0;
    return voter_store_open(&x->s, &x->loop, x->path, on_failed, x, &x->why);
}

static void close_store(struct store_fix *x)
{
    voter_store_close(x->s, on_closed, x);
    while (!x->closed) {
        (void)uv_run(&x->loop, UV_RUN_ONCE);
    }
    x->s = NULL;
}

static enum ts_err format_store(struct store_fix *x)
{
    struct voter_store_record initial[2] = {{.id = 0, .bytes = text("cluster")},
                                            {.id = 4, .bytes = text("kv")}};
    return voter_store_format(x->path, (struct ts_incarnation){9}, initial, 2, &x->why);
}

static int setup(void **state)
{
    struct store_fix *x = calloc(1, sizeof(*x));
    disk_make(x->dir);
    assert_int_equal(ts_path(x->path, NULL, x->dir, "voter"), TS_OK);
    assert_int_equal(uv_loop_init(&x->loop), 0);
    assert_int_equal(format_store(x), TS_OK);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct store_fix *x = *state;
    if (x->s != NULL) {
        close_store(x);
    }
    assert_int_equal(uv_loop_close(&x->loop), 0);
    disk_remove(x->dir);
    free(x);
    return 0;
}

static bool is_text(struct ts_bytes b, const char *s)
{
    return b.len == strlen(s) && memcmp(b.data, s, b.len) == 0;
}

static void on_confirmed(void *arg)
{
    *(bool *)arg = true;
}

/* As a voter does whose start the others know. */
static void confirm(struct store_fix *x)
{
    bool confirmed = false;
    assert_int_equal(voter_store_confirm_start(x->s, on_confirmed, &confirmed), TS_OK);
    while (!confirmed) {
        (void)uv_run(&x->loop, UV_RUN_ONCE);
    }
}

/* Goal: what was formatted is found, and the start number rises once it was confirmed (R1.8). */
static void test_open_gives_formatted_records(void **state)
{
    struct store_fix *x = *state;
    assert_int_equal(format_store(x), TS_ERR_EXISTS);
    for (uint64_t start = 1; start <= 3; start++) {
        assert_int_equal(open_store(x), TS_OK);
        assert_true(voter_store_start_number(x->s) == start);
        assert_true(voter_store_incarnation(x->s).v == 9);
        assert_int_equal(voter_store_register_count(x->s), 2);
        assert_int_equal(voter_store_register(x->s, 1).id, 4);
        assert_true(is_text(voter_store_register(x->s, 0).bytes, "cluster"));
        assert_true(is_text(voter_store_register(x->s, 1).bytes, "kv"));
        assert_int_equal(voter_store_starts(x->s).len, 0);
        confirm(x);
        close_store(x);
    }
}

/* Goal (R1.8): a start that no majority knows is the same one after any number of restarts. */
static void test_open_unconfirmed_start_is_repeated(void **state)
{
    struct store_fix *x = *state;
    assert_int_equal(open_store(x), TS_OK);
    uint64_t instance = voter_store_start_instance(x->s).v;
    for (int i = 0; i < 4; i++) {
        close_store(x);
        assert_int_equal(open_store(x), TS_OK);
        assert_true(voter_store_start_number(x->s) == 1);
        assert_true(voter_store_start_instance(x->s).v == instance && instance != 0);
    }
    confirm(x);
    close_store(x);
    ts_dir_refuse(x->path, "start 1");
    assert_int_equal(open_store(x), TS_ERR_CLONE);
}

/* Goal: writes complete in the order of the calls and survive. */
static void test_write_many_completes_in_order(void **state)
{
    struct store_fix *x = *state;
    assert_int_equal(open_store(x), TS_OK);
    struct expect e[100];
    for (unsigned i = 0; i < 100; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "value %u", i);
        e[i] = (struct expect){x, i};
        uint32_t id = i % 3 == 0 ? 0 : i % 3 == 1 ? 4 : VOTER_STORE_STARTS;
        assert_int_equal(voter_store_write(x->s, id, text(value), on_done, &e[i]), TS_OK);
    }
    assert_int_equal(voter_store_write(x->s, 77, text("x"), on_done, NULL), TS_ERR_NOT_FOUND);
    while (x->done < 50) {
        (void)uv_run(&x->loop, UV_RUN_ONCE);
    }
    close_store(x); /* drains */
    assert_int_equal(x->done, 100);
    assert_int_equal(open_store(x), TS_OK);
    assert_true(is_text(voter_store_register(x->s, 0).bytes, "value 99"));
    assert_true(is_text(voter_store_register(x->s, 1).bytes, "value 97"));
    assert_true(is_text(voter_store_starts(x->s), "value 98"));
}

/* Goal: the limits are told, and nothing happens. */
static void test_write_beyond_limits_is_refused(void **state)
{
    struct store_fix *x = *state;
    assert_int_equal(open_store(x), TS_OK);
    static uint8_t big[VOTER_STORE_STARTS_MAX + 1];
    struct expect e[2 * VOTER_STORE_QUEUE_MAX];
    assert_int_equal(voter_store_write(x->s, 4, (struct ts_bytes){big, VOTER_STORE_RECORD_MAX + 1},
                                       on_done, NULL),
                     TS_ERR_LIMIT);
    e[0] = (struct expect){x, 0};
    assert_int_equal(voter_store_write(x->s, VOTER_STORE_STARTS,
                                       (struct ts_bytes){big, VOTER_STORE_STARTS_MAX}, on_done,
                                       &e[0]),
                     TS_OK);
    enum ts_err err = TS_OK;
    unsigned taken = 1;
    while (err == TS_OK) {
        e[taken] = (struct expect){x, taken};
        err = voter_store_write(x->s, 4, text("x"), on_done, &e[taken]);
        taken += err == TS_OK ? 1 : 0;
    }
    assert_int_equal(err, TS_ERR_FULL);
    close_store(x);
    assert_int_equal(x->done, taken);
}

/* Goal: a missing or foreign part makes the whole disk unusable. */
static void test_open_missing_part_is_refused(void **state)
{
    struct store_fix *x = *state;
    const char *parts[] = {"identity", "starts", "register-0", "register-4"};
    for (size_t i = 0; i < 4; i++) {
        char path[TS_PATH_MAX];
        char away[TS_PATH_MAX];
        assert_int_equal(ts_path(path, NULL, x->path, "%s", parts[i]), TS_OK);
        assert_int_equal(ts_path(away, NULL, x->dir, "away"), TS_OK);
        assert_int_equal(rename(path, away), 0);
        assert_int_equal(open_store(x), TS_ERR_NOT_FOUND);
        assert_non_null(strstr(x->why.text, parts[i]));
        assert_int_equal(rename(away, path), 0);
    }
    char one[TS_PATH_MAX];
    char other[TS_PATH_MAX];
    assert_int_equal(ts_path(other, NULL, x->dir, "other"), TS_OK);
    struct voter_store_record initial = {.id = 4, .bytes = text("foreign")};
    assert_int_equal(voter_store_format(other, (struct ts_incarnation){10}, &initial, 1, &x->why),
                     TS_OK);
    assert_int_equal(ts_path(one, NULL, x->path, "register-4"), TS_OK);
    assert_int_equal(ts_path(other, NULL, x->dir, "other/register-4"), TS_OK);
    disk_copy(other, one);
    assert_int_equal(open_store(x), TS_ERR_CORRUPT);
}

/* Goal: a failed write completes nothing, is told once, and is remembered (R2.11). */
static void test_write_failure_ends_the_voter(void **state)
{
    struct store_fix *x = *state;
    assert_int_equal(open_store(x), TS_OK);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit low = {.rlim_cur = 4096, .rlim_max = old.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    struct expect e = {x, 0};
    assert_int_equal(voter_store_write(x->s, 4, text("a"), on_done, &e), TS_OK);
    assert_int_equal(voter_store_write(x->s, 0, text("b"), on_done, &e), TS_OK);
    while (x->failed == 0) {
        (void)uv_run(&x->loop, UV_RUN_ONCE);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(x->done, 0);
    assert_int_equal(voter_store_write(x->s, 4, text("c"), on_done, &e), TS_ERR_CLOSED);
    close_store(x);
    assert_int_equal(x->failed, 1);
    assert_int_equal(open_store(x), TS_ERR_ABANDONED);
    x->s = NULL;
}

/* Goal: a disk that is merely full ends the voter, too, and is used again when there is room. */
static void test_full_disk_is_used_again(void **state)
{
    struct store_fix *x = *state;
    struct expect e = {x, 0};
    assert_int_equal(open_store(x), TS_OK);
    atomic_store(&is_full, true);
    assert_int_equal(voter_store_write(x->s, 4, text("a"), on_done, &e), TS_OK);
    while (x->failed == 0) {
        (void)uv_run(&x->loop, UV_RUN_ONCE);
    }
    assert_int_equal(x->failed_err, TS_ERR_NOSPACE);
    assert_int_equal(x->done, 0);
    close_store(x);
    assert_int_equal(open_store(x), TS_OK);
    atomic_store(&is_full, false);
    assert_int_equal(voter_store_write(x->s, 4, text("b"), on_done, &e), TS_OK);
    while (x->done == 0) {
        (void)uv_run(&x->loop, UV_RUN_ONCE);
    }
    close_store(x);
    assert_int_equal(open_store(x), TS_OK);
    close_store(x);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_open_gives_formatted_records),       T(test_write_many_completes_in_order),
        T(test_open_unconfirmed_start_is_repeated), T(test_write_many_completes_in_order),
        T(test_write_beyond_limits_is_refused),     T(test_open_missing_part_is_refused),
        T(test_write_failure_ends_the_voter),       T(test_full_disk_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

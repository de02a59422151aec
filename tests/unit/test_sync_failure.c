/* R2.11 from the first moment: a sync that fails while a journal or a voter's disk is opened ends
 * the disk's trust, whatever the reason, and so does one of a running journal. This program's own
 * fsync and fdatasync stand before the C library's. */
#include <errno.h>
#include <pthread.h>
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

#define SYNCS_MAX 200 /* more than any opening makes */

/* The main thread's syncs to let through before one fails with `error`; the threads' own go through
 * unless `anywhere` is set. */
static struct {
    pthread_t main;
    atomic_int left; /* -1: none fails */
    atomic_bool anywhere;
    atomic_int error;
} plan;

static bool fails(void)
{
    if (!plan.anywhere && !pthread_equal(pthread_self(), plan.main)) {
        return false;
    }
    int left = plan.left;
    if (left < 0) {
        return false;
    }
    plan.left = left - 1;
    errno = plan.error;
    return left == 0;
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

static void fail_after(int left, int error)
{
    plan.error = error;
    plan.left = left;
}

static const int errors[] = {EIO, ENOSPC, ENOMEM, EDQUOT};

/* Leaves the log as a kill does in the middle of a write: a record behind the end, not continued.
 */
static void leave_torn_tail(struct fix *f)
{
    for (int i = 0; i < 5; i++) { /* two fit into a segment */
        assert_int_equal(fix_append(f, 1, 28000, 1), TS_OK);
        fix_wait(f);
    }
    fix_confirm(f);
    fix_close(f);
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, f->path, "segment-000003"), TS_OK);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, FIX_SEGMENT - 4096, SEEK_SET), 0);
    assert_int_equal(fwrite("torn", 1, 4, file), 4);
    assert_int_equal(fclose(file), 0);
}

/* Opens a fresh journal whose n-th sync fails. Gives false when there is no n-th one. */
static bool journal_sync_fails(int n, int error)
{
    struct fix f;
    fix_init(&f);
    assert_int_equal(fix_format(&f), TS_OK);
    assert_int_equal(fix_open(&f), TS_OK);
    leave_torn_tail(&f);
    fail_after(n, error);
    enum ts_err err = fix_open(&f);
    bool failed = plan.left < 0;
    plan.left = -1;
    if (failed) {
        assert_int_equal(err, TS_ERR_IO);
        assert_int_equal(fix_open(&f), TS_ERR_ABANDONED);
    } else {
        assert_int_equal(err, TS_OK);
    }
    fix_free(&f);
    return failed;
}

/* Goal: every sync that opening a journal makes ends its trust when it fails. */
static void test_journal_open_failed_sync_abandons(void **state)
{
    (void)state;
    for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
        int n = 0;
        while (journal_sync_fails(n, errors[e])) {
            n++;
            assert_true(n < SYNCS_MAX);
        }
        assert_true(n >= 5); /* record, wiped tail, three segments, start number */
    }
}

static void ignore_failure(void *arg, enum ts_err err, const char *text)
{
    (void)arg;
    (void)err;
    (void)text;
}

static enum ts_err open_voter(struct voter_store **s, uv_loop_t *loop, const char *dir)
{
    return voter_store_open(s, loop, dir, ignore_failure, NULL, NULL);
}

static void close_voter(struct voter_store *s, uv_loop_t *loop)
{
    voter_store_close(s, NULL, NULL);
    (void)uv_run(loop, UV_RUN_DEFAULT);
}

static bool voter_sync_fails(int n, int error)
{
    uv_loop_t loop;
    char dir[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    struct voter_store *s = NULL;
    struct voter_store_record initial = {.id = 4, .bytes = {(const uint8_t *)"kv", 2}};
    disk_make(dir);
    assert_int_equal(ts_path(path, NULL, dir, "voter"), TS_OK);
    assert_int_equal(voter_store_format(path, (struct ts_incarnation){9}, &initial, 1, NULL),
                     TS_OK);
    assert_int_equal(uv_loop_init(&loop), 0);
    fail_after(n, error);
    enum ts_err err = open_voter(&s, &loop, path);
    bool failed = plan.left < 0;
    plan.left = -1;
    if (failed) {
        assert_int_equal(err, TS_ERR_IO);
        assert_int_equal(open_voter(&s, &loop, path), TS_ERR_ABANDONED);
    } else {
        assert_int_equal(err, TS_OK);
        close_voter(s, &loop);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
    disk_remove(dir);
    return failed;
}

/* Goal: so it is with a voter's disk. */
static void test_voter_open_failed_sync_abandons(void **state)
{
    (void)state;
    for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
        int n = 0;
        while (voter_sync_fails(n, errors[e])) {
            n++;
            assert_true(n < SYNCS_MAX);
        }
        assert_int_equal(n, 4); /* identity, starts, one register, the start number */
    }
}

/* Goal: a write that fails at the opening, for another reason than space, does the same. */
static void test_journal_open_failed_write_abandons(void **state)
{
    (void)state;
    struct fix f;
    fix_init(&f);
    assert_int_equal(fix_format(&f), TS_OK);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit low = {.rlim_cur = 100, .rlim_max = old.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_int_not_equal(fix_open(&f), TS_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(fix_open(&f), TS_ERR_ABANDONED);
    fix_free(&f);
}

/* Goal: the replica record of a running journal, whose sync finds no space, is no full disk. */
static void test_record_failed_sync_abandons(void **state)
{
    (void)state;
    struct fix f;
    fix_init(&f);
    assert_int_equal(fix_format(&f), TS_OK);
    assert_int_equal(fix_open(&f), TS_OK);
    assert_int_equal(fix_append(&f, 1, 100, 1), TS_OK);
    fix_wait(&f);
    while (f.journal != NULL && !f.failed_calls) {
        plan.anywhere = true;
        fail_after(0, ENOSPC);
        assert_int_equal(journal_persist_record(f.journal, (struct ts_bytes){NULL, 0}, 1), TS_OK);
        while (f.token == 0 && f.failed_calls == 0) {
            (void)uv_run(&f.loop, UV_RUN_ONCE);
        }
        f.token = 0; /* the other thread's sync took the failure */
    }
    plan.left = -1;
    plan.anywhere = false;
    assert_int_equal(f.failed_err, TS_ERR_IO);
    fix_close(&f);
    assert_int_equal(fix_open(&f), TS_ERR_ABANDONED);
    fix_free(&f);
}

int main(void)
{
    plan.main = pthread_self(); /* before there are threads that look */
    plan.left = -1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_open_failed_sync_abandons),
        cmocka_unit_test(test_voter_open_failed_sync_abandons),
        cmocka_unit_test(test_journal_open_failed_write_abandons),
        cmocka_unit_test(test_record_failed_sync_abandons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

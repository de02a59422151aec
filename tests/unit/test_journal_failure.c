/* The journal when its disk fails (R2.11): who learns of it, and what is not told after it. This
 * program brings its own fsync, fdatasync, readdir and uv_mutex_lock, to fail or to wait at the
 * moment that a test is about. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/io/disk.h"
#include "replicator/io/journal_internal.h"
#include "tests/unit/disk_fixture.h"

#define BATCH 100

static atomic_int fail_fsync; /* so many of the next ones */
static atomic_bool hold_sync; /* the next fdatasync waits */
static sem_t held;
static sem_t go_on;
static bool fail_readdir;
static atomic_bool fail_unused; /* reads that touch what nobody needs of a segment's first block */
static struct journal *fail_at_lock; /* at a lock of the loop's thread, which alone looks */
static int locks_before;
static pthread_t loop_thread;

/* Inodes that were synced since the last reset. */
static _Atomic ino_t watched_file;
static _Atomic ino_t watched_dir;
static atomic_bool file_synced;
static atomic_bool dir_synced;

static void note_sync(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0) {
        if (st.st_ino == watched_file) {
            atomic_store(&file_synced, true);
        }
        if (st.st_ino == watched_dir) {
            atomic_store(&dir_synced, true);
        }
    }
}

int fsync(int fd)
{
    note_sync(fd);
    if (atomic_load(&fail_fsync) > 0) {
        atomic_fetch_sub(&fail_fsync, 1);
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    note_sync(fd);
    if (atomic_exchange(&hold_sync, false)) {
        (void)sem_post(&held);
        (void)sem_wait(&go_on);
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pread(int fd, void *data, size_t len, off_t offset)
{
    bool touches = offset < JOURNAL_BLOCK && offset + (off_t)len > 2 * (off_t)JOURNAL_SECTOR;
    if (atomic_load(&fail_unused) && touches) {
        errno = EIO;
        return -1;
    }
    return (ssize_t)syscall(SYS_pread64, fd, data, len, offset);
}

struct dirent *readdir(DIR *d)
{
    if (fail_readdir) {
        errno = EIO;
        return NULL;
    }
    struct dirent *(*next)(DIR *);
    *(void **)&next = dlsym(RTLD_NEXT, "readdir");
    return next(d);
}

static void fail_now(struct journal *j)
{
    struct ts_why why = {"the disk is gone"};
    journal_doubt(j, TS_ERR_IO, &why);
}

void uv_mutex_lock(uv_mutex_t *mutex)
{
    if (pthread_equal(pthread_self(), loop_thread) && fail_at_lock != NULL && locks_before-- == 0) {
        struct journal *j = fail_at_lock;
        fail_at_lock = NULL;
        fail_now(j);
    }
    int rc = pthread_mutex_lock(mutex);
    ts_assert(rc == 0);
}

static int setup(void **state)
{
    struct fix *f = malloc(sizeof(*f));
    ts_assert(f != NULL);
    fix_init(f);
    ts_assert(fix_format(f) == TS_OK);
    ts_assert(fix_open(f) == TS_OK);
    fix_confirm(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fix_free(*state);
    free(*state);
    return 0;
}

static void await_failure(struct fix *f)
{
    while (f->failed_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static void await_spare_done(struct fix *f)
{
    journal_lock(f->journal);
    while (f->journal->spare.state == JOURNAL_SPARE_WANTED) {
        journal_await_spare(f->journal);
    }
    journal_unlock(f->journal);
}

/* Ends the journal and checks that its disk is given up for that reason. */
static void expect_abandoned(struct fix *f, const char *reason)
{
    if (f->journal != NULL) {
        fix_close(f);
    }
    assert_int_equal(fix_open(f), TS_ERR_ABANDONED);
    assert_non_null(strstr(f->why.text, reason));
    f->journal = NULL;
}

static void fail_within_call(struct fix *f)
{
    locks_before = 1; /* the first one admits the call */
    fail_at_lock = f->journal;
}

/* Goal: an append that was admitted before the failure and queued after it is refused, and changes
 * nothing. */
static void test_append_admitted_before_failure_is_refused(void **state)
{
    struct fix *f = *state;
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    fix_wait(f);
    fail_within_call(f);
    assert_int_equal(fix_append(f, 1, BATCH, 2), TS_ERR_CLOSED);
    assert_null(fail_at_lock);
    assert_true(f->journal->appended.v == 1);
    assert_true(ts_hash_eq(f->journal->appended_hash, f->hash));
    await_failure(f);
    assert_true(f->persisted.v == 1);
    expect_abandoned(f, "the disk is gone");
    assert_int_equal(f->failed_calls, 1);
}

/* Goal: the same for a cut. */
static void test_truncate_admitted_before_failure_is_refused(void **state)
{
    struct fix *f = *state;
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    fix_wait(f);
    fail_within_call(f);
    assert_int_equal(journal_truncate(f->journal, (struct ts_seq){0}, (struct ts_hash){0}),
                     TS_ERR_CLOSED);
    assert_true(f->journal->appended.v == 1);
    assert_true(journal_persisted(f->journal).v == 1);
    assert_true(f->journal->cuts_pending == 0);
    await_failure(f);
    assert_int_equal(f->truncated_calls, 0);
}

/* Goal: a group whose sync succeeds after the journal failed is not told, nor what waits behind
 * it. */
static void test_sync_after_failure_is_not_told(void **state)
{
    struct fix *f = *state;
    await_spare_done(f); /* from here on only the writer syncs data */
    atomic_store(&hold_sync, true);
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    (void)sem_wait(&held);
    assert_int_equal(fix_append(f, 1, BATCH, 2), TS_OK);
    fail_now(f->journal);
    (void)sem_post(&go_on);
    await_failure(f);
    fix_close(f);
    assert_int_equal(f->persisted_calls, 0);
    assert_int_equal(f->failed_calls, 1);
    expect_abandoned(f, "the disk is gone");
}

/* Goal: the writer takes nothing after a failure. */
static void test_nothing_is_taken_after_failure(void **state)
{
    struct fix *f = *state;
    fail_now(f->journal);
    struct journal_op *op = calloc(1, sizeof(*op));
    assert_non_null(op);
    op->kind = JOURNAL_OP_RECORD;
    journal_lock(f->journal);
    journal_ops_push(&f->journal->queue, op);
    assert_false(journal_write_take(f->journal));
    assert_null(f->journal->queue.head);
    journal_unlock(f->journal);
    await_failure(f);
}

/* Goal: a failed sync of the segment prepared ahead fails the journal before that segment is
 * needed, and for ever. */
static void test_spare_sync_failure_abandons_the_disk(void **state)
{
    struct fix *f = *state;
    await_spare_done(f);
    atomic_store(&fail_fsync, 1);
    while (f->journal->failed_told == false && f->seq.v < 1000) {
        /* Until the log has gone on in the next segment, which asks for another. */
        enum ts_err err = fix_append(f, 1, 9000, 1);
        fix_wait(f);
        if (err != TS_OK || atomic_load(&fail_fsync) == 0) {
            break;
        }
    }
    await_failure(f);
    assert_int_equal(f->failed_err, TS_ERR_IO);
    assert_int_equal(fix_append(f, 1, BATCH, 2), TS_ERR_CLOSED);
    expect_abandoned(f, "cannot fsync");
    assert_int_equal(f->failed_calls, 1);
}

/* Goal: a merely full disk fails the spare only; it is tried again. */
static void test_spare_on_full_disk_does_not_fail(void **state)
{
    struct fix *f = *state;
    struct ts_why why = {"no space"};
    journal_doubt(f->journal, TS_ERR_NOSPACE, &why);
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    fix_wait(f);
    assert_int_equal(f->failed_calls, 0);
    assert_true(f->persisted.v == 1);
}

/* Goal: what is no failure of the disk does not end trust in it, whatever it is called: a replay
 * that cannot be, a part of a snapshot that is not there, another release's format. What is, does.
 */
static void test_doubt_is_cast_by_disk_failures_only(void **state)
{
    struct fix *f = *state;
    struct ts_why why = {"something else"};
#define ERR(name, text) name,
    static const enum ts_err ALL[] = {TS_ERR_LIST(ERR)};
#undef ERR
    for (size_t i = 0; i < sizeof(ALL) / sizeof(ALL[0]); i++) {
        if (ALL[i] != TS_ERR_IO && ALL[i] != TS_ERR_SYSTEM && ALL[i] != TS_ERR_CORRUPT &&
            ALL[i] != TS_ERR_SHORT) {
            journal_doubt(f->journal, ALL[i], &why);
        }
    }
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    fix_wait(f);
    assert_int_equal(f->failed_calls, 0);
    assert_int_equal(ts_dir_check_marks(f->path, &why), TS_OK);
    journal_doubt(f->journal, TS_ERR_SYSTEM, &why);
    await_failure(f);
    expect_abandoned(f, "something else");
}

/* Closes the journal with its spare there, and watches the syncs of the spare and its directory. */
static void close_and_watch(struct fix *f)
{
    await_spare_done(f);
    fix_close(f);
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, f->path, "segment-000002"), TS_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    watched_file = st.st_ino;
    assert_int_equal(stat(f->path, &st), 0);
    watched_dir = st.st_ino;
    atomic_store(&file_synced, false);
    atomic_store(&dir_synced, false);
}

/* Goal: a spare that is found may have a name that no sync covered; it gets one before use. */
static void test_open_syncs_found_spare(void **state)
{
    struct fix *f = *state;
    close_and_watch(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_int_equal(f->journal->spare.state, JOURNAL_SPARE_READY);
    assert_true(atomic_load(&file_synced));
    assert_true(atomic_load(&dir_synced));
}

/* Goal: when that sync fails, the disk is not trusted. */
static void test_open_failed_directory_sync_abandons(void **state)
{
    struct fix *f = *state;
    close_and_watch(f);
    atomic_store(&fail_fsync, 1);
    assert_int_equal(fix_open(f), TS_ERR_IO);
    f->journal = NULL;
    assert_true(atomic_load(&dir_synced));
    expect_abandoned(f, "cannot fsync the directory");
}

/* A snapshot of another replica's is here, and the log does not go through it. */
static enum ts_err begin_elsewhere(void *arg, const char *dir, const struct journal_info *info,
                                   struct journal_start *from, struct ts_why *why)
{
    (void)arg;
    (void)dir;
    (void)info;
    (void)why;
    *from = (struct journal_start){{{5000}, {7, 8}, {3}}, true};
    return TS_OK;
}

/* Goal: nor when a log begins anew and the sync of its first segment fails (3659). */
static void test_open_failed_sync_of_a_new_beginning_abandons(void **state)
{
    struct fix *f = *state;
    struct journal_options o = {.segment_bytes = f->segment_bytes, .begin = begin_elsewhere};
    struct journal_callbacks cb = {.failed = fix_failed, .arg = f};
    fix_close(f);
    atomic_store(&fail_fsync, 1);
    assert_int_equal(journal_open(&f->journal, &f->loop, f->path, &o, &cb, fix_replay, f, &f->why),
                     TS_ERR_IO);
    f->journal = NULL;
    assert_int_equal(atomic_load(&fail_fsync), 0);
    expect_abandoned(f, "cannot fsync");
}

static int count_name(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return 0;
}

/* Goal: a directory that cannot be read is no empty one. */
static void test_list_read_error_is_told(void **state)
{
    struct fix *f = *state;
    int names = 0;
    fail_readdir = true;
    int rc = ts_disk_list(f->path, count_name, &names);
    int why = errno;
    fail_readdir = false;
    assert_int_equal(rc, -1);
    assert_int_equal(why, EIO);
    assert_int_equal(names, 0);
    assert_int_equal(ts_disk_list(f->path, count_name, &names), 0);
    assert_true(names > 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Goal: a disk is not refused for a place that holds nothing: what is behind a segment's header and
 * its beginning, in the same block. A scrubber never reads it, so nobody would have known (18850).
 */
static void test_open_reads_no_more_of_the_first_block_than_it_needs(void **state)
{
    struct fix *f = *state;
    assert_int_equal(fix_append(f, 1, BATCH, 'a'), TS_OK);
    fix_wait(f);
    fix_close(f);
    atomic_store(&fail_unused, true);
    enum ts_err err = fix_open(f);
    atomic_store(&fail_unused, false);
    assert_int_equal(err, TS_OK);
}

int main(void)
{
    loop_thread = pthread_self(); /* before there is another */
    int rc = sem_init(&held, 0, 0) + sem_init(&go_on, 0, 0);
    ts_assert(rc == 0);
    const struct CMUnitTest tests[] = {
        T(test_append_admitted_before_failure_is_refused),
        T(test_truncate_admitted_before_failure_is_refused),
        T(test_sync_after_failure_is_not_told),
        T(test_nothing_is_taken_after_failure),
        T(test_spare_sync_failure_abandons_the_disk),
        T(test_doubt_is_cast_by_disk_failures_only),
        T(test_spare_on_full_disk_does_not_fail),
        T(test_open_syncs_found_spare),
        T(test_open_failed_directory_sync_abandons),
        T(test_open_failed_sync_of_a_new_beginning_abandons),
        T(test_list_read_error_is_told),
        T(test_open_reads_no_more_of_the_first_block_than_it_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A look at a replica's directory: it tells what a start would find, and changes nothing. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "cli/journal.h"
#include "replicator/io/journal_inspect.h"
#include "replicator/io/journal_internal.h"
#include "tests/unit/disk_fixture.h"

#define BATCH 1000U

static int setup(void **state)
{
    struct fix *f = malloc(sizeof(*f));
    fix_init(f);
    *state = f;
    return fix_format(f) == TS_OK && fix_open(f) == TS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    fix_free(*state);
    free(*state);
    return 0;
}

static void part(char out[TS_PATH_MAX], const struct fix *f, const char *name)
{
    assert_int_equal(ts_path(out, NULL, f->path, "%s", name), TS_OK);
}

static void append_closed(struct fix *f, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(fix_append(f, 2, BATCH, 7), TS_OK);
        fix_wait(f);
    }
    fix_close(f);
}

/* Names, sizes, times of change and contents of all files. */
static struct ts_hash digest(const struct fix *f)
{
    struct ts_hash h = {0};
    DIR *d = opendir(f->path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[TS_PATH_MAX];
        struct stat st;
        uint8_t *data;
        size_t len;
        part(path, f, e->d_name);
        if (e->d_name[0] == '.' || stat(path, &st) != 0) {
            continue;
        }
        assert_int_equal(ts_file_read(path, FIX_SEGMENT * 4, &data, &len, NULL), TS_OK);
        struct ts_hash one = ts_hash_chain(ts_hash_bytes(data, len), e->d_name, strlen(e->d_name));
        one = ts_hash_chain(one, &st.st_mtim, sizeof(st.st_mtim));
        h.lo ^= one.lo; /* in any order */
        h.hi ^= one.hi;
        free(data);
    }
    (void)closedir(d);
    return h;
}

static struct journal_inspection *look(struct fix *f)
{
    struct journal_inspection *n = NULL;
    struct ts_hash before = digest(f);
    if (journal_inspect(f->path, &n, &f->why) != TS_OK) {
        fail_msg("%s", f->why.text);
    }
    assert_true(ts_hash_eq(before, digest(f)));
    return n;
}

/* Goal: a whole journal over several segments is told as it is; nothing on the disk changes. */
static void test_whole_journal_is_told(void **state)
{
    struct fix *f = *state;
    fix_confirm(f);
    append_closed(f, 100);
    struct journal_inspection *n = look(f);
    assert_true(n->has_record);
    assert_int_equal(n->incarnation.v, 77);
    assert_int_equal(n->group.v, 3);
    assert_int_equal(n->start_number, 1);
    assert_true(n->start_registered);
    assert_int_equal(n->record_copies, 4);
    assert_int_equal(n->holder, 0);
    assert_int_equal(n->marked, TS_OK);
    assert_false(n->damaged);
    assert_int_equal(n->base.v, 0);
    assert_int_equal(n->last.v, 200);
    assert_true(ts_hash_eq(n->hash, f->hash));
    assert_true(n->durable.v <= 200 && n->durable.v >= 196); /* a note tells of the group before */
    assert_int_equal(n->snapshot_count, 0);
    assert_true(n->segment_count >= 2);
    uint64_t batches = 0;
    uint64_t next = 1;
    for (size_t i = 0; i < n->segment_count; i++) {
        const struct journal_inspect_segment *s = &n->segments[i];
        assert_int_equal(s->number, i + 1);
        batches += s->batches;
        if (s->batches > 0) {
            assert_int_equal(s->first.v, next);
            next = s->last.v + 1;
        }
    }
    assert_int_equal(batches, 100);
    assert_int_equal(n->segments[0].state, JOURNAL_SEGMENT_LEFT);
    journal_inspection_free(n);
    assert_int_equal(fix_open(f), TS_OK);
    assert_int_equal(f->replayed.v, 200);
}

/* Goal: one that is open is told with its process, and goes on. */
static void test_open_journal_is_told_with_its_holder(void **state)
{
    struct fix *f = *state;
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    fix_wait(f);
    struct journal_inspection *n = NULL;
    assert_int_equal(journal_inspect(f->path, &n, &f->why), TS_OK);
    assert_int_equal(n->holder, getpid());
    assert_false(n->damaged);
    assert_int_equal(n->last.v, 1);
    journal_inspection_free(n);
    append_closed(f, 3);
}

/* Goal: damage to what was durable is told with its place, as a start would. */
static void test_damaged_record_is_told(void **state)
{
    struct fix *f = *state;
    char seg[TS_PATH_MAX];
    append_closed(f, 5);
    part(seg, f, "segment-000001");
    disk_flip(seg, JOURNAL_DATA_START + 2 * 1536 + 200); /* a batch and its padding: 1536 */
    struct journal_inspection *n = look(f);
    assert_true(n->damaged);
    assert_int_equal(n->damage_seq.v, 5);
    assert_int_equal(n->damage_segment, 1);
    assert_int_equal(n->damage_offset, JOURNAL_DATA_START + 2 * 1536);
    assert_int_equal(n->segments[0].state, JOURNAL_SEGMENT_DAMAGED);
    journal_inspection_free(n);
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
    assert_int_equal(fix_format(f), TS_ERR_EXISTS);
}

/* Goal: a missing segment, a damaged record's copy, a marker, a directory that is none. */
static void test_other_wrongs_are_told(void **state)
{
    struct fix *f = *state;
    char path[TS_PATH_MAX];
    struct journal_inspection *n = NULL;
    append_closed(f, 300);
    part(path, f, "record");
    disk_flip(path, 20);
    ts_dir_abandon(f->path, "a test says so");
    part(path, f, "segment-000002");
    assert_int_equal(unlink(path), 0);
    n = look(f);
    assert_int_equal(n->record_copies, 3);
    assert_int_equal(n->marked, TS_ERR_ABANDONED);
    assert_non_null(strstr(n->marked_why.text, "a test says so"));
    assert_true(n->damaged);
    assert_int_equal(n->damage_segment, 2);
    assert_int_equal(n->damage_seq.v, n->segments[0].last.v + 1);
    journal_inspection_free(n);
    assert_int_equal(journal_inspect(f->dir, &n, &f->why), TS_ERR_NOT_FOUND);
    assert_non_null(strstr(f->why.text, "is no replica's directory"));
}

static void write_snapshot(const struct fix *f, uint64_t seq, struct ts_hash hash, bool installed)
{
    struct snapshot_writer *w;
    struct ts_seq oldest;
    struct snapshot_header h = {
        .incarnation = {77},
        .group = {3},
        .installed = installed,
        .mark = {.pos = {{seq}, hash}, .epoch = {1}, .time = {1}, .digest = {1, 1}}};
    assert_int_equal(snapshot_write_begin(&w, f->path, &h, NULL), TS_OK);
    assert_int_equal(snapshot_write_piece(w, (struct ts_bytes){(const uint8_t *)"x", 1}, NULL),
                     TS_OK);
    assert_int_equal(snapshot_write_end(w, &oldest, NULL), TS_OK);
}

/* Goal: a log that does not go through its newest snapshot is told as damaged: a start refuses it.
 * One that came from a peer replaces the log instead. */
static void test_log_beside_its_snapshot_is_told(void **state)
{
    struct fix *f = *state;
    append_closed(f, 30);
    struct ts_hash other = f->hash;
    write_snapshot(f, 60, f->hash, false);
    struct journal_inspection *n = look(f);
    assert_false(n->damaged);
    journal_inspection_free(n);
    other.lo++;
    write_snapshot(f, 60, other, false);
    n = look(f);
    assert_true(n->damaged);
    assert_int_equal(n->damage_seq.v, 60);
    journal_inspection_free(n);
    write_snapshot(f, 5000, f->hash, false);
    n = look(f);
    assert_true(n->damaged);
    assert_int_equal(n->damage_seq.v, 61);
    assert_non_null(strstr(n->damage_why.text, "does not fit its newest snapshot"));
    journal_inspection_free(n);
    write_snapshot(f, 5000, f->hash, true);
    n = look(f);
    assert_false(n->damaged);
    assert_int_equal(n->last.v, 60);
    journal_inspection_free(n);
}

/* Goal: a damaged snapshot is damage, also beside a whole one and a log that reaches back. */
static void test_damaged_snapshot_is_told(void **state)
{
    struct fix *f = *state;
    char path[TS_PATH_MAX];
    append_closed(f, 30);
    write_snapshot(f, 60, f->hash, false);
    part(path, f, "snapshot-00000000000000000060");
    disk_flip(path, 100);
    struct journal_inspection *n = look(f);
    assert_int_equal(n->snapshot_count, 1);
    assert_false(n->snapshots[0].whole);
    assert_true(n->damaged);
    assert_non_null(strstr(n->damage_why.text, "is damaged at byte"));
    journal_inspection_free(n);
}

struct busy {
    struct fix *f;
    atomic_bool stop;
};

static void *append_until_stopped(void *arg)
{
    struct busy *b = arg;
    while (!atomic_load(&b->stop)) {
        (void)fix_append(b->f, 1, 60000, 7);
        fix_wait(b->f);
    }
    return NULL;
}

/* Goal: a healthy replica that goes on from segment to segment meanwhile is not told as damaged. */
static void test_busy_journal_is_not_told_as_damaged(void **state)
{
    struct fix *f = *state;
    struct busy b = {.f = f};
    pthread_t thread;
    struct ts_why why;
    char path[TS_PATH_MAX];
    part(path, f, "");
    assert_int_equal(pthread_create(&thread, NULL, append_until_stopped, &b), 0);
    size_t most = 0;
    unsigned damaged = 0;
    while (most < 40 && damaged == 0) {
        struct journal_inspection *n = NULL;
        enum ts_err err = journal_inspect(path, &n, &why);
        damaged += err != TS_OK || n->damaged;
        most = err == TS_OK ? n->segment_count : 0;
        journal_inspection_free(n);
    }
    atomic_store(&b.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(damaged, 0);
    fix_close(f);
}

/* Goal: the command's text and JSON have the same, and its status tells damage. */
static void test_command_prints_text_and_json(void **state)
{
    struct fix *f = *state;
    char *text = NULL;
    size_t len = 0;
    append_closed(f, 3);
    char word[] = "inspect";
    char json[] = "--json";
    char name[] = "twinstep: journal";
    char *as_text[] = {name, word, f->path, NULL};
    char *as_json[] = {name, word, f->path, json, NULL};
    struct cli cli = {.out = open_memstream(&text, &len)};
    cli.err = cli.out;
    assert_int_equal(cli_journal(&cli, 3, as_text), CLI_OK);
    assert_int_equal(fflush(cli.out), 0);
    assert_non_null(strstr(text, "log: entries 1 to 6, epoch 1"));
    assert_non_null(strstr(text, "no damage"));
    long at = ftell(cli.out);
    assert_int_equal(cli_journal(&cli, 4, as_json), CLI_OK);
    assert_int_equal(fclose(cli.out), 0);
    json_t *o = json_loads(text + at, 0, NULL);
    assert_non_null(o);
    assert_int_equal(cli_number(json_object_get(o, "log"), "last"), 6);
    assert_true(json_is_null(json_object_get(o, "damage")));
    json_decref(o);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_journal_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_journal_is_told_with_its_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_record_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_wrongs_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_beside_its_snapshot_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_snapshot_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_journal_is_not_told_as_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_prints_text_and_json, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

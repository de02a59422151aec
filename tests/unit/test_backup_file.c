/* A backup's file: what is written is read, every damaged byte is noticed, nothing is overwritten.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>

#include "base/io/disk.h"
#include "replicator/io/backup_file.h"
#include "replicator/io/snapshot_internal.h"
#include "tests/unit/disk_fixture.h"

#define PIECES 3
#define PIECE_BYTES 5000U
#define SEQ 4711U

static const struct backup_about ABOUT = {
    .cluster = "demo", .group = "kv", .service = "kv", .node = "nic2", .taken_us = 123456789};

struct dirs {
    char dir[TS_PATH_MAX];
    char file[TS_PATH_MAX];
    struct ts_why why;
};

static int setup(void **state)
{
    struct dirs *d = calloc(1, sizeof(*d));
    *state = d;
    disk_make(d->dir);
    struct snapshot_header h = {.incarnation = {77}, .group = {3}};
    h.mark.pos = (struct repl_pos){{SEQ}, {1, 2}};
    h.mark.epoch.v = 5;
    struct snapshot_writer *w = NULL;
    struct ts_seq oldest;
    uint8_t piece[PIECE_BYTES];
    assert_int_equal(snapshot_write_begin(&w, d->dir, &h, &d->why), TS_OK);
    for (uint8_t i = 0; i < PIECES; i++) {
        memset(piece, i, sizeof(piece));
        piece[7] = 99;
        assert_int_equal(snapshot_write_piece(w, (struct ts_bytes){piece, sizeof(piece)}, &d->why),
                         TS_OK);
    }
    assert_int_equal(snapshot_write_end(w, &oldest, &d->why), TS_OK);
    return ts_path(d->file, NULL, d->dir, "backup") == TS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct dirs *d = *state;
    disk_remove(d->dir);
    free(d);
    return 0;
}

static void back_up(struct dirs *d)
{
    struct snapshot_info info;
    struct ts_seq seq;
    assert_int_equal(backup_newest(d->dir, &seq, &d->why), TS_OK);
    assert_int_equal(seq.v, SEQ);
    if (backup_write(d->file, &ABOUT, d->dir, seq, &info, &d->why) != TS_OK) {
        fail_msg("%s", d->why.text);
    }
    assert_int_equal(info.trailer.pieces, PIECES);
}

/* Goal: what is in a backup is what was in the snapshot, with its names. */
static void test_backup_is_read_as_written(void **state)
{
    struct dirs *d = *state;
    struct backup_about about;
    struct snapshot_info info;
    back_up(d);
    assert_int_equal(backup_read(d->file, &about, NULL, NULL, &info, &d->why), TS_OK);
    assert_memory_equal(&about, &ABOUT, sizeof(about));
    assert_int_equal(info.header.mark.pos.seq.v, SEQ);
    assert_int_equal(info.header.mark.epoch.v, 5);
    assert_int_equal(info.trailer.bytes, PIECES * PIECE_BYTES);
}

/* Goal: a file that is there stays as it is, and nothing is left of an attempt. */
static void test_backup_never_overwrites(void **state)
{
    struct dirs *d = *state;
    struct snapshot_info info;
    char aside[TS_PATH_MAX];
    assert_int_equal(ts_file_replace(d->file, "mine", 4, 0600, NULL), TS_OK);
    assert_int_equal(backup_write(d->file, &ABOUT, d->dir, (struct ts_seq){SEQ}, &info, &d->why),
                     TS_ERR_EXISTS);
    assert_int_equal(ts_path(aside, NULL, d->dir, "backup.new"), TS_OK);
    assert_int_equal(access(aside, F_OK), -1);
    assert_int_equal(unlink(d->file), 0);
    assert_int_equal(backup_write(d->file, &ABOUT, d->dir, (struct ts_seq){1}, &info, &d->why),
                     TS_ERR_GONE);
    assert_int_equal(access(aside, F_OK), -1);
    assert_int_equal(access(d->file, F_OK), -1);
}

/* Goal: a folder that is not there is told as that: it is no snapshot that has gone, which is
 * waited for. */
static void test_backup_into_no_folder_says_so(void **state)
{
    struct dirs *d = *state;
    struct snapshot_info info;
    char file[TS_PATH_MAX];
    assert_int_equal(ts_path(file, NULL, d->dir, "none/backup"), TS_OK);
    assert_int_equal(backup_write(file, &ABOUT, d->dir, (struct ts_seq){SEQ}, &info, &d->why),
                     TS_ERR_NOT_FOUND);
    assert_non_null(strstr(d->why.text, "none/backup.new"));
}

/* Goal: what a killed backup left is named, with what to do; it stays. */
static void test_backup_beside_a_leftover_names_it(void **state)
{
    struct dirs *d = *state;
    struct snapshot_info info;
    char aside[TS_PATH_MAX];
    assert_int_equal(ts_path(aside, NULL, d->dir, "backup.new"), TS_OK);
    assert_int_equal(ts_file_replace(aside, "part", 4, 0600, NULL), TS_OK);
    assert_int_equal(backup_write(d->file, &ABOUT, d->dir, (struct ts_seq){SEQ}, &info, &d->why),
                     TS_ERR_EXISTS);
    assert_non_null(strstr(d->why.text, "backup.new"));
    assert_non_null(strstr(d->why.text, "remove it and try again"));
    assert_int_equal(access(aside, F_OK), 0);
    assert_int_equal(access(d->file, F_OK), -1);
}

/* Goal: a name is taken in one step, or not at all. */
static void test_rename_new_never_replaces(void **state)
{
    struct dirs *d = *state;
    char other[TS_PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    assert_int_equal(ts_path(other, NULL, d->dir, "other"), TS_OK);
    assert_int_equal(ts_file_replace(d->file, "mine", 4, 0600, NULL), TS_OK);
    assert_int_equal(ts_file_replace(other, "new", 3, 0600, NULL), TS_OK);
    assert_int_equal(ts_disk_rename_new(other, d->file), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(ts_file_read(d->file, 10, &data, &len, NULL), TS_OK);
    assert_string_equal(data, "mine");
    free(data);
    assert_int_equal(unlink(d->file), 0);
    assert_int_equal(ts_disk_rename_new(other, d->file), 0);
    assert_int_equal(access(other, F_OK), -1);
    assert_int_equal(access(d->file, F_OK), 0);
}

/* Goal: damage anywhere is noticed, and told as the backup's; a cut, too; other files are none. */
static void test_damage_is_noticed(void **state)
{
    struct dirs *d = *state;
    struct backup_about about;
    struct snapshot_info info;
    struct stat st;
    back_up(d);
    assert_int_equal(stat(d->file, &st), 0);
    for (long at = 0; at < st.st_size; at += at < 200 || at > 4090 ? 7 : 311) {
        disk_flip(d->file, at);
        enum ts_err err = backup_read(d->file, &about, NULL, NULL, &info, &d->why);
        if (err != TS_ERR_CORRUPT && err != TS_ERR_MALFORMED && err != TS_ERR_VERSION) {
            fail_msg("byte %ld: %s", at, ts_err_text(err));
        }
        disk_flip(d->file, at);
    }
    assert_int_equal(backup_read(d->file, &about, NULL, NULL, &info, &d->why), TS_OK);
    assert_int_equal(truncate(d->file, st.st_size - 1), 0);
    assert_int_equal(backup_read(d->file, &about, NULL, NULL, &info, &d->why), TS_ERR_CORRUPT);
    assert_int_equal(truncate(d->file, 100), 0);
    assert_int_equal(backup_read(d->file, &about, NULL, NULL, &info, &d->why), TS_ERR_MALFORMED);
    assert_non_null(strstr(d->why.text, "is no backup of a group"));
}

/* Goal: a replica that was formatted for it begins behind the backup's position, as its own. */
static void test_installed_backup_is_the_replicas_own(void **state)
{
    struct dirs *d = *state;
    struct fix f;
    struct snapshot_info info;
    back_up(d);
    fix_init(&f);
    assert_int_equal(fix_format(&f), TS_OK);
    assert_int_equal(backup_install(d->file, f.path, (struct ts_incarnation){77},
                                    (struct ts_group_id){3}, &d->why),
                     TS_OK);
    assert_int_equal(snapshot_read(f.path, (struct ts_seq){SEQ}, (struct ts_incarnation){77},
                                   (struct ts_group_id){3}, NULL, NULL, &info, &d->why),
                     TS_OK);
    assert_true(info.header.installed);
    assert_int_equal(info.header.mark.pos.hash.hi, 2);
    /* Without it, say when the directory was copied in part, the log is not taken for an empty one:
     * the replica would serve, in sync, what nobody has written. */
    assert_int_equal(fix_open(&f), TS_ERR_CORRUPT);
    assert_non_null(strstr(f.why.text, "a snapshot is missing"));
    fix_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_backup_is_read_as_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backup_never_overwrites, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backup_into_no_folder_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backup_beside_a_leftover_names_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rename_new_never_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_installed_backup_is_the_replicas_own, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Snapshot files: what is written is read again, no byte of a file may change unnoticed, and a
 * broken one gives way to the one before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "replicator/io/snapshot_internal.h"
#include "replicator/io/snapshot_part.h"
#include "tests/unit/disk_fixture.h"

#define PIECES 5

static const struct ts_incarnation own = {77};
static const struct ts_group_id group = {3};

struct sink {
    uint8_t *data;
    size_t len;
    unsigned pieces;
    unsigned broken;
    char text[TS_WHY_MAX];
};

static int setup(void **state)
{
    char *dir = calloc(1, TS_PATH_MAX);
    disk_make(dir);
    *state = dir;
    return 0;
}

static int teardown(void **state)
{
    disk_remove(*state);
    free(*state);
    return 0;
}

static struct snapshot_header header(uint64_t seq)
{
    return (struct snapshot_header){
        .incarnation = own,
        .group = group,
        .mark = {.pos = {{seq}, {seq, 1}}, .epoch = {2}, .time = {1000 + seq}, .digest = {3, seq}}};
}

/* Some that shrink, and one that does not. */
static size_t piece(unsigned i, uint64_t seq, uint8_t *out)
{
    size_t len = 1 + i * 70000;
    uint64_t x = seq * 2654435761U + i;
    for (size_t k = 0; k < len; k++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        out[k] = (uint8_t)(i == 3 ? x >> 56 : k / 100);
    }
    return len;
}

static void put_pieces(struct snapshot_writer *w, uint64_t seq)
{
    uint8_t *mem = calloc(PIECES, 70000);
    for (unsigned i = 0; i < PIECES; i++) {
        struct ts_bytes b = {mem, piece(i, seq, mem)};
        assert_int_equal(snapshot_write_piece(w, b, NULL), TS_OK);
    }
    free(mem);
}

static struct ts_seq write_one(const char *dir, uint64_t seq)
{
    struct snapshot_writer *w;
    struct ts_seq oldest;
    struct snapshot_header h = header(seq);
    assert_int_equal(snapshot_write_begin(&w, dir, &h, NULL), TS_OK);
    put_pieces(w, seq);
    assert_int_equal(snapshot_write_end(w, &oldest, NULL), TS_OK);
    return oldest;
}

static enum ts_err take(void *arg, struct ts_bytes p, struct ts_why *why)
{
    struct sink *s = arg;
    (void)why;
    s->data = realloc(s->data, s->len + p.len);
    memcpy(s->data + s->len, p.data, p.len);
    s->len += p.len;
    s->pieces++;
    return TS_OK;
}

static void on_broken(void *arg, const char *text)
{
    struct sink *s = arg;
    s->broken++;
    (void)snprintf(s->text, sizeof(s->text), "%s", text);
}

static enum ts_err find(const char *dir, struct sink *s, bool *found, struct snapshot_info *info)
{
    struct ts_why why;
    enum ts_err err = snapshot_find(dir, own, group, on_broken, s, found, info, &why);
    if (err != TS_OK) {
        (void)snprintf(s->text, sizeof(s->text), "%s", why.text);
    }
    return err;
}

static bool there(const char *dir, uint64_t seq)
{
    char path[TS_PATH_MAX];
    assert_int_equal(snapshot_path(path, dir, (struct ts_seq){seq}, NULL), TS_OK);
    return access(path, F_OK) == 0;
}

/* Goal: pieces come back as they were, with everything that was said about them. */
static void test_write_then_read_gives_the_same(void **state)
{
    const char *dir = *state;
    struct snapshot_info info;
    struct sink s = {0};
    bool found;
    assert_true(write_one(dir, 100).v == 0);
    assert_int_equal(find(dir, &s, &found, &info), TS_OK);
    assert_true(found && info.before.v == 0);
    assert_int_equal(snapshot_read(dir, (struct ts_seq){100}, own, group, take, &s, &info, NULL),
                     TS_OK);
    struct snapshot_header h = header(100);
    assert_memory_equal(&info.header.mark, &h.mark, sizeof(h.mark));
    assert_int_equal(s.pieces, PIECES);
    assert_true(info.trailer.pieces == PIECES && info.trailer.bytes == s.len);
    assert_true(info.file_bytes < s.len); /* it was packed */
    uint8_t *mem = malloc(PIECES * 70000);
    size_t at = 0;
    for (unsigned i = 0; i < PIECES; i++) {
        size_t len = piece(i, 100, mem);
        assert_memory_equal(s.data + at, mem, len);
        at += len;
    }
    free(mem);
    free(s.data);
}

/* Goal: two are kept; what the older one holds is what the journal may drop. */
static void test_older_ones_are_removed_but_one(void **state)
{
    const char *dir = *state;
    assert_true(write_one(dir, 100).v == 0);
    assert_true(write_one(dir, 200).v == 100);
    assert_true(write_one(dir, 1000).v == 200);
    assert_false(there(dir, 100));
    assert_true(there(dir, 200) && there(dir, 1000));
}

/* Goal: whatever byte of a file is damaged, or wherever it is cut, is noticed and told with its
 * place; the one before is taken, and the broken one goes. */
static void test_damage_falls_back_to_the_one_before(void **state)
{
    const char *dir = *state;
    struct snapshot_info info;
    struct sink s = {0};
    bool found;
    char path[TS_PATH_MAX];
    char saved[TS_PATH_MAX];
    (void)write_one(dir, 100);
    (void)write_one(dir, 200);
    assert_int_equal(snapshot_path(path, dir, (struct ts_seq){200}, NULL), TS_OK);
    assert_int_equal(ts_path(saved, NULL, dir, "saved"), TS_OK);
    disk_copy(path, saved);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (long at = 0; at < st.st_size; at += at < 200 || at > st.st_size - 60 ? 1 : 4001) {
        disk_flip(path, at);
        enum ts_err err =
            snapshot_read(dir, (struct ts_seq){200}, own, group, NULL, NULL, &info, NULL);
        assert_int_equal(err, TS_ERR_CORRUPT);
        disk_flip(path, at);
    }
    for (long len = st.st_size; len-- > 0; len -= len > 200 ? 3001 : 0) {
        assert_int_equal(truncate(path, len < 0 ? 0 : len), 0);
        enum ts_err err =
            snapshot_read(dir, (struct ts_seq){200}, own, group, NULL, NULL, &info, NULL);
        assert_int_equal(err, TS_ERR_CORRUPT);
        disk_copy(saved, path);
    }
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0 && write(fd, "x", 1) == 1);
    (void)close(fd);
    assert_int_equal(find(dir, &s, &found, &info), TS_OK);
    assert_true(found && info.header.mark.pos.seq.v == 100);
    assert_int_equal(s.broken, 1);
    assert_non_null(strstr(s.text, "is damaged at byte"));
    assert_true(there(dir, 200)); /* until the journal is known to go on behind the other one */
    assert_int_equal(snapshot_remove_newer(dir, (struct ts_seq){100}, NULL), TS_OK);
    assert_true(there(dir, 100) && !there(dir, 200));
}

/* Goal: without a whole one nothing is used, nothing is removed, and the sentence says so. */
static void test_no_whole_one_is_refused(void **state)
{
    const char *dir = *state;
    struct snapshot_info info;
    struct sink s = {0};
    bool found;
    char path[TS_PATH_MAX];
    assert_int_equal(find(dir, &s, &found, &info), TS_OK);
    assert_false(found);
    for (uint64_t seq = 100; seq <= 200; seq += 100) {
        (void)write_one(dir, seq);
        assert_int_equal(snapshot_path(path, dir, (struct ts_seq){seq}, NULL), TS_OK);
        disk_flip(path, 300);
    }
    assert_int_equal(find(dir, &s, &found, &info), TS_ERR_CORRUPT);
    assert_non_null(strstr(s.text, "none of the snapshots"));
    assert_true(there(dir, 100) && there(dir, 200));
}

/* Goal: the snapshot of another disk, group or place is not taken. */
static void test_of_another_disk_is_refused(void **state)
{
    const char *dir = *state;
    struct snapshot_info info;
    struct ts_why why;
    char path[TS_PATH_MAX];
    char other[TS_PATH_MAX];
    (void)write_one(dir, 100);
    assert_int_equal(snapshot_read(dir, (struct ts_seq){100}, (struct ts_incarnation){78}, group,
                                   NULL, NULL, &info, &why),
                     TS_ERR_CORRUPT);
    assert_non_null(strstr(why.text, "copied from another disk"));
    assert_int_equal(snapshot_read(dir, (struct ts_seq){100}, own, (struct ts_group_id){4}, NULL,
                                   NULL, &info, &why),
                     TS_ERR_CORRUPT);
    assert_int_equal(snapshot_path(path, dir, (struct ts_seq){100}, NULL), TS_OK);
    assert_int_equal(snapshot_path(other, dir, (struct ts_seq){101}, NULL), TS_OK);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(snapshot_read(dir, (struct ts_seq){101}, own, group, NULL, NULL, &info, &why),
                     TS_ERR_CORRUPT);
    assert_int_equal(snapshot_read(dir, (struct ts_seq){100}, own, group, NULL, NULL, &info, &why),
                     TS_ERR_NOT_FOUND);
}

/* Goal: what was not finished is never found, and goes. */
static void test_unfinished_is_removed(void **state)
{
    const char *dir = *state;
    struct snapshot_writer *w;
    struct snapshot_header h = header(300);
    struct snapshot_info info;
    struct sink s = {0};
    bool found;
    char aside[TS_PATH_MAX];
    (void)write_one(dir, 100);
    assert_int_equal(ts_path(aside, NULL, dir, "snapshot-%020d.new", 300), TS_OK);
    assert_int_equal(snapshot_write_begin(&w, dir, &h, NULL), TS_OK);
    put_pieces(w, 300);
    assert_int_equal(access(aside, F_OK), 0);
    assert_int_equal(find(dir, &s, &found, &info), TS_OK);
    assert_true(found && info.header.mark.pos.seq.v == 100);
    assert_int_equal(access(aside, F_OK), -1);
    snapshot_write_abort(w);
    assert_int_equal(snapshot_write_begin(&w, dir, &h, NULL), TS_OK);
    snapshot_write_abort(w);
    assert_int_equal(access(aside, F_OK), -1);
    assert_true(there(dir, 100));
}

/* Copies a snapshot in parts from one directory to another, and stops at `end`. */
static uint64_t copy_parts(const char *from, const char *to, uint64_t seq, uint64_t end)
{
    uint8_t mem[10000];
    uint64_t at;
    uint64_t size = UINT64_MAX;
    assert_int_equal(snapshot_part_size(to, (struct ts_seq){seq}, &at, NULL), TS_OK);
    while (at < size && at < end) {
        size_t len;
        assert_int_equal(
            snapshot_part_read(from, (struct ts_seq){seq}, at, mem, sizeof(mem), &len, &size, NULL),
            TS_OK);
        assert_int_equal(
            snapshot_part_write(to, (struct ts_seq){seq}, at, (struct ts_bytes){mem, len}, NULL),
            TS_OK);
        at += len;
    }
    return at;
}

/* Goal: a snapshot that comes in parts, with a break, is installed as this disk's, and says that it
 * replaces the log; one that is damaged on its way is not, and begins anew. */
static void test_parts_are_installed_when_whole(void **state)
{
    const char *from = *state;
    const struct ts_incarnation mine = {99};
    const struct ts_seq seq = {100};
    struct snapshot_info info;
    struct ts_why why;
    char to[TS_PATH_MAX];
    char part[TS_PATH_MAX];
    uint64_t at;
    disk_make(to);
    (void)write_one(from, 100);
    assert_int_equal(ts_path(part, NULL, to, "snapshot-%020d.part", 100), TS_OK);
    (void)copy_parts(from, to, 100, UINT64_MAX);
    disk_flip(part, 5000);
    assert_int_equal(snapshot_part_check(to, seq, mine, group, &why), TS_ERR_CORRUPT);
    assert_int_equal(access(part, F_OK), -1);
    assert_true(copy_parts(from, to, 100, 30000) == 30000);
    assert_int_equal(snapshot_part_check(to, seq, mine, group, &why), TS_ERR_CORRUPT);
    assert_true(copy_parts(from, to, 100, 20000) == 20000);
    (void)copy_parts(from, to, 100, UINT64_MAX);
    assert_int_equal(snapshot_part_check(to, seq, mine, group, NULL), TS_OK);
    assert_int_equal(snapshot_read(to, seq, mine, group, NULL, NULL, &info, NULL),
                     TS_ERR_NOT_FOUND); /* it has no name yet: a start does not see it */
    assert_int_equal(snapshot_part_install(to, seq, NULL), TS_OK);
    assert_int_equal(snapshot_read(to, seq, mine, group, NULL, NULL, &info, NULL), TS_OK);
    assert_true(info.header.installed);
    /* A part of another one is only in the way. */
    assert_int_equal(
        snapshot_part_write(to, (struct ts_seq){50}, 0, (struct ts_bytes){(uint8_t *)"x", 1}, NULL),
        TS_OK);
    assert_int_equal(snapshot_part_size(to, seq, &at, NULL), TS_OK);
    assert_true(at == 0);
    assert_int_equal(ts_path(part, NULL, to, "snapshot-%020d.part", 50), TS_OK);
    assert_int_equal(access(part, F_OK), -1);
    disk_remove(to);
}

/* Goal: what came of another replica's snapshot before the transfer broke off goes when this
 * replica has one of its own that is as new, and no sooner. */
static void test_needless_part_is_removed(void **state)
{
    const char *dir = *state;
    const struct ts_bytes some = {(const uint8_t *)"x", 1};
    char part[TS_PATH_MAX];
    assert_int_equal(ts_path(part, NULL, dir, "snapshot-%020d.part", 300), TS_OK);
    assert_int_equal(snapshot_part_write(dir, (struct ts_seq){300}, 0, some, NULL), TS_OK);
    (void)write_one(dir, 299);
    assert_int_equal(access(part, F_OK), 0);
    (void)write_one(dir, 300);
    assert_int_equal(access(part, F_OK), -1);
    assert_true(there(dir, 299) && there(dir, 300));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_write_then_read_gives_the_same),      T(test_older_ones_are_removed_but_one),
        T(test_damage_falls_back_to_the_one_before), T(test_no_whole_one_is_refused),
        T(test_of_another_disk_is_refused),          T(test_unfinished_is_removed),
        T(test_parts_are_installed_when_whole),      T(test_needless_part_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

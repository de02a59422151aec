#include "replicator/io/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/io/disk.h"
#include "replicator/io/journal.h"
#include "replicator/io/snapshot_internal.h"

#define MAGIC 0x31304b4342575354ULL /* "TSWBCK01" */
#define HEAD_BYTES 12U              /* magic and checksum, which is of what follows */
#define COPY_BYTES ((size_t)1 << 20)

/* ---- the block ---------------------------------------------------------------------------------
 */

void backup_about_encode(const struct backup_about *a, struct ts_writer *w)
{
    uint8_t rest[BACKUP_BLOCK - HEAD_BYTES] = {0};
    struct ts_writer r = ts_writer_init(rest, sizeof(rest));
    ts_put_u32(&r, BACKUP_VERSION);
    ts_put_bytes(&r, a->cluster, BACKUP_NAME_MAX);
    ts_put_bytes(&r, a->group, BACKUP_NAME_MAX);
    ts_put_bytes(&r, a->service, BACKUP_NAME_MAX);
    ts_put_bytes(&r, a->node, BACKUP_NAME_MAX);
    ts_put_u64(&r, a->taken_us);
    ts_put_u64(w, MAGIC);
    ts_put_u32(w, ts_crc32c(rest, sizeof(rest)));
    ts_put_bytes(w, rest, sizeof(rest));
}

static void get_name(struct ts_reader *r, char out[BACKUP_NAME_MAX])
{
    struct ts_bytes b = ts_get_bytes(r, BACKUP_NAME_MAX);
    out[0] = '\0';
    if (b.data == NULL || memchr(b.data, '\0', b.len) == NULL) {
        ts_reader_fail(r);
        return;
    }
    memcpy(out, b.data, b.len);
}

enum ts_err backup_about_decode(struct backup_about *a, const void *data, size_t len)
{
    struct ts_reader r = ts_reader_init(data, len);
    struct backup_about got = {.taken_us = 0};
    if (len != BACKUP_BLOCK || ts_get_u64(&r) != MAGIC) {
        return TS_ERR_MALFORMED;
    }
    uint32_t sum = ts_get_u32(&r);
    if (sum != ts_crc32c((const uint8_t *)data + HEAD_BYTES, BACKUP_BLOCK - HEAD_BYTES)) {
        return TS_ERR_CORRUPT;
    }
    if (ts_get_u32(&r) != BACKUP_VERSION) {
        return TS_ERR_VERSION;
    }
    get_name(&r, got.cluster);
    get_name(&r, got.group);
    get_name(&r, got.service);
    get_name(&r, got.node);
    got.taken_us = ts_get_u64(&r);
    if (r.failed) {
        return TS_ERR_CORRUPT;
    }
    *a = got;
    return TS_OK;
}

/* ---- taking one --------------------------------------------------------------------------------
 */

enum ts_err backup_newest(const char *dir, struct ts_seq *seq, struct ts_why *why)
{
    struct snapshot_names names = {0};
    enum ts_err err = snapshot_names(dir, &names, why);
    *seq = err == TS_OK && names.count > 0 ? names.seq[0] : (struct ts_seq){0};
    return err;
}

/* Copies `from`, an open snapshot, behind the block of `to`. */
static enum ts_err copy(int from, const char *from_path, int to, const char *to_path,
                        struct ts_why *why)
{
    uint64_t size = 0;
    uint8_t *bytes = malloc(COPY_BYTES);
    enum ts_err err = TS_OK;
    if (bytes == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to copy %s", from_path);
    }
    if (ts_disk_size(from, &size) != 0) {
        err = ts_why_sys(why, errno, "cannot look at %s", from_path);
    }
    for (uint64_t at = 0; at < size && err == TS_OK;) {
        size_t n = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES;
        err = ts_fd_read_at(from, from_path, bytes, n, at, why);
        err = err != TS_OK ? err : ts_fd_write_at(to, to_path, bytes, n, BACKUP_BLOCK + at, why);
        at += n;
    }
    free(bytes);
    return err;
}

static enum ts_err fill(int to, const char *to_path, const struct backup_about *about,
                        const char *from_path, struct ts_why *why)
{
    uint8_t block[BACKUP_BLOCK];
    struct ts_writer w = ts_writer_init(block, sizeof(block));
    backup_about_encode(about, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    int from = ts_disk_open(from_path, O_RDONLY, 0);
    if (from < 0) {
        int why_not = errno;
        enum ts_err gone = ts_why_sys(why, why_not, "cannot open %s", from_path);
        return why_not == ENOENT ? TS_ERR_GONE : gone;
    }
    enum ts_err err = ts_fd_write_at(to, to_path, block, sizeof(block), 0, why);
    err = err != TS_OK ? err : copy(from, from_path, to, to_path, why);
    err = err != TS_OK ? err : ts_fd_sync(to, to_path, why);
    (void)ts_disk_close(from);
    return err;
}

/* The directory that `file` is in. */
static enum ts_err folder_of(const char *file, char out[TS_PATH_MAX], struct ts_why *why)
{
    const char *slash = strrchr(file, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - file) + 1;
    if (len >= TS_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "the path %.200s… is too long", file);
    }
    memcpy(out, len == 0 ? "./" : file, len == 0 ? 2 : len);
    out[len == 0 ? 2 : len] = '\0';
    return TS_OK;
}

static enum ts_err is_there(const char *file, struct ts_why *why)
{
    return ts_why(why, TS_ERR_EXISTS, "%s is there already; it is never overwritten", file);
}

/* As soon as the new file is whole. */
static enum ts_err give_name(const char *aside, const char *file, struct ts_why *why)
{
    char folder[TS_PATH_MAX];
    enum ts_err err = folder_of(file, folder, why);
    if (err != TS_OK) {
        return err;
    }
    if (ts_disk_rename_new(aside, file) != 0) {
        return errno == EEXIST ? is_there(file, why)
                               : ts_why_sys(why, errno, "cannot rename %s to %s", aside, file);
    }
    err = ts_dir_sync(folder, why);
    if (err != TS_OK) {
        (void)ts_disk_unlink(file); /* it is this call's, and whether it lasts nobody knows */
    }
    return err;
}

enum ts_err backup_write(const char *file, const struct backup_about *about, const char *dir,
                         struct ts_seq seq, struct snapshot_info *info, struct ts_why *why)
{
    char from[TS_PATH_MAX];
    char aside[TS_PATH_MAX];
    struct backup_about again;
    enum ts_err err = snapshot_path(from, dir, seq, why);
    err = err != TS_OK ? err : ts_path(aside, why, "", "%s.new", file);
    if (err != TS_OK) {
        return err;
    }
    const char *path = aside + 1; /* ts_path has put a slash before it */
    if (ts_disk_exists(file, NULL) == 0) {
        return is_there(file, why);
    }
    int to = ts_disk_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (to < 0 && errno == EEXIST) {
        return ts_why(why, TS_ERR_EXISTS,
                      "%s is there: another backup writes it, or one that was killed left it; when "
                      "none runs, remove it and try again",
                      path);
    }
    if (to < 0) {
        return ts_why_sys(why, errno, "cannot create %s", path);
    }
    err = fill(to, path, about, from, why);
    (void)ts_disk_close(to);
    err = err != TS_OK ? err : backup_read(path, &again, NULL, NULL, info, why);
    err = err != TS_OK ? err : give_name(path, file, why);
    if (err != TS_OK) {
        (void)ts_disk_unlink(path);
    }
    return err;
}

/* ---- reading one -------------------------------------------------------------------------------
 */

static enum ts_err read_about(const char *file, struct backup_about *about, struct ts_why *why)
{
    uint8_t block[BACKUP_BLOCK];
    int fd = ts_disk_open(file, O_RDONLY, 0);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot open %s", file);
    }
    enum ts_err err = ts_fd_read_at(fd, file, block, sizeof(block), 0, why);
    (void)ts_disk_close(fd);
    if (err != TS_OK && err != TS_ERR_SHORT) {
        return err;
    }
    err = err != TS_OK ? TS_ERR_MALFORMED : backup_about_decode(about, block, sizeof(block));
    if (err == TS_ERR_MALFORMED) {
        return ts_why(why, err, "%s is no backup of a group", file);
    }
    if (err == TS_ERR_VERSION) {
        return ts_why(why, err,
                      "%s has a format that this release does not know; use the release that wrote "
                      "it, or a newer one",
                      file);
    }
    return err == TS_OK
               ? TS_OK
               : ts_why(why, err, "%s is damaged in its first block; use another backup", file);
}

enum ts_err backup_read(const char *file, struct backup_about *about, snapshot_piece_fn *piece,
                        void *arg, struct snapshot_info *info, struct ts_why *why)
{
    struct ts_why inner = {{0}};
    enum ts_err err = read_about(file, about, why);
    if (err != TS_OK) {
        return err;
    }
    err = snapshot_read_any(file, BACKUP_BLOCK, piece, arg, info, &inner);
    if (err == TS_ERR_CORRUPT) {
        return ts_why(why, err, "the backup %s is damaged; use another one", file);
    }
    return err == TS_OK ? TS_OK : ts_why(why, err, "%s", inner.text);
}

/* ---- a replica from one ------------------------------------------------------------------------
 */

static enum ts_err write_piece(void *arg, struct ts_bytes piece, struct ts_why *why)
{
    return snapshot_write_piece(arg, piece, why);
}

enum ts_err backup_install(const char *file, const char *dir, struct ts_incarnation incarnation,
                           struct ts_group_id group, struct ts_why *why)
{
    struct backup_about about;
    struct snapshot_info info;
    struct snapshot_writer *writer = NULL;
    struct ts_seq oldest;
    enum ts_err err = backup_read(file, &about, NULL, NULL, &info, why);
    struct snapshot_header h = info.header;
    h.incarnation = incarnation;
    h.group = group;
    h.installed = true; /* the log, which is empty, is to begin behind it */
    err = err != TS_OK ? err : snapshot_write_begin(&writer, dir, &h, why);
    if (err != TS_OK) {
        return err;
    }
    err = backup_read(file, &about, write_piece, writer, &info, why);
    const struct snapshot_trailer *t = snapshot_written(writer);
    if (err == TS_OK && !ts_hash_eq(t->content, info.trailer.content)) {
        err = ts_why(why, TS_ERR_CORRUPT, "%s changed while it was read; try again", file);
    }
    if (err != TS_OK) {
        snapshot_write_abort(writer);
        return err;
    }
    err = snapshot_write_end(writer, &oldest, why);
    const struct journal_place behind = {h.mark.pos.seq, h.mark.pos.hash, h.mark.epoch};
    return err != TS_OK ? err : journal_begin_behind(dir, incarnation, group, &behind, why);
}

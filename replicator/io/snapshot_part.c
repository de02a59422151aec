#include "replicator/io/snapshot_part.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/snapshot_internal.h"

#define PART ".part"

enum ts_err snapshot_part_path(char out[TS_PATH_MAX], const char *dir, struct ts_seq seq,
                               struct ts_why *why)
{
    return ts_path(out, why, dir, "snapshot-%020" PRIu64 PART, seq.v);
}

enum ts_err snapshot_part_write(const char *dir, struct ts_seq seq, uint64_t offset,
                                struct ts_bytes bytes, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = snapshot_part_path(path, dir, seq, why);
    if (err != TS_OK) {
        return err;
    }
    int fd = ts_disk_open(path, offset == 0 ? O_RDWR | O_CREAT | O_TRUNC : O_RDWR, 0600);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot open %s", path);
    }
    err = ts_fd_write_at(fd, path, bytes.data, bytes.len, offset, why);
    if (err == TS_OK) {
        err = ts_fd_sync(fd, path, why); /* little to queue behind for the journal's own */
    }
    (void)ts_disk_close(fd);
    return err;
}

struct parts {
    const char *dir;
    struct ts_seq keep;
};

static int remove_other(void *arg, const char *name)
{
    const struct parts *p = arg;
    size_t len = strlen(name);
    char path[TS_PATH_MAX];
    char keep[TS_PATH_MAX];
    if (strncmp(name, "snapshot-", 9) == 0 && len > strlen(PART) &&
        strcmp(name + len - strlen(PART), PART) == 0 &&
        ts_path(path, NULL, p->dir, "%s", name) == TS_OK &&
        snapshot_part_path(keep, p->dir, p->keep, NULL) == TS_OK && strcmp(path, keep) != 0) {
        (void)ts_disk_unlink(path); /* it costs room only */
    }
    return 0;
}

enum ts_err snapshot_part_size(const char *dir, struct ts_seq seq, uint64_t *bytes,
                               struct ts_why *why)
{
    char path[TS_PATH_MAX];
    struct parts p = {dir, seq};
    *bytes = 0;
    (void)ts_disk_list(dir, remove_other, &p);
    enum ts_err err = snapshot_part_path(path, dir, seq, why);
    if (err != TS_OK || ts_disk_exists(path, NULL) != 0) {
        return err;
    }
    int fd = ts_disk_open(path, O_RDONLY, 0);
    if (fd < 0 || ts_disk_size(fd, bytes) != 0) {
        err = ts_why_sys(why, errno, "cannot open %s", path);
    }
    if (fd >= 0) {
        (void)ts_disk_close(fd);
    }
    return err;
}

/* The header becomes this disk's. */
static enum ts_err adopt(int fd, const char *path, struct ts_seq seq,
                         struct ts_incarnation incarnation, struct ts_group_id group,
                         struct ts_why *why)
{
    uint8_t mem[SNAPSHOT_HEADER_BYTES];
    struct snapshot_header h;
    enum ts_err err = ts_fd_read_at(fd, path, mem, sizeof(mem), 0, why);
    if (err != TS_OK) {
        return err;
    }
    err = snapshot_header_decode(&h, mem, sizeof(mem));
    if (err == TS_ERR_VERSION) {
        return ts_why(why, err,
                      "%s has a format that this release does not know; use the release of the "
                      "replica that sent it, or a newer one",
                      path);
    }
    if (err != TS_OK || h.group.v != group.v || !ts_seq_eq(h.mark.pos.seq, seq)) {
        return ts_why(why, TS_ERR_CORRUPT, "%s is not the snapshot that was offered", path);
    }
    h.incarnation = incarnation;
    h.installed = true;
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    snapshot_header_encode(&h, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    err = ts_fd_write_at(fd, path, mem, sizeof(mem), 0, why);
    return err != TS_OK ? err : ts_fd_sync(fd, path, why);
}

enum ts_err snapshot_part_check(const char *dir, struct ts_seq seq,
                                struct ts_incarnation incarnation, struct ts_group_id group,
                                struct ts_why *why)
{
    char part[TS_PATH_MAX];
    struct snapshot_info info;
    enum ts_err err = snapshot_part_path(part, dir, seq, why);
    if (err != TS_OK) {
        return err;
    }
    int fd = ts_disk_open(part, O_RDWR, 0);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot open %s", part);
    }
    err = adopt(fd, part, seq, incarnation, group, why);
    (void)ts_disk_close(fd);
    if (err == TS_OK) {
        err = snapshot_read_file(part, seq, incarnation, group, NULL, NULL, &info, why);
    }
    if (err == TS_ERR_CORRUPT || err == TS_ERR_SHORT) {
        (void)ts_disk_unlink(part);
        return ts_why(why, TS_ERR_CORRUPT, "the snapshot at entry %" PRIu64 " is not whole", seq.v);
    }
    return err;
}

enum ts_err snapshot_part_install(const char *dir, struct ts_seq seq, struct ts_why *why)
{
    char part[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    enum ts_err err = snapshot_part_path(part, dir, seq, why);
    if (err == TS_OK) {
        err = snapshot_path(path, dir, seq, why);
    }
    if (err == TS_OK && ts_disk_rename(part, path) != 0) {
        err = ts_why_sys(why, errno, "cannot rename %s", part);
    }
    return err != TS_OK ? err : ts_dir_sync(dir, why);
}

enum ts_err snapshot_part_read(const char *dir, struct ts_seq seq, uint64_t offset, uint8_t *data,
                               size_t max, size_t *len, uint64_t *size, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = snapshot_path(path, dir, seq, why);
    if (err != TS_OK) {
        return err;
    }
    int fd = ts_disk_open(path, O_RDONLY, 0);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot open %s", path);
    }
    *len = 0;
    if (ts_disk_size(fd, size) != 0) {
        err = ts_why_sys(why, errno, "cannot look at %s", path);
    } else if (offset < *size) {
        *len = *size - offset < max ? (size_t)(*size - offset) : max;
        err = ts_fd_read_at(fd, path, data, *len, offset, why);
    }
    (void)ts_disk_close(fd);
    return err;
}

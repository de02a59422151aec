/* What the files of the snapshots share: snapshot_file.c writes, snapshot_read.c reads. */
#ifndef REPLICATOR_IO_SNAPSHOT_INTERNAL_H
#define REPLICATOR_IO_SNAPSHOT_INTERNAL_H

#include "replicator/io/snapshot_file.h"

/* More than are ever kept: a removal may have been interrupted. */
#define SNAPSHOT_NAMES_MAX 8U

/* Which there are. */
struct snapshot_names {
    struct ts_seq seq[SNAPSHOT_NAMES_MAX]; /* the newest first */
    size_t count;
    struct ts_seq unfinished; /* one of those, 0: none */
    struct ts_seq part;       /* one that came from another replica, not all of it; 0: none */
};

enum ts_err snapshot_names(const char *dir, struct snapshot_names *l,
                           struct ts_why *why) TS_MUST_USE;
enum ts_err snapshot_path(char out[TS_PATH_MAX], const char *dir, struct ts_seq seq,
                          struct ts_why *why) TS_MUST_USE;
enum ts_err snapshot_part_path(char out[TS_PATH_MAX], const char *dir, struct ts_seq seq,
                               struct ts_why *why) TS_MUST_USE;
/* As snapshot_read, of a file by its path. */
enum ts_err snapshot_read_file(const char *path, struct ts_seq seq,
                               struct ts_incarnation incarnation, struct ts_group_id group,
                               snapshot_piece_fn *piece, void *arg, struct snapshot_info *info,
                               struct ts_why *why) TS_MUST_USE;
/* The same of one that stands behind `offset` bytes of its file, whosever it is. */
enum ts_err snapshot_read_any(const char *path, uint64_t offset, snapshot_piece_fn *piece,
                              void *arg, struct snapshot_info *info,
                              struct ts_why *why) TS_MUST_USE;
enum ts_err snapshot_remove_unfinished(const char *dir, struct ts_why *why) TS_MUST_USE;

#endif

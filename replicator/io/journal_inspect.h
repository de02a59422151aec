/* A replica's directory as it lies on the disk, for people: record, segments, snapshots, and the
 * first damage. Nothing is written, locked or repaired, so it may be asked of a replica that runs;
 * then the end of the log may be a write that is under way.
 *
 * The same rules as at a start (journal_recover.c) tell an unfinished write from damage. What a
 * segment holds behind the end of the log is a leftover. */
#ifndef REPLICATOR_IO_JOURNAL_INSPECT_H
#define REPLICATOR_IO_JOURNAL_INSPECT_H

#include "replicator/io/journal.h"
#include "replicator/io/snapshot_file.h"

#define JOURNAL_INSPECT_SNAPSHOTS_MAX 8U

/* X(symbol, name) */
#define JOURNAL_SEGMENT_STATE_LIST(X) \
    X(JOURNAL_SEGMENT_LEFT, "goes on in the next") \
    X(JOURNAL_SEGMENT_LAST, "the log ends here") \
    X(JOURNAL_SEGMENT_SPARE, "prepared, blank") \
    X(JOURNAL_SEGMENT_BEHIND, "behind the end of the log") \
    X(JOURNAL_SEGMENT_DAMAGED, "damaged")

enum journal_segment_state {
#define JOURNAL_SEGMENT_ENUM(sym, name) sym,
    JOURNAL_SEGMENT_STATE_LIST(JOURNAL_SEGMENT_ENUM)
#undef JOURNAL_SEGMENT_ENUM
};
const char *journal_segment_state_name(enum journal_segment_state state);

struct journal_inspect_segment {
    uint64_t number;
    enum journal_segment_state state;
    uint64_t file_bytes;
    uint64_t batches; /* that belong to the log */
    struct ts_seq first;
    struct ts_seq last;
    uint64_t used_bytes; /* up to the end of the last of these */
    unsigned notes;      /* whole ones of its header ring */
    uint64_t note;       /* counter of the newest; 0: none */
    struct ts_seq durable;
};

struct journal_inspect_snapshot {
    bool whole; /* every byte was checked */
    struct ts_seq seq;
    struct snapshot_info info; /* of a whole one */
    struct ts_why why;         /* of another */
};

struct journal_inspection {
    /* the record */
    bool has_record;
    struct ts_why record_why; /* when it has none */
    struct ts_incarnation incarnation;
    struct ts_group_id group;
    uint64_t start_number;
    bool start_registered;
    bool has_floor;
    struct ts_epoch floor;  /* it acknowledges nothing below */
    unsigned record_copies; /* of four that are readable */

    long holder;        /* the process that has it open; 0: none, or nobody can tell */
    enum ts_err marked; /* TS_ERR_ABANDONED, TS_ERR_CLONE: it is not to be used again; or TS_OK */
    struct ts_why marked_why;

    /* the log */
    size_t segment_count;
    struct journal_inspect_segment *segments; /* by number */
    struct ts_seq base;                       /* it begins behind this one */
    struct ts_seq last;
    struct ts_epoch epoch;
    struct ts_hash hash;
    struct ts_seq commit;  /* highest hint */
    struct ts_seq durable; /* as the newest note has it */
    uint64_t torn_bytes;   /* of an unfinished write behind the end */

    size_t snapshot_count; /* the newest first */
    struct journal_inspect_snapshot snapshots[JOURNAL_INSPECT_SNAPSHOTS_MAX];

    /* the first damage, in the order of the log */
    bool damaged;
    struct ts_seq damage_seq; /* the first entry that is lost; 0: not one of the log */
    uint64_t damage_segment;
    uint64_t damage_offset;
    struct ts_why damage_why;
};

/* Reads all of `dir`. Damage is told in the result, which journal_inspection_free frees.
 * TS_ERR_NOT_FOUND: `dir` is no replica's directory. TS_ERR_NOMEM, TS_ERR_IO, TS_ERR_SYSTEM. */
enum ts_err journal_inspect(const char *dir, struct journal_inspection **out,
                            struct ts_why *why) TS_MUST_USE;
/* NULL is allowed. */
void journal_inspection_free(struct journal_inspection *n);

#endif

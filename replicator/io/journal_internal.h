/* What the journal's own files share; nobody else includes this but the simulator.
 *
 *   journal.c          the loop's side: calls, completions, open and close
 *   journal_format.c   bytes
 *   journal_recover.c  finding the log end at open
 *   journal_writer.c   the writing thread's turns: groups, notes, truncation, failure
 *   journal_segment.c  segment files, and preparing the next one
 *   journal_index.c    where a seq stands; reading a range
 *   journal_read.c     journal_read on the loop's worker threads
 *   journal_scrub.c    looking through the log for damage
 *   journal_repair.c   writing again what was found to be damaged
 *   journal_threads.c  the threads that take these turns, the lock, the way back to the loop; the
 *                      simulator brings its own
 *
 * Owners: `loop` fields belong to the loop's thread, `thread` fields to the
 * writing thread, `shared` fields to whoever holds the mutex. Before the threads
 * start and after they ended, all belong to the loop's thread. */
#ifndef REPLICATOR_IO_JOURNAL_INTERNAL_H
#define REPLICATOR_IO_JOURNAL_INTERNAL_H

#include <uv.h>

#include "base/io/slot_file.h"
#include "net/work.h"
#include "replicator/io/journal.h"
#include "replicator/io/journal_format.h"

/* Appends of one group, and their bytes: what one fdatasync makes durable at most. */
#define JOURNAL_GROUP_OPS_MAX 512U
#define JOURNAL_GROUP_BYTES_MAX (8U * 1024U * 1024U)
/* One index entry stands for at least this many bytes of log. */
#define JOURNAL_INDEX_STRIDE (64U * 1024U)
#define JOURNAL_IDLE_NOTE_NS (10ULL * TS_NS_PER_MS)

enum journal_op_kind {
    JOURNAL_OP_APPEND,
    JOURNAL_OP_TRUNCATE,
    JOURNAL_OP_RECORD,
    JOURNAL_OP_DROP,
    JOURNAL_OP_REPAIR,
};

/* One call on its way to the disk and back; made and freed by the loop. */
struct journal_op {
    struct journal_op *next;
    enum journal_op_kind kind;
    uint64_t cuts;     /* truncations called before this */
    struct ts_seq seq; /* append: the batch's last; truncate, repair: after; drop: up to here */
    struct ts_hash hash;
    uint64_t segment; /* repair: where, … */
    uint32_t offset;
    size_t count;              /* … with how many batches; … */
    bool mended;               /* … and whether it was done */
    uint64_t token;            /* record */
    struct journal_record rec; /* append: what is to be sealed */
    size_t len;                /* of data */
    /* append: room for the record header, then the batch's bytes; repair: the batches, then theirs
     */
    _Alignas(max_align_t) uint8_t data[];
};

/* A FIFO of calls. Initialise with journal_ops_init. */
struct journal_ops {
    struct journal_op *head;
    struct journal_op **tail;
    size_t count;
    size_t bytes;
};

void journal_ops_init(struct journal_ops *l);
void journal_ops_push(struct journal_ops *l, struct journal_op *op);
/* NULL when empty. */
struct journal_op *journal_ops_pop(struct journal_ops *l);
void journal_ops_free(struct journal_ops *l);

/* The first record at or after which the next stride of the log begins. */
struct journal_index_entry {
    struct ts_seq first;
    uint64_t segment;
    uint32_t offset;
};

/* The log begins here when it is formatted. */
#define JOURNAL_FIRST_SEGMENT 1U

/* Where seqs stand: sorted by seq. */
struct journal_index {
    struct journal_index_entry
        start; /* of the log that is kept; its `first` may not be there yet */
    struct journal_index_entry *entries;
    size_t count;
    size_t cap;
};

/* Notes that a record beginning with `first` stands there, when it is worth an entry. Out of memory
 * only makes reads slower. */
void journal_index_add(struct journal_index *x, struct ts_seq first, uint64_t segment,
                       uint32_t offset);
/* The record beginning with `first` stands there now, in the same segment. */
void journal_index_move(struct journal_index *x, struct ts_seq first, uint32_t offset);
/* Forgets everything after `after`. */
void journal_index_cut(struct journal_index *x, struct ts_seq after);
/* The log begins with this segment, behind `base`: forgets what stands before it. */
void journal_index_begin(struct journal_index *x, uint64_t segment, struct ts_seq base);
/* The last entry not behind `seq`; the log's start when there is none. */
struct journal_index_entry journal_index_find(const struct journal_index *x, struct ts_seq seq);

/* Reads records one by one, through as many segments as it takes. */
struct journal_cursor {
    const char *dir; /* borrowed */
    int fd;
    uint64_t segment;
    uint32_t offset; /* of the next record */
    uint32_t size;   /* of the segment */
    uint8_t *window; /* the bytes of the file from window_at on */
    size_t window_cap;
    size_t window_len;
    uint32_t window_at;
};

void journal_cursor_init(struct journal_cursor *c, const char *dir, uint64_t segment,
                         uint32_t offset);
/* Gives the next batch record, its bytes borrowed until the next call. The caller knows that there
 * is one: anything else is TS_ERR_CORRUPT. TS_ERR_IO, TS_ERR_NOT_FOUND, TS_ERR_NOMEM. */
enum ts_err journal_cursor_next(struct journal_cursor *c, struct journal_record *r,
                                struct ts_why *why) TS_MUST_USE;
/* Whether the record here says that the log goes on in the next segment: then the cursor goes
 * there. Errors as above. */
enum ts_err journal_cursor_at_end(struct journal_cursor *c, bool *ended,
                                  struct ts_why *why) TS_MUST_USE;
void journal_cursor_close(struct journal_cursor *c);

/* ---- segment files (journal_segment.c) ---- */

enum ts_err journal_segment_path(char out[TS_PATH_MAX], const char *dir, uint64_t number,
                                 struct ts_why *why) TS_MUST_USE;
/* Creates a prewritten segment, complete and durable under its name. `base` may be NULL: it is not
 * known yet. `fd` may be NULL; otherwise gives the open file. */
enum ts_err journal_segment_create(const char *dir, const struct journal_header *h,
                                   const struct journal_place *base, int *fd,
                                   struct ts_why *why) TS_MUST_USE;
/* Writes the base of the open segment `number`; does not sync. */
enum ts_err journal_base_write(int fd, const char *path, const struct journal_base *b,
                               struct ts_why *why) TS_MUST_USE;
/* Writes header and base of a segment that is in use again, durably, when they are damaged; a
 * header that is whole and another one's stays. `is`: what it should say, without the size.
 * *mended: it was so. An error is one of writing. */
enum ts_err journal_beginning_mend(const char *path, const struct journal_header *is,
                                   const struct journal_place *base, bool *mended,
                                   struct ts_why *why) TS_MUST_USE;
/* Reads it. TS_ERR_CORRUPT, without a sentence: there is none of this journal's. TS_ERR_IO. */
enum ts_err journal_base_read(int fd, const char *path, struct ts_incarnation incarnation,
                              uint64_t number, struct journal_place *place,
                              struct ts_why *why) TS_MUST_USE;
/* Opens for reading and writing; checks the header against `want` (number, group, incarnation) and
 * the file's size; gives the size in *size. TS_ERR_NOT_FOUND, TS_ERR_CORRUPT, TS_ERR_VERSION. */
enum ts_err journal_segment_open(const char *dir, const struct journal_header *want, int *fd,
                                 uint32_t *size, struct ts_why *why) TS_MUST_USE;
/* Whether there are only zeros in [from, to). TS_ERR_IO, TS_ERR_NOMEM. */
enum ts_err journal_segment_is_zero(int fd, const char *path, uint32_t from, uint32_t to,
                                    bool *zero, struct ts_why *why) TS_MUST_USE;
/* Writes zeros over [from, to). */
enum ts_err journal_segment_zero(int fd, const char *path, uint32_t from, uint32_t to,
                                 struct ts_why *why) TS_MUST_USE;

enum journal_spare_state {
    JOURNAL_SPARE_NONE,    /* nothing is asked for */
    JOURNAL_SPARE_WANTED,  /* the preparing thread is at it */
    JOURNAL_SPARE_READY,   /* fd is the segment */
    JOURNAL_SPARE_FAILED,  /* err, why */
    JOURNAL_SPARE_STOPPED, /* the thread ended */
};

/* The segment prepared ahead. */
struct journal_spare {
    enum journal_spare_state state;
    bool stop;
    uint64_t number;
    uint32_t size;
    int fd; /* -1 unless READY */
    enum ts_err err;
    struct ts_why why;
};

/* What journal_threads.c needs. */
struct journal_threads {
    uv_loop_t *loop;
    uv_async_t async;
    uv_thread_t writer;
    uv_thread_t spare;
    uv_mutex_t mutex;
    uv_cond_t work; /* the queue is not empty, or stop */
    uv_cond_t spare_changed;
};

struct journal_end {
    struct journal_position pos;
    int fd;                 /* of pos.segment */
    uint32_t size;          /* of pos.segment */
    uint64_t note_count;    /* counter of the last note */
    char path[TS_PATH_MAX]; /* of pos.segment */
};

struct journal {
    /* config */
    struct journal_threads threads;
    char dir[TS_PATH_MAX];
    struct journal_callbacks callbacks;
    struct journal_options options;
    struct journal_info info;
    uint8_t record_found[JOURNAL_RECORD_MAX];
    size_t record_found_len;

    /* loop */
    bool start_registered; /* of info.start_number, in the records written from now on */
    bool closing;
    bool finishing; /* the threads are joined */
    bool failed_told;
    struct ts_seq appended; /* what the next append must continue */
    struct ts_hash appended_hash;
    struct ts_seq persisted;
    uint64_t cuts;         /* truncations called so far */
    uint64_t cuts_pending; /* of these not completed */
    struct ts_seq cut_min; /* lowest `after` of the pending ones */
    unsigned reads;        /* under way */
    void (*closed_cb)(void *arg);
    void *closed_arg;

    /* shared */
    bool stop;
    bool writer_ended;
    struct journal_ops queue;
    struct journal_ops done;
    bool failed;
    enum ts_err failed_err;
    struct ts_why failed_why;
    struct journal_index index;
    uint64_t moves; /* of records by a repair, begun and ended: odd while one is under way */
    struct journal_place base; /* the log begins behind this */
    struct journal_spare spare;

    /* thread */
    struct journal_end end;   /* where the next record goes */
    struct journal_ops taken; /* from the queue, in hand */
    struct ts_slot_file *record_file;
    bool note_is_current; /* the last note says that all is durable */
    struct journal_note note;
    uint8_t note_block[JOURNAL_BLOCK];
    size_t note_len; /* of the newest note in it */
};

/* What the durable record holds besides the replica's opaque bytes. */
struct journal_meta {
    uint64_t start_number;
    struct ts_group_id group;
    struct ts_instance start_instance; /* minted with the start number; 0 before the first start */
    bool start_registered;             /* that start is known to a majority of voters */
};

#define JOURNAL_META_SIZE 23U
void journal_meta_encode(const struct journal_meta *m, struct ts_writer *w);
/* TS_ERR_VERSION, TS_ERR_SHORT. What is left in `r` are the replica's bytes. */
enum ts_err journal_meta_decode(struct journal_meta *m, struct ts_reader *r) TS_MUST_USE;

/* Finds the log end (journal_recover.c): fills j->info, j->base, j->end, j->index, j->spare;
 * replays what follows `from`; makes what it found durable. j->dir, info.incarnation, info.group
 * are set. */
enum ts_err journal_recover(struct journal *j, const struct journal_start *from,
                            journal_replay_fn *replay, void *replay_arg,
                            struct ts_why *why) TS_MUST_USE;

/* Writes a note that everything up to the log end is durable; does not sync. */
enum ts_err journal_write_note(struct journal *j, struct ts_why *why) TS_MUST_USE;
/* Keeps the path of the segment that the log ends in, which is open. */
void journal_name_end(struct journal *j);

/* R2.11: abandons the directory when `err`, of a write or a sync, casts doubt on the disk; `why`
 * may be NULL. Returns `err`. */
enum ts_err journal_distrust(const struct journal *j, enum ts_err err, const struct ts_why *why);
/* ---- repair (journal_repair.c) ---- */

/* Whether the batches are what they say, and follow what is good before the flaw. */
bool journal_repair_fits(const struct journal_flaw *flaw, const struct journal_batch *batches,
                         size_t count);
/* NULL: no memory. */
struct journal_op *journal_repair_op(const struct journal_flaw *flaw,
                                     const struct journal_batch *batches, size_t count);
/* On the writing thread: sets op->mended. An error is one of writing, and fails the journal. */
enum ts_err journal_do_repair(struct journal *j, struct journal_op *op,
                              struct ts_why *why) TS_MUST_USE;

/* ---- turns of the threads ---- */

/* Takes what is queued; gives whether anything is in hand now: nothing after a failure. Mutex held.
 */
bool journal_write_take(struct journal *j);
/* Carries out one piece of what is in hand (a group of appends, a truncation, a record) and hands
 * it back to the loop, or fails the journal. Gives whether more is in hand. */
bool journal_write_some(struct journal *j);
/* Whether a note is worth writing once nothing has come for JOURNAL_IDLE_NOTE_NS. Mutex held. */
bool journal_idle_note_due(const struct journal *j);
/* Nothing came for a while: notes that all of it is durable, without a sync. It costs nothing and
 * tells a later recovery, after a mere kill, that the last group was acknowledged. */
void journal_write_idle_note(struct journal *j);
/* Prepares the spare segment that is WANTED. A full disk is tried again when the segment is needed;
 * any doubt about the disk fails the journal at once. */
void journal_spare_prepare(struct journal *j);
/* Asks for segment `number`. Mutex held. */
void journal_spare_request(struct journal *j, uint64_t number);

/* ---- the loop's side ---- */

/* Delivers what the threads handed back. */
void journal_deliver(struct journal *j);
/* Ends the journal when closing, both threads ended and no read is under way. */
void journal_maybe_finish(struct journal *j);
/* The threads have ended and are joined: frees the journal and tells that it is closed. */
void journal_finish(struct journal *j);
/* Frees the journal without a word; no thread of it runs. */
void journal_free(struct journal *j);

/* ---- threads (journal_threads.c) ---- */

void journal_threads_init(struct journal *j, uv_loop_t *loop);
void journal_threads_destroy(struct journal *j);
/* Starts the writing thread and the preparing one. TS_ERR_SYSTEM. */
enum ts_err journal_threads_start(struct journal *j, struct ts_why *why) TS_MUST_USE;
/* Both have ended: joins them, then calls journal_finish from the loop. */
void journal_threads_end(struct journal *j);
void journal_lock(struct journal *j);
void journal_unlock(struct journal *j);
/* The queue or `stop` changed. Mutex held. */
void journal_wake_writer(struct journal *j);
/* journal_deliver shall run. */
void journal_wake_loop(struct journal *j);
/* The spare's state changed. Mutex held. */
void journal_spare_changed(struct journal *j);
/* Waits for that. Mutex held. */
void journal_await_spare(struct journal *j);

#endif

/* What a snapshot costs: how long the loop stands still for each slice, how long the whole takes,
 * and how long a start takes from it, beside a start that replays the journal of the same writes.
 *
 *   bench_snapshot [--keys N] [--bytes N] [--dir DIR]
 *
 * The slices are the ones of replicator/io/perform_snapshot.c: one piece of the walk, handed to a
 * worker, the next one when that is done. Prints one JSON line. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "net/work.h"
#include "replicator/batch.h"
#include "replicator/io/journal.h"
#include "replicator/io/snapshot_file.h"
#include "services/kv/commands.h"
#include "services/kv/kv.h"
#include "services/kv/payload.h"
#include "tests/unit/disk_fixture.h"

#define ENTRIES 64U /* of a batch */
#define SLICES_MAX 65536

static const struct ts_incarnation incarnation = {77};
static const struct ts_group_id group = {3};

struct bench {
    struct fix fix; /* directory, loop, journal */
    uint64_t keys;
    size_t bytes;
    void *state;
    struct svc_out out;
    /* the snapshot */
    struct svc_walk *walk;
    struct snapshot_writer *writer;
    struct net_work work;
    struct svc_out piece;
    bool more;
    double slice[SLICES_MAX]; /* µs */
    size_t slices;
    uint64_t packed;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * TS_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void apply(struct bench *b, const struct repl_batch *batch)
{
    struct repl_batch_iter it = repl_batch_iter_init(batch);
    struct svc_entry e;
    while (repl_batch_next(&it, &e)) {
        b->out.len = 0;
        kv_service.apply(b->state, &e, &b->out);
    }
}

/* SETs of the next keys, as one batch; half of each value can be packed. */
static size_t encode(struct bench *b, uint64_t first, uint8_t *out, size_t cap, struct ts_hash prev)
{
    static uint8_t payload[ENTRIES][4096];
    struct repl_request q[ENTRIES] = {{0}};
    uint64_t x = first * 2654435761U + 1;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t value[2048];
        char name[32];
        int n = snprintf(name, sizeof(name), "key:%010" PRIu64, first + i);
        for (size_t k = 0; k < b->bytes; k++) {
            x = x * 6364136223846793005ULL + 1442695040888963407ULL;
            value[k] = (uint8_t)(k < b->bytes / 2 ? 'v' : x >> 56);
        }
        struct ts_bytes args[] = {
            {(const uint8_t *)"SET", 3}, {(const uint8_t *)name, (size_t)n}, {value, b->bytes}};
        struct ts_writer w = ts_writer_init(payload[i], sizeof(payload[i]));
        kv_payload_encode(&w, RESP_V2, KV_SET, args, 3);
        ts_assert(ts_writer_status(&w) == TS_OK);
        q[i] = (struct repl_request){.kind = SVC_ENTRY_COMMAND, .payload = {payload[i], w.len}};
    }
    struct ts_writer w = ts_writer_init(out, cap);
    repl_batch_encode(&w, (struct ts_epoch){1}, (struct ts_seq){first + 1},
                      (struct ts_ltime){first}, prev, q, ENTRIES);
    ts_assert(ts_writer_status(&w) == TS_OK);
    return w.len;
}

/* Writes them to the journal, and applies them. */
static void fill(struct bench *b)
{
    struct fix *f = &b->fix;
    uint8_t *mem = malloc(REPL_BATCH_BYTES_MAX);
    ts_assert(mem != NULL);
    for (uint64_t first = 0; first < b->keys; first += ENTRIES) {
        size_t len = encode(b, first, mem, REPL_BATCH_BYTES_MAX, f->hash);
        struct ts_reader r = ts_reader_init(mem, len);
        struct repl_batch batch;
        ts_assert(repl_batch_decode(&batch, &r) == TS_OK);
        apply(b, &batch);
        struct journal_batch j = {.epoch = {1},
                                  .first = batch.first,
                                  .last = batch.last,
                                  .prev = f->hash,
                                  .hash = ts_hash_bytes(mem, len),
                                  .bytes = {mem, len}};
        enum ts_err err;
        while ((err = journal_append(f->journal, &j, j.first)) == TS_ERR_FULL) {
            (void)uv_run(&f->loop, UV_RUN_ONCE);
        }
        ts_assert(err == TS_OK);
        f->seq = j.last;
        f->hash = j.hash;
    }
    fix_wait(f);
    free(mem);
}

static enum ts_err on_replay(void *arg, const struct journal_batch *j, struct ts_seq commit,
                             struct ts_why *why)
{
    struct repl_batch batch;
    struct ts_reader r = ts_reader_init(j->bytes.data, j->bytes.len);
    (void)commit;
    (void)why;
    ts_assert(repl_batch_decode(&batch, &r) == TS_OK);
    apply(arg, &batch);
    return TS_OK;
}

static void open_journal(struct bench *b)
{
    struct fix *f = &b->fix;
    struct journal_options o = {0};
    struct journal_callbacks cb = {.persisted = fix_persisted,
                                   .truncated = fix_truncated,
                                   .record_persisted = fix_record,
                                   .failed = fix_failed,
                                   .arg = f};
    f->closed = false;
    ts_assert(journal_open(&f->journal, &f->loop, f->path, &o, &cb, on_replay, b, &f->why) ==
              TS_OK);
    f->seq = journal_info(f->journal)->last;
    f->hash = journal_info(f->journal)->hash;
    f->persisted = f->seq;
}

static void on_worker(void *arg)
{
    struct bench *b = arg;
    struct ts_bytes piece = {b->piece.data, b->piece.len};
    ts_assert(snapshot_write_piece(b->writer, piece, NULL) == TS_OK);
}

static void hand_over(void *arg)
{
    struct bench *b = arg;
    if (!b->more) {
        return;
    }
    uint64_t begun = now_ns();
    b->piece.len = 0;
    b->more = kv_service.walk_next(b->walk, &b->piece);
    net_work_queue(&b->fix.loop, &b->work, on_worker, hand_over, b);
    ts_assert(b->slices < SLICES_MAX);
    b->slice[b->slices++] = (double)(now_ns() - begun) / 1e3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds. */
static double take(struct bench *b, double *begin_us)
{
    struct snapshot_header h = {
        .incarnation = incarnation, .group = group, .mark = {.pos = {b->fix.seq, b->fix.hash}}};
    uint64_t begun = now_ns();
    struct ts_seq oldest;
    b->walk = kv_service.walk_begin(b->state);
    *begin_us = (double)(now_ns() - begun) / 1e3;
    ts_assert(snapshot_write_begin(&b->writer, b->fix.path, &h, NULL) == TS_OK);
    b->piece.max = SVC_PIECE_MAX;
    b->more = true;
    hand_over(b);
    while (uv_run(&b->fix.loop, UV_RUN_ONCE) != 0 && b->work.done != NULL && b->more) {
    }
    (void)uv_run(&b->fix.loop, UV_RUN_DEFAULT);
    kv_service.walk_end(b->walk);
    ts_assert(snapshot_write_end(b->writer, &oldest, NULL) == TS_OK);
    return (double)(now_ns() - begun) / 1e9;
}

static enum ts_err on_piece(void *arg, struct ts_bytes piece, struct ts_why *why)
{
    struct bench *b = arg;
    (void)why;
    return kv_service.load_piece(b->state, piece);
}

static void on_broken(void *arg, const char *text)
{
    (void)arg;
    (void)fprintf(stderr, "bench_snapshot: %s\n", text);
}

/* Seconds. */
static double load(struct bench *b, struct snapshot_info *info)
{
    bool found;
    uint64_t begun = now_ns();
    ts_assert(snapshot_find(b->fix.path, incarnation, group, on_broken, b, &found, info, NULL) ==
                  TS_OK &&
              found);
    ts_assert(snapshot_read(b->fix.path, info->header.mark.pos.seq, incarnation, group, on_piece, b,
                            info, NULL) == TS_OK);
    ts_assert(kv_service.load_end(b->state) == TS_OK);
    return (double)(now_ns() - begun) / 1e9;
}

static void fresh(struct bench *b)
{
    kv_service.destroy(b->state);
    b->state = kv_service.create("hash-seed=9 memory-max=100000000000");
    ts_assert(b->state != NULL);
}

static void arguments(struct bench *b, int argc, char **argv)
{
    static const struct option options[] = {
        {"keys", required_argument, NULL, 'k'},
        {"bytes", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    for (int c = 0; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'k') {
            b->keys = strtoull(optarg, NULL, 10) / ENTRIES * ENTRIES;
        } else if (c == 'b') {
            b->bytes = strtoull(optarg, NULL, 10);
        } else {
            b->keys = 0;
        }
    }
    if (b->keys == 0 || b->bytes == 0 || b->bytes > 2048) {
        (void)fprintf(stderr, "usage: bench_snapshot [--keys N] [--bytes N]\n");
        exit(64);
    }
}

int main(int argc, char **argv)
{
    struct bench *b = calloc(1, sizeof(*b));
    ts_assert(b != NULL);
    b->keys = 500032;
    b->bytes = 480;
    b->out.max = SIZE_MAX;
    arguments(b, argc, argv);
    fix_init(&b->fix);
    ts_assert(fix_format(&b->fix) == TS_OK);
    fresh(b);
    open_journal(b);
    fill(b);
    fix_close(&b->fix);
    double begin_us;
    double took = take(b, &begin_us);
    fresh(b);
    struct snapshot_info info;
    double from_snapshot = load(b, &info);
    fresh(b);
    uint64_t begun = now_ns();
    open_journal(b);
    double from_journal = (double)(now_ns() - begun) / 1e9;
    qsort(b->slice, b->slices, sizeof(b->slice[0]), by_size);
    printf("{\"state_bytes\": %" PRIu64 ", \"file_bytes\": %" PRIu64
           ", \"slices\": %zu, \"begin_us\": %.1f, \"slice_median_us\": %.0f, \"slice_p99_us\": "
           "%.0f, \"slice_max_us\": %.0f, \"snapshot_s\": %.2f, \"snapshot_mb_per_s\": %.0f, "
           "\"start_from_snapshot_s\": %.2f, \"start_from_journal_s\": %.2f}\n",
           info.trailer.bytes, info.file_bytes, b->slices, begin_us, b->slice[b->slices / 2],
           b->slice[b->slices * 99 / 100], b->slice[b->slices - 1], took,
           (double)info.trailer.bytes / 1e6 / took, from_snapshot, from_journal);
    fix_free(&b->fix);
    kv_service.destroy(b->state);
    svc_out_free(&b->out);
    svc_out_free(&b->piece);
    free(b);
    return 0;
}

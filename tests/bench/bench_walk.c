/* What a walk over kv costs: entries applied while one is under way against entries applied
 * without one, in turn on one state; beginning, writing, loading.
 *
 * Each round overwrites random keys without a walk, then as many under one that has not given
 * anything yet, so that every first change of a key is kept. Prints medians of the rounds and the
 * slowest entry of all, as one JSON line. */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/prng.h"
#include "services/kv/commands.h"
#include "services/kv/kv.h"
#include "services/kv/payload.h"

#define ROUNDS 9
#define VALUE_MAX 65536U
#define PIECES_MAX 65536

struct bench {
    void *state;
    uint64_t keys;
    size_t bytes;
    uint64_t changes; /* a round and half */
    struct ts_prng prng;
    uint64_t seq;
    struct svc_out out;
};

/* Of this thread's own time: on a shared machine others run in between. */
static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * TS_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void apply(struct bench *b, uint8_t command, const struct ts_bytes *args, size_t argc)
{
    static uint8_t payload[VALUE_MAX + 256];
    struct ts_writer w = ts_writer_init(payload, sizeof(payload));
    kv_payload_encode(&w, RESP_V2, command, args, argc);
    struct svc_entry e = {.epoch = {1},
                          .seq = {++b->seq},
                          .kind = SVC_ENTRY_COMMAND,
                          .time = {b->seq},
                          .payload = {payload, w.len}};
    b->out.len = 0;
    kv_service.apply(b->state, &e, &b->out);
}

static void set(struct bench *b, uint64_t key)
{
    static uint8_t value[VALUE_MAX];
    char name[32];
    int n = snprintf(name, sizeof(name), "key:%08" PRIu64, key);
    struct ts_bytes args[] = {
        {(const uint8_t *)"SET", 3}, {(const uint8_t *)name, (size_t)n}, {value, b->bytes}};
    memcpy(value, &b->seq, sizeof(b->seq));
    apply(b, KV_SET, args, 3);
}

/* Nanoseconds an entry; one in 16 is measured by itself, the slowest of them in *slowest. */
static double change(struct bench *b, uint64_t *slowest)
{
    uint64_t begun = now_ns();
    for (uint64_t i = 0; i < b->changes; i++) {
        uint64_t last = i % 16 == 0 ? now_ns() : 0;
        set(b, ts_prng_below(&b->prng, b->keys));
        if (i % 16 == 0) {
            uint64_t took = now_ns() - last;
            *slowest = took > *slowest ? took : *slowest;
        }
    }
    return (double)(now_ns() - begun) / (double)b->changes;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof(*v), by_size);
    return v[ROUNDS / 2];
}

struct figures {
    double without[ROUNDS], under[ROUNDS]; /* ns an entry */
    double begin[ROUNDS];                  /* µs */
    double walk[ROUNDS], load[ROUNDS];     /* MB/s */
    double piece[ROUNDS];                  /* µs, the slowest one */
    uint64_t slowest_without, slowest_under;
    double kept; /* share of the state that the changes made a walk keep */
    size_t bytes;
};

static size_t ends[PIECES_MAX];

static void load(const struct svc_out *walk, size_t pieces, double *mb_per_s)
{
    void *state = kv_service.create("hash-seed=7");
    size_t from = 0;
    uint64_t begun = now_ns();
    for (size_t i = 0; i < pieces; i++) {
        ts_assert(kv_service.load_piece(
                      state, (struct ts_bytes){walk->data + from, ends[i] - from}) == TS_OK);
        from = ends[i];
    }
    ts_assert(kv_service.load_end(state) == TS_OK);
    *mb_per_s = (double)walk->len * 1e3 / (double)(now_ns() - begun);
    kv_service.destroy(state);
}

static void one_round(struct bench *b, int round, struct svc_out *walked, struct figures *f)
{
    f->without[round] = change(b, &f->slowest_without);
    uint64_t begun = now_ns();
    struct svc_walk *walk = kv_service.walk_begin(b->state);
    f->begin[round] = (double)(now_ns() - begun) / 1e3;
    ts_assert(walk != NULL);
    f->under[round] = change(b, &f->slowest_under);
    struct kv_stats stats;
    kv_stats(b->state, &stats);
    f->kept = (double)stats.kept / (double)stats.memory;
    walked->len = 0;
    size_t pieces = 0;
    uint64_t spent = 0;
    for (bool more = true; more;) {
        ts_assert(pieces < PIECES_MAX);
        begun = now_ns();
        more = kv_service.walk_next(walk, walked);
        uint64_t took = now_ns() - begun;
        spent += took;
        f->piece[round] =
            (double)took / 1e3 > f->piece[round] ? (double)took / 1e3 : f->piece[round];
        ends[pieces++] = walked->len;
    }
    kv_service.walk_end(walk);
    f->walk[round] = (double)walked->len * 1e3 / (double)spent;
    f->bytes = walked->len;
    load(walked, pieces, &f->load[round]);
}

static void usage(void)
{
    fprintf(stderr, "usage: bench_walk [--keys N] [--bytes N]\n");
    exit(64);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"keys", required_argument, NULL, 'k'},
        {"bytes", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    struct bench b = {.keys = 500000, .bytes = 64, .prng = ts_prng_init(1)};
    for (int c = 0; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'k') {
            b.keys = strtoull(optarg, NULL, 10);
        } else if (c == 'b') {
            b.bytes = strtoull(optarg, NULL, 10);
        } else {
            usage();
        }
    }
    if (b.keys == 0 || b.bytes < sizeof(b.seq) || b.bytes > VALUE_MAX) {
        usage();
    }
    b.changes = b.keys / 5;
    b.out.max = SIZE_MAX;
    b.state = kv_service.create("hash-seed=3 memory-max=100000000000");
    ts_assert(b.state != NULL);
    for (uint64_t i = 0; i < b.keys; i++) {
        set(&b, i);
    }
    static struct figures f;
    struct svc_out walked = {.max = SIZE_MAX};
    for (int round = 0; round < ROUNDS; round++) {
        one_round(&b, round, &walked, &f);
    }
    uint64_t begun = now_ns();
    struct svc_walk *walk = kv_service.walk_begin(b.state);
    ts_assert(walk != NULL);
    struct ts_bytes flush[] = {{(const uint8_t *)"FLUSHALL", 8}};
    apply(&b, KV_FLUSHALL, flush, 1);
    double flushed_us = (double)(now_ns() - begun) / 1e3;
    kv_service.walk_end(walk);
    double without = median(f.without);
    double under = median(f.under);
    printf("{\"bench\":\"walk\",\"keys\":%" PRIu64 ",\"value_bytes\":%zu,\"state_mb\":%.1f,"
           "\"apply_ns\":%.0f,\"apply_ns_under_walk\":%.0f,\"ratio\":%.2f,\"kept\":%.2f,"
           "\"slowest_us\":%.0f,\"slowest_us_under_walk\":%.0f,\"begin_us\":%.1f,"
           "\"begin_and_flush_us\":%.1f,\"slowest_piece_us\":%.0f,\"walk_mb_s\":%.0f,"
           "\"load_mb_s\":%.0f}\n",
           b.keys, b.bytes, (double)f.bytes / 1e6, without, under, under / without, f.kept,
           (double)f.slowest_without / 1e3, (double)f.slowest_under / 1e3, median(f.begin),
           flushed_us, median(f.piece), median(f.walk), median(f.load));
    kv_service.destroy(b.state);
    svc_out_free(&b.out);
    svc_out_free(&walked);
    return 0;
}

/* Batches: what was ordered comes back entry by entry, and nothing else decodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replicator/batch.h"

#define OFFSET_LENGTH 4
#define OFFSET_EPOCH 8
#define OFFSET_FIRST 16
#define OFFSET_COUNT 24
#define OFFSET_RESERVED 28
#define OFFSET_TIME 32

static const struct ts_hash PREV = {0x1111, 0x2222};

struct encoded {
    uint8_t bytes[512];
    size_t len;
};

/* Three entries in epoch 7 from seq 41 on. */
static void encode_three(struct encoded *out)
{
    static const uint8_t set[] = "SET key value";
    const struct repl_request requests[] = {
        {SVC_ENTRY_COMMAND, 3, 9, {set, sizeof(set) - 1}},
        {SVC_ENTRY_TICK, 0, 0, {NULL, 0}},
        {SVC_ENTRY_CHECKPOINT, UINT64_MAX, UINT64_MAX, {set, 1}},
    };
    struct ts_writer w = ts_writer_init(out->bytes, sizeof(out->bytes));
    repl_batch_encode(&w, (struct ts_epoch){7}, (struct ts_seq){41}, (struct ts_ltime){1234567},
                      PREV, requests, 3);
    out->len = w.len;
    assert_int_equal(out->len, repl_batch_size(requests, 3));
    assert_int_equal(out->len, REPL_BATCH_HEADER_BYTES + 3 * REPL_ENTRY_HEADER_BYTES + 14);
}

static enum ts_err decode(const struct encoded *e, struct repl_batch *out)
{
    struct ts_reader r = ts_reader_init(e->bytes, e->len);
    return repl_batch_decode(out, &r);
}

static void put(struct encoded *e, size_t at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        e->bytes[at + i] = (uint8_t)(value >> (8 * i));
    }
}

/* Goal: header and entries survive, each entry with its seq and the batch's epoch and time. */
static void test_decode_encoded_gives_entries(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_batch b;
    struct svc_entry entry;
    encode_three(&e);
    assert_int_equal(decode(&e, &b), TS_OK);
    assert_true(b.epoch.v == 7 && b.first.v == 41 && b.last.v == 43 && b.time.ns == 1234567);
    assert_true(ts_hash_eq(b.prev, PREV));
    assert_ptr_equal(b.bytes.data, e.bytes);
    assert_int_equal(b.bytes.len, e.len);

    struct repl_batch_iter it = repl_batch_iter_init(&b);
    assert_true(repl_batch_next(&it, &entry));
    assert_true(entry.seq.v == 41 && entry.epoch.v == 7 && entry.time.ns == 1234567);
    assert_true(entry.kind == SVC_ENTRY_COMMAND && entry.session == 3 && entry.request == 9);
    assert_int_equal(entry.payload.len, 13);
    assert_memory_equal(entry.payload.data, "SET key value", 13);
    assert_true(repl_batch_next(&it, &entry));
    assert_true(entry.seq.v == 42 && entry.kind == SVC_ENTRY_TICK && entry.payload.len == 0);
    assert_true(repl_batch_next(&it, &entry));
    assert_true(entry.seq.v == 43 && entry.kind == SVC_ENTRY_CHECKPOINT);
    assert_true(entry.session == UINT64_MAX && entry.payload.len == 1);
    assert_false(repl_batch_next(&it, &entry));
}

/* Goal: the reader stands behind the batch, so that the next one can be taken. */
static void test_decode_two_batches_takes_one_at_a_time(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_batch b;
    uint8_t two[1024];
    encode_three(&e);
    memcpy(two, e.bytes, e.len);
    memcpy(two + e.len, e.bytes, e.len);
    struct ts_reader r = ts_reader_init(two, 2 * e.len);
    assert_int_equal(repl_batch_decode(&b, &r), TS_OK);
    assert_int_equal(ts_reader_left(&r), e.len);
    assert_int_equal(repl_batch_decode(&b, &r), TS_OK);
    assert_ptr_equal(b.bytes.data, two + e.len);
    assert_int_equal(ts_reader_left(&r), 0);
}

/* Goal: cut anywhere, it is not a batch; never is anything behind the end read. */
static void test_decode_cut_anywhere_is_short(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_batch b;
    encode_three(&e);
    size_t whole = e.len;
    for (e.len = 0; e.len < whole; e.len++) {
        assert_int_equal(decode(&e, &b), TS_ERR_SHORT);
    }
}

/* Goal: every header field out of its range is refused. */
static void test_decode_field_out_of_range_is_refused(void **state)
{
    static const struct {
        size_t at;
        size_t bytes;
        uint64_t value;
        enum ts_err want;
    } flaws[] = {
        {0, 4, 0x31425355, TS_ERR_MALFORMED}, /* magic */
        {OFFSET_LENGTH, 4, REPL_BATCH_HEADER_BYTES - 1, TS_ERR_MALFORMED},
        {OFFSET_LENGTH, 4, 0, TS_ERR_MALFORMED},
        {OFFSET_LENGTH, 4, REPL_BATCH_BYTES_MAX + 1, TS_ERR_LIMIT},
        {OFFSET_LENGTH, 4, UINT32_MAX, TS_ERR_LIMIT},
        {OFFSET_EPOCH, 8, 0, TS_ERR_MALFORMED},
        {OFFSET_FIRST, 8, 0, TS_ERR_MALFORMED},
        {OFFSET_FIRST, 8, UINT64_MAX - 2, TS_ERR_MALFORMED}, /* the last seq would wrap */
        {OFFSET_COUNT, 4, 0, TS_ERR_MALFORMED},
        {OFFSET_COUNT, 4, 2, TS_ERR_MALFORMED}, /* bytes left over */
        {OFFSET_COUNT, 4, 4, TS_ERR_MALFORMED}, /* an entry missing */
        {OFFSET_COUNT, 4, UINT32_MAX, TS_ERR_MALFORMED},
        {OFFSET_RESERVED, 4, 1, TS_ERR_MALFORMED},
        {OFFSET_TIME, 8, REPL_BATCH_TIME_MAX + 1, TS_ERR_MALFORMED},
        {REPL_BATCH_HEADER_BYTES, 1, SVC_ENTRY_CHECKPOINT + 1, TS_ERR_MALFORMED},
        {REPL_BATCH_HEADER_BYTES + 17, 4, UINT32_MAX, TS_ERR_MALFORMED}, /* payload length */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++) {
        struct encoded e;
        struct repl_batch b;
        encode_three(&e);
        put(&e, flaws[i].at, flaws[i].value, flaws[i].bytes);
        assert_int_equal(decode(&e, &b), flaws[i].want);
    }
}

/* Goal: the limits themselves are allowed. */
static void test_decode_field_at_limit_is_taken(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_batch b;
    encode_three(&e);
    put(&e, OFFSET_TIME, REPL_BATCH_TIME_MAX, 8);
    put(&e, OFFSET_EPOCH, UINT64_MAX, 8);
    put(&e, OFFSET_FIRST, UINT64_MAX - 3, 8);
    assert_int_equal(decode(&e, &b), TS_OK);
    assert_true(b.last.v == UINT64_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_encoded_gives_entries),
        cmocka_unit_test(test_decode_two_batches_takes_one_at_a_time),
        cmocka_unit_test(test_decode_cut_anywhere_is_short),
        cmocka_unit_test(test_decode_field_out_of_range_is_refused),
        cmocka_unit_test(test_decode_field_at_limit_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

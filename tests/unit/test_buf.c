/* The bounded buffer: round trips, and the sticky failure at both ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/hash.h"

/* Goal: what was written is read back, and exactly. */
static void test_buf_round_trip_gives_same_values(void **state)
{
    (void)state;
    uint8_t mem[64];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    ts_put_u8(&w, 0x12);
    ts_put_u16(&w, 0x3456);
    ts_put_u32(&w, 0x789abcde);
    ts_put_u64(&w, 0x0123456789abcdefULL);
    ts_put_bytes(&w, "abc", 3);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    assert_int_equal(w.len, 18);
    assert_int_equal(mem[1], 0x56); /* little-endian */

    struct ts_reader r = ts_reader_init(mem, w.len);
    assert_int_equal(ts_get_u8(&r), 0x12);
    assert_int_equal(ts_get_u16(&r), 0x3456);
    assert_int_equal(ts_get_u32(&r), 0x789abcde);
    assert_true(ts_get_u64(&r) == 0x0123456789abcdefULL);
    struct ts_bytes b = ts_get_bytes(&r, 3);
    assert_memory_equal(b.data, "abc", 3);
    assert_int_equal(ts_reader_finish(&r), TS_OK);
}

/* Goal: the first write that does not fit stops all further ones. */
static void test_writer_full_stays_failed(void **state)
{
    (void)state;
    uint8_t mem[4];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    ts_put_u64(&w, 1);
    ts_put_u8(&w, 7);
    assert_int_equal(ts_writer_status(&w), TS_ERR_FULL);
    assert_int_equal(w.len, 0);
}

/* Goal: reading past the end gives zeros and one error at the end. */
static void test_reader_short_gives_zero_and_error(void **state)
{
    (void)state;
    const uint8_t mem[3] = {1, 2, 3};
    struct ts_reader r = ts_reader_init(mem, sizeof(mem));
    assert_int_equal(ts_get_u32(&r), 0);
    assert_int_equal(ts_get_u8(&r), 0);
    assert_int_equal(ts_reader_finish(&r), TS_ERR_SHORT);
}

/* Goal: left-over bytes are an error, so that a codec cannot ignore a tail. */
static void test_reader_finish_with_rest_is_malformed(void **state)
{
    (void)state;
    const uint8_t mem[3] = {1, 2, 3};
    struct ts_reader r = ts_reader_init(mem, sizeof(mem));
    (void)ts_get_u8(&r);
    assert_int_equal(ts_reader_finish(&r), TS_ERR_MALFORMED);
}

/* Goal: the published test vectors of CRC-32C (RFC 3720 B.4). */
static void test_crc32c_known_vectors(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0};
    assert_true(ts_crc32c(zeros, sizeof(zeros)) == 0x8a9136aaU);
    assert_true(ts_crc32c("123456789", 9) == 0xe3069283U);
}

/* Goal: each half of the previous hash and each byte of data count. */
static void test_hash_chain_depends_on_every_part(void **state)
{
    (void)state;
    struct ts_hash h = ts_hash_chain((struct ts_hash){1, 2}, "data", 4);
    assert_false(ts_hash_eq(h, ts_hash_chain((struct ts_hash){1, 3}, "data", 4)));
    assert_false(ts_hash_eq(h, ts_hash_chain((struct ts_hash){0, 2}, "data", 4)));
    assert_false(ts_hash_eq(h, ts_hash_chain((struct ts_hash){1, 2}, "datb", 4)));
    assert_true(ts_hash_eq(h, ts_hash_chain((struct ts_hash){1, 2}, "data", 4)));
}

/* Goal: one byte anywhere is seen, at every length and alignment; nothing is all zeros. */
static void test_is_zero_sees_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[300] = {0};
    assert_true(ts_is_zero(bytes, 0));
    for (size_t from = 0; from < 33; from++) {
        for (size_t len = 1; from + len <= sizeof(bytes); len += 1 + len / 8) {
            assert_true(ts_is_zero(bytes + from, len));
            for (size_t at = from; at < from + len; at++) {
                bytes[at] = 0x80;
                assert_false(ts_is_zero(bytes + from, len));
                bytes[at] = 0;
            }
        }
    }
    bytes[100] = 1;
    assert_true(ts_is_zero(bytes, 100));
    assert_true(ts_is_zero(bytes + 101, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_round_trip_gives_same_values),
        cmocka_unit_test(test_writer_full_stays_failed),
        cmocka_unit_test(test_reader_short_gives_zero_and_error),
        cmocka_unit_test(test_reader_finish_with_rest_is_malformed),
        cmocka_unit_test(test_crc32c_known_vectors),
        cmocka_unit_test(test_is_zero_sees_every_byte),
        cmocka_unit_test(test_hash_chain_depends_on_every_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

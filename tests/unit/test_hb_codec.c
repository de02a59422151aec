/* The heartbeat datagram: what is refused, and in which order; its tag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "heartbeat/codec.h"
#include "heartbeat/io/mac.h"

static struct hb_datagram example(void)
{
    struct hb_datagram d = {
        .cluster = hb_cluster_hash("demo"),
        .from = {1},
        .to = {2},
        .path = 1,
        .instance = {0x1122334455667788ULL},
        .number = 3,
        .sent = {4},
        .echo_instance = {5},
        .echo_sent = {6},
        .word = {.known = 6, .running = 4},
    };
    d.word.starts[1] = 255;
    d.word.starts[63] = 9;
    return d;
}

static void encode(const struct hb_datagram *d, uint8_t packet[HB_DATAGRAM_BYTES])
{
    struct ts_writer w = ts_writer_init(packet, HB_SIGNED_BYTES);
    memset(packet, 0, HB_DATAGRAM_BYTES);
    assert_int_equal(hb_datagram_encode(d, &w), TS_OK);
    assert_int_equal(w.len, HB_SIGNED_BYTES);
}

/* Goal: every field comes back, and the bytes are those of the specification. */
static void test_datagram_round_trip_gives_same_fields(void **state)
{
    (void)state;
    const struct hb_datagram d = example();
    struct hb_datagram got;
    uint8_t packet[HB_DATAGRAM_BYTES];
    encode(&d, packet);
    assert_memory_equal(packet, "TSHB\x01\x01\x01\x00", 8);
    assert_int_equal(hb_datagram_precheck((struct ts_bytes){packet, sizeof(packet)}, d.cluster),
                     TS_OK);
    assert_int_equal(hb_datagram_decode(&got, (struct ts_bytes){packet, sizeof(packet)}), TS_OK);
    assert_true(got.cluster == d.cluster && got.from.v == 1 && got.to.v == 2 && got.path == 1);
    assert_true(got.instance.v == d.instance.v && got.number == 3 && got.sent.ns == 4);
    assert_true(got.echo_instance.v == 5 && got.echo_sent.ns == 6);
    assert_true(hb_word_eq(&got.word, &d.word));
}

/* Goal: what needs no key is checked first, and a foreign version is named as such whatever its
 * length. */
static void test_datagram_precheck_foreign_packet_refused(void **state)
{
    (void)state;
    const struct hb_datagram d = example();
    uint8_t packet[HB_DATAGRAM_BYTES + 1];
    encode(&d, packet);
    for (size_t n = 0; n < HB_DATAGRAM_BYTES; n++) {
        assert_int_equal(hb_datagram_precheck((struct ts_bytes){packet, n}, d.cluster),
                         TS_ERR_MALFORMED);
    }
    assert_int_equal(hb_datagram_precheck((struct ts_bytes){packet, sizeof(packet)}, d.cluster),
                     TS_ERR_MALFORMED);
    struct ts_bytes whole = {packet, HB_DATAGRAM_BYTES};
    assert_int_equal(hb_datagram_precheck(whole, hb_cluster_hash("other")), TS_ERR_REFUSED);
    packet[4] = HB_VERSION + 1;
    assert_int_equal(hb_datagram_precheck(whole, d.cluster), TS_ERR_VERSION);
    assert_int_equal(hb_datagram_precheck((struct ts_bytes){packet, 20}, d.cluster),
                     TS_ERR_VERSION);
    packet[0] ^= 1;
    assert_int_equal(hb_datagram_precheck(whole, d.cluster), TS_ERR_MALFORMED);
}

/* Overwrites one byte of an example and gives what the decoder says. */
static enum ts_err decode_with(size_t at, uint8_t value)
{
    const struct hb_datagram d = example();
    struct hb_datagram got;
    uint8_t packet[HB_DATAGRAM_BYTES];
    encode(&d, packet);
    packet[at] = value;
    return hb_datagram_decode(&got, (struct ts_bytes){packet, sizeof(packet)});
}

/* Goal: fields out of their range are refused although the packet is authentic. */
static void test_datagram_decode_field_out_of_range_malformed(void **state)
{
    (void)state;
    assert_int_equal(decode_with(5, TS_PATHS_MAX), TS_ERR_MALFORMED); /* path */
    assert_int_equal(decode_with(6, 0), TS_ERR_MALFORMED);            /* from nobody */
    assert_int_equal(decode_with(6, 64), TS_ERR_MALFORMED);           /* from beyond the last */
    assert_int_equal(decode_with(6, 2), TS_ERR_MALFORMED);            /* from the receiver */
    assert_int_equal(decode_with(56, 7), TS_ERR_MALFORMED);           /* word on group 0 */
    assert_int_equal(decode_with(64, 8), TS_ERR_MALFORMED);           /* runs, but is not known */
    assert_int_equal(decode_with(24, 0), TS_ERR_MALFORMED);           /* number 0 */
    assert_int_equal(decode_with(24, 7), TS_OK);
}

/* Goal: the tag is HMAC-SHA256, the context can be used again, and a changed bit or key shows. */
static void test_mac_tag_changes_with_data_and_key(void **state)
{
    (void)state;
    /* RFC 4231 test case 6 has a key of 131 bytes; case 2's is too short for us. This is
     * HMAC-SHA256 of "Hi There" with 32 bytes 0x0b, computed with the openssl program. */
    static const uint8_t want[HB_TAG_BYTES] = {0x19, 0x8a, 0x60, 0x7e, 0xb4, 0x4b, 0xfb, 0xc6,
                                               0x99, 0x03, 0xa0, 0xf1, 0xcf, 0x2b, 0xbd, 0xc5,
                                               0xba, 0x0a, 0xa3, 0xf3, 0xd9, 0xae, 0x3c, 0x1c,
                                               0x7a, 0x3b, 0x16, 0x96, 0xa0, 0xb6, 0x8c, 0xf7};
    uint8_t key[HB_KEY_BYTES_MIN];
    uint8_t tag[HB_TAG_BYTES];
    struct hb_mac m;
    memset(key, 0x0b, sizeof(key));
    assert_int_equal(hb_mac_open(&m, key, sizeof(key)), TS_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hb_mac_tag(&m, (const uint8_t *)"Hi There", 8, tag), TS_OK);
        assert_memory_equal(tag, want, sizeof(want));
        assert_true(hb_tag_eq(tag, want));
    }
    assert_int_equal(hb_mac_tag(&m, (const uint8_t *)"Hi Thera", 8, tag), TS_OK);
    assert_false(hb_tag_eq(tag, want));
    hb_mac_close(&m);
    key[31] ^= 1;
    assert_int_equal(hb_mac_open(&m, key, sizeof(key)), TS_OK);
    assert_int_equal(hb_mac_tag(&m, (const uint8_t *)"Hi There", 8, tag), TS_OK);
    assert_false(hb_tag_eq(tag, want));
    hb_mac_close(&m);
    assert_int_equal(hb_mac_open(&m, key, HB_KEY_BYTES_MIN - 1), TS_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagram_round_trip_gives_same_fields),
        cmocka_unit_test(test_datagram_precheck_foreign_packet_refused),
        cmocka_unit_test(test_datagram_decode_field_out_of_range_malformed),
        cmocka_unit_test(test_mac_tag_changes_with_data_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

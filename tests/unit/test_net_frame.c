/* Frames and HELLO as pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/frame.h"

static struct net_hello sample_hello(void)
{
    return (struct net_hello){.version_min = 1,
                              .version_max = 1,
                              .cluster = "demo",
                              .node = {7},
                              .purpose = NET_PURPOSE_REPLICA,
                              .group = {3},
                              .instance = {0x1122334455667788},
                              .incarnation = {42},
                              .start = 9};
}

static size_t encode(const struct net_hello *h, uint8_t *out)
{
    struct ts_writer w = ts_writer_init(out, NET_HELLO_PAYLOAD_MAX);
    net_hello_encode(h, &w);
    assert_false(w.failed);
    return w.len;
}

/* What was written is read, to the last byte. */
static void test_net_hello_encode_decode_gives_the_same(void **state)
{
    (void)state;
    uint8_t bytes[NET_HELLO_PAYLOAD_MAX];
    struct net_hello in = sample_hello();
    struct net_hello out;
    size_t n = encode(&in, bytes);
    assert_int_equal(net_hello_decode(&out, (struct ts_bytes){bytes, n}), TS_OK);
    assert_string_equal(out.cluster, "demo");
    assert_int_equal(out.node.v, 7);
    assert_int_equal(out.purpose, NET_PURPOSE_REPLICA);
    assert_int_equal(out.group.v, 3);
    assert_true(ts_instance_eq(out.instance, in.instance));
    assert_true(ts_incarnation_eq(out.incarnation, in.incarnation));
    assert_int_equal(out.start, 9);
}

/* Every truncation, and one byte more, is refused. */
static void test_net_hello_decode_wrong_length_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[NET_HELLO_PAYLOAD_MAX] = {0};
    struct net_hello in = sample_hello();
    struct net_hello out;
    size_t n = encode(&in, bytes);
    for (size_t len = 0; len < n; len++) {
        assert_int_not_equal(net_hello_decode(&out, (struct ts_bytes){bytes, len}), TS_OK);
    }
    assert_int_equal(net_hello_decode(&out, (struct ts_bytes){bytes, n + 1}), TS_ERR_MALFORMED);
}

/* A newer version may say more; one without a common format is told apart from garbage. */
static void test_net_hello_decode_other_version_is_told(void **state)
{
    (void)state;
    uint8_t bytes[NET_HELLO_PAYLOAD_MAX] = {0};
    struct net_hello in = sample_hello();
    struct net_hello out;
    in.version_max = 5;
    size_t n = encode(&in, bytes);
    assert_int_equal(net_hello_decode(&out, (struct ts_bytes){bytes, n + 8}), TS_OK);
    in.version_min = 2;
    n = encode(&in, bytes);
    assert_int_equal(net_hello_decode(&out, (struct ts_bytes){bytes, n}), TS_ERR_VERSION);
    assert_int_equal(out.version_min, 2);
    assert_int_equal(out.version_max, 5);
}

static void refuse(struct net_hello h)
{
    uint8_t bytes[NET_HELLO_PAYLOAD_MAX];
    struct net_hello out;
    size_t n = encode(&h, bytes);
    assert_int_equal(net_hello_decode(&out, (struct ts_bytes){bytes, n}), TS_ERR_MALFORMED);
}

/* Fields out of their range. */
static void test_net_hello_decode_bad_fields_are_refused(void **state)
{
    (void)state;
    struct net_hello h = sample_hello();
    h.node.v = 0;
    refuse(h);
    h.node.v = TS_NODES_MAX + 1;
    refuse(h);
    h = sample_hello();
    h.purpose = (enum net_purpose)3;
    refuse(h);
    h = sample_hello();
    h.group.v = TS_GROUPS_MAX + 1;
    refuse(h);
    h = sample_hello();
    h.instance.v = 0;
    refuse(h);
    h = sample_hello();
    h.version_min = 2;
    h.version_max = 1;
    refuse(h);
}

/* The next frame of a stream: short, whole, too long, impossible. */
static void test_net_frame_next_lengths_are_checked(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    net_frame_header(&w, 33, 4);
    ts_put_u32(&w, 0xdeadbeef);
    struct net_frame f = {.type = 0};
    size_t used = 0;
    for (size_t len = 0; len < w.len; len++) {
        assert_int_equal(net_frame_next((struct ts_bytes){bytes, len}, 4, &f, &used), TS_ERR_SHORT);
        assert_true(used > len && used <= w.len);
    }
    assert_int_equal(net_frame_next((struct ts_bytes){bytes, sizeof(bytes)}, 4, &f, &used), TS_OK);
    assert_int_equal(used, 9);
    assert_int_equal(f.type, 33);
    assert_int_equal(f.payload.len, 4);
    assert_ptr_equal(f.payload.data, bytes + 5);
    assert_int_equal(net_frame_next((struct ts_bytes){bytes, 9}, 3, &f, &used), TS_ERR_LIMIT);
    memset(bytes, 0, 4);
    assert_int_equal(net_frame_next((struct ts_bytes){bytes, 9}, 4, &f, &used), TS_ERR_MALFORMED);
    memset(bytes, 0xff, 4);
    assert_int_equal(net_frame_next((struct ts_bytes){bytes, 9}, NET_FRAME_PAYLOAD_MAX, &f, &used),
                     TS_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_hello_encode_decode_gives_the_same),
        cmocka_unit_test(test_net_hello_decode_wrong_length_is_refused),
        cmocka_unit_test(test_net_hello_decode_other_version_is_told),
        cmocka_unit_test(test_net_hello_decode_bad_fields_are_refused),
        cmocka_unit_test(test_net_frame_next_lengths_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The register's messages: order of ballots, round trips, ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cluster-cfg/register_msg.h"

static const struct reg_ballot BALLOT = {5, {1}, {100}};

static struct ts_bytes encode(const struct reg_msg *m, uint8_t *mem, size_t cap)
{
    struct ts_writer w = ts_writer_init(mem, cap);
    reg_msg_encode(m, &w);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    return (struct ts_bytes){mem, w.len};
}

/* Decodes what is encoded and expects the same bytes; then every cut and a byte too many. */
static void check_round_trip(const struct reg_msg *m)
{
    uint8_t mem[REG_MSG_PAYLOAD_MAX + 1];
    struct ts_bytes bytes = encode(m, mem, REG_MSG_PAYLOAD_MAX);
    struct reg_msg back;
    assert_int_equal(reg_msg_decode(&back, (uint8_t)m->type, bytes), TS_OK);
    uint8_t again[REG_MSG_PAYLOAD_MAX];
    struct ts_bytes twice = encode(&back, again, sizeof(again));
    assert_int_equal(twice.len, bytes.len);
    assert_memory_equal(twice.data, bytes.data, bytes.len);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_not_equal(reg_msg_decode(&back, (uint8_t)m->type, (struct ts_bytes){mem, len}),
                             TS_OK);
    }
    mem[bytes.len] = 0;
    assert_int_equal(reg_msg_decode(&back, (uint8_t)m->type, (struct ts_bytes){mem, bytes.len + 1}),
                     TS_ERR_MALFORMED);
}

/* Whether the message, as the encoder writes it, is refused for its content. */
static bool refused(const struct reg_msg *m)
{
    uint8_t mem[REG_MSG_PAYLOAD_MAX];
    struct reg_msg back;
    return reg_msg_decode(&back, (uint8_t)m->type, encode(m, mem, sizeof(mem))) == TS_ERR_SHORT;
}

static struct reg_value value_of(uint16_t len)
{
    struct reg_value v = {.len = len};
    memset(v.data, 0x5a, len);
    return v;
}

static struct reg_start start_of(void)
{
    return (struct reg_start){
        .owner = {REG_OWNER_REPLICA, {1}, {2}}, .incarnation = {9}, .start = 3, .instance = {5}};
}

/* Goal: counter before proposer before instance. */
static void test_ballot_cmp_orders_by_counter_proposer_instance(void **state)
{
    (void)state;
    assert_int_equal(reg_ballot_cmp(BALLOT, BALLOT), 0);
    assert_true(reg_ballot_cmp((struct reg_ballot){5, {1}, {99}}, BALLOT) < 0);
    assert_true(reg_ballot_cmp((struct reg_ballot){5, {2}, {1}}, BALLOT) > 0);
    assert_true(reg_ballot_cmp((struct reg_ballot){6, {1}, {1}}, BALLOT) > 0);
    assert_true(reg_ballot_cmp((struct reg_ballot){0}, BALLOT) < 0);
    assert_true(reg_ballot_is_zero((struct reg_ballot){0}));
    assert_false(reg_ballot_is_zero(BALLOT));
}

/* Goal: every message survives the wire, and no part of it does. */
static void test_msg_round_trip_of_each_type(void **state)
{
    (void)state;
    struct reg_start start = start_of();
    const struct reg_msg msgs[] = {
        {.type = REG_MSG_PREPARE, .prepare = {1, BALLOT}},
        {.type = REG_MSG_PROMISE, .promise = {1, BALLOT, {4, {2}, {7}}, value_of(10)}},
        {.type = REG_MSG_PROMISE, .promise = {1, BALLOT, {0}, value_of(0)}},
        {.type = REG_MSG_ACCEPT, .accept = {1, BALLOT, 1, value_of(REG_VALUE_MAX)}},
        {.type = REG_MSG_ACCEPTED, .accepted = {1, BALLOT}},
        {.type = REG_MSG_NACK, .nack = {1, BALLOT, {9, {3}, {1}}, REG_NACK_TWO_VALUES}},
        {.type = REG_MSG_START, .start = start},
        {.type = REG_MSG_START_OK, .start_ok = start},
        {.type = REG_MSG_START_REFUSED, .refused = {start, 4, {6}}},
        {.type = REG_MSG_START_REFUSED, .refused = {start, 3, {6}}},
        {.type = REG_MSG_BLANK, .blank = {1, BALLOT, {33}, {1, {{23}}}}},
        {.type = REG_MSG_BLANK,
         .blank = {1, BALLOT, {33}, {8, {{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}}}}},
        {.type = REG_MSG_STARTS_ASK, .starts_ask = {4, 3}},
        {.type = REG_MSG_STARTS_TELL, .starts_tell = {4, 3, true, start}},
        {.type = REG_MSG_STARTS_TELL, .starts_tell = {.session = 4, .index = 9}},
    };
    for (size_t i = 0; i < sizeof(msgs) / sizeof(msgs[0]); i++) {
        check_round_trip(&msgs[i]);
    }
}

/* Goal: a ballot that no proposer can have is refused. */
static void test_msg_decode_ballot_out_of_range_fails(void **state)
{
    (void)state;
    const struct reg_ballot bad[] = {
        {0},           {REG_COUNTER_MAX, {1}, {1}},
        {1, {0}, {1}}, {1, {TS_NODES_MAX + 1}, {1}},
        {1, {1}, {0}}, {0, {1}, {1}},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct reg_msg m = {.type = REG_MSG_PREPARE, .prepare = {1, bad[i]}};
        assert_true(refused(&m));
    }
}

/* Goal: replies that no correct voter gives are refused. */
static void test_msg_decode_impossible_reply_fails(void **state)
{
    (void)state;
    /* accepted at the very ballot that is promised for the first time */
    struct reg_msg m = {.type = REG_MSG_PROMISE, .promise = {1, BALLOT, BALLOT, value_of(3)}};
    assert_true(refused(&m));
    /* an accepted ballot without a value */
    m = (struct reg_msg){.type = REG_MSG_PROMISE,
                         .promise = {1, BALLOT, {1, {1}, {1}}, value_of(0)}};
    assert_true(refused(&m));
    /* a refusal that tells of nothing above the start */
    m = (struct reg_msg){.type = REG_MSG_START_REFUSED, .refused = {start_of(), 2, {6}}};
    assert_true(refused(&m));
    m = (struct reg_msg){.type = REG_MSG_START_REFUSED, .refused = {start_of(), 3, {5}}};
    assert_true(refused(&m));
    m = (struct reg_msg){.type = REG_MSG_NACK, .nack = {1, BALLOT, {0}, REG_NACK_REASONS}};
    assert_true(refused(&m));
}

/* Goal: requests without substance are refused. */
static void test_msg_decode_impossible_request_fails(void **state)
{
    (void)state;
    struct reg_msg m = {.type = REG_MSG_ACCEPT, .accept = {1, BALLOT, 1, value_of(0)}};
    assert_true(refused(&m));
    m = (struct reg_msg){.type = REG_MSG_ACCEPT, .accept = {1, BALLOT, 0, value_of(1)}};
    assert_true(refused(&m));
    struct reg_msg s = {.type = REG_MSG_START, .start = start_of()};
    s.start.owner.group.v = 0;
    assert_true(refused(&s));
    s.start.owner = (struct reg_owner){REG_OWNER_VOTER, {1}, {2}};
    assert_true(refused(&s));
    s.start = start_of();
    s.start.start = 0;
    assert_true(refused(&s));
    m = (struct reg_msg){.type = REG_MSG_BLANK, .blank = {1, BALLOT, {33}, {2, {{23}, {33}}}}};
    assert_true(refused(&m));
    m.blank = (struct reg_blank){1, BALLOT, {0}, {1, {{33}}}};
    assert_true(refused(&m));
    m.blank = (struct reg_blank){1, BALLOT, {33}, {0}};
    assert_true(refused(&m));
    m.blank = (struct reg_blank){1, BALLOT, {33}, {2, {{23}, {23}}}};
    assert_true(refused(&m));
    m = (struct reg_msg){.type = REG_MSG_STARTS_ASK};
    assert_true(refused(&m));
    m = (struct reg_msg){.type = REG_MSG_STARTS_TELL};
    assert_true(refused(&m));
}

/* Goal: types outside the register's are malformed, whatever the payload. */
static void test_msg_decode_unknown_type_fails(void **state)
{
    (void)state;
    struct reg_msg m;
    const uint8_t none = 0;
    assert_int_equal(reg_msg_decode(&m, 27, (struct ts_bytes){&none, 0}), TS_ERR_MALFORMED);
    assert_int_equal(reg_msg_decode(&m, 0, (struct ts_bytes){&none, 1}), TS_ERR_MALFORMED);
    assert_string_equal(reg_msg_name((enum reg_msg_type)27), "?");
    assert_string_equal(reg_msg_name(REG_MSG_NACK), "nack");
    assert_string_equal(reg_nack_name(REG_NACK_NOT_READY), "not-ready");
    assert_string_equal(reg_nack_name(REG_NACK_REASONS), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ballot_cmp_orders_by_counter_proposer_instance),
        cmocka_unit_test(test_msg_round_trip_of_each_type),
        cmocka_unit_test(test_msg_decode_ballot_out_of_range_fails),
        cmocka_unit_test(test_msg_decode_impossible_reply_fails),
        cmocka_unit_test(test_msg_decode_impossible_request_fails),
        cmocka_unit_test(test_msg_decode_unknown_type_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Messages between replicas: each round trip, each cut, each field out of its range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replicator/msg.h"

struct encoded {
    uint8_t type;
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    size_t len;
};

static struct repl_pos pos(uint64_t seq)
{
    return (struct repl_pos){{seq}, {seq == 0 ? 0 : seq + 1, seq == 0 ? 0 : seq + 2}};
}

static struct cfg_config config(void)
{
    struct cfg_config c = {.epoch = {9}, .primary = {2}, .proposer = {77}, .nonce = 5};
    cfg_set_add(&c.members, (struct cfg_replica){{1}, {101}});
    cfg_set_add(&c.members, (struct cfg_replica){{2}, {102}});
    cfg_set_add(&c.in_sync, (struct cfg_replica){{2}, {102}});
    return c;
}

static struct repl_msg_position position(void)
{
    return (struct repl_msg_position){{4}, {5}, {101}, {777}, pos(6), pos(9)};
}

static enum ts_err decode(const struct encoded *e, struct repl_msg *out)
{
    return repl_msg_decode(out, e->type, (struct ts_bytes){e->bytes, e->len});
}

/* One message of each kind, all fields different. */
static void encode(uint8_t type, struct encoded *e)
{
    struct ts_writer w = ts_writer_init(e->bytes, sizeof(e->bytes));
    struct repl_msg_position p = position();
    switch (type) {
    case REPL_MSG_POSITION:
        repl_msg_position_encode(&p, &w);
        break;
    case REPL_MSG_CONFIG:
        repl_msg_config_encode(&(struct repl_msg_config){config()}, &w);
        break;
    case REPL_MSG_APPEND:
        repl_msg_append_encode(&(struct repl_msg_append){.epoch = {4}, pos(9), {8}, {NULL, 0}}, &w);
        break;
    case REPL_MSG_ACK:
        repl_msg_ack_encode(
            &(struct repl_msg_ack){{4}, {101}, {777}, pos(9), {8}, {0xaaaa, 0xbbbb}}, &w);
        break;
    case REPL_MSG_REFUSED:
        repl_msg_refused_encode(&(struct repl_msg_refused){{4}, {6}}, &w);
        break;
    case REPL_MSG_CONFIRM:
        repl_msg_confirm_encode(&(struct repl_msg_confirm){{4}, {777}, 12}, &w);
        break;
    case REPL_MSG_TAKE_OVER:
        repl_msg_take_over_encode(&(struct repl_msg_take_over){{4}, {777}, REPL_TAKE_OVER_DISK},
                                  &w);
        break;
    case REPL_MSG_REPLAYED:
        repl_msg_replayed_encode(&(struct repl_msg_replayed){{9}, {102}, {778}, {0xaaaa, 0xbbbb}},
                                 &w);
        break;
    case REPL_MSG_ENROL:
        repl_msg_enrol_encode(&(struct repl_msg_enrol){{102}, {778}, {101}}, &w);
        break;
    default:
        repl_msg_confirmed_encode(&(struct repl_msg_confirmed){{4}, {777}, 12, {102}, {778}}, &w);
        break;
    }
    assert_int_equal(ts_writer_status(&w), TS_OK);
    e->type = type;
    e->len = w.len;
}

static const uint8_t types[] = {
#define TYPE(sym, number, name) number,
    REPL_MSG_LIST(TYPE)
#undef TYPE
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static void decode_good(uint8_t type, struct encoded *e, struct repl_msg *m)
{
    encode(type, e);
    assert_int_equal(decode(e, m), TS_OK);
    assert_int_equal(m->type, type);
}

/* Goal: positions and configs come back as they were. */
static void test_decode_state_messages_round_trip(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_msg m;
    struct repl_msg_position p = position();
    struct cfg_config c = config();
    decode_good(REPL_MSG_POSITION, &e, &m);
    assert_true(ts_epoch_eq(m.u.position.config_epoch, p.config_epoch));
    assert_true(ts_epoch_eq(m.u.position.floor, p.floor));
    assert_true(m.u.position.incarnation.v == 101 && m.u.position.instance.v == 777);
    assert_true(repl_pos_eq(m.u.position.committed, p.committed));
    assert_true(repl_pos_eq(m.u.position.tail, p.tail));
    decode_good(REPL_MSG_CONFIG, &e, &m);
    assert_true(cfg_config_eq(&m.u.config.config, &c));
}

/* Goal: so do the messages of the stream; batches of an APPEND are handed over as they are. */
static void test_decode_stream_messages_round_trip(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_msg m;
    decode_good(REPL_MSG_APPEND, &e, &m);
    assert_true(m.u.append.epoch.v == 4 && m.u.append.committed.v == 8);
    assert_true(repl_pos_eq(m.u.append.prev, pos(9)));
    assert_int_equal(m.u.append.batches.len, 0);
    size_t head = e.len;
    memcpy(e.bytes + head, "anything", 8);
    e.len += 8;
    assert_int_equal(decode(&e, &m), TS_OK);
    assert_ptr_equal(m.u.append.batches.data, e.bytes + head);
    assert_int_equal(m.u.append.batches.len, 8);
    decode_good(REPL_MSG_ACK, &e, &m);
    assert_true(m.u.ack.epoch.v == 4 && m.u.ack.incarnation.v == 101 && m.u.ack.instance.v == 777);
    assert_true(repl_pos_eq(m.u.ack.pos, pos(9)) && m.u.ack.applied.v == 8);
    assert_true(m.u.ack.digest.lo == 0xaaaa && m.u.ack.digest.hi == 0xbbbb);
    decode_good(REPL_MSG_REFUSED, &e, &m);
    assert_true(m.u.refused.epoch.v == 4 && m.u.refused.floor.v == 6);
    decode_good(REPL_MSG_CONFIRM, &e, &m);
    assert_true(m.u.confirm.epoch.v == 4 && m.u.confirm.instance.v == 777);
    assert_true(m.u.confirm.round == 12);
    decode_good(REPL_MSG_CONFIRMED, &e, &m);
    assert_true(m.u.confirmed.epoch.v == 4 && m.u.confirmed.asker.v == 777);
    assert_true(m.u.confirmed.round == 12 && m.u.confirmed.incarnation.v == 102);
    assert_true(m.u.confirmed.instance.v == 778);
    decode_good(REPL_MSG_TAKE_OVER, &e, &m);
    assert_true(m.u.take_over.epoch.v == 4 && m.u.take_over.instance.v == 777);
    assert_int_equal(m.u.take_over.why, REPL_TAKE_OVER_DISK);
    e.bytes[e.len - 1] = 77; /* no reason that there is */
    assert_int_not_equal(decode(&e, &m), TS_OK);
    decode_good(REPL_MSG_REPLAYED, &e, &m);
    assert_true(m.u.replayed.seq.v == 9 && m.u.replayed.incarnation.v == 102);
    assert_true(m.u.replayed.instance.v == 778 && m.u.replayed.digest.hi == 0xbbbb);
    decode_good(REPL_MSG_ENROL, &e, &m);
    assert_true(m.u.enrol.incarnation.v == 102 && m.u.enrol.instance.v == 778);
    assert_int_equal(m.u.enrol.replaces.v, 101);
    e.bytes[e.len - 8] = 102; /* it replaces itself */
    assert_int_not_equal(decode(&e, &m), TS_OK);
}

/* Goal: cut at any byte, or one byte longer, no message decodes (an APPEND's rest is batches). */
static void test_decode_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPES; i++) {
        struct encoded e;
        struct repl_msg m;
        encode(types[i], &e);
        size_t whole = e.len;
        for (e.len = 0; e.len < whole; e.len++) {
            assert_int_not_equal(decode(&e, &m), TS_OK);
        }
        e.len = whole + 1;
        e.bytes[whole] = 0;
        assert_int_equal(decode(&e, &m), types[i] == REPL_MSG_APPEND ? TS_OK : TS_ERR_MALFORMED);
    }
}

/* Goal: types next to ours, and all others, are no messages. */
static void test_decode_unknown_type_is_refused(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_msg m;
    encode(REPL_MSG_REFUSED, &e);
    for (unsigned type = 0; type < 256; type++) {
        bool known = type >= REPL_MSG_POSITION && type <= REPL_MSG_REPLAYED;
        e.type = (uint8_t)type;
        assert_int_equal(strcmp(repl_msg_name(e.type), "unknown") != 0, known);
        assert_int_equal(decode(&e, &m) == TS_OK, type == REPL_MSG_REFUSED);
    }
}

/* Goal: position 0 has no hash, wherever a position stands. */
static void test_decode_hash_at_zero_is_refused(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_msg m;
    encode(REPL_MSG_APPEND, &e);
    memset(e.bytes + 8, 0, 8); /* prev.seq; its hash stays */
    assert_int_not_equal(decode(&e, &m), TS_OK);
    memset(e.bytes + 16, 0, 16);
    assert_int_equal(decode(&e, &m), TS_OK);
    encode(REPL_MSG_ACK, &e);
    memset(e.bytes + 24, 0, 8);
    assert_int_not_equal(decode(&e, &m), TS_OK);
    encode(REPL_MSG_POSITION, &e);
    memset(e.bytes + 32, 0, 8);
    assert_int_not_equal(decode(&e, &m), TS_OK);
}

/* Goal: a log's end is not before what is committed. */
static void test_decode_position_crossed_is_refused(void **state)
{
    (void)state;
    struct encoded e = {.type = REPL_MSG_POSITION};
    struct repl_msg m;
    struct repl_msg_position p = position();
    p.committed = pos(10);
    struct ts_writer w = ts_writer_init(e.bytes, sizeof(e.bytes));
    repl_msg_position_encode(&p, &w);
    e.len = w.len;
    assert_int_not_equal(decode(&e, &m), TS_OK);
}

/* Goal: a config that could never be decided is no config: each byte changed decodes to a valid
 * one or not at all. */
static void test_decode_config_is_valid_or_refused(void **state)
{
    (void)state;
    struct encoded e;
    struct repl_msg m;
    size_t refused = 0;
    encode(REPL_MSG_CONFIG, &e);
    for (size_t i = 0; i < e.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            e.bytes[i] ^= (uint8_t)(1U << bit);
            if (decode(&e, &m) == TS_OK) {
                assert_true(cfg_config_valid(&m.u.config.config));
            } else {
                refused++;
            }
            e.bytes[i] ^= (uint8_t)(1U << bit);
        }
    }
    assert_true(refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_state_messages_round_trip),
        cmocka_unit_test(test_decode_stream_messages_round_trip),
        cmocka_unit_test(test_decode_cut_anywhere_is_refused),
        cmocka_unit_test(test_decode_unknown_type_is_refused),
        cmocka_unit_test(test_decode_hash_at_zero_is_refused),
        cmocka_unit_test(test_decode_position_crossed_is_refused),
        cmocka_unit_test(test_decode_config_is_valid_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

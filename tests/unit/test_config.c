/* The config record: sets in order, validity, and the codec. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cluster-cfg/config.h"

static struct cfg_config sample(void)
{
    struct cfg_config c = {
        .epoch = {7},
        .primary = {2},
        .durability = CFG_DURABILITY_MEMORY,
        .min_version = 3,
        .suspect = {99},
        .proposer = {0x1122334455667788ULL},
        .nonce = 42,
    };
    cfg_set_add(&c.members, (struct cfg_replica){{3}, {13}});
    cfg_set_add(&c.members, (struct cfg_replica){{1}, {11}});
    cfg_set_add(&c.members, (struct cfg_replica){{2}, {12}});
    cfg_set_add(&c.in_sync, (struct cfg_replica){{2}, {12}});
    cfg_set_add(&c.in_sync, (struct cfg_replica){{1}, {11}});
    return c;
}

/* Goal: in whatever order replicas are added, equal sets look equal. */
static void test_set_add_keeps_rising_order(void **state)
{
    (void)state;
    struct cfg_config c = sample();
    assert_int_equal(c.members.count, 3);
    assert_int_equal(c.members.r[0].nic.v, 1);
    assert_int_equal(c.members.r[1].nic.v, 2);
    assert_int_equal(c.members.r[2].nic.v, 3);
    assert_true(cfg_set_mask(&c.members) == 0xe);
}

/* Goal: a NIC has one entry; adding it again replaces its incarnation. */
static void test_set_add_same_nic_replaces(void **state)
{
    (void)state;
    struct cfg_config c = sample();
    cfg_set_add(&c.members, (struct cfg_replica){{2}, {77}});
    assert_int_equal(c.members.count, 3);
    assert_true(cfg_set_has(&c.members, (struct ts_nic_id){2}, (struct ts_incarnation){77}));
    assert_false(cfg_set_has(&c.members, (struct ts_nic_id){2}, (struct ts_incarnation){12}));
    assert_false(cfg_config_valid(&c)); /* in_sync names the old disk */
}

/* Goal: removing closes the gap; removing who is absent does nothing. */
static void test_set_remove_closes_gap(void **state)
{
    (void)state;
    struct cfg_config c = sample();
    cfg_set_remove(&c.members, (struct ts_nic_id){1});
    cfg_set_remove(&c.members, (struct ts_nic_id){50});
    assert_int_equal(c.members.count, 2);
    assert_null(cfg_set_find(&c.members, (struct ts_nic_id){1}));
    assert_int_equal(cfg_set_find(&c.members, (struct ts_nic_id){3})->incarnation.v, 13);
}

/* Goal: a set holds TS_MEMBERS_MAX replicas, and a full one may still replace. */
static void test_set_full_replaces(void **state)
{
    (void)state;
    struct cfg_set s = {0};
    for (uint16_t n = TS_MEMBERS_MAX; n >= 1; n--) {
        cfg_set_add(&s, (struct cfg_replica){{n}, {n}});
    }
    cfg_set_add(&s, (struct cfg_replica){{4}, {400}});
    assert_int_equal(s.count, TS_MEMBERS_MAX);
    assert_int_equal(s.r[3].incarnation.v, 400);
}

/* Goal: each rule of a valid record, broken alone, makes it invalid. */
static void test_config_valid_refuses_each_fault(void **state)
{
    (void)state;
    struct cfg_config good = sample();
    assert_true(cfg_config_valid(&good));

    struct cfg_config c = good;
    c.epoch.v = 0;
    assert_false(cfg_config_valid(&c));
    c = good;
    c.primary.v = 3; /* a member, not in sync */
    assert_false(cfg_config_valid(&c));
    c = good;
    c.in_sync.count = 0;
    assert_false(cfg_config_valid(&c));
    c = good;
    cfg_set_remove(&c.members, (struct ts_nic_id){1});
    assert_false(cfg_config_valid(&c));
    c = good;
    c.members.r[0].nic.v = 2; /* twice, out of order */
    assert_false(cfg_config_valid(&c));
    c = good;
    c.members.r[2].nic.v = TS_NODES_MAX + 1;
    assert_false(cfg_config_valid(&c));
    c = good;
    c.members.r[2].incarnation.v = 0;
    assert_false(cfg_config_valid(&c));
    c = good;
    c.members.count = TS_MEMBERS_MAX + 1;
    assert_false(cfg_config_valid(&c));
    c = good;
    c.durability = (enum cfg_durability)2;
    assert_false(cfg_config_valid(&c));
}

/* Goal: what is encoded decodes to an equal record, for the largest one too. */
static void test_config_round_trip(void **state)
{
    (void)state;
    struct cfg_config c = sample();
    for (uint16_t n = 4; n <= TS_MEMBERS_MAX; n++) {
        cfg_set_add(&c.members, (struct cfg_replica){{n}, {UINT64_MAX}});
    }
    c.in_sync = c.members;
    uint8_t mem[CFG_CONFIG_ENCODED_MAX];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    cfg_config_encode(&c, &w);
    assert_int_equal(ts_writer_status(&w), TS_OK);

    struct cfg_config back;
    struct ts_reader r = ts_reader_init(mem, w.len);
    cfg_config_decode(&back, &r);
    assert_int_equal(ts_reader_finish(&r), TS_OK);
    assert_true(cfg_config_eq(&c, &back));
    back.nonce++;
    assert_false(cfg_config_eq(&c, &back));
}

/* Goal: a record cut anywhere, or of a newer format, is refused, and nothing is left of it. */
static void test_config_decode_short_or_newer_fails(void **state)
{
    (void)state;
    struct cfg_config c = sample();
    uint8_t mem[CFG_CONFIG_ENCODED_MAX];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    cfg_config_encode(&c, &w);
    struct cfg_config back;
    for (size_t len = 0; len < w.len; len++) {
        struct ts_reader r = ts_reader_init(mem, len);
        cfg_config_decode(&back, &r);
        assert_int_equal(ts_reader_status(&r), TS_ERR_SHORT);
        assert_int_equal(back.epoch.v, 0);
    }
    mem[0]++;
    struct ts_reader r = ts_reader_init(mem, w.len);
    cfg_config_decode(&back, &r);
    assert_int_equal(ts_reader_status(&r), TS_ERR_SHORT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_add_keeps_rising_order),
        cmocka_unit_test(test_set_add_same_nic_replaces),
        cmocka_unit_test(test_set_remove_closes_gap),
        cmocka_unit_test(test_set_full_replaces),
        cmocka_unit_test(test_config_valid_refuses_each_fault),
        cmocka_unit_test(test_config_round_trip),
        cmocka_unit_test(test_config_decode_short_or_newer_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

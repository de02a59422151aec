/* Which service addresses a NIC has: by what its replicas say, and by time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "daemon/service_address.h"

#define MS TS_NS_PER_MS

static struct service_addresses s;

static struct ts_mono ms(uint64_t n)
{
    return (struct ts_mono){n * MS};
}

/* Two groups of this NIC, of which the second has an address, and one of other NICs. */
static int setup(void **state)
{
    static struct cfg_cluster c;
    (void)state;
    c = (struct cfg_cluster){.timing = cfg_timing_derive(100 * MS), .group_count = 3};
    for (uint16_t i = 0; i < 3; i++) {
        c.groups[i].id.v = (uint16_t)(i + 1);
        c.groups[i].nics[0].v = i == 2 ? 9 : 1;
        c.groups[i].nic_count = 1;
    }
    memcpy(c.groups[1].address, "192.0.2.1", sizeof("192.0.2.1"));
    memcpy(c.groups[2].address, "192.0.2.2", sizeof("192.0.2.2"));
    service_addresses_init(&s, &c, (struct ts_nic_id){1});
    return 0;
}

static enum service_address_act said(uint64_t epoch, uint64_t confirmed_ms, uint64_t now_ms)
{
    struct report_serves r = {
        .group = {2}, .serves = confirmed_ms != 0, .epoch = {epoch}, .confirmed = ms(confirmed_ms)};
    return service_address_said(&s, 0, &r, ms(now_ms));
}

/* Goal: only groups that this NIC carries and that have an address are there. */
static void test_only_own_groups_with_an_address(void **state)
{
    (void)state;
    assert_int_equal(s.count, 1);
    assert_int_equal(service_addresses_find(&s, (struct ts_group_id){2}), 0);
    assert_int_equal(service_addresses_find(&s, (struct ts_group_id){1}), -1);
    assert_int_equal(service_addresses_find(&s, (struct ts_group_id){3}), -1);
}

/* Goal: it is taken at the first confirmation, told again soon and then less and less often, down
 * to once a second, and given up when the replica says that it serves no more. */
static void test_taken_kept_and_given(void **state)
{
    (void)state;
    assert_int_equal(said(4, 1000, 1001), SERVICE_ADDRESS_TAKE);
    assert_true(service_addresses_deadline(&s).ns == ms(1100).ns);
    static const uint64_t again[] = {1051, 1151, 1351, 1751, 2551, 3551, 4551, 5551};
    size_t n = 0;
    for (uint64_t t = 1011; t < 6000; t += 10) {
        bool due = n < sizeof(again) / sizeof(again[0]) && t == again[n];
        assert_int_equal(said(4, t, t), due ? SERVICE_ADDRESS_KEEP : SERVICE_ADDRESS_NOTHING);
        n += due ? 1 : 0;
    }
    assert_int_equal(n, sizeof(again) / sizeof(again[0]));
    assert_int_equal(said(4, 0, 6012), SERVICE_ADDRESS_GIVE);
    assert_int_equal(said(4, 0, 6013), SERVICE_ADDRESS_NOTHING);
    assert_true(service_addresses_deadline(&s).ns == TS_MONO_NEVER.ns);
    assert_int_equal(said(4, 7000, 7000), SERVICE_ADDRESS_TAKE);
    assert_int_equal(said(4, 7050, 7050), SERVICE_ADDRESS_KEEP);
}

/* Goal: R4.8: a replica that confirms nothing for a failure-timeout loses it: at the deadline, not
 * before. It may say that it serves as often as it likes: the time of the confirmation counts. */
static void test_unconfirmed_is_given_up(void **state)
{
    (void)state;
    assert_int_equal(said(4, 1000, 1001), SERVICE_ADDRESS_TAKE);
    assert_int_equal(said(4, 1000, 1040), SERVICE_ADDRESS_NOTHING);
    assert_int_equal(service_address_tick(&s, 0, ms(1099)), SERVICE_ADDRESS_KEEP);
    assert_int_equal(service_address_tick(&s, 0, ms(1100)), SERVICE_ADDRESS_GIVE);
    assert_int_equal(said(4, 1000, 1101), SERVICE_ADDRESS_NOTHING);
    assert_int_equal(said(4, 1050, 1149), SERVICE_ADDRESS_TAKE);
}

/* Goal: what an older epoch's report says, a time to come, and what was said before the process
 * ended are nothing. */
static void test_old_words_give_nothing(void **state)
{
    (void)state;
    assert_int_equal(said(4, 2000, 1001), SERVICE_ADDRESS_NOTHING);
    assert_int_equal(said(5, 1000, 1001), SERVICE_ADDRESS_TAKE);
    assert_int_equal(said(4, 0, 1002), SERVICE_ADDRESS_NOTHING);
    service_address_ended(&s, 0, ms(1010));
    assert_int_equal(said(5, 1005, 1011), SERVICE_ADDRESS_NOTHING);
    assert_int_equal(service_address_tick(&s, 0, ms(1100)), SERVICE_ADDRESS_GIVE);
    assert_int_equal(said(5, 1009, 1101), SERVICE_ADDRESS_NOTHING);
    assert_int_equal(said(6, 1115, 1116), SERVICE_ADDRESS_TAKE);
}

/* Goal: a replica that ended leaves the address here, whose kernel refuses clients at once, until
 * it was not confirmed for a failure-timeout; its successor keeps it by serving, and gives it up by
 * hearing of another epoch. nicd itself takes it along. */
static void test_the_address_outlives_its_process_a_little(void **state)
{
    (void)state;
    assert_int_equal(said(4, 1000, 1000), SERVICE_ADDRESS_TAKE);
    service_address_ended(&s, 0, ms(1010));
    assert_int_equal(service_address_tick(&s, 0, ms(1099)), SERVICE_ADDRESS_NOTHING);
    assert_true(service_addresses_deadline(&s).ns == ms(1100).ns);
    assert_int_equal(said(4, 1060, 1060), SERVICE_ADDRESS_KEEP);
    service_address_ended(&s, 0, ms(1070));
    assert_int_equal(said(5, 0, 1090), SERVICE_ADDRESS_GIVE);
    assert_int_equal(said(6, 1200, 1200), SERVICE_ADDRESS_TAKE);
    assert_int_equal(service_address_close(&s, 0), SERVICE_ADDRESS_GIVE);
    assert_int_equal(service_address_tick(&s, 0, ms(1201)), SERVICE_ADDRESS_NOTHING);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_only_own_groups_with_an_address),
        T(test_taken_kept_and_given),
        T(test_unconfirmed_is_given_up),
        T(test_old_words_give_nothing),
        T(test_the_address_outlives_its_process_a_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

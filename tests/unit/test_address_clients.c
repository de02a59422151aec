/* Who is connected at a service address: the table, what peers are told of it, what nicd is told of
 * theirs; and the packet that has a client look after its connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "daemon/address_clients.h"
#include "daemon/tcp_probe.h"

#define MS TS_NS_PER_MS

static struct address_clients own;
static struct address_clients copy;
static struct address_clients other;
static struct address_spread spread;
static struct address_clients_msg msg;
static struct report_reset reset;

static int setup(void **state)
{
    (void)state;
    memset(&own, 0, sizeof(own));
    memset(&copy, 0, sizeof(copy));
    memset(&other, 0, sizeof(other));
    memset(&spread, 0, sizeof(spread));
    return 0;
}

static void put(struct address_clients *t, uint32_t place, uint16_t port)
{
    struct report_client c = {.bytes = {192, 0, 2, (uint8_t)place}, .port = port};
    address_clients_set(t, place, &c);
}

static struct ts_mono ms(uint64_t n)
{
    return (struct ts_mono){n * MS};
}

/* Tells all that is due over the wire. Gives how many messages that took. */
static int tell_all(void)
{
    uint8_t bytes[ADDRESS_CLIENTS_BYTES_MAX];
    int n = 0;
    while (address_spread_next(&spread, &own, false, &msg)) {
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        assert_int_equal(address_clients_encode(&msg, &w), TS_OK);
        memset(&msg, 0, sizeof(msg));
        assert_int_equal(address_clients_decode(&msg, false, (struct ts_bytes){bytes, w.len}),
                         TS_OK);
        address_clients_take(&copy, &other, &msg);
        n++;
    }
    return n;
}

/* Goal: who comes and goes is known at the peer after the next message; a place beyond the table
 * is left out. */
static void test_changes_reach_the_peer(void **state)
{
    (void)state;
    put(&own, 5, 1000);
    put(&own, 9, 1001);
    put(&own, ADDRESS_CLIENTS_MAX, 1002);
    address_spread_mark(&spread, 5);
    address_spread_mark(&spread, 9);
    address_spread_mark(&spread, 9);
    address_spread_mark(&spread, ADDRESS_CLIENTS_MAX);
    assert_int_equal(tell_all(), 1);
    assert_int_equal(copy.top, 10);
    assert_memory_equal(&own, &copy, sizeof(own));
    address_clients_set(&own, 9, NULL);
    address_spread_mark(&spread, 9);
    assert_int_equal(tell_all(), 1);
    assert_int_equal(copy.top, 6);
    assert_memory_equal(&own, &copy, sizeof(own));
    assert_int_equal(tell_all(), 0);
}

/* Goal: a peer with another table has this one after being told anew, in parts of a bounded size;
 * also when there is nobody. */
static void test_anew_replaces_what_the_peer_knew(void **state)
{
    (void)state;
    put(&copy, 7, 99);
    for (uint32_t i = 0; i < ADDRESS_CLIENTS_MAX; i += 2) {
        put(&own, i, (uint16_t)(i + 1));
    }
    address_spread_anew(&spread, &own);
    assert_int_equal(tell_all(), ADDRESS_CLIENTS_MAX / 2 / ADDRESS_CLIENTS_SAID_MAX);
    assert_memory_equal(&own, &copy, sizeof(own));
    address_clients_clear(&own);
    address_spread_anew(&spread, &own);
    assert_int_equal(tell_all(), 1);
    assert_int_equal(copy.top, 0);
    assert_memory_equal(&own, &copy, sizeof(own));
}

/* Goal: who a replica spoke of before it ended is still told when the next one on its NIC, which
 * knows nobody, speaks first, be it on several links. */
static void test_clients_of_a_replica_that_came_back_are_told(void **state)
{
    (void)state;
    struct address_clients *tables[] = {&copy, &other};
    struct address_resets a;
    put(&own, 4, 1000);
    address_spread_anew(&spread, &own);
    assert_int_equal(tell_all(), 1);
    address_clients_clear(&own);
    for (int link = 0; link < 2; link++) {
        address_spread_anew(&spread, &own);
        assert_int_equal(tell_all(), 1);
    }
    address_resets_begin(&a, ms(10));
    assert_true(address_resets_next(&a, tables, 2, ms(10), &reset));
    assert_int_equal(reset.count, 1);
    assert_int_equal(reset.c[0].port, 1000);
}

/* Goal: a message of the other family, of another version, with a place beyond the table, cut or
 * too long is refused. */
static void test_decode_of_malformed_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[ADDRESS_CLIENTS_BYTES_MAX];
    put(&own, 3, 77);
    address_spread_mark(&spread, 3);
    assert_true(address_spread_next(&spread, &own, false, &msg));
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    assert_int_equal(address_clients_encode(&msg, &w), TS_OK);
    assert_int_equal(address_clients_decode(&msg, true, (struct ts_bytes){bytes, w.len}),
                     TS_ERR_MALFORMED);
    for (size_t len = 0; len <= w.len + 1; len++) {
        enum ts_err err = address_clients_decode(&msg, false, (struct ts_bytes){bytes, len});
        assert_int_equal(err, len == w.len ? TS_OK : TS_ERR_MALFORMED);
    }
    for (size_t at = 0; at < 7; at++) {
        if (at != 2) { /* whether it is anew may be both */
            uint8_t was = bytes[at];
            bytes[at] = 0xff;
            bool low = at == 5; /* of the place: another one */
            enum ts_err err = address_clients_decode(&msg, false, (struct ts_bytes){bytes, w.len});
            assert_int_equal(err, low ? TS_OK : TS_ERR_MALFORMED);
            bytes[at] = was;
        }
    }
}

/* Goal: all clients of all tables are told in each of the rounds, a pause between two; what could
 * not go comes again, and nothing is left when the rounds are over. */
static void test_resets_tell_all_in_each_round(void **state)
{
    (void)state;
    struct address_clients *tables[] = {&copy, &other};
    struct address_resets a = {.rounds_left = 0};
    assert_true(address_resets_deadline(&a).ns == TS_MONO_NEVER.ns);
    assert_false(address_resets_next(&a, tables, 2, ms(5), &reset));
    for (uint32_t i = 0; i < REPORT_CLIENTS_MAX + 50; i++) {
        put(&copy, 3 * i, 1);
    }
    put(&other, 0, 2);
    address_resets_begin(&a, ms(10));
    struct ts_mono now = ms(10);
    for (uint8_t round = 0; round < ADDRESS_RESETS_ROUNDS; round++) {
        assert_true(address_resets_deadline(&a).ns == now.ns);
        assert_false(address_resets_next(&a, tables, 2, (struct ts_mono){now.ns - 1}, &reset));
        assert_true(address_resets_next(&a, tables, 2, now, &reset));
        assert_int_equal(reset.count, REPORT_CLIENTS_MAX);
        assert_int_equal(reset.round, round);
        address_resets_sent(&a, now, true);
        assert_true(address_resets_next(&a, tables, 2, now, &reset));
        assert_int_equal(reset.count, 51);
        assert_int_equal(reset.c[50].port, 2);
        if (round == 1) {
            address_resets_sent(&a, now, false);
            assert_false(address_resets_next(&a, tables, 2, now, &reset));
            now = ts_mono_add(now, ADDRESS_RESETS_RETRY_NS);
            assert_true(address_resets_deadline(&a).ns == now.ns);
            assert_true(address_resets_next(&a, tables, 2, now, &reset));
            assert_int_equal(reset.count, 51);
        }
        address_resets_sent(&a, now, true);
        assert_true(copy.top > 0);
        assert_false(address_resets_next(&a, tables, 2, now, &reset));
        now = ts_mono_add(now, ADDRESS_RESETS_PAUSE_NS);
    }
    assert_true(address_resets_deadline(&a).ns == TS_MONO_NEVER.ns);
    assert_int_equal(copy.top, 0);
    assert_int_equal(other.top, 0);
}

/* Goal: nicd that takes nothing is asked ever more seldom, and at last no more; who was not told is
 * kept for the next time. One that takes something again is asked as at first. */
static void test_resets_to_nobody_end(void **state)
{
    (void)state;
    struct address_clients *const tables[] = {&copy};
    struct address_resets a = {.rounds_left = 0};
    struct ts_mono now = ms(10);
    put(&copy, 3, 1);
    address_resets_begin(&a, now);
    for (int i = 0; i < 5; i++) {
        assert_true(address_resets_next(&a, tables, 1, now, &reset));
        address_resets_sent(&a, now, false);
        now = address_resets_deadline(&a);
    }
    assert_true(address_resets_next(&a, tables, 1, now, &reset));
    address_resets_sent(&a, now, true);
    assert_false(address_resets_next(&a, tables, 1, now, &reset));
    now = address_resets_deadline(&a);
    unsigned asked = 0;
    struct ts_mono from = now;
    for (; address_resets_next(&a, tables, 1, now, &reset); asked++) {
        assert_true(asked < 1000);
        address_resets_sent(&a, now, false);
        struct ts_mono next = address_resets_deadline(&a);
        assert_true(asked > 0 || ts_mono_since(now, next) == ADDRESS_RESETS_RETRY_NS);
        now = address_resets_deadline(&a).ns == TS_MONO_NEVER.ns ? now : next;
    }
    assert_true(ts_mono_since(from, now) > 60 * TS_NS_PER_S);
    assert_true(address_resets_deadline(&a).ns == TS_MONO_NEVER.ns);
    assert_int_equal(copy.top, 4);
    address_resets_begin(&a, now);
    assert_true(address_resets_next(&a, tables, 1, now, &reset));
    assert_int_equal(reset.count, 1);
}

/* Goal: rounds that were stopped, since the address went, leave the tables as they are. */
static void test_resets_stopped_keep_the_clients(void **state)
{
    (void)state;
    struct address_clients *tables[] = {&copy};
    struct address_resets a;
    put(&copy, 0, 1);
    address_resets_begin(&a, ms(10));
    address_resets_stop(&a);
    assert_false(address_resets_next(&a, tables, 1, ms(10), &reset));
    assert_int_equal(copy.top, 1);
}

/* The sum of all words of what a checksum covers is all ones when it is right. */
static unsigned sum_of(const uint8_t *bytes, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i += 2) {
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

/* Goal: an IPv4 probe is an empty ACK with the right lengths, ends and checksums. */
static void test_probe_v4_is_well_formed(void **state)
{
    (void)state;
    const uint8_t from[] = {192, 0, 2, 10};
    const uint8_t to[] = {203, 0, 113, 255};
    uint8_t out[TCP_PROBE_BYTES_MAX];
    struct tcp_probe p = {.from = from, .to = to, .from_port = 6379, .to_port = 65000};
    assert_int_equal(tcp_probe_write(&p, out), 40);
    assert_int_equal(out[0], 0x45);
    assert_int_equal(out[3], 40);
    assert_int_equal(out[9], 6);
    assert_memory_equal(out + 12, from, 4);
    assert_memory_equal(out + 16, to, 4);
    assert_int_equal(sum_of(out, 20, 0), 0xffff);
    assert_int_equal(out[20] << 8 | out[21], 6379);
    assert_int_equal(out[22] << 8 | out[23], 65000);
    assert_int_equal(out[32] >> 4, 5);
    assert_int_equal(out[33], 0x10);
    assert_int_equal(sum_of(out + 12, 28, 6 + 20), 0xffff);
}

/* Goal: the same for IPv6; and two turns have numbers that are half of all numbers apart. */
static void test_probe_v6_is_well_formed(void **state)
{
    (void)state;
    uint8_t from[16];
    uint8_t to[16];
    uint8_t out[TCP_PROBE_BYTES_MAX];
    memset(from, 0xfd, sizeof(from));
    memset(to, 0xee, sizeof(to));
    for (uint8_t turn = 0; turn < 3; turn++) {
        struct tcp_probe p = {
            .v6 = true, .from = from, .to = to, .from_port = 1, .to_port = 2, .turn = turn};
        assert_int_equal(tcp_probe_write(&p, out), 60);
        assert_int_equal(out[0], 0x60);
        assert_int_equal(out[5], 20);
        assert_int_equal(out[6], 6);
        assert_memory_equal(out + 8, from, 16);
        assert_memory_equal(out + 24, to, 16);
        assert_int_equal(out[44], turn == 1 ? 0x80 : 0);
        assert_int_equal(sum_of(out + 8, 52, 6 + 20), 0xffff);
    }
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_changes_reach_the_peer),
        T(test_anew_replaces_what_the_peer_knew),
        T(test_decode_of_malformed_is_refused),
        T(test_resets_tell_all_in_each_round),
        T(test_resets_to_nobody_end),
        T(test_resets_stopped_keep_the_clients),
        T(test_probe_v4_is_well_formed),
        T(test_probe_v6_is_well_formed),
        T(test_clients_of_a_replica_that_came_back_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

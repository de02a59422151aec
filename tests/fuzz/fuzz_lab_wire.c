/* The wire: rules and frames of any kind, at any time; its parts agree after each, and at the end
 * everything that was held has gone out. */
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/ids.h"
#include "lab/wire.h"

#define PORTS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t MACS[PORTS][LAB_WIRE_MAC] = {
    {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}};

static uint64_t number(struct ts_reader *r, uint64_t max)
{
    return ts_get_u32(r) % (max + 1);
}

static void read_rule(struct ts_reader *r, struct lab_wire_rule *rule)
{
    uint16_t which = ts_get_u16(r);
    unsigned bit = 0;
    *rule = (struct lab_wire_rule){.cut = (which >> 15 & 1) != 0};
#define READ(name, max) rule->name = (which >> bit++ & 1) != 0 ? number(r, max) : 0;
    LAB_WIRE_NUMBERS(READ)
#undef READ
}

static void put(struct lab_wire *w, struct ts_reader *r, size_t port, size_t to, uint64_t now)
{
    uint8_t frame[LAB_WIRE_FRAME_MAX + 64] = {0};
    size_t len = ts_get_u16(r) % sizeof(frame);
    memcpy(frame, MACS[to], LAB_WIRE_MAC);
    frame[0] |= ts_get_u8(r) & 1;
    frame[12] = 0x08;
    lab_wire_put(w, port, frame, len, now);
}

static size_t take_all(struct lab_wire *w, uint64_t now)
{
    struct lab_wire_out out;
    size_t n = 0;
    while (lab_wire_take(w, now, &out)) {
        ts_assert(out.port < PORTS && out.len <= LAB_WIRE_FRAME_MAX);
        n++;
    }
    return n;
}

static void step(struct lab_wire *w, struct ts_reader *r, uint64_t now)
{
    struct lab_wire_rule rule;
    uint8_t verb = ts_get_u8(r);
    size_t from = verb % PORTS;
    size_t to = (from + 1 + (verb >> 4 & 1)) % PORTS;
    switch (verb >> 5) {
    case 0:
        read_rule(r, &rule);
        ts_assert(lab_wire_set(w, from, to, &rule, now) == TS_OK);
        break;
    case 1:
        ts_assert(lab_wire_set(w, from, to, NULL, now) == TS_OK);
        break;
    case 2:
        lab_wire_attach(w, from, (verb >> 3 & 1) != 0);
        break;
    case 3:
        lab_wire_hurry(w, from, now);
        break;
    case 4:
        (void)take_all(w, now);
        break;
    default:
        put(w, r, from, to, now);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ts_reader r = ts_reader_init(data, size);
    struct lab_wire *w = NULL;
    uint64_t now = TS_NS_PER_S;
    ts_assert(lab_wire_open(&w, PORTS, MACS) == TS_OK);
    for (size_t i = 0; i < PORTS; i++) {
        lab_wire_attach(w, i, true);
    }
    while (!r.failed && r.pos < r.len) {
        step(w, &r, now);
        lab_wire_check_invariants(w);
        now += (uint64_t)ts_get_u16(&r) * TS_NS_PER_US;
    }
    (void)take_all(w, LAB_WIRE_NEVER);
    ts_assert(lab_wire_due(w) == LAB_WIRE_NEVER);
    lab_wire_check_invariants(w);
    lab_wire_close(w);
    return 0;
}

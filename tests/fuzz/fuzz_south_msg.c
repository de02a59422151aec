/* A frame between controller and agent, from any bytes: what decodes is encoded to the same bytes,
 * its lists can be read to their ends; and a controller's part and an agent's part that are told it
 * stay whole. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/netctl/south.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_lists(const struct south_msg *m)
{
    struct ts_reader item = ts_reader_init(m->item.data, m->item.len);
    struct ts_reader vif = ts_reader_init(m->inventory.vif.data, m->inventory.vif.len);
    struct ts_reader rule = ts_reader_init(m->rule.data, m->rule.len);
    struct ts_reader port = ts_reader_init(m->port.data, m->port.len);
    for (uint32_t i = 0; i < m->items; i++) {
        ts_assert(south_item_get(&item).key.len > 0);
    }
    for (uint32_t i = 0; i < m->inventory.vifs; i++) {
        ts_assert(south_name_is_valid(south_name_get(&vif)));
    }
    for (uint32_t i = 0; i < m->rules; i++) {
        (void)south_rule_get(&rule);
    }
    for (uint32_t i = 0; i < m->ports; i++) {
        (void)south_port_get(&port);
    }
    ts_assert(ts_reader_finish(&item) == TS_OK && ts_reader_finish(&vif) == TS_OK);
    ts_assert(ts_reader_finish(&rule) == TS_OK && ts_reader_finish(&port) == TS_OK);
}

static void tell(struct south *s, struct ts_bytes body, struct south_effects *effects)
{
    struct south_event e = {.kind = SOUTH_E_MESSAGE, .connection = 0, .body = body};
    bool closed = false;
    south_step(s, &e, effects);
    for (size_t i = 0; i < effects->count; i++) {
        closed = closed || effects->effect[i].kind == SOUTH_CLOSE;
    }
    south_effects_clear(effects);
    south_check_invariants(s);
    if (closed) {
        e = (struct south_event){.kind = SOUTH_E_OPENED};
        south_step(s, &e, effects);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct south_limits limits = {2, 4};
    struct south *s = south_new(&limits);
    struct south_effects effects = {0};
    struct netctl_tree table = netctl_tree_make(0);
    struct ts_bytes in = {data, size};
    struct ts_bytes body;
    size_t used;
    ts_assert(s != NULL);
    netctl_tree_put(&table, "segment/1", (struct ts_bytes){(const uint8_t *)"{}", 2});
    south_step(s, &(struct south_event){.kind = SOUTH_E_ROLE, .epoch = {1}, .serves = true},
               &effects);
    south_step(
        s, &(struct south_event){.kind = SOUTH_E_TABLE, .name = "n1", .table = &table, .gen = {3}},
        &effects);
    south_step(s, &(struct south_event){.kind = SOUTH_E_OPENED}, &effects);
    while (in.len > 0 && south_frame_next(in, &body, &used) == TS_OK) {
        struct south_msg m;
        if (south_msg_decode(&m, body) == TS_OK) {
            uint8_t *again = malloc(used);
            ts_assert(again != NULL);
            struct ts_writer w = ts_writer_init(again, used);
            read_lists(&m);
            south_msg_encode(&w, &m);
            ts_assert(!w.failed && w.len == used && memcmp(again, in.data, used) == 0);
            free(again);
        }
        tell(s, body, &effects);
        in = (struct ts_bytes){in.data + used, in.len - used};
    }
    netctl_tree_free(&table);
    south_effects_free(&effects);
    south_free(s);
    return 0;
}

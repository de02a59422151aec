/* labd's requests: whatever comes is refused or meant for machines that are there, and the rule
 * that was read says the same when it is written. */
#include "base/assert.h"
#include "lab/control.h"
#include "lab/wire_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct lab_topology topology = {
    .network_count = 2,
    .networks = {{.name = "fabric-a"}, {.name = "fabric-b"}},
    .machine_count = 3,
    .machines = {{.name = "nic1", .path_count = 2},
                 {.name = "nic2", .path_count = 2},
                 {.name = "client1", .path_count = 1}},
};

static void check_rule(const struct lab_wire_rule *r)
{
    struct lab_wire_rule again = {0};
    struct ts_why why = {{0}};
    json_t *o = lab_wire_rule_json(r);
    ts_assert(lab_wire_rule_read(o, &again, &why) == TS_OK);
    json_t *o2 = lab_wire_rule_json(&again);
    ts_assert(json_equal(o, o2) == 1);
    json_decref(o2);
    json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lab_request r;
    struct ts_why why = {{0}};
    size_t pairs = 0;
    if (lab_request_read((struct ts_bytes){data, size}, &topology, &r, &why) != TS_OK) {
        ts_assert(why.text[0] != '\0');
        return 0;
    }
    for (size_t n = 0; n < topology.network_count; n++) {
        for (size_t i = 0; i < topology.machine_count; i++) {
            for (size_t k = 0; k < topology.machine_count; k++) {
                pairs += lab_request_means(&r, &topology, n, i, k) ? 1 : 0;
            }
        }
    }
    ts_assert(pairs > 0);
    check_rule(&r.rule);
    return 0;
}

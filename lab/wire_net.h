/* The wire of one network of namespaces, beside its bridge.
 *
 *   machine ── veth ── port of the bridge ── … others
 *                        └ packet socket ── lab/wire.h ── packet sockets of the others
 *
 * A machine is on the wire while a rule names it. Its port is isolated in the bridge then, which
 * passes nothing between two such ports; their frames are read, carried and sent here. Frames
 * between others, and between others and these, stay the bridge's. So nothing else is touched by a
 * fault, and a port need not be taken out of the bridge, which takes milliseconds. While a port
 * changes sides (some ten microseconds) a frame may come twice; none is lost. */
#ifndef LAB_WIRE_NET_H
#define LAB_WIRE_NET_H

#include <jansson.h>
#include <uv.h>

#include "lab/control.h"
#include "lab/pods.h"

struct lab_wire_net;

/* Of a network that lab_pods_begin has built, in its namespace. `loop` and `p` are borrowed. Gives.
 * TS_ERR_NOMEM, TS_ERR_SYSTEM. */
enum ts_err lab_wire_net_open(struct lab_wire_net **out, uv_loop_t *loop, const struct lab_pods *p,
                              size_t network, struct ts_why *why) TS_MUST_USE;
/* Before the loop ends: closes its handles. And after that: takes all memory. NULL allowed. */
void lab_wire_net_stop(struct lab_wire_net *n);
void lab_wire_net_free(struct lab_wire_net *n);
/* Does what the request says of this network: wire-set or wire-clear. Nothing is on the wire
 * after an error but what had been before. */
enum ts_err lab_wire_net_change(struct lab_wire_net *n, const struct lab_request *r,
                                struct ts_why *why) TS_MUST_USE;
/* {"name", "on": [machine …], "missed", "unsent", "pairs": [{"from", "to", "rule", "counters"}]};
 * pairs without rule that carried nothing are left out. "missed": frames that came faster than they
 * were read; "unsent": that a machine did not take. Gives. */
json_t *lab_wire_net_json(struct lab_wire_net *n);

#endif

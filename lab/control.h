/* What labd is asked for: one JSON object in a line, one line as the answer, on DIR/lab.sock.
 *
 *   {"cmd":"wire-show"}
 *   {"cmd":"wire-set","network":NAME,"from":[MACHINE …],"to":[MACHINE …],"both":true,"rule":{…}}
 *   {"cmd":"wire-clear","network":NAME,"from":[…],"to":[…],"both":true}
 *
 * "network", "from" and "to" may be left out, which means all of them; "both" means the other
 * direction, too. The answer is an object: what was asked for, or {"error": a sentence}. Pure but
 * for jansson's memory. */
#ifndef LAB_CONTROL_H
#define LAB_CONTROL_H

#include <stdbool.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/io/files.h"
#include "lab/topology.h"
#include "lab/wire.h"

#define LAB_SOCKET "lab.sock"
#define LAB_REQUEST_MAX 16384 /* bytes of a line */

enum lab_cmd {
    LAB_CMD_WIRE_SHOW,
    LAB_CMD_WIRE_SET,
    LAB_CMD_WIRE_CLEAR,
};

struct lab_request {
    enum lab_cmd cmd;
    bool network[TS_PATHS_MAX];
    bool from[LAB_MACHINES_MAX];
    bool to[LAB_MACHINES_MAX];
    bool both;
    struct lab_wire_rule rule; /* of wire-set */
};

/* Names are looked up in the topology; at least one pair of machines is meant. TS_ERR_MALFORMED:
 * `why` has a sentence for who asks. */
enum ts_err lab_request_read(struct ts_bytes line, const struct lab_topology *t,
                             struct lab_request *out, struct ts_why *why) TS_MUST_USE;
/* Whether the request means this direction of this pair: other machines, both of them there. */
bool lab_request_means(const struct lab_request *r, const struct lab_topology *t, size_t network,
                       size_t from, size_t to);

/* Asks the labd of a directory; blocks. Gives its answer. TS_ERR_NOT_FOUND: none runs there.
 * TS_ERR_REFUSED: it answered with an error, which is in `why`. TS_ERR_SYSTEM, TS_ERR_LIMIT. */
enum ts_err lab_ask_labd(const char *dir, json_t *request, json_t **answer,
                         struct ts_why *why) TS_MUST_USE;

#endif

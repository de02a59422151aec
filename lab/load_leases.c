#include "lab/load_leases.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "lab/load.h"

#define KEEPS_MAX 4
#define RELEASES_PERCENT 70 /* the others let it go */
#define OVERSTAYS_PERCENT 10
#define REST_MS_MAX 12 /* of one who was not granted it */

unsigned lab_lease_next(struct lab_leaser *l, struct ts_prng *prng, uint16_t client,
                        unsigned leases, unsigned lease_ms, struct lab_op *op)
{
    unsigned rest_ms = (unsigned)ts_prng_below(prng, REST_MS_MAX);
    uint8_t kind = LAB_OP_GRANT;
    if (l->holds && l->keeps_left > 0) {
        bool overstays = ts_prng_below(prng, 100) < OVERSTAYS_PERCENT;
        kind = LAB_OP_KEEP;
        l->keeps_left--;
        rest_ms += overstays ? lease_ms + lease_ms / 5 : lease_ms / 4;
    } else if (l->holds && ts_prng_below(prng, 100) < RELEASES_PERCENT) {
        kind = LAB_OP_RELEASE;
    } else {
        l->holds = false;
        l->lease = (uint32_t)ts_prng_below(prng, leases);
        l->keeps_left = (unsigned)ts_prng_below(prng, KEEPS_MAX + 1);
    }
    *op = (struct lab_op){.client = client,
                          .kind = kind,
                          .key = l->lease,
                          .owner = l->lives * LAB_CLIENTS_MAX + client};
    return rest_ms;
}

void lab_lease_done(struct lab_leaser *l, const struct lab_op *op)
{
    if (op->outcome == LAB_AMBIGUOUS) {
        l->lives++;
        l->holds = false;
    } else if (op->outcome == LAB_ACKED) {
        l->holds = op->kind == LAB_OP_GRANT ? op->value != LAB_NIL
                                            : op->kind == LAB_OP_KEEP && op->result == 1;
    }
}

void lab_lease_request(struct lab_request *r, const char *tag, const struct lab_op *op,
                       unsigned lease_ms)
{
    const char *verb = op->kind == LAB_OP_GRANT  ? "LEASE.GRANT"
                       : op->kind == LAB_OP_KEEP ? "LEASE.KEEP"
                                                 : "LEASE.RELEASE";
    ts_assert(lab_op_object(op->kind) == LAB_LEASE);
    (void)snprintf(r->key, sizeof r->key, "%s:lease:%" PRIu32, tag, op->key);
    (void)snprintf(r->owner, sizeof r->owner, "owner-%" PRIu32, op->owner);
    (void)snprintf(r->ms, sizeof r->ms, "%u", lease_ms);
    r->argv[0] = lab_bytes(verb);
    r->argv[1] = lab_bytes(r->key);
    r->argv[2] = lab_bytes(r->owner);
    r->argv[3] = lab_bytes(r->ms);
    r->argc = op->kind == LAB_OP_RELEASE ? 3 : 4;
}

bool lab_lease_take_answer(struct lab_op *op, const struct lab_reply *reply)
{
    if (op->kind != LAB_OP_GRANT) {
        op->result = reply->integer;
        return reply->kind == LAB_REPLY_INTEGER && (op->result == 0 || op->result == 1);
    }
    bool nil = reply->kind == LAB_REPLY_NIL;
    op->value = nil ? LAB_NIL : reply->integer;
    op->result = nil ? 0 : reply->second;
    return nil || reply->kind == LAB_REPLY_PAIR;
}

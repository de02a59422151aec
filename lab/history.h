/* What the load did and what it was told: one record an operation, in the order of their
 * ends. The checkers (lab/check.h) judge it; written as JSON (lab/load_keys.h), others do. */
#ifndef LAB_HISTORY_H
#define LAB_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "lab/resp_client.h"

/* X(symbol, name, the object it works on, whether it changes it) */
#define LAB_OP_LIST(X) \
    X(LAB_OP_APPEND, "append", LAB_LIST, true) \
    X(LAB_OP_LENGTH, "length", LAB_LIST, false) \
    X(LAB_OP_SET, "set", LAB_REGISTER, true) \
    X(LAB_OP_GET, "get", LAB_REGISTER, false) \
    X(LAB_OP_INCR, "incr", LAB_COUNTER, true) \
    X(LAB_OP_COUNT, "count", LAB_COUNTER, false) \
    X(LAB_OP_GRANT, "grant", LAB_LEASE, true) \
    X(LAB_OP_KEEP, "keep", LAB_LEASE, true) \
    X(LAB_OP_RELEASE, "release", LAB_LEASE, true)

/* Four kinds of names; each has its own numbering. */
enum lab_object {
    LAB_LIST,     /* APPEND of tokens of a fixed length; STRLEN */
    LAB_REGISTER, /* SET of unique values; GET */
    LAB_COUNTER,  /* INCR; GET */
    LAB_LEASE,    /* LEASE.GRANT; LEASE.KEEP; LEASE.RELEASE */
};

enum lab_op_kind {
#define LAB_OP_ENUM(sym, name, object, writes) sym,
    LAB_OP_LIST(LAB_OP_ENUM)
#undef LAB_OP_ENUM
        LAB_OP_KINDS
};

/* Bytes of one appended token. */
#define LAB_TOKEN_BYTES 10

#define LAB_NIL (-1)                  /* GET: the key did not exist */
#define LAB_NEVER UINT64_MAX          /* `end` of an operation whose outcome is unknown */
#define LAB_UNKNOWN_VALUE (INT64_MAX) /* GET: bytes that no SET of this load wrote */

struct lab_op {
    uint64_t begin_ns; /* monotonic, before the request was handed to the client */
    uint64_t end_ns;   /* monotonic, when its outcome was known; LAB_NEVER for ambiguous */
    int64_t value;     /* APPEND: token id; SET: value id; GET: value id read or LAB_NIL; COUNT:
                          LAB_NIL when the key did not exist; GRANT: the token's epoch, LAB_NIL when
                          another has it */
    int64_t result; /* APPEND, LENGTH: bytes; INCR, COUNT: number; GRANT: the token's place in the
                       log; KEEP, RELEASE: 1, or 0 when it was not held; else 0 */
    uint32_t owner; /* of leases: the name under which the client asked */
    uint32_t key;   /* number within its object kind */
    uint16_t client;
    uint8_t kind;    /* enum lab_op_kind */
    uint8_t outcome; /* enum lab_outcome */
};

/* The whole content of a list, as a GET read it. */
struct lab_content {
    uint64_t begin_ns;
    uint64_t end_ns;
    struct ts_bytes bytes; /* owned by the history */
    uint32_t key;          /* number among the lists */
    uint16_t client;
    bool nil; /* the key did not exist */
};

struct lab_history {
    struct lab_op *ops; /* owned */
    size_t count;
    size_t cap;
    struct lab_content *contents; /* owned */
    size_t content_count;
    uint64_t lease_ns; /* for how long each lease was asked for; 0 = there are none */
};

void lab_history_add(struct lab_history *h, const struct lab_op *op);
/* Copies the bytes. */
void lab_history_add_content(struct lab_history *h, const struct lab_content *c);
void lab_history_free(struct lab_history *h);

const char *lab_op_name(enum lab_op_kind kind);
enum lab_object lab_op_object(enum lab_op_kind kind);
bool lab_op_writes(enum lab_op_kind kind);
const char *lab_object_name(enum lab_object object);

#endif

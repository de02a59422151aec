/* Messages of the config register: proposer and voter (R1.2), and the registration of
 * starts (R1.8). One message is the payload of one frame; the frame's u8 type is
 * reg_msg.type. The code beside this header is the wire specification.
 *
 * Every reply repeats what it answers (register and ballot, or owner and start), so that it
 * is matched without a connection or a request number: a ballot carries its proposer's
 * process instance. */
#ifndef CLUSTER_CFG_REGISTER_MSG_H
#define CLUSTER_CFG_REGISTER_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

/* X(symbol, frame type, name). The range 16..31 of frame types is the register's. */
#define REG_MSG_LIST(X) \
    X(REG_MSG_PREPARE, 16, "prepare") \
    X(REG_MSG_PROMISE, 17, "promise") \
    X(REG_MSG_ACCEPT, 18, "accept") \
    X(REG_MSG_ACCEPTED, 19, "accepted") \
    X(REG_MSG_NACK, 20, "nack") \
    X(REG_MSG_START, 21, "start") \
    X(REG_MSG_START_OK, 22, "start-ok") \
    X(REG_MSG_START_REFUSED, 23, "start-refused") \
    X(REG_MSG_BLANK, 24, "blank") \
    X(REG_MSG_STARTS_ASK, 25, "starts-ask") \
    X(REG_MSG_STARTS_TELL, 26, "starts-tell")

enum reg_msg_type {
#define REG_MSG_ENUM(sym, value, name) sym = value,
    REG_MSG_LIST(REG_MSG_ENUM)
#undef REG_MSG_ENUM
};

#define REG_MSG_TYPE_MAX 31

/* Why a voter did not promise or accept. X(symbol, value, name) */
#define REG_NACK_LIST(X) \
    X(REG_NACK_BALLOT, 0, "ballot")            /* promised at least as high a ballot */ \
    X(REG_NACK_NOT_READY, 1, "not-ready")      /* the voter's own start is not registered */ \
    X(REG_NACK_EMPTY, 2, "empty")              /* a listed register has no value: an alarm */ \
    X(REG_NACK_UNKNOWN, 3, "unknown-register") /* the register is not listed here */ \
    X(REG_NACK_BUSY, 4, "busy")                /* too many writes under way: try again */ \
    X(REG_NACK_GENERATION, 5, "generation")    /* older generation than the voter's */ \
    X(REG_NACK_TWO_VALUES, 6, "two-values")    /* this ballot carried another value */

enum reg_nack_reason {
#define REG_NACK_ENUM(sym, value, name) sym = value,
    REG_NACK_LIST(REG_NACK_ENUM)
#undef REG_NACK_ENUM
        REG_NACK_REASONS
};

/* The longest value a register holds, bytes. Opaque to voters. */
#define REG_VALUE_MAX 512
/* Counters at or above this are refused by the decoder, so that max + 1 never wraps. */
#define REG_COUNTER_MAX (1ULL << 62)
/* The longest payload of any message, bytes. */
#define REG_MSG_PAYLOAD_MAX 640

/* A ballot: totally ordered by counter, proposer, instance. The random process instance
 * makes it unique across restarts of a proposer that forgot its counter. The all-zero
 * ballot is below every other: what formation stores is accepted at it. */
struct reg_ballot {
    uint64_t counter;
    struct ts_nic_id proposer;
    struct ts_instance instance;
};

/* Opaque bytes of a register; len 0 = no value. */
struct reg_value {
    uint16_t len;
    uint8_t data[REG_VALUE_MAX];
};

enum reg_owner_kind {
    REG_OWNER_REPLICA = 1,
    REG_OWNER_VOTER = 2,
};

/* Whose start is registered: the replica of a group on a node, or a node's voter. */
struct reg_owner {
    enum reg_owner_kind kind;
    struct ts_group_id group; /* 0 for a voter */
    struct ts_nic_id node;
};

/* One start of a process on a disk (R1.8). */
struct reg_start {
    struct reg_owner owner;
    struct ts_incarnation incarnation; /* of the disk */
    uint64_t start;                    /* durable start number; >= 1 */
    struct ts_instance instance;       /* random, minted with the number and as durable */
};

struct reg_prepare {
    uint32_t reg;
    struct reg_ballot ballot;
};

struct reg_promise {
    uint32_t reg;
    struct reg_ballot ballot;   /* of the prepare */
    struct reg_ballot accepted; /* of `value`; zero without one */
    struct reg_value value;     /* len 0: the voter holds none */
};

struct reg_accept {
    uint32_t reg;
    struct reg_ballot ballot;
    uint64_t generation;
    struct reg_value value; /* len >= 1 */
};

struct reg_accepted {
    uint32_t reg;
    struct reg_ballot ballot;
};

struct reg_nack {
    uint32_t reg;
    struct reg_ballot ballot;   /* of the request */
    struct reg_ballot promised; /* the voter's promise, zero when it has none */
    enum reg_nack_reason reason;
};

struct reg_start_refused {
    struct reg_start asked;
    uint64_t registered_start;
    struct ts_instance registered_instance;
};

/* Disks of one voter that were given up, the newest first. A blank disk takes the place of
 * whichever of them a register lists: registers differ in that when a replacement is itself lost.
 */
#define REG_PLACES_MAX 8

struct reg_places {
    uint8_t count;
    struct ts_incarnation v[REG_PLACES_MAX];
};

/* Instead of a promise or an acceptance: this voter's disk is blank, and was formatted for the
 * place of a lost one (adr/0029). */
struct reg_blank {
    uint32_t reg;
    struct reg_ballot ballot; /* of the request */
    struct ts_incarnation disk;
    struct reg_places places; /* at least one */
};

/* A disk that enrols asks for the starts that another voter knows, one by one. */
struct reg_starts_ask {
    uint64_t session; /* of this copy; not 0 */
    uint16_t index;   /* 0.. */
};

struct reg_starts_tell {
    uint64_t session; /* of the request, … */
    uint16_t index;
    bool has; /* false: there is none at or behind the index */
    struct reg_start start;
};

struct reg_msg {
    enum reg_msg_type type;
    union {
        struct reg_prepare prepare;
        struct reg_promise promise;
        struct reg_accept accept;
        struct reg_accepted accepted;
        struct reg_nack nack;
        struct reg_start start;    /* START */
        struct reg_start start_ok; /* START_OK: repeats the request */
        struct reg_start_refused refused;
        struct reg_blank blank;
        struct reg_starts_ask starts_ask;
        struct reg_starts_tell starts_tell;
    };
};

/* <0, 0, >0 as a is below, equal to, above b. */
int reg_ballot_cmp(struct reg_ballot a, struct reg_ballot b);
bool reg_ballot_is_zero(struct reg_ballot b);
bool reg_value_eq(const struct reg_value *a, const struct reg_value *b);
bool reg_owner_eq(struct reg_owner a, struct reg_owner b);
bool reg_start_eq(const struct reg_start *a, const struct reg_start *b);
bool reg_places_has(const struct reg_places *s, struct ts_incarnation disk);
/* As the newest, unless it is there; the oldest goes when there is no room. */
void reg_places_add(struct reg_places *s, struct ts_incarnation disk);

/* Names for traces and logs; static storage. "?" for a number out of range. */
const char *reg_msg_name(enum reg_msg_type type);
const char *reg_nack_name(enum reg_nack_reason reason);

/* Parts that messages and the voter's records share; a field out of range fails the reader. */
void reg_ballot_encode(struct reg_ballot b, struct ts_writer *w);
void reg_ballot_decode(struct reg_ballot *b, struct ts_reader *r);
void reg_value_encode(const struct reg_value *v, struct ts_writer *w);
void reg_value_decode(struct reg_value *v, struct ts_reader *r);
void reg_start_encode(const struct reg_start *s, struct ts_writer *w);
void reg_start_decode(struct reg_start *s, struct ts_reader *r);
/* There may be none; no disk is there twice, and none is 0. */
void reg_places_encode(const struct reg_places *s, struct ts_writer *w);
void reg_places_decode(struct reg_places *s, struct ts_reader *r);

/* Writes the payload; the frame's type byte is msg->type. At most REG_MSG_PAYLOAD_MAX bytes;
 * a writer with less room fails. */
void reg_msg_encode(const struct reg_msg *msg, struct ts_writer *w);

/* Reads the payload of a frame of this type; copies all it keeps.
 * TS_ERR_SHORT: ends early or a field is out of its range. TS_ERR_MALFORMED: an unknown type,
 * or bytes are left over. */
enum ts_err reg_msg_decode(struct reg_msg *msg, uint8_t type, struct ts_bytes payload) TS_MUST_USE;

#endif

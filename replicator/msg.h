/* Messages between the replicas of a group; encode beside decode: msg.c is the wire
 * specification. One message is one frame of the link; the frame's type byte is the
 * message's type. Batches ride behind the head of an APPEND as they are. */
#ifndef REPLICATOR_MSG_H
#define REPLICATOR_MSG_H

#include "cluster-cfg/config.h"
#include "replicator/batch.h"

/* X(symbol, frame type, name) */
#define REPL_MSG_LIST(X) \
    X(REPL_MSG_POSITION, 32, "position") \
    X(REPL_MSG_CONFIG, 33, "config") \
    X(REPL_MSG_APPEND, 34, "append") \
    X(REPL_MSG_ACK, 35, "ack") \
    X(REPL_MSG_REFUSED, 36, "refused") \
    X(REPL_MSG_CONFIRM, 37, "confirm") \
    X(REPL_MSG_CONFIRMED, 38, "confirmed") \
    X(REPL_MSG_TAKE_OVER, 39, "take-over") \
    X(REPL_MSG_ENROL, 40, "enrol") \
    X(REPL_MSG_REPLAYED, 41, "replayed")

enum repl_msg_type {
#define REPL_MSG_ENUM(sym, type, name) sym = type,
    REPL_MSG_LIST(REPL_MSG_ENUM)
#undef REPL_MSG_ENUM
};

/* Where a replica's log stands: sent when a link comes up and when an APPEND did not fit. */
struct repl_msg_position {
    struct ts_epoch config_epoch; /* of the newest decided config it knows, 0 = none */
    struct ts_epoch floor;        /* it acknowledges nothing below this epoch */
    struct ts_incarnation incarnation;
    struct ts_instance instance;
    struct repl_pos committed; /* on every log of the group */
    struct repl_pos tail;      /* the durable end; equal to committed after a mismatch */
};

/* A decided config, published by whoever knows it. The register has the last word. */
struct repl_msg_config {
    struct cfg_config config;
};

/* Batches that follow `prev`; none is a repeat of `committed`. */
struct repl_msg_append {
    struct ts_epoch epoch;
    struct repl_pos prev;
    struct ts_seq committed;
    struct ts_bytes batches; /* borrowed */
};

/* Everything up to `pos` is durable here and identical to the primary's log (R2.3). */
struct repl_msg_ack {
    struct ts_epoch epoch;
    struct ts_incarnation incarnation;
    struct ts_instance instance;
    struct repl_pos pos;
    struct ts_seq applied; /* `digest` is the rolling digest after it (R5.1) */
    struct ts_hash digest;
};

/* I acknowledge and confirm nothing below `floor`. `epoch` is the refused one. */
struct repl_msg_refused {
    struct ts_epoch epoch;
    struct ts_epoch floor;
};

/* A read round (R2.9); the round number is never used again by this instance. */
struct repl_msg_confirm {
    struct ts_epoch epoch;
    struct ts_instance instance; /* of the primary */
    uint64_t round;
};

struct repl_msg_confirmed {
    struct ts_epoch epoch;
    struct ts_instance asker;
    uint64_t round;
    struct ts_incarnation incarnation;
    struct ts_instance instance;
};

/* Why a primary gives up. */
enum repl_take_over_why {
    REPL_TAKE_OVER_DISK = 1,    /* its journal hangs or has failed (R4.4) */
    REPL_TAKE_OVER_HANDOFF = 2, /* the operator wants it (R4.5) */
};

/* The primary of `epoch` orders and answers nothing more in it, and asks the receiver to replace it
 * (R4.4, R4.5). A wish, not a right: the receiver takes over as it would on any evidence. */
struct repl_msg_take_over {
    struct ts_epoch epoch;
    struct ts_instance instance; /* of the primary */
    enum repl_take_over_why why;
};

/* The sender's disk is a blank one, by which the operator has replaced the one that the config's
 * members list: `replaces` is that one. The primary has the register list the new one (R1.8). */
struct repl_msg_enrol {
    struct ts_incarnation incarnation;
    struct ts_instance instance;
    struct ts_incarnation replaces;
};

/* What the sender's state is at `seq`, the suspect of the config, after a replay of its log (R5.2).
 */
struct repl_msg_replayed {
    struct ts_seq seq;
    struct ts_incarnation incarnation;
    struct ts_instance instance;
    struct ts_hash digest;
};

/* Encoders. For APPEND only the head is written: the batches are sent behind it. */
void repl_msg_position_encode(const struct repl_msg_position *m, struct ts_writer *w);
void repl_msg_config_encode(const struct repl_msg_config *m, struct ts_writer *w);
void repl_msg_append_encode(const struct repl_msg_append *m, struct ts_writer *w);
void repl_msg_ack_encode(const struct repl_msg_ack *m, struct ts_writer *w);
void repl_msg_refused_encode(const struct repl_msg_refused *m, struct ts_writer *w);
void repl_msg_confirm_encode(const struct repl_msg_confirm *m, struct ts_writer *w);
void repl_msg_confirmed_encode(const struct repl_msg_confirmed *m, struct ts_writer *w);
void repl_msg_take_over_encode(const struct repl_msg_take_over *m, struct ts_writer *w);
void repl_msg_enrol_encode(const struct repl_msg_enrol *m, struct ts_writer *w);
void repl_msg_replayed_encode(const struct repl_msg_replayed *m, struct ts_writer *w);

/* A decoded message; the bytes are borrowed from the frame. */
struct repl_msg {
    enum repl_msg_type type;
    union {
        struct repl_msg_position position;
        struct repl_msg_config config;
        struct repl_msg_append append; /* its batches are not looked at yet */
        struct repl_msg_ack ack;
        struct repl_msg_refused refused;
        struct repl_msg_confirm confirm;
        struct repl_msg_confirmed confirmed;
        struct repl_msg_take_over take_over;
        struct repl_msg_enrol enrol;
        struct repl_msg_replayed replayed;
    } u;
};

/* TS_ERR_MALFORMED for an unknown type or any field out of range, TS_ERR_SHORT when cut. */
enum ts_err repl_msg_decode(struct repl_msg *out, uint8_t type, struct ts_bytes frame) TS_MUST_USE;
const char *repl_msg_name(uint8_t type);

/* The longest head of any message, bytes. */
#define REPL_MSG_HEAD_MAX (CFG_CONFIG_ENCODED_MAX + 16)

#endif

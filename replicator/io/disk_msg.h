/* Messages between replicas about their disks: beside the core's (replicator/msg.h), which never
 * sees them, as those of transfer_msg.h. Encode beside decode: disk_msg.c is the wire
 * specification. No acknowledgement or promise is in them. */
#ifndef REPLICATOR_IO_DISK_MSG_H
#define REPLICATOR_IO_DISK_MSG_H

#include "replicator/batch.h"

/* Types of frames, between the core's and those of transfers. */
enum disk_msg_type {
    DISK_MSG_ROOM = 56, /* what room the sender's disk has; said again while it is short */
    DISK_MSG_ASK = 57,  /* give me the batches that follow: mine are damaged */
    DISK_MSG_GIVE = 58, /* … here are some */
};

/* How much room a replica has. Numbers of the wire. X(symbol, number, name) */
#define DISK_ROOM_LIST(X) \
    X(DISK_ROOM_WELL, 0, "well") \
    X(DISK_ROOM_SHORT, 1, "short")      /* people are to know */ \
    X(DISK_ROOM_FULL, 2, "full")        /* nothing that makes the state grow is ordered */ \
    X(DISK_ROOM_NONE, 3, "none at all") /* no client's command is */

enum disk_room {
#define DISK_ROOM_ENUM(symbol, number, name) symbol = number,
    DISK_ROOM_LIST(DISK_ROOM_ENUM)
#undef DISK_ROOM_ENUM
        DISK_ROOMS
};

#define DISK_HEAD_MAX 32U
/* Batches in one GIVE have so many bytes, or it is one longer batch. */
#define DISK_GIVE_BYTES (1U << 20)

struct disk_msg {
    enum disk_msg_type type;
    enum disk_room room;     /* ROOM */
    struct repl_pos after;   /* ASK, GIVE */
    struct ts_bytes batches; /* GIVE: whole ones, not looked into. Borrowed; sent behind the head */
};

/* The head: all but the batches. */
void disk_msg_encode(const struct disk_msg *m, struct ts_writer *w);
/* TS_ERR_MALFORMED, TS_ERR_SHORT. */
enum ts_err disk_msg_decode(struct disk_msg *m, uint8_t type, struct ts_bytes frame) TS_MUST_USE;
static inline bool disk_msg_is(uint8_t type)
{
    return type >= DISK_MSG_ROOM && type <= DISK_MSG_GIVE;
}

#endif

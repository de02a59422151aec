/* Messages between replicas about their disks: beside the core's (replicator/msg.h), which never
 * sees them, as those of transfer_msg.h. Encode beside decode: disk_msg.c is the wire
 * specification. No acknowledgement or promise is in them. */
#ifndef REPLICATOR_IO_DISK_MSG_H
#define REPLICATOR_IO_DISK_MSG_H

#include "replicator/batch.h"

/* Types of frames, between the core's and those of transfers. */
enum disk_msg_type {
    DISK_MSG_ROOM = 56, /* what room the sender's disk has; said again while it is short */
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

#define DISK_HEAD_MAX 16U

struct disk_msg {
    enum disk_msg_type type;
    enum disk_room room; /* ROOM */
};

void disk_msg_encode(const struct disk_msg *m, struct ts_writer *w);
/* TS_ERR_MALFORMED, TS_ERR_SHORT. */
enum ts_err disk_msg_decode(struct disk_msg *m, uint8_t type, struct ts_bytes frame) TS_MUST_USE;
static inline bool disk_msg_is(uint8_t type)
{
    return type == DISK_MSG_ROOM;
}

#endif

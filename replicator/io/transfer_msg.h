/* Messages by which a replica gets another one's snapshot: beside the core's (replicator/msg.h),
 * which never sees them. Encode beside decode: transfer_msg.c is the wire specification. */
#ifndef REPLICATOR_IO_TRANSFER_MSG_H
#define REPLICATOR_IO_TRANSFER_MSG_H

#include "replicator/batch.h"

/* Types of frames, behind the core's. */
enum transfer_msg_type {
    TRANSFER_MSG_OFFER = 60, /* what you lack is in my snapshot only */
    TRANSFER_MSG_ASK = 61,   /* give me your snapshot from here on */
    TRANSFER_MSG_PIECE = 62, /* … here it is */
    TRANSFER_MSG_BAD = 63,   /* what you gave is damaged: look at your disk */
};

/* Bytes of a snapshot file in one PIECE. */
#define TRANSFER_PIECE_BYTES (128U * 1024U)
#define TRANSFER_HEAD_MAX 64U

struct transfer_msg {
    enum transfer_msg_type type;
    struct ts_seq snapshot; /* the entry up to which it goes, at least 1 */
    struct repl_pos base;   /* OFFER: where the sender's journal begins */
    uint64_t offset;        /* ASK, PIECE: in the file */
    uint64_t size;          /* PIECE: of the file */
    struct ts_bytes
        bytes; /* PIECE: of the file; none: it ends at `offset`. Borrowed; sent behind the head */
};

/* The head: all but the bytes. */
void transfer_msg_encode(const struct transfer_msg *m, struct ts_writer *w);
/* TS_ERR_MALFORMED, TS_ERR_SHORT. */
enum ts_err transfer_msg_decode(struct transfer_msg *m, uint8_t type,
                                struct ts_bytes frame) TS_MUST_USE;
static inline bool transfer_msg_is(uint8_t type)
{
    return type >= TRANSFER_MSG_OFFER && type <= TRANSFER_MSG_BAD;
}

#endif

/* What an entry says to the table of sessions (session.h), and what it answers: disk and wire
 * formats, written by the front-end and checked in apply. All integers are little-endian.
 *
 *   payload: u8 SESSION_MARK · u8 op · u64 session · u64 connection · u64 number · rest
 *   answer:  u8 result, then
 *     done, OPEN      u64 session, u64 connection
 *     done, RESUME    u64 connection, u64 number of the first reply, u32 count,
 *                     count × { u32 length, the reply }
 *     done, others    nothing
 *     done or again, REQUEST   the service's own answer
 *     anything else   u64: the number that the refusal is about */
#ifndef SERVICES_SESSION_MSG_H
#define SERVICES_SESSION_MSG_H

#include "base/buf.h"
#include "base/err.h"

/* A payload of a service that has sessions begins with another byte. */
#define SESSION_MARK 0xF5
#define SESSION_HEAD_BYTES (2 + 3 * 8)
#define SESSION_NAME_MAX 128
/* In a name: behind it stands the user whose session it is, when there are users. No name that a
 * client gives has it. */
#define SESSION_OWNER_SEPARATOR '\n'

enum session_op {
    SESSION_OPEN = 1,    /* rest: the name. session, connection and number are 0 */
    SESSION_RESUME = 2,  /* number: the client has the replies up to it. rest: the name */
    SESSION_ACK = 3,     /* number: as above */
    SESSION_CLOSE = 4,   /* number is 0 */
    SESSION_REQUEST = 5, /* number: of the request, from 1 on. rest: the service's payload */
};

/* Numbers stand in replies that are compared between replicas: never renumber. */
enum session_result {
    SESSION_DONE = 0,
    SESSION_AGAIN = 1, /* the request was executed before: its reply of then */
    /* Refused: nothing was executed, nothing has changed. */
    SESSION_MALFORMED = 2,
    SESSION_UNKNOWN = 3,       /* there never was such a session, or it has another name */
    SESSION_GONE = 4,          /* it was closed, or idle for too long; figure: 0 */
    SESSION_OLD = 5,           /* it was resumed on another connection; figure: that one's number */
    SESSION_GAP = 6,           /* an earlier request was not executed; figure: which */
    SESSION_FULL = 7,          /* too many replies are not acknowledged; figure: up to which */
    SESSION_FULL_BYTES = 8,    /* they are too long; the same */
    SESSION_FULL_TOTAL = 9,    /* those of all sessions are; the same */
    SESSION_FULL_TABLE = 10,   /* there are too many sessions; figure: how many may be */
    SESSION_ACKNOWLEDGED = 11, /* the replies are no longer kept; figure: up to which */
    SESSION_AHEAD = 12,        /* there is no such reply yet; figure: the newest one */
    SESSION_CHANGED = 13,      /* the number was another request's; figure: the number */
    SESSION_FULL_SHARE = 14,   /* its user has too many sessions; figure: how many one may have */
    SESSION_FULL_SHARE_BYTES = 15, /* its user's replies are too long; figure: up to which number
                                      they are acknowledged */
    SESSION_RESULT_LAST = SESSION_FULL_SHARE_BYTES,
};

/* A decoded payload; `rest` is borrowed from it. */
struct session_msg {
    enum session_op op;
    uint64_t session;
    uint64_t connection;
    uint64_t number;
    struct ts_bytes rest;
};

/* Whether it is one for the table of sessions, well-formed or not. */
static inline bool session_msg_is(struct ts_bytes payload)
{
    return payload.len > 0 && payload.data[0] == SESSION_MARK;
}

/* Writes the head; `rest` follows it, written here or by the caller. */
void session_msg_encode(struct ts_writer *w, const struct session_msg *msg);
/* TS_ERR_SHORT: no whole head. TS_ERR_MALFORMED: another mark, no such op, a number where none
 * belongs, a name that is empty or too long. */
enum ts_err session_msg_decode(struct session_msg *msg, struct ts_bytes payload) TS_MUST_USE;

/* A decoded answer. `rest` is borrowed: the service's answer, or RESUME's replies. */
struct session_answer {
    enum session_result result;
    uint64_t figure;     /* of a refusal */
    uint64_t session;    /* OPEN */
    uint64_t connection; /* OPEN, RESUME */
    uint64_t first;      /* RESUME: number of the first reply */
    uint32_t count;      /* … and how many there are */
    struct ts_bytes rest;
};

static inline bool session_is_refusal(enum session_result result)
{
    return result != SESSION_DONE && result != SESSION_AGAIN;
}

/* Decodes the answer to an op, which the table wrote itself. TS_ERR_MALFORMED, TS_ERR_SHORT: it is
 * none. RESUME's replies are not looked at: session_answer_next. */
enum ts_err session_answer_decode(struct session_answer *a, enum session_op op,
                                  struct ts_bytes answer) TS_MUST_USE;
/* The next of RESUME's replies, from a reader of `rest`; the reader fails when there is none. */
struct ts_bytes session_answer_next(struct ts_reader *rest);

#endif

/* Inside the sessions: the table. session.h says what they are. */
#ifndef SERVICES_SESSION_STATE_H
#define SERVICES_SESSION_STATE_H

#include "services/session.h"

#define SESSION_NO_SLOT UINT32_MAX
#define SESSION_NO_OWNER UINT32_MAX
#define SESSION_SLOT_BITS 16
#define SESSION_CREATION_MAX (UINT64_MAX >> SESSION_SLOT_BITS)

/* A kept reply. */
struct session_reply {
    uint8_t *bytes; /* owned */
    uint32_t len;
    uint64_t request; /* hash of the request's payload */
};

struct session {
    uint64_t id; /* creation number and slot; 0 = the slot is free */
    uint64_t connection;
    uint64_t last;              /* number of the newest executed request */
    uint64_t acked;             /* the replies of (acked, last] are kept */
    uint64_t bytes;             /* of them, with their overhead */
    struct session_reply *ring; /* owned; by number modulo ring_cap, a power of two, or 0 */
    uint32_t ring_cap;
    /* Newest use: its order among those of all sessions, and whether a walk has seen this form. */
    uint64_t used_seq;
    uint64_t used_ns; /* logical time */
    uint32_t older;   /* slots, by newest use */
    uint32_t newer;
    uint32_t owner; /* of st->owners; SESSION_NO_OWNER: no user's */
    uint8_t name_len;
    uint8_t name[SESSION_NAME_MAX];
};

/* What a user's sessions take. */
struct session_owner {
    uint64_t hash;     /* of the user's name: two with the same one share their part */
    uint64_t bytes;    /* of kept replies */
    uint32_t sessions; /* 0: the place is free */
};

/* The form that a session had when a walk began. */
struct session_kept {
    uint64_t walk;  /* whose; an older one's is of no use any more */
    uint8_t *bytes; /* owned, as in a piece; NULL = none */
    size_t len;
};

struct session_limits {
    uint64_t max;
    uint64_t idle_ms;
    uint64_t yield_ms;
    uint64_t window;
    uint64_t bytes;
    uint64_t total_bytes;
    uint64_t piece_bytes;
};

/* What stands at the beginning of a walk. */
struct session_head {
    uint64_t seq;
    uint64_t newest;
    uint64_t evicted;
    uint32_t cursor;
    uint32_t count;
};

struct session_walk {
    bool active;
    uint64_t number; /* of walks begun, this one counted */
    struct session_head head;
    uint32_t at;     /* the next slot to look at */
    uint32_t left;   /* sessions that are not written yet */
    uint32_t pieces; /* written */
    struct svc_walk *inner;
};

struct session_load {
    uint32_t pieces;
    size_t len; /* of the last piece of sessions */
    struct session_head head;
    uint32_t count; /* sessions taken */
    uint32_t last;  /* their highest slot; SESSION_NO_SLOT: none yet */
    bool inner;     /* pieces of the service behind have begun */
};

struct session_state {
    /* config */
    const struct svc *svc;
    void *inner; /* owned */
    struct session_limits limits;
    /* the table */
    struct session *slots; /* limits.max, owned */
    uint64_t *taken;       /* a bit for each slot, owned */
    uint32_t count;
    uint32_t oldest; /* use; SESSION_NO_SLOT = none */
    uint32_t newest_use;
    uint64_t newest; /* creation number of the newest session there ever was */
    uint64_t seq;    /* of the last applied entry */
    uint32_t cursor; /* slot where the next checkpoint begins */
    uint64_t bytes;  /* of all kept replies */
    uint64_t evicted;
    uint64_t refused; /* statistics, of this replica alone */
    /* users with sessions: derived from the table, not in a walk */
    struct session_owner *owners; /* limits.max, owned */
    uint32_t owners_top;          /* no user at this place or above */
    /* within an entry: what the service behind was given last */
    uint64_t inner_seq;
    /* walk, load, scratch */
    struct session_kept *kept; /* limits.max, owned */
    uint32_t tidy_at;          /* slot */
    struct session_walk walk;
    struct session_load load;
    struct svc_out scratch;
};

/* ---- the table (session_table.c) ---- */

bool session_limits_parse(const char *text, struct session_limits *out, char **others);
static inline uint32_t session_slot_of(uint64_t id)
{
    return (uint32_t)(id & ((1U << SESSION_SLOT_BITS) - 1));
}
/* The session of this id, NULL when it is not there. */
struct session *session_find(struct session_state *st, uint64_t id);
/* Makes a session in a slot that is free; it counts as used last. The name is copied. */
struct session *session_add(struct session_state *st, uint64_t id, struct ts_bytes name);
/* The place of the user whose session would have this name; SESSION_NO_OWNER: it is no user's, or
 * that one has no session. */
uint32_t session_owner_find(const struct session_state *st, struct ts_bytes name);
/* The lowest free slot, SESSION_NO_SLOT when there is none. */
uint32_t session_free_slot(const struct session_state *st);
/* Ends it. */
void session_remove(struct session_state *st, struct session *s);
/* To be called before a session is changed: a walk may need its form. */
void session_keep(struct session_state *st, struct session *s);
/* It is used now. */
void session_touch(struct session_state *st, struct session *s, const struct svc_entry *entry);
/* The kept reply of this number, in (acked, last]. */
struct session_reply *session_reply_at(const struct session *s, uint64_t number);
/* Keeps a copy of the reply as that of number last + 1. */
void session_put_reply(struct session_state *st, struct session *s, struct ts_bytes reply,
                       uint64_t request);
/* Forgets replies up to this number, which is at most `last`. */
void session_forget(struct session_state *st, struct session *s, uint64_t number);
/* A bounded piece of housekeeping: frees what a walk that is over had kept. */
void session_tidy(struct session_state *st);
/* Aborts when links and figures do not agree; for tests. */
void session_check(const struct session_state *st);

/* ---- bytes (session_piece.c) ---- */

/* Appends a session as pieces have it. */
void session_piece_put(struct svc_out *out, const struct session *s);
/* Its length. */
size_t session_piece_size(const struct session *s);
/* Reads one and makes it a session of the table, as the newest used. TS_ERR_SHORT,
 * TS_ERR_MALFORMED: it is none, or does not fit. */
enum ts_err session_piece_take(struct session_state *st, struct ts_reader *r) TS_MUST_USE;

#endif

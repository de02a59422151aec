/* Sessions (R2.12): requests are executed exactly once, however often they are sent.
 *
 * A decorator: a service that has sessions is another one behind this one's table of functions,
 * whose payloads it passes on. What an entry says to the table begins with a mark
 * (session_msg.h); any other payload reaches the service as it is.
 *
 *   - A client opens a session and numbers its requests 1, 2, … A request is executed when its
 *     number is the next one, and its reply is kept. One that was executed before gets that reply
 *     again; one behind a gap is refused.
 *   - After its connection was lost the client resumes the session and says up to where it has the
 *     replies; it gets those after that, and so knows which requests were executed. From then on
 *     the session takes requests of the new connection only: what is still on its way from the old
 *     one, here or at another replica, is refused.
 *   - Replies are kept until the client acknowledges them, within bounds; at a bound requests are
 *     refused, and nothing is dropped.
 *   - Where the table, or all that it may keep, is full, those who come next are refused; but the
 *     session that was not used for longest, and not for session-yield-ms, ends for them. One user
 *     (the name says whose a session is) may hold half of it: then the user's own yield so.
 *   - A session ends when it is closed, or was not used for a time (an entry's: a TICK is ordered
 *     for it, next_tick). Its id never comes back: ids hold a number that rises with each session,
 *     and the newest number is remembered. Nothing makes a session but OPEN.
 *
 * Whatever is decided here is decided by apply, from the entry and the replicated state alone. */
#ifndef SERVICES_SESSION_H
#define SERVICES_SESSION_H

#include "services/session_msg.h"
#include "services/svc.h"

/* The functions of a service with sessions; `create_` is a function that gives session_create's
 * result for the service behind it. Initializes a struct svc. */
#define SESSION_SERVICE(name_, create_) \
    { \
        .name = (name_), .create = (create_), .destroy = session_destroy, .knows = session_knows, \
        .apply = session_apply, .expect = session_expect, .read = session_read, \
        .next_tick = session_next_tick, .walk_begin = session_walk_begin, \
        .walk_next = session_walk_next, .walk_end = session_walk_end, \
        .load_piece = session_load_piece, .load_end = session_load_end \
    }

/* Limits, among those of the service behind, which gets the others. All but session-piece-bytes
 * are to be equal on every replica:
 *   session-max          sessions at one time, at most SESSION_SLOTS_MAX
 *   session-idle-ms      so long a session may be unused
 *   session-yield-ms     … where the room that it takes is asked for
 *   session-window       replies of one that are kept, at most SESSION_WINDOW_MAX
 *   session-bytes        of one's replies: no more requests from there on
 *   session-total-bytes  … of all of them
 *   session-piece-bytes  of a walk, at most SVC_PIECE_BYTES: less is for tests, and then the same
 *                        for all
 * The sink given to apply() must have room for session-bytes, the service's longest answer and
 * SESSION_ANSWER_MORE. */
#define SESSION_SLOTS_MAX 65535U
#define SESSION_WINDOW_MAX 1024U
#define SESSION_COUNT_DEFAULT 8192U
#define SESSION_IDLE_MS_DEFAULT (3600ULL * 1000)
#define SESSION_YIELD_MS_DEFAULT (60ULL * 1000)
#define SESSION_BYTES_DEFAULT (1024ULL * 1024)
#define SESSION_TOTAL_BYTES_DEFAULT (64ULL * 1024 * 1024)
#define SESSION_ANSWER_MORE (64U + 4U * SESSION_WINDOW_MAX)
/* What a kept reply costs besides its length. */
#define SESSION_REPLY_OVERHEAD 32U

/* NULL: memory is short, or a limit is wrong, here or behind. `inner` is borrowed for ever. */
void *session_create(const struct svc *inner, const char *limits);
void session_destroy(void *state);
bool session_knows(const void *state, struct ts_bytes command);
void session_apply(void *state, const struct svc_entry *entry, struct svc_out *out);
void session_expect(const void *state, const struct svc_entry *entries, size_t count);
void session_read(const void *state, struct ts_bytes command, struct svc_out *out);
struct ts_ltime session_next_tick(const void *state);
struct svc_walk *session_walk_begin(void *state);
bool session_walk_next(struct svc_walk *walk, struct svc_out *out) TS_MUST_USE;
void session_walk_end(struct svc_walk *walk);
enum ts_err session_load_piece(void *state, struct ts_bytes piece) TS_MUST_USE;
enum ts_err session_load_end(void *state) TS_MUST_USE;

/* The state of the service behind; it stays the same one as long as this one lives. */
void *session_inner(void *state);

/* Figures of the applied state. */
struct session_figures {
    uint64_t sessions;
    uint64_t sessions_max;
    uint64_t bytes;   /* of kept replies */
    uint64_t evicted; /* ended since they were idle, so far */
    uint64_t refused; /* this replica's alone: messages refused for want of room, since it began */
};
void session_figures(const void *state, struct session_figures *out);

/* One session, for tests: its slot is in the low 16 bits of its id. False: there is none. */
struct session_view {
    uint64_t id;
    uint64_t connection;
    uint64_t last;  /* number of the newest executed request */
    uint64_t acked; /* … of the newest acknowledged reply */
};
bool session_view(const void *state, uint32_t slot, struct session_view *out);

#endif

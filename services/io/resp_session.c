/* SESSION.*: requests that are executed exactly once (services/session.h decides; here they only
 * get their numbers). On a connection that is in a session each write, and each EXEC, is sent
 * along with {session, connection, number}; reads are not.
 *
 *   SESSION.OPEN name     the session's id, "name#number"; the next write is number 1
 *   SESSION.RESUME id n   the client has the replies up to n: an array of those after that; the
 *                         next write has the number behind the last of them
 *   SESSION.ACK n         the client has the replies up to n: they need not be kept
 *   SESSION.NEXT n        the next write has this number: what was executed is answered again
 *   SESSION.CLOSE         ends the session; the connection goes on without one
 *   SESSION.CARRY s c n   said by another NIC that passes a connection on (resp_relay.c)
 *
 * A write that was refused has not used up its number, whoever refused it: its error says so at the
 * end. What follows on the connection is refused until NEXT or RESUME: it may have been sent before
 * its client knew, and would be executed under the number that the client counted for the refused
 * one. When OPEN or RESUME fails, writes are refused until one of them succeeds (or RESET): they
 * would be executed outside of any session. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/io/resp_conn.h"
#include "services/kv/payload.h"
#include "services/session.h"

/* Bytes that RESUME's answer is taken for beforehand; mostly it is shorter. */
#define RESUME_ESTIMATE 1024
#define ID_SEPARATOR '#'
#define LOST_TEXT \
    "NOSESSION SESSION.OPEN or SESSION.RESUME has failed on this connection, or it has logged " \
    "in as another user; not executed. Give one of them again, or RESET to go on without a " \
    "session"
#define GAP_TEXT \
    "SESSIONGAP an earlier write was refused; this one was not executed either. SESSION.NEXT n, " \
    "then send both again"
/* At the end of an error to a write that used no number. */
#define NO_NUMBER " [no number]"

bool resp_session_is(const struct kv_command *command)
{
    return (command->id >= KV_SESSION_OPEN && command->id <= KV_SESSION_NEXT) ||
           command->id == KV_SESSION_CARRY;
}

/* What is not known here may be a write to its client. Of a transaction, EXEC counts. */
void resp_session_look(struct resp_conn *c, const struct kv_command *command)
{
    bool exec = command != NULL && command->id == KV_EXEC;
    bool write = command == NULL || (command->flags & KV_CMD_WRITE) != 0;
    c->session.counts = c->session.state != RESP_SESSION_NONE && (exec || (write && !c->multi.on));
}

bool resp_session_concerns(const struct resp_conn *c, const struct kv_command *command)
{
    bool write = (command->flags & KV_CMD_WRITE) != 0;
    bool settled = c->session.state == RESP_SESSION_NONE ||
                   (c->session.state == RESP_SESSION_IN && !c->session.gap);
    return resp_session_is(command) || (write && !settled);
}

void resp_session_leave(struct resp_conn *c)
{
    c->session = (struct resp_session){.state = RESP_SESSION_NONE};
}

/* What it writes from here on could not be had again: a session is resumed by its user only. */
void resp_session_other_user(struct resp_conn *c)
{
    if (c->session.state != RESP_SESSION_NONE) {
        resp_session_leave(c);
        c->session.state = RESP_SESSION_LOST;
    }
}

/* ---- writes ---- */

bool resp_session_admits(struct resp_conn *c, enum resp_intake *how)
{
    bool lost = c->session.state == RESP_SESSION_LOST;
    bool refused = lost || c->session.gap;
    if (c->session.state == RESP_SESSION_ASKED || (refused && c->reads > 0)) {
        *how = RESP_INTAKE_WAIT; /* goes on when that is answered */
        return false;
    }
    if (refused) {
        resp_answer_error(c, lost ? LOST_TEXT : GAP_TEXT);
        *how = RESP_INTAKE_TAKEN;
    }
    return !refused;
}

const char *resp_session_refused(struct resp_conn *c, const char *text, char out[RESP_ERROR_MAX])
{
    c->session.gap = c->session.state == RESP_SESSION_IN;
    (void)snprintf(out, RESP_ERROR_MAX, "%.*s" NO_NUMBER, (int)(RESP_ERROR_MAX - sizeof(NO_NUMBER)),
                   text);
    return out;
}

size_t resp_session_head(struct resp_conn *c, struct svc_out *arena)
{
    if (c->session.state != RESP_SESSION_IN) {
        return 0;
    }
    struct session_msg m = {.op = SESSION_REQUEST,
                            .session = c->session.id,
                            .connection = c->session.connection,
                            .number = c->session.next};
    struct resp_span span = resp_intake_place(arena, SESSION_HEAD_BYTES);
    struct ts_writer w = ts_writer_init(arena->data + span.at, span.len);
    session_msg_encode(&w, &m);
    ts_assert(!w.failed && w.len == span.len);
    return span.len;
}

void resp_session_order(struct resp_conn *c, size_t head, struct resp_span payload,
                        struct kv_reply_size size)
{
    struct resp_span span = {payload.at - head, payload.len + head};
    c->session.next += head > 0;
    resp_intake_order(c, span, size, head > 0 ? RESP_OWNER_REQUEST : RESP_OWNER_PLAIN);
}

/* ---- the commands ---- */

/* Orders a message of this connection's session. */
static enum resp_intake order(struct resp_conn *c, const struct session_msg *m,
                              struct kv_reply_size size, enum resp_owner_kind kind)
{
    struct svc_out *arena = &c->server->pending_bytes;
    if (!resp_intake_may_order(c, size.bound)) {
        return RESP_INTAKE_WAIT;
    }
    struct resp_span span = resp_intake_place(arena, SESSION_HEAD_BYTES + m->rest.len);
    struct ts_writer w = ts_writer_init(arena->data + span.at, span.len);
    session_msg_encode(&w, m);
    ts_assert(!w.failed && w.len == span.len);
    resp_intake_order(c, span, size, kind);
    return RESP_INTAKE_TAKEN;
}

/* A name as clients give it: printable, without blanks and the separators. */
static bool is_name(struct ts_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] <= ' ' || name.data[i] > '~' || name.data[i] == ID_SEPARATOR) {
            return false;
        }
    }
    return name.len > 0 && name.len < RESP_NAME_MAX;
}

/* The name as the table has it: a session is its user's. */
static struct ts_bytes owned_name(const struct resp_conn *c, struct ts_bytes name,
                                  char out[SESSION_NAME_MAX])
{
    int n = snprintf(out, SESSION_NAME_MAX, "%.*s%c%s", (int)name.len, (const char *)name.data,
                     SESSION_OWNER_SEPARATOR, c->user);
    ts_assert(n > 0 && n < SESSION_NAME_MAX);
    return (struct ts_bytes){(const uint8_t *)out, (size_t)n};
}

_Static_assert(RESP_NAME_MAX + NET_USER_NAME_MAX < SESSION_NAME_MAX, "a name and a user fit");

static enum resp_intake asked(struct resp_conn *c, enum resp_intake how)
{
    if (how == RESP_INTAKE_TAKEN) {
        c->session.state = RESP_SESSION_ASKED;
    }
    return how;
}

static enum resp_intake take_open(struct resp_conn *c, const struct resp_request *req)
{
    char name[SESSION_NAME_MAX];
    if (!is_name(req->args[1])) {
        resp_answer_error(c, "ERR a session's name has 1 to 63 printable characters, no blank "
                             "and no #");
        c->session.state = RESP_SESSION_LOST;
        return RESP_INTAKE_TAKEN;
    }
    struct session_msg m = {.op = SESSION_OPEN, .rest = owned_name(c, req->args[1], name)};
    enum resp_intake how =
        asked(c, order(c, &m, (struct kv_reply_size){0, 0}, RESP_OWNER_SESSION_OPEN));
    if (how == RESP_INTAKE_TAKEN) {
        memcpy(c->session.name, req->args[1].data, req->args[1].len);
        c->session.name[req->args[1].len] = '\0';
    }
    return how;
}

/* "name#number" */
static bool parse_id(struct ts_bytes text, struct ts_bytes *name, uint64_t *number)
{
    const uint8_t *at = memchr(text.data, ID_SEPARATOR, text.len);
    int64_t n = 0;
    if (at == NULL) {
        return false;
    }
    *name = (struct ts_bytes){text.data, (size_t)(at - text.data)};
    struct ts_bytes rest = {at + 1, text.len - name->len - 1};
    if (!is_name(*name) || !resp_parse_i64(rest, &n) || n <= 0) {
        return false;
    }
    *number = (uint64_t)n;
    return true;
}

static enum resp_intake take_resume(struct resp_conn *c, const struct resp_request *req)
{
    char owned[SESSION_NAME_MAX];
    struct ts_bytes name;
    struct session_msg m = {.op = SESSION_RESUME};
    int64_t n = 0;
    if (!parse_id(req->args[1], &name, &m.session) || !resp_parse_i64(req->args[2], &n) || n < 0) {
        resp_answer_error(c, "ERR usage: SESSION.RESUME id n, with the id that SESSION.OPEN gave "
                             "and the number of the last reply that was received");
        c->session.state = RESP_SESSION_LOST;
        return RESP_INTAKE_TAKEN;
    }
    m.number = (uint64_t)n;
    m.rest = owned_name(c, name, owned);
    struct kv_reply_size size = {RESUME_ESTIMATE,
                                 SESSION_BYTES_DEFAULT + SESSION_ANSWER_MORE +
                                     kv_reply_size_of_transaction(c->server->state)};
    enum resp_intake how = asked(c, order(c, &m, size, RESP_OWNER_SESSION_RESUME));
    if (how == RESP_INTAKE_TAKEN) {
        c->session.id = m.session;
    }
    return how;
}

static void answer_ok(struct resp_conn *c)
{
    struct svc_out *out = resp_answer_local_begin(c);
    size_t before = out->len;
    struct resp_writer w = resp_writer_init(out, c->version, SIZE_MAX / 4);
    resp_put_simple(&w, "OK");
    (void)!resp_writer_finish(&w);
    resp_answer_local_end(c, before);
}

/* SESSION.NEXT: the number is this connection's own matter. */
static void take_next(struct resp_conn *c, uint64_t number)
{
    char text[128];
    if (number == 0 || number > c->session.next) {
        (void)snprintf(text, sizeof(text), "ERR the next write can have a number from 1 to %llu",
                       (unsigned long long)c->session.next);
        resp_answer_error(c, text);
        return;
    }
    c->session.next = number;
    c->session.gap = false;
    answer_ok(c);
}

/* SESSION.CARRY session connection next: another NIC passes a connection on, which is in that
 * session. It is the same connection: if the session was resumed elsewhere meanwhile, or has ended,
 * its writes are refused as ever. Nobody but who may everything anyway can say it. */
static void take_carry(struct resp_conn *c, const struct resp_request *req)
{
    int64_t v[3] = {0};
    for (size_t i = 0; i < 3; i++) {
        if (!resp_parse_i64(req->args[i + 1], &v[i]) || v[i] <= 0) {
            resp_answer_error(c, "ERR value is not an integer or out of range");
            return;
        }
    }
    if (c->server->users.count > 0 || c->session.state != RESP_SESSION_NONE) {
        resp_answer_error(c, "ERR SESSION.CARRY is for a NIC that passes a connection on: give "
                             "SESSION.RESUME");
        return;
    }
    c->session = (struct resp_session){.state = RESP_SESSION_IN,
                                       .id = (uint64_t)v[0],
                                       .connection = (uint64_t)v[1],
                                       .next = (uint64_t)v[2]};
    answer_ok(c);
}

/* ACK, CLOSE, NEXT: on a connection that is in a session. */
static enum resp_intake take_within(struct resp_conn *c, const struct kv_command *command,
                                    const struct resp_request *req)
{
    int64_t n = 0;
    enum resp_intake how = RESP_INTAKE_TAKEN;
    struct session_msg m = {.session = c->session.id, .connection = c->session.connection};
    if (c->session.state == RESP_SESSION_NONE) {
        resp_answer_error(c, "NOSESSION this connection is in no session: SESSION.OPEN name");
        return RESP_INTAKE_TAKEN;
    }
    if (c->session.state != RESP_SESSION_IN) {
        (void)resp_session_admits(c, &how);
        return how;
    }
    if (command->id == KV_SESSION_CLOSE) {
        m.op = SESSION_CLOSE;
        return asked(c, order(c, &m, (struct kv_reply_size){0, 0}, RESP_OWNER_SESSION_CLOSE));
    }
    if (!resp_parse_i64(req->args[1], &n) || n < 0) {
        resp_answer_error(c, "ERR value is not an integer or out of range");
        return RESP_INTAKE_TAKEN;
    }
    if (command->id == KV_SESSION_NEXT) {
        take_next(c, (uint64_t)n);
        return RESP_INTAKE_TAKEN;
    }
    m.op = SESSION_ACK;
    m.number = (uint64_t)n;
    return order(c, &m, (struct kv_reply_size){0, 0}, RESP_OWNER_SESSION_ACK);
}

enum resp_intake resp_session_take(struct resp_conn *c, const struct kv_command *command,
                                   const struct resp_request *req)
{
    enum resp_intake how = RESP_INTAKE_TAKEN;
    bool own = resp_session_is(command);
    if (c->reads > 0 || c->session.state == RESP_SESSION_ASKED) {
        return RESP_INTAKE_WAIT;
    }
    if (!own) {
        (void)resp_session_admits(c, &how);
        return how;
    }
    /* All but ACK change what the replies to come belong to. */
    if (command->id != KV_SESSION_ACK && c->answered < c->ordered) {
        return RESP_INTAKE_WAIT;
    }
    c->last_command = command->name;
    if (command->id == KV_SESSION_CARRY) {
        take_carry(c, req);
        return RESP_INTAKE_TAKEN;
    }
    bool begins = command->id == KV_SESSION_OPEN || command->id == KV_SESSION_RESUME;
    if (!resp_intake_serves(c, &how)) {
        if (begins && how == RESP_INTAKE_TAKEN) {
            c->session.state = RESP_SESSION_LOST;
        }
        return how;
    }
    if (!begins) {
        return take_within(c, command, req);
    }
    return command->id == KV_SESSION_OPEN ? take_open(c, req) : take_resume(c, req);
}

/* ---- answers ---- */

static void refusal(enum resp_owner_kind kind, const struct session_answer *a,
                    char out[RESP_ERROR_MAX])
{
    static const char *const texts[] = {
        [SESSION_MALFORMED] = "ERR this is no request of a session",
        [SESSION_UNKNOWN] = "NOSESSION there is no session of this id and name here; not executed. "
                            "SESSION.OPEN name makes one",
        [SESSION_GONE] = "NOSESSION this session has ended: it was closed, or not used for too "
                         "long; not executed. SESSION.OPEN name makes another one",
        [SESSION_OLD] = "OLDCONNECTION this session was resumed on another connection; not "
                        "executed",
        [SESSION_GAP] = "SESSIONGAP request %llu of this session was not executed, and so this one "
                        "was not either. SESSION.NEXT n, then send both again",
        [SESSION_FULL] = "SESSIONFULL too many replies after number %llu are not acknowledged; not "
                         "executed. SESSION.ACK n and SESSION.NEXT n, then send it again",
        [SESSION_FULL_BYTES] = "SESSIONFULL the replies after number %llu that are not "
                               "acknowledged are too long; not executed. SESSION.ACK n and "
                               "SESSION.NEXT n, then send it again",
        [SESSION_FULL_TOTAL] = "SESSIONFULL all sessions together keep too many replies; not "
                               "executed. SESSION.ACK n, or wait for others to do so when all of "
                               "this one's are acknowledged; then SESSION.NEXT n and send it again",
        [SESSION_FULL_TABLE] = "SESSIONFULL there are %llu sessions, and no more can be opened "
                               "now; try again in a minute",
        [SESSION_FULL_SHARE] = "SESSIONFULL this user has %llu sessions, half of all that there "
                               "can be; SESSION.CLOSE those that are not needed, or try again in "
                               "a minute",
        [SESSION_FULL_SHARE_BYTES] = "SESSIONFULL this user's sessions keep half of the replies "
                                     "that can be kept; not executed. SESSION.ACK n in each of "
                                     "them, then SESSION.NEXT n and send it again",
        [SESSION_ACKNOWLEDGED] = "SESSIONACKED the replies up to number %llu were acknowledged and "
                                 "are not kept",
        [SESSION_AHEAD] = "SESSIONAHEAD the newest reply of this session is number %llu",
        [SESSION_CHANGED] = "SESSIONCHANGED this one was not executed; the first one under number "
                            "%llu, which was another, was",
    };
    ts_assert((size_t)a->result < sizeof(texts) / sizeof(texts[0]) && texts[a->result] != NULL);
    const char *format = texts[a->result];
    if (a->result == SESSION_ACKNOWLEDGED && kind == RESP_OWNER_REQUEST) {
        format = "SESSIONACKED what has this number was executed; the replies up to number %llu "
                 "were acknowledged and are not kept";
    }
    const char *at = strstr(format, "%llu");
    if (at == NULL) {
        (void)snprintf(out, RESP_ERROR_MAX, "%s", format);
        return;
    }
    (void)snprintf(out, RESP_ERROR_MAX, "%.*s%llu%s", (int)(at - format), format,
                   (unsigned long long)a->figure, at + strlen("%llu"));
}

/* Whether a refused request's number is still the next one. */
static bool number_unused(enum session_result result)
{
    return session_is_refusal(result) && result != SESSION_ACKNOWLEDGED &&
           result != SESSION_CHANGED;
}

static void put_refusal(struct resp_conn *c, enum resp_owner_kind kind,
                        const struct session_answer *a, struct resp_writer *w)
{
    char text[RESP_ERROR_MAX];
    char marked[RESP_ERROR_MAX];
    refusal(kind, a, text);
    bool refused = kind == RESP_OWNER_REQUEST && number_unused(a->result);
    resp_put_error(w, refused ? resp_session_refused(c, text, marked) : text);
    /* These refuse all that follows, too, and say it better. */
    bool for_good = a->result == SESSION_OLD || a->result == SESSION_GONE ||
                    a->result == SESSION_UNKNOWN || a->result == SESSION_MALFORMED;
    c->session.gap = c->session.gap && !for_good;
}

/* What the answer says of the connection. */
static void take_answer(struct resp_conn *c, enum resp_owner_kind kind,
                        const struct session_answer *a)
{
    struct resp_session *s = &c->session;
    bool done = a->result == SESSION_DONE;
    switch (kind) {
    case RESP_OWNER_REQUEST:
        s->next -= number_unused(a->result);
        break;
    case RESP_OWNER_SESSION_OPEN:
        s->state = done ? RESP_SESSION_IN : RESP_SESSION_LOST;
        s->gap = false;
        c->server->stats.sessions_opened += done;
        s->id = a->session;
        s->connection = a->connection;
        s->next = 1;
        break;
    case RESP_OWNER_SESSION_RESUME:
        s->state = done ? RESP_SESSION_IN : RESP_SESSION_LOST;
        s->gap = false;
        c->server->stats.sessions_resumed += done;
        s->connection = a->connection;
        s->next = a->first + a->count;
        break;
    case RESP_OWNER_SESSION_CLOSE:
        s->state = done ? RESP_SESSION_NONE : RESP_SESSION_IN;
        s->gap = s->gap && !done;
        break;
    case RESP_OWNER_SESSION_ACK:
    case RESP_OWNER_PLAIN:
    case RESP_OWNER_WATCH:
    case RESP_OWNER_EXEC:
        break;
    }
}

static void put_raw(struct svc_out *out, struct ts_bytes bytes)
{
    ts_assert(svc_out_put(out, bytes.data, bytes.len) == TS_OK);
}

void resp_session_answer(struct resp_conn *c, enum resp_owner_kind kind, struct ts_bytes answer,
                         struct svc_out *out)
{
    static const enum session_op ops[] = {
        [RESP_OWNER_REQUEST] = SESSION_REQUEST,       [RESP_OWNER_SESSION_OPEN] = SESSION_OPEN,
        [RESP_OWNER_SESSION_RESUME] = SESSION_RESUME, [RESP_OWNER_SESSION_ACK] = SESSION_ACK,
        [RESP_OWNER_SESSION_CLOSE] = SESSION_CLOSE,
    };
    char id[RESP_NAME_MAX + 24];
    struct session_answer a;
    enum ts_err err = session_answer_decode(&a, ops[kind], answer);
    ts_assert(err == TS_OK); /* this replica has written it */
    take_answer(c, kind, &a);
    struct resp_writer w = resp_writer_init(out, c->version, SIZE_MAX / 4);
    if (session_is_refusal(a.result)) {
        put_refusal(c, kind, &a, &w);
    } else if (kind == RESP_OWNER_SESSION_OPEN) {
        (void)snprintf(id, sizeof(id), "%s%c%llu", c->session.name, ID_SEPARATOR,
                       (unsigned long long)a.session);
        resp_put_bulk_text(&w, id);
    } else if (kind == RESP_OWNER_SESSION_RESUME) {
        resp_put_array(&w, a.count);
    } else if (kind != RESP_OWNER_REQUEST) {
        resp_put_simple(&w, "OK");
    }
    (void)!resp_writer_finish(&w);
    if (!session_is_refusal(a.result) && kind == RESP_OWNER_REQUEST) {
        put_raw(out, a.rest);
    }
    struct ts_reader r = ts_reader_init(a.rest.data, a.rest.len);
    for (uint32_t i = 0; i < a.count; i++) {
        put_raw(out, session_answer_next(&r));
    }
}

void resp_session_unordered(struct resp_conn *c, enum resp_owner_kind kind)
{
    struct resp_session *s = &c->session;
    if (kind == RESP_OWNER_REQUEST) {
        s->next--;
    } else if (kind == RESP_OWNER_SESSION_OPEN || kind == RESP_OWNER_SESSION_RESUME) {
        s->state = RESP_SESSION_LOST;
    } else if (kind == RESP_OWNER_SESSION_CLOSE) {
        s->state = RESP_SESSION_IN;
    }
}

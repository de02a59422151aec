/* WAIT: how many replicas besides the primary hold all that this connection wrote. Every write that
 * was answered is on all replicas in sync (R2.4), and one joins them only when it has all of the
 * log before (R4.6): so the answer is their number, once nothing is owed to the connection. One
 * that asks for more of them waits where it is, with all that follows on its connection; the
 * others do not notice. */
#include "base/assert.h"
#include "services/io/resp_conn.h"

static int64_t in_sync(struct resp_server *s)
{
    int64_t n = 0;
    resp_local_refresh(s);
    for (unsigned i = 0; i < s->status.peer_count; i++) {
        n += s->status.peers[i].in_sync;
    }
    return n;
}

/* The request's two numbers; false: the error is in *error. */
static bool read_numbers(const struct resp_request *req, int64_t *replicas, int64_t *timeout_ms,
                         const char **error)
{
    if (!resp_parse_i64(req->args[1], replicas)) {
        *error = "ERR value is not an integer or out of range";
    } else if (!resp_parse_i64(req->args[2], timeout_ms)) {
        *error = "ERR timeout is not an integer or out of range";
    } else if (*timeout_ms < 0) {
        *error = "ERR timeout is negative";
    } else {
        return true;
    }
    return false;
}

void resp_local_wait(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    int64_t replicas = 0;
    int64_t timeout_ms = 0;
    const char *error = NULL;
    if (!read_numbers(req, &replicas, &timeout_ms, &error)) {
        resp_put_error(w, error);
    } else {
        resp_put_integer(w, in_sync(c->server));
    }
}

/* ---- waking ---- */

static void on_timer(uv_timer_t *timer)
{
    struct resp_server *s = timer->data;
    s->wait_at = UINT64_MAX;
    resp_wait_wake(s);
}

/* Has the timer fire when this one is due, if it is the first. */
static void arm(struct resp_server *s, uint64_t at)
{
    if (at >= s->wait_at) {
        return;
    }
    uint64_t now = uv_now(s->loop);
    s->wait_at = at;
    int err = uv_timer_start(&s->wait_timer, on_timer, at > now ? at - now : 0, 0);
    ts_assert(err == 0);
}

void resp_wait_wake(struct resp_server *s)
{
    struct resp_list *waiting = &s->lists[RESP_LINK_WAITING];
    while (waiting->first != NULL) {
        struct resp_conn *c = waiting->first;
        resp_list_remove(c, RESP_LINK_WAITING);
        resp_list_add(c, RESP_LINK_RESUME);
    }
    resp_server_wake(s);
}

/* ---- the command ---- */

/* Whether it goes on waiting: listed then, until something changes or its time is over. */
static bool waits(struct resp_conn *c, int64_t timeout_ms)
{
    struct resp_server *s = c->server;
    uint64_t now = uv_now(s->loop);
    if (!c->waiting) {
        c->waiting = true;
        c->wait_until = timeout_ms > 0 ? now + (uint64_t)timeout_ms : UINT64_MAX;
    }
    /* Nobody hears the answer any more, perhaps, and it may never come. */
    bool in_vain = c->eof && c->wait_until == UINT64_MAX;
    if (now >= c->wait_until || in_vain) {
        return false;
    }
    resp_list_add(c, RESP_LINK_WAITING);
    arm(s, c->wait_until);
    return true;
}

enum resp_intake resp_wait_take(struct resp_conn *c, const struct kv_command *command,
                                const struct resp_request *req)
{
    enum resp_intake how = RESP_INTAKE_TAKEN;
    int64_t replicas = 0;
    int64_t timeout_ms = 0;
    const char *error = NULL;
    if (c->answered < c->ordered) {
        return RESP_INTAKE_WAIT; /* goes on when those are answered */
    }
    c->last_command = command->name;
    resp_list_remove(c, RESP_LINK_WAITING);
    if (!resp_intake_serves(c, &how)) {
        c->waiting = c->waiting && how == RESP_INTAKE_WAIT;
        c->wait_error = c->wait_error && c->waiting;
        return how;
    }
    if (!read_numbers(req, &replicas, &timeout_ms, &error)) {
        resp_answer_error(c, error);
        return RESP_INTAKE_TAKEN;
    }
    if (in_sync(c->server) < replicas && waits(c, timeout_ms)) {
        return RESP_INTAKE_WAIT;
    }
    c->waiting = false;
    if (c->wait_error) {
        c->wait_error = false;
        resp_answer_error(c, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
        return RESP_INTAKE_TAKEN;
    }
    struct svc_out *out = resp_answer_local_begin(c);
    size_t before = out->len;
    struct resp_writer w = resp_writer_init(out, c->version, SIZE_MAX / 4);
    resp_put_integer(&w, in_sync(c->server));
    (void)!resp_writer_finish(&w);
    resp_answer_local_end(c, before);
    return RESP_INTAKE_TAKEN;
}

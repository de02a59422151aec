/* The RESP front-end, as a replica knows it (front.h). */
#include "services/io/resp_front.h"

#include <stdlib.h>

#include "services/io/resp_server.h"
#include "services/session.h"

struct resp_front {
    struct front front; /* first */
    struct resp_server *server;
};

static struct resp_server *server_of(const struct front *f)
{
    return ((const struct resp_front *)f)->server;
}

static enum ts_err create(struct front **out, uv_loop_t *loop, const struct front_owner *owner,
                          void *state, const struct front_config *config, struct ts_why *why)
{
    const struct resp_server_config c = {
        .submit_count_max = config->submit_count_max,
        .failure_timeout_ms = config->failure_timeout_ms,
        .tls = config->tls,
        .version = config->version,
    };
    struct resp_front *f = calloc(1, sizeof(*f));
    struct resp_server *server =
        f == NULL ? NULL : resp_server_create(loop, owner, session_inner(state), &c);
    if (server == NULL) {
        free(f);
        return ts_why(why, TS_ERR_NOMEM, "no memory for the clients' connections");
    }
    f->front.ops = &resp_front;
    f->server = server;
    *out = &f->front;
    return TS_OK;
}

static enum ts_err listen_on(struct front *f, const char *address, uint16_t port, bool ahead,
                             struct ts_why *why)
{
    int uv_error = 0;
    enum ts_err err = resp_server_listen(server_of(f), address, port, ahead, &uv_error);
    if (err == TS_OK) {
        return TS_OK;
    }
    return ts_why(why, uv_error == UV_EADDRINUSE ? TS_ERR_BUSY : err,
                  "cannot listen for clients on %s port %u, the group's `port`: %s; free it, or "
                  "change it in the cluster file",
                  address, (unsigned)port,
                  uv_error != 0 ? uv_strerror(uv_error) : ts_err_text(err));
}

static void turn(struct front *f)
{
    resp_server_turn(server_of(f));
}

static void flush(struct front *f)
{
    resp_server_flush(server_of(f));
}

static void reply(struct front *f, uint64_t token, struct ts_bytes reply)
{
    resp_server_reply(server_of(f), token, reply);
}

static void read_ready(struct front *f, uint64_t round)
{
    resp_server_read_ready(server_of(f), round);
}

static void resume(struct front *f)
{
    resp_server_resume(server_of(f));
}

static uint64_t waited(const struct front *f, uint64_t token, struct ts_mono now)
{
    return resp_server_waited(server_of(f), token, now);
}

static bool has_collected(const struct front *f)
{
    return resp_server_has_collected(server_of(f));
}

static void set_status(struct front *f, const struct front_status *status)
{
    resp_server_set_status(server_of(f), status);
}

static void set_users(struct front *f, const struct net_users *users)
{
    resp_server_set_users(server_of(f), users);
}

static void close_unanswered(struct front *f)
{
    resp_server_close_unanswered(server_of(f));
}

static void close_visitors(struct front *f)
{
    resp_server_close_visitors(server_of(f));
}

static void close_muted(struct front *f)
{
    resp_server_close_muted(server_of(f));
}

static void figures(const struct front *f, struct front_figures *out)
{
    struct resp_server_stats s;
    resp_server_stats(server_of(f), &s);
    *out = (struct front_figures){
        .connections = s.connections,
        .reads = s.reads,
        .protocol_errors = s.protocol_errors,
        .refused = s.refused,
        .unauthorized = s.unauthorized,
        .closed_unanswered = s.closed_unanswered,
        .bytes_in = s.bytes_in,
        .bytes_out = s.bytes_out,
        .unanswered = s.unanswered,
    };
}

const struct front_ops resp_front = {
    .create = create,
    .listen = listen_on,
    .turn = turn,
    .flush = flush,
    .reply = reply,
    .read_ready = read_ready,
    .resume = resume,
    .waited = waited,
    .has_collected = has_collected,
    .set_status = set_status,
    .set_users = set_users,
    .close_unanswered = close_unanswered,
    .close_visitors = close_visitors,
    .close_muted = close_muted,
    .figures = figures,
};

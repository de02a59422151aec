#include "cluster-cfg/io/admin_server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/transport/ipc/ipc.h>

#include "base/assert.h"
#include "cluster-cfg/io/admin.h"

#define SOCKET_MODE 0600
#define WATCH_MS 250

enum slot_state {
    SLOT_IDLE = 0, /* NNG has nothing to do for it */
    SLOT_RECEIVING,
    SLOT_READY, /* a request waits for the loop */
    SLOT_SENDING,
};

struct admin_slot {
    struct admin_server *server;
    nng_ctx ctx;
    nng_aio *aio;
    enum slot_state state; /* under server->mutex */
    nng_msg *request;      /* READY */
};

/* One address that NNG listens on. */
struct admin_listener {
    nng_socket socket;
    char path[TS_PATH_MAX];
    nng_listener listener;
    bool open;
    int64_t failed; /* handshakes that had failed when last looked at, … */
    bool suspected; /* … and there was one more then */
};

#define LISTENERS 2

struct admin_server {
    uv_async_t async; /* config */
    uv_timer_t watch; /* see on_watch */
    bool watch_open;
    bool watch_closed;
    bool async_closed;
    admin_server_answer_fn *answer;
    void *arg;
    nng_socket rep;
    nng_socket pub;
    bool rep_open;
    bool pub_open;
    pthread_mutex_t mutex;

    bool closing; /* under mutex */
    struct admin_slot slots[ADMIN_SERVER_CONTEXTS];
    struct admin_listener listeners[LISTENERS]; /* of rep, of pub; loop only */
};

static void slot_set(struct admin_slot *slot, enum slot_state state)
{
    (void)pthread_mutex_lock(&slot->server->mutex);
    slot->state = state;
    (void)pthread_mutex_unlock(&slot->server->mutex);
}

/* The aio is free. NNG is called without the mutex: its callback may come at once. */
static void slot_receive(struct admin_slot *slot)
{
    slot_set(slot, SLOT_RECEIVING);
    nng_ctx_recv(slot->ctx, slot->aio);
}

/* On one of NNG's threads. */
static void on_aio(void *arg)
{
    struct admin_slot *slot = arg;
    struct admin_server *s = slot->server;
    int result = nng_aio_result(slot->aio);
    (void)pthread_mutex_lock(&s->mutex);
    bool ended = s->closing || result == NNG_ECLOSED || result == NNG_ECANCELED;
    if (slot->state == SLOT_SENDING && result != 0) {
        nng_msg_free(nng_aio_get_msg(slot->aio));
        nng_aio_set_msg(slot->aio, NULL);
    }
    bool again = false;
    if (slot->state == SLOT_RECEIVING && result == 0) {
        slot->request = nng_aio_get_msg(slot->aio);
        slot->state = SLOT_READY;
        if (!ended) {
            (void)uv_async_send(&s->async);
        }
    } else if (ended) {
        slot->state = SLOT_IDLE;
    } else {
        again = true;
    }
    (void)pthread_mutex_unlock(&s->mutex);
    if (again) {
        slot_receive(slot);
    }
}

/* Takes the request of a slot that has one. */
static nng_msg *slot_take(struct admin_server *s, struct admin_slot *slot)
{
    (void)pthread_mutex_lock(&s->mutex);
    nng_msg *request = slot->state == SLOT_READY && !s->closing ? slot->request : NULL;
    if (request != NULL) {
        slot->request = NULL;
    }
    (void)pthread_mutex_unlock(&s->mutex);
    return request;
}

static nng_msg *make_message(const char *text)
{
    nng_msg *msg = NULL;
    if (text == NULL || nng_msg_alloc(&msg, 0) != 0) {
        return NULL;
    }
    if (nng_msg_append(msg, text, strlen(text)) != 0) {
        nng_msg_free(msg);
        return NULL;
    }
    return msg;
}

static void on_async(uv_async_t *async)
{
    struct admin_server *s = async->data;
    for (size_t i = 0; i < ADMIN_SERVER_CONTEXTS; i++) {
        struct admin_slot *slot = &s->slots[i];
        nng_msg *request = slot_take(s, slot);
        if (request == NULL) {
            continue;
        }
        struct ts_bytes bytes = {nng_msg_body(request), nng_msg_len(request)};
        char *text = s->answer(s->arg, bytes);
        nng_msg_free(request);
        nng_msg *reply = make_message(text);
        free(text);
        if (reply == NULL) {
            slot_receive(slot);
        } else {
            slot_set(slot, SLOT_SENDING);
            nng_aio_set_msg(slot->aio, reply);
            nng_ctx_send(slot->ctx, slot->aio);
        }
    }
}

static enum ts_err nng_why(struct ts_why *why, int rv, const char *what, const char *where)
{
    return ts_why(why, rv == NNG_ENOMEM ? TS_ERR_NOMEM : TS_ERR_SYSTEM,
                  "cannot %s %s: %s; check the node's run directory", what, where,
                  nng_strerror(rv));
}

static int listener_start(struct admin_listener *l)
{
    char url[TS_PATH_MAX + 8];
    (void)unlink(l->path); /* of an earlier run: the directory's lock says that it is over */
    (void)snprintf(url, sizeof(url), "ipc://%s", l->path);
    int rv = nng_listener_create(&l->listener, l->socket, url);
    if (rv != 0) {
        return rv;
    }
    /* A platform that does not know this option still has the directory's own mode. */
    (void)nng_listener_set_int(l->listener, NNG_OPT_IPC_PERMISSIONS, SOCKET_MODE);
    rv = nng_listener_start(l->listener, 0);
    if (rv != 0) {
        (void)nng_listener_close(l->listener);
        return rv;
    }
    l->open = true;
    l->failed = 0;
    l->suspected = false;
    return 0;
}

static enum ts_err listen_on(struct admin_listener *l, nng_socket socket, const char *dir,
                             const char *name, struct ts_why *why)
{
    l->socket = socket;
    enum ts_err err = ts_path(l->path, why, dir, "%s", name);
    if (err != TS_OK) {
        return err;
    }
    if (strlen(l->path) >= ADMIN_SOCKET_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT,
                      "%s is too long for a Unix socket (%d bytes); use a directory with a shorter "
                      "name",
                      l->path, ADMIN_SOCKET_PATH_MAX - 1);
    }
    int rv = listener_start(l);
    return rv == 0 ? TS_OK : nng_why(why, rv, "listen on", l->path);
}

static int64_t count(nng_stat *of, const char *name)
{
    for (nng_stat *each = nng_stat_child(of); each != NULL; each = nng_stat_next(each)) {
        if (strcmp(nng_stat_name(each), name) == 0) {
            return (int64_t)nng_stat_value(each);
        }
    }
    return 0;
}

/* The listener's errors but those that tell of the end of a connection: each of these was accepted,
 * and is no pipe any more. (nng_stat_find_listener gives the first listener, whatever is asked
 * for.)
 */
static int64_t failed_handshakes(nng_stat *stats, const struct admin_listener *l)
{
    static const char *const errors[] = {"disconnect", "canceled", "other", "timeout",
                                         "proto",      "auth",     "oom"};
    for (nng_stat *each = nng_stat_child(stats); each != NULL; each = nng_stat_next(each)) {
        if (strcmp(nng_stat_name(each), "listener") == 0 &&
            count(each, "id") == nng_listener_id(l->listener)) {
            int64_t n = count(each, "pipes") - count(each, "accept");
            for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                n += count(each, errors[i]);
            }
            return n;
        }
    }
    return 0;
}

/* Whether a handshake failed since the last look but one: the figures of a connection that ends
 * just now may be of different moments. */
static bool is_deaf(nng_stat *stats, struct admin_listener *l)
{
    int64_t failed = failed_handshakes(stats, l);
    bool more = failed > l->failed;
    bool deaf = more && l->suspected;
    l->suspected = more;
    l->failed = more ? l->failed : failed;
    return deaf;
}

/* NNG 1.5.2 has an error that later releases do not have (its issue 1518): a client that leaves
 * before the handshake is done, as one does that lost patience with a stopped process, makes the
 * listener accept nobody ever again. The only sign is in its statistics; such a listener is
 * replaced, and clients that wait come back to the new one by themselves. */
static void on_watch(uv_timer_t *timer)
{
    struct admin_server *s = timer->data;
    nng_stat *stats = NULL;
    if (nng_stats_get(&stats) != 0) {
        return;
    }
    for (size_t i = 0; i < LISTENERS; i++) {
        struct admin_listener *l = &s->listeners[i];
        if (l->open && is_deaf(stats, l)) {
            (void)nng_listener_close(l->listener);
            l->open = false;
        }
        if (!l->open) {
            (void)listener_start(l); /* tried again next time */
        }
    }
    nng_stats_free(stats);
}

static enum ts_err open_sockets(struct admin_server *s, const char *dir, struct ts_why *why)
{
    int rv = nng_rep0_open(&s->rep);
    s->rep_open = rv == 0;
    if (rv == 0) {
        rv = nng_pub0_open(&s->pub);
        s->pub_open = rv == 0;
    }
    if (rv == 0) {
        rv = nng_socket_set_size(s->rep, NNG_OPT_RECVMAXSZ, ADMIN_REQUEST_BYTES_MAX);
    }
    if (rv == 0) {
        rv = nng_socket_set_int(s->pub, NNG_OPT_SENDBUF, ADMIN_SERVER_EVENTS_MAX);
    }
    for (size_t i = 0; i < ADMIN_SERVER_CONTEXTS && rv == 0; i++) {
        struct admin_slot *slot = &s->slots[i];
        slot->server = s;
        rv = nng_ctx_open(&slot->ctx, s->rep);
        if (rv == 0) {
            rv = nng_aio_alloc(&slot->aio, on_aio, slot);
        }
    }
    if (rv != 0) {
        return nng_why(why, rv, "open the admin sockets in", dir);
    }
    enum ts_err err = listen_on(&s->listeners[0], s->rep, dir, ADMIN_SOCKET, why);
    return err != TS_OK ? err : listen_on(&s->listeners[1], s->pub, dir, ADMIN_EVENTS_SOCKET, why);
}

static void free_when_closed(struct admin_server *s)
{
    if (s->async_closed && (s->watch_closed || !s->watch_open)) {
        (void)pthread_mutex_destroy(&s->mutex);
        free(s);
    }
}

static void on_async_closed(uv_handle_t *handle)
{
    struct admin_server *s = handle->data;
    s->async_closed = true;
    free_when_closed(s);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct admin_server *s = handle->data;
    s->watch_closed = true;
    free_when_closed(s);
}

void admin_server_close(struct admin_server *s)
{
    if (s == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&s->mutex);
    s->closing = true;
    (void)pthread_mutex_unlock(&s->mutex);
    if (s->rep_open) {
        (void)nng_close(s->rep);
    }
    if (s->pub_open) {
        (void)nng_close(s->pub);
    }
    for (size_t i = 0; i < ADMIN_SERVER_CONTEXTS; i++) {
        struct admin_slot *slot = &s->slots[i];
        if (slot->aio != NULL) {
            nng_aio_stop(slot->aio); /* no callback comes after this */
            nng_aio_free(slot->aio);
        }
        if (slot->request != NULL) {
            nng_msg_free(slot->request);
        }
    }
    if (s->watch_open) {
        uv_close((uv_handle_t *)&s->watch, on_watch_closed);
    }
    uv_close((uv_handle_t *)&s->async, on_async_closed);
}

enum ts_err admin_server_open(struct admin_server **out, uv_loop_t *loop, const char *dir,
                              admin_server_answer_fn *answer, void *arg, struct ts_why *why)
{
    struct admin_server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for the admin sockets; free some");
    }
    s->answer = answer;
    s->arg = arg;
    int rc = uv_async_init(loop, &s->async, on_async);
    if (rc != 0 || pthread_mutex_init(&s->mutex, NULL) != 0) {
        free(s);
        return ts_why(why, TS_ERR_SYSTEM, "cannot set up the admin sockets: %s", uv_strerror(rc));
    }
    s->async.data = s;
    enum ts_err err = open_sockets(s, dir, why);
    s->watch.data = s;
    s->watch_open = uv_timer_init(loop, &s->watch) == 0;
    if (err == TS_OK &&
        (!s->watch_open || uv_timer_start(&s->watch, on_watch, WATCH_MS, WATCH_MS) != 0)) {
        err = ts_why(why, TS_ERR_SYSTEM, "cannot set up a timer for the admin sockets");
    }
    if (err != TS_OK) {
        admin_server_close(s);
        return err;
    }
    for (size_t i = 0; i < ADMIN_SERVER_CONTEXTS; i++) {
        slot_receive(&s->slots[i]);
    }
    *out = s;
    return TS_OK;
}

void admin_server_publish(struct admin_server *s, const char *text)
{
    nng_msg *msg = make_message(text);
    if (msg != NULL && nng_sendmsg(s->pub, msg, NNG_FLAG_NONBLOCK) != 0) {
        nng_msg_free(msg);
    }
}

#include "cluster-cfg/io/admin_server.h"

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

struct admin_server {
    uv_async_t async; /* config */
    admin_server_answer_fn *answer;
    void *arg;
    nng_socket rep;
    nng_socket pub;
    bool rep_open;
    bool pub_open;
    pthread_mutex_t mutex;

    bool closing; /* under mutex */
    struct admin_slot slots[ADMIN_SERVER_CONTEXTS];
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

static enum ts_err listen_on(nng_socket socket, const char *dir, const char *name,
                             struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char url[TS_PATH_MAX + 8];
    enum ts_err err = ts_path(path, why, dir, "%s", name);
    if (err != TS_OK) {
        return err;
    }
    if (strlen(path) >= ADMIN_SOCKET_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT,
                      "%s is too long for a Unix socket (%d bytes); use a directory with a shorter "
                      "name",
                      path, ADMIN_SOCKET_PATH_MAX - 1);
    }
    (void)unlink(path); /* of an earlier run: the directory's lock says that it is over */
    (void)snprintf(url, sizeof(url), "ipc://%s", path);
    nng_listener listener;
    int rv = nng_listener_create(&listener, socket, url);
    if (rv == 0) {
        /* A platform that does not know this option still has the directory's own mode. */
        (void)nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, SOCKET_MODE);
        rv = nng_listener_start(listener, 0);
    }
    return rv == 0 ? TS_OK : nng_why(why, rv, "listen on", path);
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
    enum ts_err err = listen_on(s->rep, dir, ADMIN_SOCKET, why);
    return err != TS_OK ? err : listen_on(s->pub, dir, ADMIN_EVENTS_SOCKET, why);
}

static void on_async_closed(uv_handle_t *handle)
{
    struct admin_server *s = handle->data;
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
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

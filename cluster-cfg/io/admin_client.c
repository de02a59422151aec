#include "cluster-cfg/io/admin_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>

#include "cluster-cfg/io/admin.h"

/* Events that may wait for a slow reader before some are missed. */
#define STREAM_EVENTS_MAX 8192
/* A running node's socket may be away so long at most. */
#define AWAY_MS 250U
#define AWAY_LOOK_MS 5U

struct admin_stream {
    nng_socket sub;
};

static enum ts_err make_url(const char *dir, const char *name, char path[TS_PATH_MAX],
                            char url[TS_PATH_MAX + 8], struct ts_why *why)
{
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
    (void)snprintf(url, TS_PATH_MAX + 8, "ipc://%s", path);
    return TS_OK;
}

static enum ts_err nng_why(struct ts_why *why, int rv, const char *path)
{
    if (rv == NNG_ETIMEDOUT) {
        return ts_why(why, TS_ERR_TIMEOUT,
                      "cluster-cfgd at %s does not answer: it may be stopped or overloaded", path);
    }
    return ts_why(why, rv == NNG_ENOMEM ? TS_ERR_NOMEM : TS_ERR_SYSTEM, "cannot reach %s: %s", path,
                  nng_strerror(rv));
}

/* NNG goes on trying for ever: so whether anybody could answer is looked at, by the lock that nicd
 * has on the node's directory. Not by connecting: see admin_server.c, on_watch, which takes the
 * socket away for a moment, too. */
static enum ts_err check_runs(const char *dir, const char *path, struct ts_why *why)
{
    const struct timespec pause = {.tv_nsec = AWAY_LOOK_MS * 1000000L};
    bool is_there = access(path, F_OK) == 0;
    enum ts_dir_use use = ts_dir_use(dir);
    for (unsigned ms = 0; !is_there && use == TS_DIR_IN_USE && ms < AWAY_MS; ms += AWAY_LOOK_MS) {
        (void)nanosleep(&pause, NULL);
        is_there = access(path, F_OK) == 0;
        use = ts_dir_use(dir);
    }
    if (!is_there || use == TS_DIR_FREE) {
        return ts_why(why, TS_ERR_NOT_FOUND,
                      "nobody answers at %s: the node does not run; start it with twinstep up",
                      path);
    }
    return TS_OK;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000U + (uint64_t)t.tv_nsec / 1000000U;
}

static enum ts_err check_reply(json_t *reply, const char *path, struct ts_why *why)
{
    if (!json_is_object(reply)) {
        return ts_why(why, TS_ERR_MALFORMED, "the answer from %s is no JSON object", path);
    }
    if (json_integer_value(json_object_get(reply, "version")) != ADMIN_VERSION) {
        return ts_why(why, TS_ERR_VERSION,
                      "%s speaks another version of the admin protocol; use the twinstep command "
                      "of its release",
                      path);
    }
    if (!json_is_true(json_object_get(reply, "ok"))) {
        const char *error = json_string_value(json_object_get(reply, "error"));
        return ts_why(why, TS_ERR_REFUSED, "%s: %s", path, error == NULL ? "refused" : error);
    }
    return TS_OK;
}

static enum ts_err exchange(nng_socket req, const char *url, const char *path, const char *text,
                            unsigned timeout_ms, json_t **reply, struct ts_why *why)
{
    uint64_t begin = now_ms();
    int rv = nng_socket_set_ms(req, NNG_OPT_SENDTIMEO, (nng_duration)timeout_ms);
    if (rv == 0) {
        rv = nng_socket_set_size(req, NNG_OPT_RECVMAXSZ, 0); /* our own daemon's answer */
    }
    if (rv == 0) {
        /* Waiting for a stopped process's handshake has no timeout of ours: sending has. */
        rv = nng_dial(req, url, NULL, NNG_FLAG_NONBLOCK);
    }
    if (rv == 0) {
        char *copy = strdup(text);
        rv = copy == NULL ? NNG_ENOMEM : nng_send(req, copy, strlen(copy), 0);
        free(copy);
    }
    void *data = NULL;
    size_t len = 0;
    if (rv == 0) {
        uint64_t used = now_ms() - begin;
        uint64_t left = used < timeout_ms ? timeout_ms - used : 1;
        rv = nng_socket_set_ms(req, NNG_OPT_RECVTIMEO, (nng_duration)left);
    }
    if (rv == 0) {
        rv = nng_recv(req, &data, &len, NNG_FLAG_ALLOC);
    }
    if (rv != 0) {
        return nng_why(why, rv, path);
    }
    json_t *got = json_loadb(data, len, 0, NULL);
    nng_free(data, len);
    enum ts_err err = check_reply(got, path, why);
    if (err != TS_OK) {
        json_decref(got);
        return err;
    }
    *reply = got;
    return TS_OK;
}

static void *close_socket(void *arg)
{
    (void)nng_close((nng_socket){(uint32_t)(uintptr_t)arg});
    return NULL;
}

/* NNG 1.5.2 may wait for ever in nng_close when the other side vanished in the middle of the
 * connecting. Nobody waits for it here: at worst a thread and a socket stay until the end. */
static void close_aside(nng_socket sock)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, close_socket, (void *)(uintptr_t)sock.id) == 0) {
        (void)pthread_detach(thread);
    }
}

enum ts_err admin_client_ask(const char *dir, json_t *request, unsigned timeout_ms, json_t **reply,
                             struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char url[TS_PATH_MAX + 8];
    enum ts_err err = make_url(dir, ADMIN_SOCKET, path, url, why);
    err = err != TS_OK ? err : check_runs(dir, path, why);
    if (err != TS_OK) {
        return err;
    }
    (void)json_object_set_new(request, "version", json_integer(ADMIN_VERSION));
    char *text = json_dumps(request, JSON_COMPACT);
    nng_socket req;
    int rv = text == NULL ? NNG_ENOMEM : nng_req0_open(&req);
    if (rv != 0) {
        free(text);
        return nng_why(why, rv, path);
    }
    err = exchange(req, url, path, text, timeout_ms, reply, why);
    if (err == TS_ERR_TIMEOUT && check_runs(dir, path, why) != TS_OK) {
        err = TS_ERR_NOT_FOUND; /* it ended meanwhile */
    }
    close_aside(req);
    free(text);
    return err;
}

enum ts_err admin_client_get(const char *dir, const char *cmd, unsigned timeout_ms, json_t **reply,
                             struct ts_why *why)
{
    json_t *request = json_pack("{s:s}", "cmd", cmd);
    if (request == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory; free some");
    }
    enum ts_err err = admin_client_ask(dir, request, timeout_ms, reply, why);
    json_decref(request);
    return err;
}

enum ts_err admin_stream_open(const char *dir, struct admin_stream **out, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char url[TS_PATH_MAX + 8];
    enum ts_err err = make_url(dir, ADMIN_EVENTS_SOCKET, path, url, why);
    if (err != TS_OK) {
        return err;
    }
    struct admin_stream *s = calloc(1, sizeof(*s));
    int rv = s == NULL ? NNG_ENOMEM : nng_sub0_open(&s->sub);
    if (rv != 0) {
        free(s);
        return nng_why(why, rv, path);
    }
    rv = nng_socket_set(s->sub, NNG_OPT_SUB_SUBSCRIBE, "", 0);
    if (rv == 0) {
        rv = nng_socket_set_int(s->sub, NNG_OPT_RECVBUF, STREAM_EVENTS_MAX);
    }
    if (rv == 0) {
        rv = nng_dial(s->sub, url, NULL, NNG_FLAG_NONBLOCK); /* tries again by itself */
    }
    if (rv != 0) {
        admin_stream_close(s);
        return nng_why(why, rv, path);
    }
    *out = s;
    return TS_OK;
}

enum ts_err admin_stream_next(struct admin_stream *s, unsigned timeout_ms, json_t **event)
{
    void *data = NULL;
    size_t len = 0;
    if (nng_socket_set_ms(s->sub, NNG_OPT_RECVTIMEO, (nng_duration)timeout_ms) != 0 ||
        nng_recv(s->sub, &data, &len, NNG_FLAG_ALLOC) != 0) {
        return TS_ERR_TIMEOUT;
    }
    json_t *got = json_loadb(data, len, 0, NULL);
    nng_free(data, len);
    if (!json_is_object(got)) {
        json_decref(got);
        return TS_ERR_MALFORMED;
    }
    *event = got;
    return TS_OK;
}

void admin_stream_close(struct admin_stream *s)
{
    if (s != NULL) {
        close_aside(s->sub);
        free(s);
    }
}

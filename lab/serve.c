#include "lab/serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <uv.h>

#include "lab/control.h"
#include "lab/wire_net.h"

#define CLIENTS_MAX 32
#define LOOK_MS 1000

struct server {
    struct lab_pods *pods;
    const char *dir;
    uv_loop_t loop;
    uv_signal_t signals[3];
    uv_timer_t look;
    uv_poll_t links[LAB_MACHINES_MAX]; /* to machines that are containers */
    struct stat lock;                  /* of the directory, as it was at first */
    uv_pipe_t listener;
    size_t clients;
    bool one_waits; /* more than CLIENTS_MAX came */
    struct lab_wire_net *nets[TS_PATHS_MAX];
    struct ts_why *why;
    enum ts_err err;
};

struct client {
    struct server *server;
    uv_pipe_t pipe;
    uv_write_t write;
    char *answer; /* until it is written */
    size_t len;
    uint8_t line[LAB_REQUEST_MAX];
};

/* ---- requests -------------------------------------------------------------------------------- */

static json_t *show(struct server *s)
{
    json_t *networks = json_array();
    for (size_t i = 0; i < s->pods->topology->network_count; i++) {
        (void)json_array_append_new(networks, lab_wire_net_json(s->nets[i]));
    }
    return json_pack("{s:o}", "networks", networks);
}

static json_t *answer_to(struct server *s, struct ts_bytes line)
{
    struct ts_why why = {{0}};
    struct lab_request r;
    enum ts_err err = lab_request_read(line, s->pods->topology, &r, &why);
    for (size_t i = 0; i < s->pods->topology->network_count && err == TS_OK; i++) {
        err = r.cmd == LAB_CMD_WIRE_SHOW ? TS_OK : lab_wire_net_change(s->nets[i], &r, &why);
    }
    return err == TS_OK ? show(s) : json_pack("{s:s}", "error", why.text);
}

/* ---- clients --------------------------------------------------------------------------------- */

static void on_client(uv_stream_t *listener, int status);

static void on_closed(uv_handle_t *handle)
{
    struct client *c = handle->data;
    struct server *s = c->server;
    s->clients--;
    free(c->answer);
    free(c);
    if (s->one_waits && !uv_is_closing((uv_handle_t *)&s->listener)) {
        s->one_waits = false;
        on_client((uv_stream_t *)&s->listener, 0);
    }
}

static void close_client(struct client *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->pipe)) {
        uv_close((uv_handle_t *)&c->pipe, on_closed);
    }
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    close_client(write->data);
}

static void answer(struct client *c, size_t len)
{
    json_t *o = answer_to(c->server, (struct ts_bytes){c->line, len});
    size_t size = json_dumpb(o, NULL, 0, JSON_COMPACT);
    c->answer = malloc(size + 1);
    if (c->answer != NULL) {
        (void)json_dumpb(o, c->answer, size, JSON_COMPACT);
        c->answer[size] = '\n';
    }
    json_decref(o);
    uv_buf_t buf = uv_buf_init(c->answer, (unsigned)size + 1);
    c->write.data = c;
    (void)uv_read_stop((uv_stream_t *)&c->pipe);
    if (c->answer == NULL ||
        uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) != 0) {
        close_client(c);
    }
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)c->line + c->len, (unsigned)(sizeof(c->line) - c->len));
}

/* One line, and the answer ends the connection. One that is too long has no answer. */
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    (void)buf;
    if (n < 0) {
        close_client(c);
        return;
    }
    c->len += (size_t)n;
    const uint8_t *end = memchr(c->line, '\n', c->len);
    if (end != NULL) {
        answer(c, (size_t)(end - c->line));
    } else if (c->len == sizeof(c->line)) {
        close_client(c);
    }
}

static void on_client(uv_stream_t *listener, int status)
{
    struct server *s = listener->data;
    struct client *c = status == 0 && s->clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) { /* the loop tells of no others until this one is taken */
        s->one_waits = status == 0;
        return;
    }
    c->server = s;
    c->pipe.data = c;
    (void)uv_pipe_init(&s->loop, &c->pipe, 0);
    s->clients++;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) != 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, on_room, on_read) != 0) {
        close_client(c);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    if (number != SIGCHLD) {
        uv_stop(&s->loop);
    } else if (lab_pods_reap(s->pods)) {
        s->err = lab_pods_tell(s->pods, s->dir, s->why);
        if (s->err != TS_OK) {
            uv_stop(&s->loop);
        }
    }
}

/* Process 1 of a container says nothing: what can be read is its end. */
static void on_link(uv_poll_t *link, int status, int events)
{
    struct server *s = link->data;
    (void)status;
    (void)events;
    (void)uv_poll_stop(link);
    if (lab_pods_reap(s->pods)) {
        s->err = lab_pods_tell(s->pods, s->dir, s->why);
    }
    if (s->err != TS_OK) {
        uv_stop(&s->loop);
    }
}

static int watch_links(struct server *s)
{
    int rc = 0;
    for (size_t i = 0; i < s->pods->topology->machine_count && rc == 0; i++) {
        if (s->pods->link[i] >= 0) {
            rc = uv_poll_init(&s->loop, &s->links[i], s->pods->link[i]);
            s->links[i].data = s;
            rc = rc != 0 ? rc : uv_poll_start(&s->links[i], UV_READABLE | UV_DISCONNECT, on_link);
        }
    }
    return rc;
}

static bool stat_lock(const struct server *s, struct stat *out)
{
    char path[TS_PATH_MAX];
    return ts_path(path, NULL, s->dir, LAB_LOCK) == TS_OK && stat(path, out) == 0;
}

/* Without its directory nobody would find the lab any more to end it. */
static void on_look(uv_timer_t *timer)
{
    struct server *s = timer->data;
    struct stat now;
    if (!stat_lock(s, &now) || now.st_ino != s->lock.st_ino || now.st_dev != s->lock.st_dev) {
        s->err = ts_why(s->why, TS_ERR_NOT_FOUND, "%s was removed, so the lab ends", s->dir);
        uv_stop(&s->loop);
    }
}

static int begin_looking(struct server *s)
{
    s->look.data = s;
    int rc = stat_lock(s, &s->lock) ? uv_timer_init(&s->loop, &s->look) : UV_ENOENT;
    return rc != 0 ? rc : uv_timer_start(&s->look, on_look, LOOK_MS, LOOK_MS);
}

static int catch_signals(struct server *s)
{
    static const int NUMBERS[] = {SIGTERM, SIGINT, SIGCHLD};
    int rc = 0;
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < 3 && rc == 0; i++) {
        rc = uv_signal_init(&s->loop, &s->signals[i]);
        s->signals[i].data = s;
        rc = rc != 0 ? rc : uv_signal_start(&s->signals[i], on_signal, NUMBERS[i]);
        (void)sigaddset(&set, NUMBERS[i]);
    }
    /* What came meanwhile comes now. */
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    return rc;
}

static enum ts_err listen_on(struct server *s, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, s->dir, LAB_SOCKET);
    if (err != TS_OK) {
        return err;
    }
    (void)unlink(path);
    s->listener.data = s;
    int rc = uv_pipe_init(&s->loop, &s->listener, 0);
    mode_t before = umask(0177);
    rc = rc != 0 ? rc : uv_pipe_bind(&s->listener, path);
    (void)umask(before);
    rc = rc != 0 ? rc : uv_listen((uv_stream_t *)&s->listener, CLIENTS_MAX, on_client);
    return rc == 0 ? TS_OK
                   : ts_why(why, TS_ERR_SYSTEM, "cannot listen on %s: %s", path, uv_strerror(rc));
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, handle->type == UV_NAMED_PIPE && handle->data != arg ? on_closed : NULL);
    }
}

static void end(struct server *s)
{
    for (size_t i = 0; i < TS_PATHS_MAX; i++) {
        lab_wire_net_stop(s->nets[i]);
    }
    uv_walk(&s->loop, close_handle, s);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&s->loop);
    for (size_t i = 0; i < TS_PATHS_MAX; i++) {
        lab_wire_net_free(s->nets[i]);
    }
    free(s);
}

enum ts_err lab_serve(struct lab_pods *p, const char *dir, enum ts_err (*ready)(struct ts_why *why),
                      struct ts_why *why)
{
    struct server *s = calloc(1, sizeof(*s));
    if (s == NULL || uv_loop_init(&s->loop) != 0) {
        free(s);
        return ts_why(why, TS_ERR_NOMEM, "no memory for the lab");
    }
    s->pods = p;
    s->dir = dir;
    s->why = why;
    enum ts_err err = listen_on(s, why);
    for (size_t i = 0; i < p->topology->network_count && err == TS_OK; i++) {
        err = lab_wire_net_open(&s->nets[i], &s->loop, p, i, why);
    }
    err = err != TS_OK ? err : ready(why);
    if (err == TS_OK && (begin_looking(s) != 0 || watch_links(s) != 0 || catch_signals(s) != 0)) {
        err = ts_why(why, TS_ERR_SYSTEM, "cannot look at %s, or catch signals", dir);
    }
    if (err == TS_OK) {
        (void)uv_run(&s->loop, UV_RUN_DEFAULT);
        err = s->err;
    }
    end(s);
    return err;
}

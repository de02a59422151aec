/* heartbeatd: who is alive, on which path. See heartbeat/io/heartbeatd.h. */
#include <signal.h>
#include <stdlib.h>

#include "base/exit.h"
#include "daemon/args.h"
#include "heartbeat/io/heartbeatd.h"

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    uv_stop(handle->loop);
}

/* Runs until SIGTERM or SIGINT. */
static int run(struct daemon_start *s)
{
    uv_loop_t loop;
    uv_signal_t term;
    uv_signal_t interrupt;
    struct ts_why why = {0};
    struct hb_daemon *d = NULL;
    if (uv_loop_init(&loop) != 0 || uv_signal_init(&loop, &term) != 0 ||
        uv_signal_init(&loop, &interrupt) != 0 || uv_signal_start(&term, on_signal, SIGTERM) != 0 ||
        uv_signal_start(&interrupt, on_signal, SIGINT) != 0) {
        net_log(&s->log, NET_LOG_ERROR, "cannot set up the event loop");
        return TS_EXIT_FAILURE;
    }
    const struct hb_daemon_options options = {
        .loop = &loop,
        .log = &s->log,
        .cluster = &s->cluster,
        .self = s->node->id,
        .dir = s->args.data,
    };
    enum ts_err err = hb_daemon_open(&d, &options, &why);
    if (err != TS_OK) {
        net_log(&s->log, NET_LOG_ERROR, "%s", why.text);
        return err == TS_ERR_CONFIG ? TS_EXIT_CONFIG : TS_EXIT_FAILURE;
    }
    hb_daemon_go_realtime(&s->log);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    hb_daemon_close(d);
    uv_close((uv_handle_t *)&term, NULL);
    uv_close((uv_handle_t *)&interrupt, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? TS_EXIT_OK : TS_EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct daemon_start *s = (struct daemon_start *)calloc(1, sizeof(*s));
    if (s == NULL) {
        return TS_EXIT_FAILURE;
    }
    int status = daemon_start(s, "heartbeatd", 0, argc, argv);
    if (status < 0) {
        status = run(s);
    }
    free(s);
    return status;
}

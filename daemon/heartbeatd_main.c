/* heartbeatd: who is alive, on which path. See heartbeat/io/heartbeatd.h. */
#include <signal.h>
#include <stdlib.h>

#include "base/exit.h"
#include "daemon/args.h"
#include "heartbeat/io/heartbeatd.h"

struct shell {
    bool loop_open;
    bool signals_open;
    uv_loop_t loop;
    uv_signal_t term;
    uv_signal_t interrupt;
};

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    uv_stop(handle->loop);
}

static enum ts_err open_loop(struct shell *sh)
{
    if (uv_loop_init(&sh->loop) != 0) {
        return TS_ERR_SYSTEM;
    }
    sh->loop_open = true;
    if (uv_signal_init(&sh->loop, &sh->term) != 0 ||
        uv_signal_init(&sh->loop, &sh->interrupt) != 0) {
        return TS_ERR_SYSTEM;
    }
    sh->signals_open = true;
    return uv_signal_start(&sh->term, on_signal, SIGTERM) == 0 &&
                   uv_signal_start(&sh->interrupt, on_signal, SIGINT) == 0
               ? TS_OK
               : TS_ERR_SYSTEM;
}

static void close_loop(struct shell *sh)
{
    if (sh->signals_open) {
        uv_close((uv_handle_t *)&sh->term, NULL);
        uv_close((uv_handle_t *)&sh->interrupt, NULL);
    }
    if (sh->loop_open) {
        (void)uv_run(&sh->loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&sh->loop);
    }
}

/* Runs until SIGTERM or SIGINT. */
static int run(struct daemon_start *s)
{
    struct shell sh = {0};
    struct hb_daemon *d = NULL;
    struct ts_why why = {.text = "cannot set up the event loop"};
    const struct hb_daemon_options options = {
        .loop = &sh.loop,
        .log = &s->log,
        .cluster = &s->cluster,
        .self = s->node->id,
        .dir = s->args.data,
    };
    enum ts_err err = open_loop(&sh);
    if (err == TS_OK) {
        err = hb_daemon_open(&d, &options, &why);
    }
    if (err == TS_OK) {
        hb_daemon_go_realtime(&s->log);
        (void)uv_run(&sh.loop, UV_RUN_DEFAULT);
    } else {
        net_log(&s->log, NET_LOG_ERROR, "%s", why.text);
    }
    hb_daemon_close(d);
    close_loop(&sh);
    if (err == TS_ERR_CONFIG) {
        return TS_EXIT_CONFIG;
    }
    return err == TS_OK ? TS_EXIT_OK : TS_EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct daemon_start *s = (struct daemon_start *)calloc(1, sizeof(*s));
    if (s == NULL) {
        return TS_EXIT_FAILURE;
    }
    int status = daemon_start(s, "heartbeatd", DAEMON_TAKES_LOCK, argc, argv);
    if (status < 0) {
        status = run(s);
    }
    free(s);
    return status;
}

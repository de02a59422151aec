/* cluster-cfgd: voter, admin sockets, event recorder. See cluster-cfg/io/cfgd.h. */
#include <signal.h>
#include <stdlib.h>

#include "base/exit.h"
#include "cluster-cfg/io/cfgd.h"
#include "daemon/args.h"

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    uv_stop(handle->loop);
}

static void on_hangup(uv_signal_t *handle, int signum)
{
    struct cfgd *const *d = handle->data;
    (void)signum;
    /* A start that fails runs the loop, too, to close what it has opened. */
    if (*d != NULL) {
        cfgd_renew_certificate(*d);
    }
}

/* Unreferenced: they do not keep the loop from ending. */
static bool catch_signal(uv_loop_t *loop, uv_signal_t *handle, uv_signal_cb callback, int signum)
{
    if (uv_signal_init(loop, handle) != 0 || uv_signal_start(handle, callback, signum) != 0) {
        return false;
    }
    uv_unref((uv_handle_t *)handle);
    return true;
}

/* Runs until SIGTERM or SIGINT, or until the voter's disk wants another start. */
static int run(struct daemon_start *s)
{
    uv_loop_t loop;
    uv_signal_t term;
    uv_signal_t interrupt;
    uv_signal_t hangup;
    struct ts_why why = {0};
    struct cfgd *d = NULL;
    hangup.data = &d; /* seen by the loop, which runs when it is open */
    if (uv_loop_init(&loop) != 0 || !catch_signal(&loop, &term, on_signal, SIGTERM) ||
        !catch_signal(&loop, &interrupt, on_signal, SIGINT) ||
        !catch_signal(&loop, &hangup, on_hangup, SIGHUP)) {
        net_log(&s->log, NET_LOG_ERROR, "cannot set up the event loop");
        return TS_EXIT_FAILURE;
    }
    const struct cfgd_options options = {
        .loop = &loop,
        .log = &s->log,
        .cluster = &s->cluster,
        .self = s->node,
        .dir = s->args.data,
        .release = TS_VERSION,
    };
    int status = TS_EXIT_OK;
    enum ts_err err = cfgd_open(&d, &options, &why);
    if (err != TS_OK) {
        net_log(&s->log, NET_LOG_ERROR, "%s", why.text);
        status = err == TS_ERR_CONFIG ? TS_EXIT_CONFIG : TS_EXIT_FAILURE;
    } else {
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        status = cfgd_has_ended(d) ? TS_EXIT_FAILURE : TS_EXIT_OK;
    }
    (void)uv_signal_stop(&hangup);
    if (d != NULL) {
        cfgd_close(d);
    }
    uv_close((uv_handle_t *)&term, NULL);
    uv_close((uv_handle_t *)&interrupt, NULL);
    uv_close((uv_handle_t *)&hangup, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    bool closed = uv_loop_close(&loop) == 0;
    return closed || status != TS_EXIT_OK ? status : TS_EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct daemon_start *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return TS_EXIT_FAILURE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    int status = daemon_start(s, "cluster-cfgd", DAEMON_TAKES_LOCK, argc, argv);
    if (status < 0) {
        status = run(s);
    }
    free(s);
    return status;
}

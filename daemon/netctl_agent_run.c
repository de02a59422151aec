/* netctl-agent --config FILE: follows the controllers until it is told to end. */
#include <signal.h>
#include <stdio.h>

#include "daemon/netctl_agent_config.h"
#include "services/agent/io/kernel.h"
#include "services/agent/model.h"

#define SIGNALS_COUNT 3

struct run {
    uv_loop_t loop;
    struct net_log log;
    uv_signal_t signals[SIGNALS_COUNT];
    struct agent *agent;
    bool failed;
};

static void on_ended(void *arg, bool failed)
{
    struct run *r = arg;
    r->agent = NULL;
    r->failed = failed;
    for (size_t i = 0; i < SIGNALS_COUNT; i++) {
        uv_close((uv_handle_t *)&r->signals[i], NULL);
    }
}

static void reload(struct run *r)
{
    struct ts_why why = {.text = ""};
    if (agent_reload(r->agent, &why) == TS_OK) {
        net_log(&r->log, NET_LOG_INFO, "the certificates are loaded again, for new connections");
    } else {
        net_log(&r->log, NET_LOG_ERROR, "the former certificates stay: %s", why.text);
    }
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct run *r = signal->data;
    if (r->agent != NULL && number == SIGHUP) {
        reload(r);
    } else if (r->agent != NULL) {
        net_log(&r->log, NET_LOG_INFO, "ends by signal %d; the network stays as it is", number);
        agent_stop(r->agent);
    }
}

static enum ts_err open_driver(struct netctl_agent_config *c, struct ts_why *why)
{
    char dhcp[TS_PATH_MAX];
    const struct agent_kernel_options options = {.vtep = c->vtep,
                                                 .vxlan_port = c->vxlan_port,
                                                 .dhcp = dhcp,
                                                 .detects = c->detects,
                                                 .detect_group = c->detect_group};
    if (c->model) {
        c->agent.driver = agent_model_new(&c->vtep);
        return TS_OK;
    }
    enum ts_err err = ts_path(dhcp, why, c->agent.state, "dhcp");
    return err != TS_OK ? err : agent_kernel_open(&c->agent.driver, &options, why);
}

int netctl_agent_run(const char *path)
{
    static const int SIGNALS[SIGNALS_COUNT] = {SIGTERM, SIGINT, SIGHUP};
    struct run r = {.failed = false};
    struct netctl_agent_config c;
    struct ts_why why = {.text = ""};
    enum ts_err err = netctl_agent_config_read(path, &c, &why);
    if (err != TS_OK) {
        (void)fprintf(stderr, "netctl-agent: %s\n", why.text);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    net_log_init(&r.log, "netctl-agent", c.agent.node);
    (void)uv_loop_init(&r.loop);
    for (size_t i = 0; i < SIGNALS_COUNT; i++) {
        (void)uv_signal_init(&r.loop, &r.signals[i]);
        r.signals[i].data = &r;
        (void)uv_signal_start(&r.signals[i], on_signal, SIGNALS[i]);
    }
    c.agent.loop = &r.loop;
    c.agent.log = &r.log;
    c.agent.on_ended = on_ended;
    c.agent.arg = &r;
    err = open_driver(&c, &why);
    if (err == TS_OK) {
        err = agent_start(&r.agent, &c.agent, &why);
    }
    if (err != TS_OK) {
        net_log(&r.log, NET_LOG_ERROR, "%s", why.text[0] == '\0' ? ts_err_text(err) : why.text);
        agent_close(c.agent.driver);
        on_ended(&r, true);
    }
    (void)uv_run(&r.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&r.loop);
    return r.failed ? 3 : 0;
}

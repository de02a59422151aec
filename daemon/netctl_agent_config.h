/* agent.yaml: what a transport node's agent is told (docs/NETCTL.md). */
#ifndef DAEMON_NETCTL_AGENT_CONFIG_H
#define DAEMON_NETCTL_AGENT_CONFIG_H

#include "services/agent/address.h"
#include "services/agent/io/agent.h"

struct netctl_agent_config {
    struct agent_config agent; /* loop, log, driver and callbacks are the caller's */
    struct agent_address vtep;
    uint16_t vxlan_port;
    bool detects; /* DETECT has a consumer: */
    uint16_t detect_group;
    bool model; /* nothing is changed in the kernel */
};

/* TS_ERR_CONFIG: `why` names the file, the line, what is wrong and what to write. */
enum ts_err netctl_agent_config_read(const char *path, struct netctl_agent_config *out,
                                     struct ts_why *why) TS_MUST_USE;

/* Runs until SIGTERM or SIGINT, or until it cannot go on. Gives the process's exit status. */
int netctl_agent_run(const char *path);

#endif

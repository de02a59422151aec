/* The servers of DHCP of a node: a dnsmasq a segment (services/agent/dhcp.h). They outlive the
 * agent; its successor finds them. A changed configuration is served by a new process before the
 * old one ends. */
#ifndef SERVICES_AGENT_IO_KERNEL_DHCP_H
#define SERVICES_AGENT_IO_KERNEL_DHCP_H

#include <pthread.h>

#include "base/io/files.h"
#include "services/agent/driver.h"

struct agent_call;

struct agent_dhcp_servers {
    char dir[TS_PATH_MAX]; /* "": none is given, DHCP is not served */
    pthread_mutex_t lock;  /* of what follows: it is asked for on another thread */
    int *pidfd;            /* owned: of those that run */
    size_t count;
    bool lost; /* one of them has ended, and that was told */
};

void agent_dhcp_servers_open(struct agent_dhcp_servers *s, const char *dir);
/* The processes stay. */
void agent_dhcp_servers_close(struct agent_dhcp_servers *s);
/* Whether one has ended by itself, told once. From any thread. */
bool agent_dhcp_servers_lost(struct agent_dhcp_servers *s);

/* Makes the servers what the table of the call's kernel says. */
void agent_kernel_dhcp(struct agent_call *c, bool delete_orphans);

#endif

/* Processes of Debian's dnsmasq that outlive the agent. Each belongs to a file of configuration
 * that never changes, DIR/NAME.conf; its number is in DIR/NAME.pid. So an agent that starts finds
 * those of its predecessor, and another configuration is another process. A number alone is not
 * believed: a process whose arguments do not name the file is not one of these. Linux only; calls
 * block for some ten milliseconds. */
#ifndef SERVICES_AGENT_IO_DNSMASQ_H
#define SERVICES_AGENT_IO_DNSMASQ_H

#include "base/buf.h"
#include "base/io/files.h"

#define AGENT_DNSMASQ "/usr/sbin/dnsmasq"
#define AGENT_DNSMASQ_NAME_MAX 64
/* To begin, and to end. */
#define AGENT_DNSMASQ_WAIT_MS 5000

/* A pidfd, which the caller closes; -1: it does not run. */
int agent_dnsmasq_find(const char *dir, const char *name);
/* Writes the file and starts the process; it serves when this returns. TS_ERR_SYSTEM, TS_ERR_IO, …:
 * `why` has what it said. */
enum ts_err agent_dnsmasq_begin(const char *dir, const char *name, struct ts_bytes config,
                                int *pidfd, struct ts_why *why) TS_MUST_USE;
/* Ends it, if it runs, and removes its files. */
void agent_dnsmasq_end(const char *dir, const char *name);
/* Tells the names that there are files of. TS_ERR_NOT_FOUND: there is no directory. */
enum ts_err agent_dnsmasq_list(const char *dir, void (*tell)(void *arg, const char *name),
                               void *arg, struct ts_why *why) TS_MUST_USE;

#endif

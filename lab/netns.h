/* A network namespace of one's own: faults of the network then touch nobody else, and any
 * loopback address and port is free. */
#ifndef LAB_NETNS_H
#define LAB_NETNS_H

#include "base/io/files.h"

/* Moves the calling process into a new network namespace with its loopback up; as an ordinary
 * user through a user namespace. Precondition: the process has one thread.
 * TS_ERR_REFUSED: the kernel does not allow it here; nothing has changed then. */
enum ts_err lab_netns_enter(struct ts_why *why) TS_MUST_USE;

#endif

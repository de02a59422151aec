/* Ports of a kernel bridge. */
#ifndef LAB_BRIDGE_H
#define LAB_BRIDGE_H

#include <stdbool.h>

#include "base/io/files.h"

/* From now on the bridge passes nothing between this port and others that are isolated, too, or
 * passes it again. The port stays in the bridge. TS_ERR_SYSTEM. */
enum ts_err lab_bridge_isolate(unsigned port, bool isolated, struct ts_why *why) TS_MUST_USE;

#endif

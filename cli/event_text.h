/* One recorded event as a line for people. */
#ifndef CLI_EVENT_TEXT_H
#define CLI_EVENT_TEXT_H

#include <jansson.h>

#include "cluster-cfg/cluster.h"
#include "cluster-cfg/io/recorder.h"

#define CLI_EVENT_TEXT_MAX 256

/* "replica kv: evidence peer=nic1 kind=…" with names in place of numbers. Gives `out`. Pure. */
const char *cli_event_text(const struct cfg_cluster *cluster, const struct recorder_event *e,
                           char out[CLI_EVENT_TEXT_MAX]);

#endif

/* One recorded event as a line for people, or as an object for programs. */
#ifndef CLI_EVENT_TEXT_H
#define CLI_EVENT_TEXT_H

#include <jansson.h>

#include "cluster-cfg/cluster.h"
#include "cluster-cfg/io/recorder.h"

#define CLI_EVENT_TEXT_MAX 256

/* "replica kv: evidence peer=nic1 kind=…" with names in place of numbers. Gives `out`. Pure. */
const char *cli_event_text(const struct cfg_cluster *cluster, const struct recorder_event *e,
                           char out[CLI_EVENT_TEXT_MAX]);

/* The same for programs, new:
 *   {"time", "wall_us", "mono_ns", "node", "program", "group" (null without one), "instance",
 *    "number" (of the node's recorder), "kind", "epoch", "seq" (0: none), "fields": {…}}
 * "fields" are named by their meaning in base/trace.h, as in the text: nodes by name, sets of nodes
 * as arrays ("in-sync"), reasons in words, paths counted from 1. Pure. */
json_t *cli_event_json(const struct cfg_cluster *cluster, const char *node,
                       const struct recorder_event *e);

#endif

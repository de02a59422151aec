/* What a node's cluster-cfgd knows, as Prometheus' text (exposition format 0.0.4).
 *
 * Every name begins with twinstep_, counters end in _total, durations are seconds, sizes bytes.
 * Counters of a replica begin anew with its process, as Prometheus expects of a restart. Labels are
 * names of the cluster file. Families are the same on every node; those of groups have no samples
 * where no replica is. */
#ifndef CLUSTER_CFG_IO_METRICS_H
#define CLUSTER_CFG_IO_METRICS_H

#include "cluster-cfg/io/admin.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* A NUL-terminated text that the caller frees; NULL when memory is short. */
char *metrics_text(const struct admin_state *s, struct ts_mono now, uint64_t wall_us);

#endif

/* Reads the cluster's YAML file.
 *
 *     cluster: demo
 *     failure-timeout: 100ms            # optional, 20ms..60s
 *     base-port: 7400                   # optional
 *     nics:
 *       - {name: nic1, host: host1, paths: [127.77.1.1, 127.77.2.1]}
 *       - {name: nic2, host: host2, paths: [127.77.1.2, 127.77.2.2]}
 *     arbiters:                         # optional
 *       - {name: arb1, host: host3, paths: [127.77.1.3, 127.77.2.3]}
 *     groups:
 *       - {name: kv, service: kv, nics: [nic1, nic2], port: 6379}
 *
 * `host` is the failure domain; without it a node is its own. `voter: false` takes a node's
 * vote: the voters must be odd in number and five at most. `nics` of a group are optional: all
 * of them then. The first one is the first primary. */
#ifndef CLUSTER_CFG_IO_CLUSTER_YAML_H
#define CLUSTER_CFG_IO_CLUSTER_YAML_H

#include "base/buf.h"
#include "base/err.h"
#include "cluster-cfg/cluster.h"

#define CLUSTER_YAML_ERROR_MAX 512         /* bytes, NUL included */
#define CLUSTER_YAML_BYTES_MAX (64 * 1024) /* of a file */

/* Reads and checks `file`.
 * `error` gets one line "FILE:LINE:COLUMN: what is wrong; what to do", or "FILE: …" when the file
 * cannot be read; it is empty on success. On an error `out` is unspecified.
 * TS_ERR_NOT_FOUND   there is no such file
 * TS_ERR_IO          it cannot be read
 * TS_ERR_LIMIT       it is larger than CLUSTER_YAML_BYTES_MAX
 * TS_ERR_CONFIG      the content is not a valid cluster
 * TS_ERR_NOMEM */
enum ts_err cluster_yaml_load(const char *file, struct cfg_cluster *out,
                              char error[CLUSTER_YAML_ERROR_MAX]) TS_MUST_USE;

/* The same for text in memory; `name` stands for FILE in errors. */
enum ts_err cluster_yaml_parse(const char *name, struct ts_bytes text, struct cfg_cluster *out,
                               char error[CLUSTER_YAML_ERROR_MAX]) TS_MUST_USE;

#endif

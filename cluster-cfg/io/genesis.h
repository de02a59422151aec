/* The text of RUN/genesis.json: JSON with the incarnations in hexadecimal.
 *
 *     {"version": 1, "cluster": "demo",
 *      "nodes": [{"id": 1, "name": "nic1", "voter": "0123456789abcdef"}, …],
 *      "groups": [{"id": 1, "name": "kv", "service": "kv",
 *                  "replicas": [{"node": "nic1", "incarnation": "0123456789abcdef"}, …]}]}
 *
 * A node whose disk was replaced has "voter_replaces": ["…", …], the newest first, and its replicas
 * "replaces": "…"; until its new directory is complete also "replacing": true. */
#ifndef CLUSTER_CFG_IO_GENESIS_H
#define CLUSTER_CFG_IO_GENESIS_H

#include "base/buf.h"
#include "cluster-cfg/io/format.h"

#define GENESIS_BYTES_MAX (256U * 1024U)

/* Gives a malloc'ed text that the caller frees; NULL when memory is short. */
char *genesis_to_text(const struct cfg_cluster *c, const struct format_genesis *g);

/* `path` stands in the sentences. Errors as format_genesis_load. */
enum ts_err genesis_from_text(const char *path, struct ts_bytes text, const struct cfg_cluster *c,
                              struct format_genesis *out, struct ts_why *why) TS_MUST_USE;

#endif

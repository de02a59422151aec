/* Asking every node of this machine and putting the answers together. */
#ifndef CLI_GATHER_H
#define CLI_GATHER_H

#include <jansson.h>

#include "base/io/files.h"
#include "cli/cli.h"
#include "cluster-cfg/cluster.h"

/* Reads RUN/cluster.yaml. TS_ERR_NOT_FOUND: nothing was ever started in RUN, or it is no directory.
 * TS_ERR_AUTH: it is another user's. */
enum ts_err cli_load_run(const char *run, struct cfg_cluster *cluster,
                         struct ts_why *why) TS_MUST_USE;
/* The same for a command: tells an error. Gives CLI_OK, CLI_UNREACHABLE when nothing was ever
 * started in RUN, else CLI_FAILED. */
int cli_open_run(const struct cli *cli, const char *run, struct cfg_cluster *cluster);
/* Whether a file in RUN is kept from this user; `why` then says whose the directory is. */
bool cli_is_foreign(const char *run, const char *path, struct ts_why *why);

/* The nodes that --nic names, by index; all of them when `count` is 0. `file` is for the sentence.
 * Gives CLI_OK or CLI_USAGE. */
int cli_choose(const struct cli *cli, const struct cfg_cluster *cluster, const char *file,
               const char *const *names, size_t count, bool chosen[TS_NODES_MAX]);

/* Asks each node that was formed in RUN. Gives a new array of
 *   {"node": NAME, "reply": the reply} or {"node": NAME, "error": a sentence, "state":
 *   "not running|silent"}
 * in the order of the cluster file. `only` (may be NULL) restricts to one node. */
json_t *cli_ask_all(const char *run, const struct cfg_cluster *cluster, const char *only,
                    json_t *request, unsigned timeout_ms);
/* How many of them answered. */
size_t cli_answered(const json_t *answers);

/* The last line that a program of a node logged ("replica-kv", "cluster-cfgd"), cut; "" without
 * one. Gives `out`. */
#define CLI_LINE_MAX 400
const char *cli_last_line(const char *run, const char *node, const char *program,
                          char out[CLI_LINE_MAX]);

/* One picture of the answers to "status":
 *   {"version": 1, "cluster", "nodes": [{"node", "reachable", "error", …the node's status}],
 *    "groups": [{"group", "epoch", "serving", "primary", "last_primary", "no_primary_ms",
 *      "in_sync", "required", "members", "disks": {a member: its incarnation},
 *      "replicas": [{"node", "role", "applied", "committed", "last", "lag", "digest", "waiting",
 *      "why"}]}],
 *      and "service_address": null, or {"address", "at": [who has it], "complete": whether all of
 *      its NICs answered, "nics": [{"node", "here", "interface", "why"}]} (cluster-cfg/io/admin.h)
 *    "alarms": [{"code", "text", "group", "nodes": [who says so]}],
 *      a group also has "recorded": {"primary", "epoch", "by"}, the newest value that a voter which
 *      answered has stored; missing without one
 *    "notes": [sentences of cli/notes.h]}
 * A group's configuration is the one with the highest epoch that any replica knows; its primary is
 * "last_primary". "serving" says whether a primary serves by what the answers tell (null: they
 * cannot tell), "primary" which, null without one; "no_primary_ms" then is for how long at least
 * there has been none, null when nobody can tell. Every group of the cluster is there, without
 * replicas when none of its NICs answered. Pure. */
json_t *cli_merge(const struct cfg_cluster *cluster, const json_t *answers);

/* Whether every group with a replica that answered has an active primary and all members in sync,
 * every voter that answered votes, and no process
 * is down. Writes what is awaited to `what` otherwise. Pure. */
bool cli_is_settled(const json_t *merged, char *what, size_t cap);

#endif

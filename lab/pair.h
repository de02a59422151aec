/* Two NICs and an arbiter on this machine, for tests, measurements and the demonstration:
 * real processes with real disks, on loopback addresses 127.NET.<path>.<node>.
 *
 * A pair is driven by one thread; everything here blocks. State is asked of each node's
 * cluster-cfgd and put together, so that it shows what each replica believes. */
#ifndef LAB_PAIR_H
#define LAB_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "cluster-cfg/report.h"
#include "lab/nodes.h"
#include "lab/resp_client.h"
#include "lab/view.h"

#define LAB_PAIR_GROUP "kv"
/* The names of a pair's nodes, NULL behind them: for lab/guard.h. */
extern const char *const lab_pair_nodes[];
#define LAB_NICS 2
#define LAB_NODES (LAB_NICS + 1)

struct lab_pair_config {
    char run[TS_PATH_MAX]; /* directory for everything; made when missing */
    char bin[TS_PATH_MAX]; /* programs to run; "" = beside this one */
    unsigned net;          /* addresses 127.NET.…, 1..255 */
    unsigned failure_timeout_ms;
    char group_more[64]; /* further keys of the group's line: ", key: value"; "" = none */
    bool client_tls;     /* clients speak TLS; lab/load.h and lab/resp_client.h do not */
};

struct lab_pair {
    struct lab_pair_config config;
    struct cfg_cluster cluster;
    struct nodes_run run;
};

#define LAB_STATE_ALARMS_MAX 8

struct lab_state {
    unsigned nodes_answering;                  /* cluster-cfgds that answered */
    struct lab_view_replica replica[LAB_NICS]; /* by order of the cluster file */
    size_t alarm_count;                        /* of all nodes together */
    char alarms[LAB_STATE_ALARMS_MAX][192];    /* "node: code: text", the first ones */
    char crash[96]; /* a program that its own fault ended, as its nicd says; "" = none */
};

/* Writes the cluster file, forms the cluster (certificates, genesis) and starts its nodes.
 * What still runs in the same directory is ended first. */
enum ts_err lab_pair_up(struct lab_pair *p, const struct lab_pair_config *config,
                        struct ts_why *why) TS_MUST_USE;
/* Ends all nodes. No error when some do not run. */
enum ts_err lab_pair_down(struct lab_pair *p, struct ts_why *why);

/* A network number whose addresses and ports are free now, from `first` on; 0 when none is. */
unsigned lab_pair_free_net(unsigned first);

/* The clients' addresses of both NICs, the first NIC's first. */
struct lab_addrs lab_pair_addrs(const struct lab_pair *p);
const char *lab_pair_node(const struct lab_pair *p, unsigned index);

/* Asks every node that runs. Never fails: what does not answer is not known. */
void lab_pair_state(const struct lab_pair *p, struct lab_state *s);

/* Index of the NIC whose replica says it is primary in the highest epoch; -1 when none does. */
int lab_state_primary(const struct lab_state *s);
/* The highest epoch that any replica knows. */
uint64_t lab_state_epoch(const struct lab_state *s);
/* Whether an alarm of this code stands at any node ("divergence", "voter-lost", …). */
bool lab_state_has_alarm(const struct lab_state *s, const char *code);
/* Whether every node answers, a primary serves with all members in sync and required, the other
 * replica knows it, and no alarm stands. */
bool lab_state_redundant(const struct lab_state *s);
/* The same when all alarms whose code begins with `code` do not count; NULL: all count. */
bool lab_state_redundant_but(const struct lab_state *s, const char *code);

/* Asks again and again until lab_state_redundant; false after `timeout_ms`. `s` is the last. */
bool lab_pair_wait_redundant(const struct lab_pair *p, unsigned timeout_ms, struct lab_state *s);
/* One line on each replica, for messages. */
void lab_state_text(const struct lab_pair *p, const struct lab_state *s, char *out, size_t cap);

#endif

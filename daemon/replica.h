/* The replica process: one replica of one group, composed of the replication core, the
 * journal, the links to its peers and to the voters, the service and its front-end.
 *
 * Everything runs on one loop. Events come from the loop's callbacks and go into
 * replicator/io/perform_replica.h, which the simulator shares; its tables (replica_perform.c) act
 * through the parts below and never call back into it. Files: replica_main.c (start, stop, turn),
 * replica_perform.c (the tables), replica_register.c (links to the voters), replica_service.c
 * (front-end), replica_latency.c (its stages), replica_users.c, replica_peers.c (peers; its rules:
 * replica_evidence.c), replica_clients.c (clients of the service address; its rules:
 * address_clients.c), replica_report.c (status, traces). */
#ifndef DAEMON_REPLICA_H
#define DAEMON_REPLICA_H

#include <uv.h>

#include "base/exit.h"
#include "cluster-cfg/io/voter_client.h"
#include "cluster-cfg/report.h"
#include "daemon/address_clients.h"
#include "daemon/args.h"
#include "daemon/replica_address.h"
#include "daemon/replica_evidence.h"
#include "daemon/replica_latency.h"
#include "net/unix_dgram.h"
#include "replicator/io/journal.h"
#include "replicator/io/links.h"
#include "replicator/io/perform_replica.h"
#include "services/io/front.h"

/* Batches ordered and not yet answered: at most the log window's. */
#define REPLICA_WAITING_MAX 65536
#define REPLICA_PATH_MAX 512

/* Client commands of one batch, waiting for their replies. */
struct replica_waiting {
    struct ts_seq first;
    uint64_t count;
    uint64_t token; /* of the first */
};

/* What this replica knows of one peer besides the links. */
struct replica_peer {
    struct ts_nic_id nic;
    struct replica_evidence evidence;
};

/* The clients of the service address, here and at the peers. */
struct replica_clients {
    bool v6;
    bool closing;            /* the visitors are being closed: nobody is told of it */
    bool due;                /* this replica serves since nicd was told last that it does */
    struct ts_mono close_at; /* the visitors of a replica that serves no more are closed then */
    struct ts_mono say_at;   /* the peers are told next then, if there is anything */
    struct address_resets resets; /* of the peers' clients */
    struct address_clients own;   /* who is connected here */
    struct {
        struct ts_nic_id nic;
        struct address_spread spread; /* of `own` */
    } peers[TS_MEMBERS_MAX];
    /* What the peer of index i told: 2 * i, and on a link before: 2 * i + 1. */
    struct address_clients *told[2 * TS_MEMBERS_MAX];
    uint8_t count;                   /* of peers */
    struct address_clients tables[]; /* those of `told` */
};

struct replica {
    struct daemon_start *start; /* command line, cluster, node, group, log */
    uv_loop_t loop;
    struct net_turn turn;
    struct net_tls tls;
    struct ts_instance instance;
    char data_dir[REPLICA_PATH_MAX];
    char group_dir[REPLICA_PATH_MAX];

    /* replication */
    struct perform_replica p; /* what the simulator shares */
    struct repl *core;
    struct links *links;

    /* register */
    struct voter_client *voters;
    struct ts_nic_id voter_ids[TS_VOTERS_MAX];
    uint8_t voter_count;
    struct ts_mono voters_away_at; /* no majority of them answers since then; 0 = one does */
    bool voters_away;              /* … for so long that people must know */
    struct ts_mono voter_lost_at;  /* one of them has no link since then; 0 = all have */
    bool voter_lost;               /* … for so long */

    /* service */
    struct front *front;
    bool has_sessions;                 /* of clients, in the service's state */
    struct net_tls_server *client_tls; /* NULL = clients speak plainly */
    size_t users;                      /* that the front-end knows; 0 = its port is open */
    struct replica_waiting *waiting;   /* ring of REPLICA_WAITING_MAX */
    size_t waiting_head;
    size_t waiting_count;
    bool status_changed;
    bool holding;               /* clients' commands wait for the takeover, … */
    struct ts_mono hold_until;  /* … at most until then; 0 = it does not take over */
    struct report_handoff wish; /* of the operator's; group 0 = none, or the core has it */
    bool handed_over;           /* … and has done so since this was primary last */
    bool submit_busy;           /* the window was full: the front-end offers again after progress */

    /* peers and reports */
    struct net_dgram dgram; /* DIR/run/replica-GROUP.sock */
    char cfgd_path[NET_DGRAM_PATH_MAX];
    char nicd_path[NET_DGRAM_PATH_MAX]; /* "": the group has no service address */
    struct replica_address address;     /* what it is told */
    struct replica_clients *clients;    /* owned; NULL: the group has no service address */
    size_t peer_count;
    struct replica_peer peers[TS_MEMBERS_MAX];
    struct report_trace traces;
    struct ts_mono report_at;
    uint64_t requests_total;
    uint64_t rejected_reports;
    struct ts_mono figures_at;         /* the next report of … */
    uint64_t counted[REPORT_COUNTERS]; /* … what is counted here; the rest is asked for then */
    struct replica_latency latency;

    uv_timer_t timer;
    struct ts_mono timer_at;
    struct ts_mono watch_at; /* next look at the detectors */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    uv_signal_t sighup;
    int exit_status;
};

/* Feeds one event to the core and performs what follows. */
void replica_feed(struct replica *r, struct repl_event *ev);

/* replica_perform.c */
extern const struct perform_table replica_perform_table;
extern const struct perform_ops replica_perform_ops;
enum ts_err replica_begin(void *arg, const char *dir, const struct journal_info *info,
                          struct journal_start *from, struct ts_why *why);
enum ts_err replica_replay(void *arg, const struct journal_batch *batch, struct ts_seq commit,
                           struct ts_why *why);
/* The last words leave, and the process ends. */
void replica_end(struct replica *r);

/* For journal_callbacks; `arg` is the replica. */
void replica_persisted(void *arg, struct ts_seq seq);
void replica_truncated(void *arg, struct ts_seq after);
void replica_record_persisted(void *arg, uint64_t token);
void replica_disk_failed(void *arg, enum ts_err err, const char *text);
void replica_disk_repaired(void *arg, bool mended);

/* replica_register.c */
enum ts_err replica_register_open(struct replica *r, struct ts_why *why) TS_MUST_USE;
void replica_register_send(struct replica *r, uint8_t voter, const struct reg_msg *msg);
/* Marks the disk and ends. */
void replica_register_refused(struct replica *r, uint64_t registered);
/* Another disk was enrolled in the place of this one (adr/0022): the same. */
void replica_register_replaced(struct replica *r);
/* Notes how long no majority of voters has answered. */
void replica_register_watch(struct replica *r, struct ts_mono now);

/* replica_service.c */
enum ts_err replica_service_open(struct replica *r, struct ts_why *why) TS_MUST_USE;
/* Listens for clients. Last of all: the kernel takes connections from here on, and who comes waits
 * until the loop runs. */
enum ts_err replica_service_listen(struct replica *r, struct ts_why *why) TS_MUST_USE;
void replica_service_turn(struct replica *r, struct ts_mono now);
struct ts_mono replica_service_deadline(const struct replica *r, struct ts_mono now);
/* Hands the output of a client's command to the front-end, which knows its connection. */
void replica_service_release(struct replica *r, struct ts_seq seq, struct ts_bytes out);
/* Notes which commands all other required replicas have acknowledged. */
void replica_service_look_at_acks(struct replica *r, struct ts_mono now);
/* Has the front-end offer what was busy again; after anything that may have made room. */
void replica_service_resume(struct replica *r);
void replica_service_close_pending(struct replica *r);
/* The operator wants this primary to hand over: first what the front-end has taken in is ordered.
 */
void replica_service_wish(struct replica *r, const struct report_handoff *wish);
void replica_service_publish_status(struct replica *r, struct ts_mono now);

/* replica_users.c */
/* Loads the certificate for clients' connections again; when that fails the old one stays. */
void replica_client_tls_renew(struct replica *r);
enum ts_err replica_users_open(struct replica *r, struct ts_why *why) TS_MUST_USE;
/* Reads the users again; when that fails they stay as they are, and the log says so. */
void replica_users_renew(struct replica *r);

/* replica_peers.c */
enum ts_err replica_peers_open(struct replica *r, struct ts_why *why) TS_MUST_USE;
/* False: it cannot, and the process ends. */
bool replica_peers_open_links(struct replica *r);
/* Looks at the detectors. `read_to`: what the peers had sent by then has been read. */
void replica_peers_tick(struct replica *r, struct ts_mono read_to);
/* Tells nicd what it must know for the service address, when that is due. */
void replica_peers_tell_nicd(struct replica *r, struct ts_mono now);

/* replica_clients.c; without a service address these do nothing. */
enum ts_err replica_clients_open(struct replica *r, struct ts_why *why) TS_MUST_USE;
/* For front_owner.visitor. */
void replica_clients_visitor(struct replica *r, uint32_t place, const struct sockaddr *client);
/* A session with the peer begins: it is told all. */
void replica_clients_link_up(struct replica *r, struct ts_nic_id peer);
/* A frame of ADDRESS_CLIENTS_FRAME. False: it is malformed. */
bool replica_clients_frame(struct replica *r, struct ts_nic_id peer, struct ts_bytes payload);
/* nicd is about to be told whether this replica serves, which has changed. */
void replica_clients_serves(struct replica *r, bool serves, struct ts_mono now);
/* Ends the connections at the service address. */
void replica_clients_close(struct replica *r);
/* nicd was told that this replica serves and was confirmed: it has the address if it can. */
void replica_clients_confirmed(struct replica *r, struct ts_mono now);
/* Tells peers and nicd what is due. */
void replica_clients_turn(struct replica *r, struct ts_mono now);
struct ts_mono replica_clients_deadline(const struct replica *r);
/* Before this process ends, and its clients with it: waits, not for long, until nicd has taken the
 * service address away. They would be told otherwise, and knock where nobody is. */
void replica_clients_leave(struct replica *r);

/* replica_report.c */
void replica_trace(struct replica *r, const struct ts_trace *t);
void replica_report_flush(struct replica *r, struct ts_mono now, bool at_once);
#define REPLICA_WHY_MAX 160
/* Why writes are refused for want of disk space, and what to do; "" when they are not. */
void replica_full(const struct replica *r, char out[REPLICA_WHY_MAX]);
/* Why this replica does not serve, for people: the core's reason, and the voters that are missing
 * when it is them it has been waiting for; "" when there is none. */
void replica_why(const struct replica *r, const struct repl_status *s, char out[REPLICA_WHY_MAX]);

#endif

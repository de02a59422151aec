/* Formation: how a cluster comes to be, once, and never twice.
 *
 * RUN/genesis.json   the incarnations of all replicas and voters, minted once, written durably
 * before anything is formatted with them. It is also a record of who has which id. RUN/formed names
 * of the nodes whose formatting was completed from this RUN directory, written before any of them
 * is started NODE/voter, NODE/groups/GROUP   formatted in one step each (base/io: staged
 * directories) NODE/formatted     the marker of a completed node, written last
 *
 * A NIC whose disk was lost gets new incarnations for its replicas (adr/0022): the genesis notes
 * them, with those that they replace, before anything is formatted. So it is with its voter, or an
 * arbiter's: that disk's registers are blank until the other voters have them filled (adr/0029).
 *
 * What a crash leaves is completed by the next call with the same incarnations. What must not
 * happen is refused with a sentence: data of nodes without a genesis (minting a second one could
 * bring two clusters' votes together), data of another genesis, a cluster file whose ids moved,
 * and a blank directory of a node that was formed before (a blank disk is never an initial
 * value).
 *
 * Everything blocks; for the command line. Programs that run a node never format. */
#ifndef CLUSTER_CFG_IO_FORMAT_H
#define CLUSTER_CFG_IO_FORMAT_H

#include "base/ids.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "cluster-cfg/voter.h"

#define FORMAT_GENESIS_VERSION 1

/* The disks of a cluster at its formation. All fields of members that exist are non-zero. */
struct format_genesis {
    struct ts_incarnation voter[TS_NODES_MAX];                    /* by index in cluster.nodes */
    struct ts_incarnation replica[TS_GROUPS_MAX][TS_MEMBERS_MAX]; /* by group, index in its nics */
    /* Of nodes whose disk was replaced, by the newest one, else 0 and false. */
    struct ts_incarnation replaces[TS_GROUPS_MAX][TS_MEMBERS_MAX];
    struct reg_places voter_replaces[TS_NODES_MAX]; /* and by those before it */
    bool replacing[TS_NODES_MAX];                   /* begun, and not complete */
    /* By group: the epoch that it begins with. 1, or above all that a group whose state was
     * restored may have had (format_epoch_restored). */
    struct ts_epoch epoch[TS_GROUPS_MAX];
};

/* A group whose state is restored begins with an epoch that tells the time, Unix microseconds
 * (adr/0021): at least this, which no formation without a backup comes to, … */
#define FORMAT_EPOCH_RESTORED (1ULL << 32)
/* … and below this, so that it and what follows are numbers to every client. */
#define FORMAT_EPOCH_MAX (1ULL << 62)

/* What such an epoch is chosen by. */
struct format_restored {
    struct ts_epoch old; /* as the backup has it */
    uint64_t taken_us;   /* Unix time of the backup, microseconds, … */
    uint64_t now_us;     /* … and of now */
    bool has_above;      /* somebody says that epochs went up to `above`: the clock need not know */
    struct ts_epoch above;
};
/* The epoch: above what the backup has, and what any restore before this moment was given. Pure.
 * TS_ERR_CONFIG: the clock can not be right. TS_ERR_LIMIT: not below FORMAT_EPOCH_MAX. */
enum ts_err format_epoch_restored(const struct format_restored *by, struct ts_epoch *out,
                                  struct ts_why *why) TS_MUST_USE;

/* A replica's disk as it is to be. */
struct format_replica {
    struct ts_incarnation incarnation;
    struct ts_incarnation replaces; /* whose place it takes; 0: nobody's */
    struct ts_group_id group;
    struct ts_epoch floor; /* it acknowledges nothing below; 0: it has promised nothing */
};

/* What formation is given by its caller, since this folder stands below the replicator's. */
struct format_env {
    /* Formats a replica's journal in `dir` in one step, with DIR/record a slot file that bears
     * `want->incarnation`. TS_ERR_EXISTS: formatted already, left untouched. */
    enum ts_err (*replica)(const char *dir, const struct format_replica *want, struct ts_why *why);
    /* Called before each durable step, for tests that end the process there; NULL = none. */
    void (*step)(void *arg, const char *what);
    void *arg;
};

/* Reads RUN/genesis.json and checks it against the cluster: same name, same ids of the same
 * nodes, same groups with the same members.
 * TS_ERR_NOT_FOUND: no genesis. TS_ERR_CORRUPT: damaged. TS_ERR_VERSION. TS_ERR_CONFIG: another
 * cluster, or a change that formation cannot take. TS_ERR_NOMEM, TS_ERR_IO, TS_ERR_SYSTEM. */
enum ts_err format_genesis_load(const char *run, const struct cfg_cluster *cluster,
                                struct format_genesis *out, struct ts_why *why) TS_MUST_USE;

/* Mints a genesis and writes it durably. RUN is made when missing. `epochs` (by group) may be NULL:
 * each begins with 1.
 * TS_ERR_EXISTS: there is one, or RUN holds data of a node (left untouched). */
enum ts_err format_genesis_mint(const char *run, const struct cfg_cluster *cluster,
                                const struct ts_epoch *epochs, struct format_genesis *out,
                                const struct format_env *env, struct ts_why *why) TS_MUST_USE;

/* The register value of a group that formation stores (the first NIC primary, all in sync). */
struct cfg_config format_first_config(const struct cfg_cluster *cluster,
                                      const struct format_genesis *genesis,
                                      const struct cfg_group *group);

/* Makes NODE complete, RUN/NAME: directories, voter, replicas, marker. Takes NODE's lock for
 * the while. Nothing is done to a node that is complete.
 * TS_ERR_BUSY: the node runs. TS_ERR_EXISTS: data of another genesis is there (left untouched).
 * TS_ERR_NOT_FOUND: the node was formed before and its data is gone: a blank disk. */
enum ts_err format_node(const char *run, const struct cfg_cluster *cluster,
                        const struct format_genesis *genesis, const struct cfg_node *node,
                        const struct format_env *env, struct ts_why *why) TS_MUST_USE;

/* What the groups' registers list of a node, where that is known; 0: it is what the genesis has.
 * Groups may list different disks of its voter: one is told at most, and the new disk is for
 * the place of any that the genesis knows, too. */
struct format_listed {
    struct ts_incarnation replica[TS_GROUPS_MAX];
    struct ts_incarnation voter;
};

/* Prepares the replacement of the lost disk of a NIC or an arbiter: mints new incarnations for its
 * replicas and its voter, and notes them in RUN/genesis.json and in `genesis`; as it was before,
 * that file is kept as RUN/genesis-before-N.json. format_node makes the directory then. Called
 * again before that is complete it goes on with what was minted. With `dry` nothing is written.
 * format_replace_finish notes that the directory is complete, before the node is started.
 *
 * TS_ERR_EXISTS: the NIC's directory holds data. TS_ERR_REFUSED: it was not formed.
 * TS_ERR_IO, TS_ERR_NOMEM. */
enum ts_err format_replace(const char *run, const struct cfg_cluster *cluster,
                           struct format_genesis *genesis, const struct cfg_node *node,
                           const struct format_listed *listed, bool dry,
                           const struct format_env *env, struct ts_why *why) TS_MUST_USE;

enum ts_err format_replace_finish(const char *run, const struct cfg_cluster *cluster,
                                  struct format_genesis *genesis, const struct cfg_node *node,
                                  const struct format_env *env, struct ts_why *why) TS_MUST_USE;

/* Notes durably that these nodes were formed here: from now on a blank one is refused. */
enum ts_err format_finish(const char *run, const struct cfg_cluster *cluster,
                          const bool formed[TS_NODES_MAX], const struct format_env *env,
                          struct ts_why *why) TS_MUST_USE;

/* Whether RUN/formed names the node: its formation was completed. Errors of base/io/files.h. */
enum ts_err format_is_noted(const char *run, const struct cfg_node *node, bool *out,
                            struct ts_why *why) TS_MUST_USE;

/* Whether NODE bears the marker of a completed formation. */
bool format_node_is_complete(const char *run, const struct cfg_node *node);

#endif

/* The standing links to the voters, for perform_register.c. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "daemon/replica.h"

/* So many failure-timeouts without a majority of voters are no passing matter: links that are being
 * made at a start take a few milliseconds, and a takeover's rounds, too. */
#define VOTERS_AWAY_TIMEOUTS 3

void replica_register_send(struct replica *r, uint8_t voter, const struct reg_msg *msg)
{
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(msg, &w);
    ts_assert(!w.failed && voter < r->voter_count);
    /* A link that refuses is closing: VOTER_UP re-sends what is outstanding. */
    enum ts_err ignored = voter_client_send(r->voters, r->voter_ids[voter], (uint8_t)msg->type,
                                            (struct ts_bytes){bytes, w.len});
    (void)ignored;
}

/* The refusal is marked on the disk: it holds also when nobody who knows better is left (R1.8). */
void replica_register_refused(struct replica *r, uint64_t registered)
{
    char reason[96];
    (void)snprintf(reason, sizeof(reason),
                   "it was started %" PRIu64 " times, the voters know of start %" PRIu64,
                   r->p.registration.cfg.start.start, registered);
    ts_dir_refuse(r->group_dir, reason);
    net_log(
        &r->start->log, NET_LOG_ERROR,
        "the disk in %s is a clone or a rolled-back image: %s; this replica does not start. Put "
        "the original directory back in its place, or remove it and enrol a blank disk",
        r->group_dir, reason);
    r->exit_status = TS_EXIT_CONFIG;
    uv_stop(&r->loop);
}

void replica_register_replaced(struct replica *r)
{
    const char *reason = "another disk was enrolled in its place (twinstep nic replace)";
    ts_dir_refuse(r->group_dir, reason);
    net_log(&r->start->log, NET_LOG_ERROR,
            "the disk in %s is not used any more: %s; this replica does not start with it again. "
            "Put the new disk's directory in its place",
            r->group_dir, reason);
    replica_report_flush(r, net_now(), true);
    r->exit_status = TS_EXIT_CONFIG;
    uv_stop(&r->loop);
}

static bool voter_index(const struct replica *r, struct ts_nic_id voter, uint8_t *out)
{
    for (uint8_t i = 0; i < r->voter_count; i++) {
        if (ts_nic_eq(r->voter_ids[i], voter)) {
            *out = i;
            return true;
        }
    }
    return false;
}

static void on_voter_up(void *arg, struct ts_nic_id voter, const struct net_hello *hello)
{
    struct replica *r = arg;
    uint8_t i;
    if (voter_index(r, voter, &i)) {
        perform_register_voter(&r->p, i, true, hello->incarnation, net_now());
    }
}

/* The operator is told by cluster-cfgd, whose own links may be well. */
static void on_voter_refused(void *arg, struct ts_nic_id voter, const char *why, const char *detail)
{
    struct replica *r = arg;
    struct report_refused refused = {.nic = r->start->node->id, .peer = voter};
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    (void)snprintf(refused.why, sizeof(refused.why), "%s", why);
    (void)snprintf(refused.detail, sizeof(refused.detail), "%s", detail);
    if (report_refused_encode(&refused, &w) == TS_OK) {
        /* A lost one does not matter: the next attempt sends it again. */
        (void)net_dgram_send(&r->dgram, r->cfgd_path, (struct ts_bytes){bytes, w.len});
    }
}

static void on_voter_down(void *arg, struct ts_nic_id voter)
{
    struct replica *r = arg;
    uint8_t i;
    if (voter_index(r, voter, &i)) {
        perform_register_voter(&r->p, i, false, (struct ts_incarnation){0}, net_now());
    }
}

static void on_voter_frame(void *arg, struct ts_nic_id voter, uint8_t type, struct ts_bytes payload)
{
    struct replica *r = arg;
    uint8_t i;
    if (!voter_index(r, voter, &i)) {
        return;
    }
    if (perform_register_frame(&r->p, i, type, payload, net_now()) != TS_OK) {
        net_log_limited(&r->start->log, NET_LOG_WARNING, "voter-frame",
                        "voter on node %u sent a malformed frame of type %u: ignored", voter.v,
                        type);
    }
}

/* Whether something is not well for so long that people must know: voters that are being connected
 * to, behind a start of this replica or of theirs, are no news. */
static bool is_late(const struct replica *r, bool well, struct ts_mono *since, struct ts_mono now)
{
    if (well) {
        since->ns = 0;
    } else if (since->ns == 0) {
        *since = now;
    }
    uint64_t late = VOTERS_AWAY_TIMEOUTS * r->start->cluster.timing.failure_timeout;
    return !well && ts_mono_since(*since, now) >= late;
}

void replica_register_watch(struct replica *r, struct ts_mono now)
{
    const struct proposer *p = &r->p.proposer;
    bool answers = proposer_answering(p, now) >= proposer_majority(p);
    bool all = proposer_connected(p) >= r->voter_count;
    bool away = is_late(r, answers, &r->voters_away_at, now);
    bool lost = is_late(r, all, &r->voter_lost_at, now);
    r->status_changed = r->status_changed || away != r->voters_away || lost != r->voter_lost;
    r->voters_away = away;
    r->voter_lost = lost;
}

enum ts_err replica_register_open(struct replica *r, struct ts_why *why)
{
    const struct cfg_cluster *cluster = &r->start->cluster;
    const struct journal_info *info = journal_info(r->p.journal);
    uint64_t seed;
    r->voter_count = (uint8_t)cfg_cluster_voters(cluster, r->voter_ids);
    enum ts_err err = net_random_u64(&seed);
    if (err != TS_OK) {
        return err;
    }
    struct start_config sc = {
        .start = {.owner = {.kind = REG_OWNER_REPLICA,
                            .group = r->start->group->id,
                            .node = r->start->node->id},
                  .incarnation = info->incarnation,
                  .start = info->start_number,
                  .instance = info->start_instance},
        .voters = r->voter_count,
        .self = START_NO_SELF,
        .retry_ns = cluster->timing.proposer_retry,
    };
    struct proposer_config pc = {
        .reg = r->start->group->id.v,
        .self = r->start->node->id,
        .instance = r->instance,
        .generation = 1,
        .voters = r->voter_count,
        .retry_ns = cluster->timing.proposer_retry,
        .seed = seed,
    };
    struct voter_client_config vc = {
        .env = {.loop = &r->loop, .turn = &r->turn, .log = &r->start->log, .tls = &r->tls},
        .cluster = cluster,
        .self = r->start->node->id,
        .group = r->start->group->id,
        .instance = r->instance,
        .incarnation = info->incarnation,
        .start = info->start_number,
        .events = {.on_up = on_voter_up,
                   .on_down = on_voter_down,
                   .on_frame = on_voter_frame,
                   .on_refused = on_voter_refused},
        .arg = r,
    };
    err = voter_client_open(&vc, &r->voters, why);
    if (err == TS_OK) {
        perform_register_open(&r->p, &sc, &pc, net_now());
    }
    return err;
}

/* What must hold, apart from the load: every applied entry, every released output, every durable
 * record of a voter and every answer come by here. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "replicator/state.h"
#include "tests/sim/sim.h"

void sim_check_reset(struct sim *s)
{
    struct sim_checks *c = &s->checks;
    struct sim_checks old = *c;
    if (old.request != NULL) {
        memset(old.request, 0, old.request_cap * sizeof(*old.request));
    }
    *c = (struct sim_checks){.entry = old.entry,
                             .entry_cap = old.entry_cap,
                             .request = old.request,
                             .request_cap = old.request_cap,
                             .value = old.value,
                             .value_cap = old.value_cap};
    c->decided = s->genesis;
    c->nonce[s->genesis.epoch.v] = s->genesis.nonce + 1;
}

void sim_check_free(struct sim *s)
{
    free(s->checks.entry);
    free(s->checks.request);
    free(s->checks.value);
    for (int n = 0; n <= SIM_NODES_MAX; n++) {
        free(s->node[n].replica.has);
    }
}

/* ---- entries -------------------------------------------------------------------------------- */

static struct sim_entry *entry_at(struct sim_checks *c, uint64_t seq)
{
    if (seq >= c->entry_cap) {
        c->entry_cap = c->entry_cap == 0 ? 8192 : 2 * c->entry_cap;
        c->entry = realloc(c->entry, c->entry_cap * sizeof(*c->entry));
        ts_assert(c->entry != NULL && seq < c->entry_cap);
    }
    return &c->entry[seq];
}

static struct sim_request *request_at(struct sim_checks *c, uint64_t id)
{
    if (id >= c->request_cap) {
        size_t cap = 2 * id < 8192 ? 8192 : 2 * id;
        c->request = realloc(c->request, cap * sizeof(*c->request));
        ts_assert(c->request != NULL && id < cap);
        memset(c->request + c->request_cap, 0, (cap - c->request_cap) * sizeof(*c->request));
        c->request_cap = cap;
    }
    return &c->request[id];
}

void sim_check_ordered(struct sim *s, uint64_t id, uint32_t record)
{
    *request_at(&s->checks, id) = (struct sim_request){.ordered_at = s->now, .record = record};
}

void sim_check_refused(struct sim *s, uint64_t id)
{
    request_at(&s->checks, id)->refused = true;
}

/* A client's request is executed once, however often it is ordered (R2.12). */
static void note_executed(struct sim *s, int node, const struct svc_entry *e)
{
    const struct svc_out *out = &s->node[node].replica.p.out;
    struct sim_record *rec = &s->load.record[request_at(&s->checks, e->request)->record];
    if (!sim_session_executes(s, e, (struct ts_bytes){out->data, out->len}, rec)) {
        return;
    }
    if (rec->refused) {
        sim_fail(s, SIM_CHECK_REFUSED,
                 "request %llu of client %u is known not to be executed, and is at seq %llu",
                 (unsigned long long)rec->id, rec->client, (unsigned long long)e->seq.v);
    }
    if (rec->done_by != 0) {
        sim_fail(s, SIM_CHECK_TWICE, "request %llu was executed at seq %llu, and again at %llu",
                 (unsigned long long)rec->id, (unsigned long long)rec->done_at,
                 (unsigned long long)e->seq.v);
    }
    rec->done_by = e->request;
    rec->done_at = e->seq.v;
}

/* The first replica that applies a position says what stands there. */
static void note_entry(struct sim *s, int node, const struct svc_entry *e,
                       const struct sim_entry *mine)
{
    struct sim_checks *c = &s->checks;
    uint64_t seq = e->seq.v;
    if (seq != c->entries + 1) {
        sim_fail(s, SIM_CHECK_ORDER, "%s applied seq %llu before anyone applied %llu",
                 sim_node_name(s, node), (unsigned long long)seq,
                 (unsigned long long)c->entries + 1);
    }
    if (seq > 1 && e->time.ns < entry_at(c, seq - 1)->time) {
        sim_fail(s, SIM_CHECK_TIME, "logical time went back at seq %llu", (unsigned long long)seq);
    }
    struct sim_request *request = request_at(c, mine->id);
    if (request->refused) {
        sim_fail(s, SIM_CHECK_REFUSED, "request %llu was refused, and executed at seq %llu",
                 (unsigned long long)mine->id, (unsigned long long)seq);
    }
    if (mine->id != 0 && request->committed) {
        sim_fail(s, SIM_CHECK_TWICE, "request %llu was executed twice, the second time at seq %llu",
                 (unsigned long long)mine->id, (unsigned long long)seq);
    }
    for (uint64_t skipped = c->entries + 1; skipped < seq; skipped++) {
        *entry_at(c, skipped) = (struct sim_entry){0};
    }
    *entry_at(c, seq) = *mine;
    request->committed = true;
    c->entries = seq;
    if (mine->id != 0) {
        note_executed(s, node, e);
    }
    sim_clock_applied(s, e);
}

void sim_check_begins(struct sim_replica *r)
{
    r->applied_to = 0;
    if (r->has != NULL) {
        memset(r->has, 0, r->has_bytes);
    }
}

static bool has(const struct sim_replica *r, uint64_t id)
{
    return id / 8 < r->has_bytes && (r->has[id / 8] >> (id % 8) & 1) != 0;
}

static void note_request(struct sim_replica *r, uint64_t id)
{
    if (id / 8 >= r->has_bytes) {
        size_t bytes = id < 1024 ? 1024 : id / 4;
        r->has = realloc(r->has, bytes);
        ts_assert(r->has != NULL && id / 8 < bytes);
        memset(r->has + r->has_bytes, 0, bytes - r->has_bytes);
        r->has_bytes = bytes;
    }
    r->has[id / 8] = (uint8_t)(r->has[id / 8] | 1U << (id % 8));
}

/* What a process's own state was given, whatever others applied: each entry once, in order. */
static void note_own(struct sim *s, int node, const struct svc_entry *e)
{
    struct sim_replica *r = &s->node[node].replica;
    if (e->request != 0 && has(r, e->request)) {
        sim_fail(s, SIM_CHECK_TWICE, "%s executed request %llu twice, the second time at seq %llu",
                 sim_node_name(s, node), (unsigned long long)e->request,
                 (unsigned long long)e->seq.v);
    }
    if (e->seq.v != r->applied_to + 1) {
        sim_fail(s, SIM_CHECK_ORDER, "%s applied seq %llu after %llu", sim_node_name(s, node),
                 (unsigned long long)e->seq.v, (unsigned long long)r->applied_to);
    }
    r->applied_to = e->seq.v;
    if (e->request != 0) {
        note_request(r, e->request);
    }
}

void sim_check_goes_on(struct sim *s, int node, const struct repl_mark *mark)
{
    struct sim_replica *r = &s->node[node].replica;
    struct sim_checks *c = &s->checks;
    uint64_t seq = mark->pos.seq.v;
    if (seq > c->entries) {
        sim_fail(s, SIM_CHECK_SNAPSHOT,
                 "%s has a snapshot up to seq %llu; %llu entries were applied",
                 sim_node_name(s, node), (unsigned long long)seq, (unsigned long long)c->entries);
        return;
    }
    const struct sim_entry *last = entry_at(c, seq);
    if (last->time != mark->time.ns || last->epoch.v != mark->epoch.v) {
        sim_fail(s, SIM_CHECK_SNAPSHOT, "a snapshot of %s has another time or epoch at seq %llu",
                 sim_node_name(s, node), (unsigned long long)seq);
    }
    r->digest = last->digest;
    r->applied_to = seq;
    for (uint64_t n = 1; n <= seq; n++) {
        if (entry_at(c, n)->id != 0) {
            note_request(r, entry_at(c, n)->id);
        }
    }
}

void sim_check_applied(struct sim *s, int node, const struct svc_entry *e)
{
    note_own(s, node, e);
    struct sim_entry mine = {.id = e->request,
                             .epoch = e->epoch,
                             .time = e->time.ns,
                             .payload = ts_hash_bytes(e->payload.data, e->payload.len),
                             .digest = s->node[node].replica.digest};
    if (e->seq.v > s->checks.entries) {
        note_entry(s, node, e, &mine);
        return;
    }
    const struct sim_entry *known = entry_at(&s->checks, e->seq.v);
    if (known->id != mine.id || known->epoch.v != mine.epoch.v || known->time != mine.time ||
        !ts_hash_eq(known->payload, mine.payload)) {
        sim_fail(s, SIM_CHECK_AGREEMENT,
                 "%s applied request %llu (epoch %llu) at seq %llu, another replica %llu (epoch "
                 "%llu)",
                 sim_node_name(s, node), (unsigned long long)mine.id,
                 (unsigned long long)mine.epoch.v, (unsigned long long)e->seq.v,
                 (unsigned long long)known->id, (unsigned long long)known->epoch.v);
    }
    if (!ts_hash_eq(known->digest, mine.digest)) {
        sim_fail(s, SIM_CHECK_DIGEST, "%s has other results than another replica at seq %llu",
                 sim_node_name(s, node), (unsigned long long)e->seq.v);
    }
}

/* ---- outputs -------------------------------------------------------------------------------- */

void sim_check_released(struct sim *s, int node, const struct svc_entry *entry,
                        struct ts_epoch epoch)
{
    struct sim_checks *c = &s->checks;
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    struct ts_epoch leads = s->node[node].replica.core->config.epoch;
    ts_assert(epoch.v < SIM_EPOCHS_MAX);
    if (epoch.v != leads.v) {
        sim_fail(s, SIM_CHECK_RELEASE, "%s leads in epoch %llu and released an output as of %llu",
                 sim_node_name(s, node), (unsigned long long)leads.v, (unsigned long long)epoch.v);
    }
    if (c->releaser[epoch.v] != 0 && c->releaser[epoch.v] != life) {
        sim_fail(s, SIM_CHECK_RELEASE, "two primaries released outputs in epoch %llu: %s is one",
                 (unsigned long long)epoch.v, sim_node_name(s, node));
    }
    if (c->nonce[epoch.v] == 0) {
        sim_fail(s, SIM_CHECK_RELEASE, "%s released outputs in epoch %llu, which was never decided",
                 sim_node_name(s, node), (unsigned long long)epoch.v);
    }
    c->releaser[epoch.v] = life;
    (void)entry;
    /* On its way it may be delayed for long, also beyond a failover. */
    uint64_t late = sim_chance_pm(s, 10) ? sim_us(s, 1000, 3000000) : sim_us(s, 50, 1000);
    sim_push(s, &(struct sim_event){
                    .kind = SIM_EV_CONSUMER, .at = s->now + late, .a = epoch.v, .b = entry->seq.v});
}

/* R2.7: a consumer with side effects refuses lower epochs and drops what it saw. */
void sim_check_consumer(struct sim *s, struct ts_epoch epoch, struct ts_seq seq)
{
    struct sim_checks *c = &s->checks;
    if (ts_epoch_lt(epoch, c->consumer_epoch) || !ts_seq_lt(c->consumer_seq, seq)) {
        c->consumer_refused++;
        return;
    }
    if (seq.v > c->entries || ts_epoch_lt(epoch, entry_at(c, seq.v)->epoch)) {
        sim_fail(s, SIM_CHECK_RELEASE, "an output of seq %llu in epoch %llu was never committed",
                 (unsigned long long)seq.v, (unsigned long long)epoch.v);
    }
    c->consumer_epoch = epoch;
    c->consumer_seq = seq;
    c->consumer_taken++;
}

void sim_check_role(struct sim *s, int node)
{
    const struct sim_replica *r = &s->node[node].replica;
    if (sim_replica_serves(s, node)) {
        return;
    }
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        if (r->waiting[i].used) {
            sim_fail(s, SIM_CHECK_CLOSED, "%s cannot answer any more, and client %u still waits",
                     sim_node_name(s, node), s->load.record[r->waiting[i].record].client);
        }
    }
}

void sim_check_answered(struct sim *s, struct sim_record *r, uint64_t position)
{
    struct sim_checks *c = &s->checks;
    bool stale = r->read ? position < r->floor : position <= r->floor;
    if (stale) {
        sim_fail(
            s, SIM_CHECK_STALE,
            "%s of client %u was answered at position %llu; %llu had been seen before it began",
            r->read ? "a read" : "a write", (unsigned)r->client, (unsigned long long)position,
            (unsigned long long)r->floor);
    }
    c->seen = position > c->seen ? position : c->seen;
}

/* ---- the register ---------------------------------------------------------------------------- */

/* R4.6: who is published had the same results as the primary when it became required. */
static void check_joined(struct sim *s, const struct cfg_config *cfg)
{
    const struct sim_replica *primary = &s->node[cfg->primary.v].replica;
    const struct repl *core = primary->core;
    struct ts_nic_id joins = core == NULL ? (struct ts_nic_id){0} : core->joining;
    if (joins.v == 0 || cfg_set_find(&cfg->in_sync, joins) == NULL ||
        cfg_set_find(&s->checks.decided.in_sync, joins) != NULL) {
        return;
    }
    const struct sim_replica *learner = &s->node[joins.v].replica;
    if (primary->flipped_at == learner->flipped_at && primary->flipped_by == learner->flipped_by) {
        return; /* both have the state that one of them had */
    }
    const uint64_t at[] = {primary->flipped_at, learner->flipped_at};
    for (size_t i = 0; i < 2; i++) {
        if (at[i] != 0 && at[i] <= core->joining_from.v) {
            sim_fail(s, SIM_CHECK_DIGEST, "%s is in sync again: at seq %llu its results differed",
                     sim_node_name(s, joins.v), (unsigned long long)at[i]);
        }
    }
}

/* R5.2: who is in sync when a suspect comes is a witness, and stays so. */
static void check_suspected(struct sim *s, const struct cfg_config *from,
                            const struct cfg_config *to)
{
    if (from->suspect.v == 0 && to->suspect.v != 0 && !cfg_set_eq(&from->in_sync, &to->in_sync)) {
        sim_fail(s, SIM_CHECK_DIGEST, "epoch %llu brings a suspect, and drops who disagrees",
                 (unsigned long long)to->epoch.v);
    }
}

/* R5.2: the suspect goes when two have replayed their logs, or the only one has. */
static void check_cleared(struct sim *s, const struct cfg_config *from, const struct cfg_config *to)
{
    size_t told = 0;
    if (from->suspect.v == 0 || to->suspect.v != 0) {
        return;
    }
    for (size_t i = 0; i < from->in_sync.count; i++) {
        int n = from->in_sync.r[i].nic.v;
        const struct repl *c = s->node[n].replica.core;
        told += ts_seq_eq(s->checks.replayed[n], from->suspect) ||
                (c != NULL && c->replayed && ts_seq_eq(c->replay_of, from->suspect));
    }
    if (told < 2 && told < from->in_sync.count) {
        sim_fail(s, SIM_CHECK_DIGEST, "epoch %llu takes a suspect away, and %zu have replayed",
                 (unsigned long long)to->epoch.v, told);
    }
}

/* A ballot's value is decided: a majority of voters has it on disk. The history is a chain: each
 * value is the one before, or its successor. */
static void decided(struct sim *s, struct reg_ballot ballot, const struct cfg_config *cfg)
{
    struct sim_checks *c = &s->checks;
    uint64_t e = cfg->epoch.v;
    ts_assert(e < SIM_EPOCHS_MAX);
    if (c->nonce[e] != 0 && c->nonce[e] != cfg->nonce + 1) {
        sim_fail(s, SIM_CHECK_REGISTER, "two configs with epoch %llu were decided",
                 (unsigned long long)e);
    }
    for (uint64_t i = 0; i < SIM_DEFEATED_MAX && i < c->defeated_count; i++) {
        if (c->nonce[e] == 0 && c->defeated[i].epoch.v == e && c->defeated[i].nonce == cfg->nonce) {
            sim_fail(s, SIM_CHECK_REGISTER, "epoch %llu was decided after its proposer lost",
                     (unsigned long long)e);
        }
    }
    bool newest = reg_ballot_cmp(ballot, c->top) > 0;
    bool chained =
        newest ? e == c->decided.epoch.v || e == c->decided.epoch.v + 1 : e <= c->decided.epoch.v;
    if (!chained) {
        sim_fail(s, SIM_CHECK_REGISTER, "epoch %llu was decided after epoch %llu",
                 (unsigned long long)e, (unsigned long long)c->decided.epoch.v);
    }
    if (c->nonce[e] == 0) {
        check_joined(s, cfg);
        s->stats.epochs++;
    }
    c->nonce[e] = cfg->nonce + 1;
    c->proposer[e] = cfg->proposer.v;
    if (newest) {
        sim_replace_check(s, &c->decided, cfg);
        check_suspected(s, &c->decided, cfg);
        sim_replace_voter_check(s, &c->decided, cfg);
        check_cleared(s, &c->decided, cfg);
        sim_budget_decided(s, cfg);
        c->top = ballot;
        c->decided_at = ts_nic_eq(c->decided.primary, cfg->primary) ? c->decided_at : s->now;
        c->decided = *cfg;
    }
}

static struct sim_ballot *ballot_of(struct sim_checks *c, struct reg_ballot ballot,
                                    const struct cfg_config *cfg)
{
    uint64_t n = c->ballot_next < SIM_BALLOTS_MAX ? c->ballot_next : SIM_BALLOTS_MAX;
    for (uint64_t i = 0; i < n; i++) {
        if (reg_ballot_cmp(c->ballots[i].ballot, ballot) == 0) {
            return &c->ballots[i];
        }
    }
    struct sim_ballot *b = &c->ballots[c->ballot_next++ % SIM_BALLOTS_MAX];
    *b = (struct sim_ballot){.ballot = ballot, .epoch = cfg->epoch, .nonce = cfg->nonce};
    return b;
}

void sim_check_voted(struct sim *s, int voter, const struct voter_register *rec)
{
    struct cfg_config cfg;
    if (rec->value.len == 0 || reg_ballot_is_zero(rec->accepted)) {
        return;
    }
    struct ts_reader r = ts_reader_init(rec->value.data, rec->value.len);
    cfg_config_decode(&cfg, &r);
    if (ts_reader_finish(&r) != TS_OK) {
        sim_fail(s, SIM_CHECK_REGISTER, "voter %d stored what is no config", voter);
        return;
    }
    struct sim_ballot *b = ballot_of(&s->checks, rec->accepted, &cfg);
    if (!ts_epoch_eq(b->epoch, cfg.epoch) || b->nonce != cfg.nonce) {
        sim_fail(s, SIM_CHECK_REGISTER, "a ballot carries two values, of epochs %llu and %llu",
                 (unsigned long long)b->epoch.v, (unsigned long long)cfg.epoch.v);
    }
    bool counts =
        cfg_voters_count(&cfg.voters, (uint8_t)(voter - 1), s->node[voter].cfgd.disk.incarnation);
    b->voters |= (uint64_t)counts << voter;
    if (__builtin_popcountll(b->voters) > s->nodes / 2) {
        decided(s, rec->accepted, &cfg);
    }
}

/* R1.4: what is told to be lost was not decided, and never will be; unless a later config was
 * decided behind it. */
void sim_check_defeated(struct sim *s, const struct cfg_config *proposal,
                        const struct cfg_config *value)
{
    struct sim_checks *c = &s->checks;
    uint64_t e = proposal->epoch.v;
    ts_assert(e < SIM_EPOCHS_MAX);
    if (c->nonce[e] != proposal->nonce + 1) {
        c->defeated[c->defeated_count++ % SIM_DEFEATED_MAX] =
            (struct sim_defeated){proposal->epoch, proposal->nonce};
    } else if (!ts_epoch_lt(proposal->epoch, value->epoch)) {
        sim_fail(s, SIM_CHECK_REGISTER, "epoch %llu is decided, and its proposer was told it lost",
                 (unsigned long long)e);
    }
}

/* What a replica takes for decided was decided. */
void sim_check_config(struct sim *s, int node)
{
    const struct repl *core = s->node[node].replica.core;
    const struct cfg_config *follows = &core->config;
    if (!core->config_known || core->config_from.v != 0) {
        return; /* what a peer told may be false */
    }
    ts_assert(follows->epoch.v < SIM_EPOCHS_MAX);
    if (s->checks.nonce[follows->epoch.v] != follows->nonce + 1) {
        sim_fail(s, SIM_CHECK_REGISTER, "%s follows a config of epoch %llu that was never decided",
                 sim_node_name(s, node), (unsigned long long)follows->epoch.v);
    }
}

/* R1.8: neither a replica nor a voter comes back with an old image. */
void sim_check_registered(struct sim *s, int node, enum sim_proc proc)
{
    bool replica = proc == SIM_REPLICA;
    bool old = replica ? s->node[node].replica.disk.old : s->node[node].cfgd.disk.old;
    if (old) {
        sim_fail(s, SIM_CHECK_CLONE, "the %s of %s was let in with an old image of its disk",
                 replica ? "replica" : "voter", sim_node_name(s, node));
    }
}

/* ---- the end ----------------------------------------------------------------------------------
 */

bool sim_check_well(const struct sim *s)
{
    uint64_t newest = 0;
    bool good = false;
    for (int n = 1; n <= s->nics; n++) {
        const struct repl *core = s->node[n].replica.core;
        if (s->node[n].replica.disk.lost || s->node[n].replica.disk.out) {
            continue;
        }
        if (!sim_replace_voter_done(s)) {
            return false;
        }
        if (core == NULL || !s->node[n].replica.p.started) {
            return false;
        }
        bool leads = repl_role(core) == REPL_ROLE_PRIMARY && repl_epoch(core).v == newest;
        if (repl_epoch(core).v > newest || leads) {
            newest = repl_epoch(core).v;
            good = repl_serves(core) && core->config.in_sync.count == sim_budget_replicas_left(s) &&
                   sim_address_is_at(s, n);
        }
    }
    return good;
}

bool sim_check_notices(struct sim *s, bool ends)
{
    bool differ = false;
    for (int n = 1; n <= s->nics; n++) {
        differ = differ || s->node[n].replica.flipped_at != 0;
    }
    s->noticed = s->noticed || (differ && ends);
    s->stats.replays += differ && !ends;
    return differ;
}

void sim_check_replays(struct sim *s, int node)
{
    if (s->node[node].replica.core->config_from.v != 0) {
        sim_fail(s, SIM_CHECK_DIGEST, "%s ends to replay its log, and only a peer says why",
                 sim_node_name(s, node));
    }
}

void sim_check_replayed(struct sim *s, int node, struct ts_seq suspect)
{
    if (!ts_seq_eq(s->node[node].replica.core->replay_of, suspect)) {
        sim_fail(s, SIM_CHECK_DIGEST, "%s tells of a replay, and has its state of before",
                 sim_node_name(s, node));
    }
    s->checks.replayed[node] = suspect;
}

/* R5.1: two replicas that were well together for a while have compared their results. */
static void check_noticed(struct sim *s)
{
    const struct cfg_config *cfg = &s->checks.decided;
    if (s->noticed || !sim_check_well(s) || cfg->in_sync.count < 2) {
        return;
    }
    const struct sim_replica *primary = &s->node[cfg->primary.v].replica;
    for (int n = 1; n <= s->nics; n++) {
        const struct sim_replica *r = &s->node[n].replica;
        bool differs = r->flipped_at != primary->flipped_at || r->flipped_by != primary->flipped_by;
        if (differs && cfg_set_find(&cfg->in_sync, (struct ts_nic_id){(uint16_t)n})) {
            sim_fail(s, SIM_CHECK_DIGEST, "nobody noticed that %s has other results",
                     sim_node_name(s, n));
        }
    }
}

/* All that the clients were told is in the state of the primary that serves at the end. */
static void check_kept(struct sim *s, int node)
{
    const struct sim_replica *r = &s->node[node].replica;
    for (size_t i = 0; i < s->load.count; i++) {
        const struct sim_record *rec = &s->load.record[i];
        if (rec->refused && rec->done_by != 0) {
            sim_fail(s, SIM_CHECK_REFUSED,
                     "request %llu of client %u is known not to be executed, and is at seq %llu",
                     (unsigned long long)rec->id, rec->client, (unsigned long long)rec->done_at);
        }
        if (rec->answered && !rec->read && !has(r, rec->done_by)) {
            sim_fail(s, SIM_CHECK_LOST, "request %llu was answered, and the primary %s lacks it",
                     (unsigned long long)rec->id, sim_node_name(s, node));
        }
    }
    if (repl_applied(r->core).v < s->checks.seen) {
        sim_fail(s, SIM_CHECK_LOST, "the primary has applied %llu entries; %llu were seen",
                 (unsigned long long)repl_applied(r->core).v, (unsigned long long)s->checks.seen);
    }
}

void sim_check_end(struct sim *s)
{
    struct sim_checks *c = &s->checks;
    check_noticed(s);
    /* The first takeover leaves the primary alone, and each of the others joins once. */
    uint64_t needed = (uint64_t)s->nics;
    if (sim_plan_is_gentle(&s->plan) && (s->stats.takeovers > 1 || s->stats.epochs > needed)) {
        sim_fail(s, SIM_CHECK_FAILOVER,
                 "%llu takeovers and %llu new configs, and nothing was a reason for more than %llu",
                 (unsigned long long)s->stats.takeovers, (unsigned long long)s->stats.epochs,
                 (unsigned long long)needed);
    }
    for (int n = 1; n <= s->nics; n++) {
        if (sim_replica_serves(s, n) &&
            ts_epoch_eq(repl_epoch(s->node[n].replica.core), c->decided.epoch)) {
            check_kept(s, n);
        }
    }
}

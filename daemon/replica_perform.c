/* The tables of replicator/io/perform_replica.h: the replica's links, service and log. */
#include "base/exit.h"
#include "daemon/replica.h"

/* ---- perform_table ------------------------------------------------------------------------ */

static struct perform_replica *shared(void *ctx)
{
    return &((struct replica *)ctx)->p;
}

static void on_append(void *ctx, const struct repl_batch *batch, struct ts_hash hash,
                      struct ts_seq committed)
{
    perform_disk_append(shared(ctx), batch, hash, committed);
}

static void on_truncate(void *ctx, struct repl_pos end)
{
    perform_disk_truncate(shared(ctx), end);
}

static void on_floor(void *ctx, struct ts_epoch floor)
{
    perform_disk_floor(shared(ctx), floor);
}

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    struct replica *r = ctx;
    /* A link that refuses is closing: its on_down comes by itself. */
    enum ts_err ignored = links_send2(r->links, to, type, head, body);
    (void)ignored;
}

static void on_fetch(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max)
{
    perform_disk_fetch(shared(ctx), peer, after, bytes_max);
}

static void on_reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                   const struct cfg_config *config)
{
    perform_register_op(shared(ctx), kind, op, expected, config, net_now());
}

static void on_expect(void *ctx, const struct svc_entry *entries, size_t count)
{
    perform_service_expect(shared(ctx), entries, count);
}

/* What a newer release ordered would become something else here. Nothing may follow it: not the
 * entries behind it, no answer, no snapshot. */
static void check_known(const struct replica *r, const struct svc_entry *entry)
{
    const struct svc *svc = r->p.svc;
    if (entry->kind == SVC_ENTRY_COMMAND && svc->knows != NULL &&
        !svc->knows(r->p.state, entry->payload)) {
        net_log(&r->start->log, NET_LOG_ERROR,
                "entry %" PRIu64 " of group %s was ordered by a newer release of Twinstep, and "
                "this one does not know what it does: install that release on this NIC, too",
                entry->seq.v, r->start->group->name);
        _exit(TS_EXIT_CONFIG);
    }
}

static struct ts_hash on_apply(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                               bool release)
{
    struct replica *r = ctx;
    check_known(r, entry);
    r->counted[REPORT_COUNTER_COMMITS]++;
    if (replica_latency_is_first(&r->latency, entry->seq)) {
        replica_latency_committed(&r->latency, entry->seq, net_now());
    }
    struct ts_hash hash = perform_service_apply(&r->p, entry, epoch, release);
    if (replica_latency_is_last(&r->latency, entry->seq)) {
        replica_latency_applied(&r->latency, net_now());
    }
    return hash;
}

static void on_reads_ready(void *ctx, uint64_t token)
{
    struct replica *r = ctx;
    front_read_ready(r->front, token);
}

static void on_close_pending(void *ctx)
{
    perform_service_forget(shared(ctx));
    replica_service_close_pending(ctx);
}

static void on_role(void *ctx)
{
    struct replica *r = ctx;
    r->status_changed = true;
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    replica_trace(ctx, t);
}

const struct perform_table replica_perform_table = {
    .journal_append = on_append,
    .journal_truncate = on_truncate,
    .persist_floor = on_floor,
    .send = on_send,
    .fetch = on_fetch,
    .reg = on_reg,
    .expect = on_expect,
    .apply = on_apply,
    .reads_ready = on_reads_ready,
    .close_pending = on_close_pending,
    .role = on_role,
    .trace = on_trace,
};

/* ---- perform_ops ---------------------------------------------------------------------------- */

static void on_feed(void *ctx, struct repl_event *ev)
{
    replica_feed(ctx, ev);
}

static void on_send_voter(void *ctx, uint8_t voter, const struct reg_msg *msg)
{
    replica_register_send(ctx, voter, msg);
}

static void on_refused(void *ctx, uint64_t registered)
{
    replica_register_refused(ctx, registered);
}

static void on_replaced(void *ctx)
{
    replica_register_replaced(ctx);
}

static void on_diverged(void *ctx, struct ts_seq left, const char *text)
{
    struct replica *r = ctx;
    (void)left;
    net_log(&r->start->log, NET_LOG_ERROR, "results differ between replicas: %s", text);
}

static bool on_open_links(void *ctx)
{
    return replica_peers_open_links(ctx);
}

/* RESP carries no tag; a service with side effects sends the epoch along (R2.7). */
static void on_release(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                       struct ts_bytes out)
{
    (void)epoch;
    replica_service_release(ctx, entry->seq, out);
}

static void on_journal_refuses(void *ctx, const char *what, enum ts_err err)
{
    struct replica *r = ctx;
    net_log(&r->start->log, NET_LOG_ERROR, "journal %s: %s: %s", r->group_dir, what,
            ts_err_text(err));
}

static void on_journal_failed(void *ctx, enum ts_err err, const char *text)
{
    struct replica *r = ctx;
    (void)err;
    net_log(&r->start->log, NET_LOG_ERROR, "%s", text);
}

static void on_fetch_failed(void *ctx, enum ts_err err, const char *text)
{
    struct replica *r = ctx;
    bool damaged = err == TS_ERR_CORRUPT || err == TS_ERR_IO;
    net_log_limited(&r->start->log, text == NULL ? NET_LOG_WARNING : NET_LOG_ERROR, "catch-up",
                    "catch-up of a learner: %s%s", text == NULL ? ts_err_text(err) : text,
                    damaged ? "; the disk is looked through now, and mended" : "");
}

static void on_snapshot_begins(void *ctx, const struct repl_mark *mark)
{
    (void)ctx;
    (void)mark; /* that it is there is worth a line, not that it is to come */
}

static void on_snapshot_taken(void *ctx, const struct repl_mark *mark,
                              const struct snapshot_trailer *t)
{
    struct replica *r = ctx;
    r->counted[REPORT_COUNTER_SNAPSHOTS]++;
    net_log(&r->start->log, NET_LOG_INFO, "snapshot at entry %llu: %llu bytes of state",
            (unsigned long long)mark->pos.seq.v, (unsigned long long)t->bytes);
}

static void on_snapshot_failed(void *ctx, enum ts_err err, const char *text)
{
    struct replica *r = ctx;
    (void)err;
    r->counted[REPORT_COUNTER_SNAPSHOTS_FAILED]++;
    net_log_limited(&r->start->log, NET_LOG_ERROR, "snapshot",
                    "no snapshot was taken, and the journal grows: %s", text);
}

static void on_transfer_failed(void *ctx, struct ts_nic_id from, enum ts_err err, const char *text)
{
    struct replica *r = ctx;
    const struct cfg_node *n = cfg_cluster_node(&r->start->cluster, from);
    const char *name = n == NULL ? "?" : n->name;
    if (err == TS_ERR_CORRUPT) {
        net_log_limited(&r->start->log, NET_LOG_ERROR, "transfer",
                        "what %s sent is damaged: %s. Look at the disk of %s, which was asked to "
                        "look through it; this replica waits for another one",
                        name, text, name);
    } else {
        net_log_limited(&r->start->log, NET_LOG_ERROR, "transfer",
                        "no snapshot can be had from %s now: %s", name, text);
    }
}

static void on_snapshot_broken(void *ctx, const char *text)
{
    struct replica *r = ctx;
    net_log(&r->start->log, NET_LOG_ERROR, "%s; the snapshot before it is tried", text);
}

static void on_snapshot_loaded(void *ctx, const struct snapshot_info *info)
{
    struct replica *r = ctx;
    net_log(&r->start->log, NET_LOG_INFO, "loaded the snapshot at entry %llu: %llu bytes of state",
            (unsigned long long)info->header.mark.pos.seq.v,
            (unsigned long long)info->trailer.bytes);
}

static void on_snapshot_installed(void *ctx, struct ts_seq seq)
{
    struct replica *r = ctx;
    net_log(&r->start->log, NET_LOG_INFO,
            "got a snapshot at entry %llu from the primary: starts again with it",
            (unsigned long long)seq.v);
}

static void on_scrub_begins(void *ctx)
{
    (void)ctx; /* that it has ended is worth a line */
}

static void on_scrub_found(void *ctx, const char *text)
{
    struct replica *r = ctx;
    net_log_limited(&r->start->log, NET_LOG_ERROR, "scrub",
                    "found while looking through the disk: %s; it is being mended", text);
}

static void on_scrub_ended(void *ctx)
{
    struct replica *r = ctx;
    net_log_limited(&r->start->log, NET_LOG_INFO, "scrubbed",
                    "looked through the disk: %llu bytes, %llu damaged places",
                    (unsigned long long)r->p.scrub.bytes, (unsigned long long)r->p.scrub.found);
}

static void on_repaired(void *ctx)
{
    const struct replica *r = ctx;
    net_log(&r->start->log, NET_LOG_INFO, "mended the journal behind entry %llu, as it was",
            (unsigned long long)r->p.repair.flaw.after.seq.v);
}

static void on_end(void *ctx, bool again)
{
    struct replica *r = ctx;
    replica_end(r);
    r->exit_status = again ? TS_EXIT_AGAIN : TS_EXIT_FAILURE;
}

const struct perform_ops replica_perform_ops = {
    .feed = on_feed,
    .send_voter = on_send_voter,
    .refused = on_refused,
    .replaced = on_replaced,
    .diverged = on_diverged,
    .open_links = on_open_links,
    .release = on_release,
    .journal_refuses = on_journal_refuses,
    .journal_failed = on_journal_failed,
    .fetch_failed = on_fetch_failed,
    .snapshot_begins = on_snapshot_begins,
    .snapshot_taken = on_snapshot_taken,
    .snapshot_failed = on_snapshot_failed,
    .transfer_failed = on_transfer_failed,
    .snapshot_broken = on_snapshot_broken,
    .snapshot_loaded = on_snapshot_loaded,
    .snapshot_installed = on_snapshot_installed,
    .scrub_begins = on_scrub_begins,
    .scrub_found = on_scrub_found,
    .scrub_ended = on_scrub_ended,
    .repaired = on_repaired,
    .end = on_end,
};

/* ---- journal_callbacks ---------------------------------------------------------------------- */

void replica_persisted(void *arg, struct ts_seq seq)
{
    struct replica *r = arg;
    replica_latency_persisted(&r->latency, seq, net_now());
    perform_disk_persisted(&r->p, seq);
}

void replica_truncated(void *arg, struct ts_seq after)
{
    perform_disk_truncated(shared(arg), after);
}

void replica_record_persisted(void *arg, uint64_t token)
{
    perform_disk_record_persisted(shared(arg), token);
}

void replica_disk_repaired(void *arg, bool mended)
{
    perform_disk_repaired(shared(arg), mended);
}

void replica_disk_failed(void *arg, enum ts_err err, const char *text)
{
    perform_disk_failed(shared(arg), err, text);
}

enum ts_err replica_begin(void *arg, const char *dir, const struct journal_info *info,
                          struct journal_start *from, struct ts_why *why)
{
    struct replica *r = arg;
    return perform_snapshot_load(&r->p, dir, info, from, why);
}

enum ts_err replica_replay(void *arg, const struct journal_batch *batch, struct ts_seq commit,
                           struct ts_why *why)
{
    struct replica *r = arg;
    if (!perform_disk_replay(&r->p, batch, commit)) {
        return ts_why(why, TS_ERR_CORRUPT,
                      "journal %s: the batch at seq %llu does not fit the log before it or the log "
                      "window; keep the directory and ask for help",
                      r->group_dir, (unsigned long long)batch->first.v);
    }
    return TS_OK;
}

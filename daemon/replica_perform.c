/* The effects of the replication core, on the real journal, links and service. Appends cannot be
 * refused by a full queue: the journal's queue holds more than the log window. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/replica.h"

void replica_disk_trouble(struct replica *r, const char *what, enum ts_err err)
{
    if (!r->disk_failed) {
        net_log(&r->start->log, NET_LOG_ERROR, "journal %s: %s: %s", r->group_dir, what,
                ts_err_text(err));
    }
    r->disk_failed = true; /* told to the core by the next turn */
}

static void on_append(void *ctx, const struct repl_batch *b, struct ts_hash hash,
                      struct ts_seq committed)
{
    struct replica *r = ctx;
    struct journal_batch jb = {
        .epoch = b->epoch,
        .first = b->first,
        .last = b->last,
        .prev = b->prev,
        .hash = hash,
        .bytes = b->bytes,
    };
    enum ts_err err = journal_append(r->journal, &jb, committed);
    if (err != TS_OK && err != TS_ERR_CLOSED) {
        replica_disk_trouble(r, "append refused", err);
    }
}

static void on_truncate(void *ctx, struct repl_pos end)
{
    struct replica *r = ctx;
    enum ts_err err = journal_truncate(r->journal, end.seq, end.hash);
    if (err != TS_OK && err != TS_ERR_CLOSED) {
        replica_disk_trouble(r, "truncation refused", err);
    }
}

static void on_floor(void *ctx, struct ts_epoch floor)
{
    struct replica *r = ctx;
    uint8_t bytes[REPLICA_RECORD_BYTES];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    replica_record_encode(floor, &w);
    ts_assert(!w.failed);
    enum ts_err err = journal_persist_record(r->journal, (struct ts_bytes){bytes, w.len}, floor.v);
    if (err != TS_OK && err != TS_ERR_CLOSED) {
        replica_disk_trouble(r, "replica record refused", err);
    }
}

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    struct replica *r = ctx;
    /* A link that refuses is closing: its on_down comes by itself. */
    enum ts_err ignored = links_send2(r->links, to, type, head, body);
    (void)ignored;
}

struct fetch {
    struct replica *r;
    struct ts_nic_id peer;
    struct ts_seq after;
    size_t bytes_max;
};

static void fetch_start(struct fetch *f);

static void feed_fetched(struct fetch *f, struct ts_bytes bytes)
{
    struct repl_event ev = {.kind = REPL_EV_FETCHED, .peer = f->peer};
    ev.u.fetched.after = f->after;
    ev.u.fetched.batches = bytes;
    replica_feed(f->r, &ev);
}

static void on_fetched(void *arg, enum ts_err err, const struct journal_batch *batches,
                       size_t count, const char *text)
{
    struct fetch *f = arg;
    if (err == TS_ERR_BUSY) {
        fetch_start(f); /* a truncation came in between */
        return;
    }
    if (err != TS_OK) {
        net_log_limited(&f->r->start->log, NET_LOG_ERROR, "catch-up", "catch-up of a learner: %s",
                        text);
        /* Nobody could be fed from a damaged journal. Without a successor it is better to go on:
         * what is in memory is whole. */
        bool damaged = err == TS_ERR_CORRUPT || err == TS_ERR_IO;
        if (damaged && repl_has_successor(f->r->core)) {
            replica_disk_trouble(f->r, "it cannot be read any more", err);
        }
        feed_fetched(f, (struct ts_bytes){NULL, 0});
        free(f);
        return;
    }
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += batches[i].bytes.len;
    }
    uint8_t *bytes = malloc(len == 0 ? 1 : len);
    if (bytes != NULL) {
        size_t at = 0;
        for (size_t i = 0; i < count; i++) {
            memcpy(bytes + at, batches[i].bytes.data, batches[i].bytes.len);
            at += batches[i].bytes.len;
        }
    }
    feed_fetched(f, (struct ts_bytes){bytes, bytes == NULL ? 0 : len});
    free(bytes);
    free(f);
}

/* This runs within a step of the core, which cannot be answered there. */
static void fetch_refused(struct replica *r, struct ts_nic_id peer, struct ts_seq after,
                          enum ts_err err)
{
    net_log_limited(&r->start->log, NET_LOG_WARNING, "fetch", "catch-up of a learner: %s",
                    ts_err_text(err));
    for (size_t i = 0; i < r->peer_count; i++) {
        if (ts_nic_eq(r->peers[i].nic, peer)) {
            r->peers[i].fetch_failed = true;
            r->peers[i].fetch_after = after;
        }
    }
}

void replica_fetch_tick(struct replica *r)
{
    for (size_t i = 0; i < r->peer_count; i++) {
        struct replica_peer *p = &r->peers[i];
        if (p->fetch_failed) {
            struct fetch f = {.r = r, .peer = p->nic, .after = p->fetch_after};
            p->fetch_failed = false;
            feed_fetched(&f, (struct ts_bytes){NULL, 0});
        }
    }
}

static void fetch_start(struct fetch *f)
{
    enum ts_err err =
        journal_read(f->r->journal, ts_seq_add(f->after, 1), f->bytes_max, on_fetched, f);
    if (err != TS_OK) {
        fetch_refused(f->r, f->peer, f->after, err); /* closing, or too many reads at once */
        free(f);
    }
}

static void on_fetch(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max)
{
    struct fetch *f = malloc(sizeof(*f));
    if (f == NULL) {
        fetch_refused(ctx, peer, after, TS_ERR_NOMEM);
        return;
    }
    *f = (struct fetch){ctx, peer, after, bytes_max};
    fetch_start(f);
}

static void on_reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                   const struct cfg_config *config)
{
    replica_register_op(ctx, kind, op, expected, config);
}

static struct ts_hash on_apply(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                               bool release)
{
    (void)epoch; /* RESP carries no tag; a service with side effects sends it along (R2.7) */
    return replica_service_apply(ctx, entry, release);
}

static void on_reads_ready(void *ctx, uint64_t token)
{
    struct replica *r = ctx;
    resp_server_read_ready(r->front, token);
}

static void on_close_pending(void *ctx)
{
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
    .apply = on_apply,
    .reads_ready = on_reads_ready,
    .close_pending = on_close_pending,
    .role = on_role,
    .trace = on_trace,
};

/* ---- journal completions ----------------------------------------------------------- */

static void on_persisted(void *arg, struct ts_seq seq)
{
    struct repl_event ev = {.kind = REPL_EV_PERSISTED};
    ev.u.persisted = seq;
    replica_feed(arg, &ev);
}

static void on_truncated(void *arg, struct ts_seq after)
{
    (void)arg;
    (void)after; /* the next append's completion comes after it */
}

static void on_record_persisted(void *arg, uint64_t token)
{
    struct replica *r = arg;
    if (!r->started) {
        /* Nothing but the confirmed start is written before the core's start. A refusal that came
         * meanwhile is final. */
        if (r->registration.state == START_REGISTERED) {
            replica_on_start_confirmed(r);
        }
        return;
    }
    struct repl_event ev = {.kind = REPL_EV_FLOOR_PERSISTED};
    ev.u.floor.v = token;
    replica_feed(r, &ev);
}

static void on_failed(void *arg, enum ts_err err, const char *text)
{
    struct replica *r = arg;
    (void)err;
    net_log(&r->start->log, NET_LOG_ERROR, "%s", text);
    r->disk_failed = true;
    struct repl_event ev = {.kind = REPL_EV_DISK_FAILED};
    replica_feed(r, &ev);
}

void replica_journal_callbacks(struct replica *r, struct journal_callbacks *out)
{
    *out = (struct journal_callbacks){
        .persisted = on_persisted,
        .truncated = on_truncated,
        .record_persisted = on_record_persisted,
        .failed = on_failed,
        .arg = r,
    };
}

enum ts_err replica_replay(void *arg, const struct journal_batch *batch, struct ts_seq commit,
                           struct ts_why *why)
{
    struct replica *r = arg;
    struct repl_event committed = {.kind = REPL_EV_RESTORE_COMMITTED};
    struct repl_event ev = {.kind = REPL_EV_RESTORE};
    committed.u.committed = commit;
    replica_feed(r, &committed);
    ev.u.restore = batch->bytes;
    replica_feed(r, &ev);
    struct repl_status s;
    repl_status(r->core, &s);
    if (s.role == REPL_ROLE_HALTED) {
        return ts_why(why, TS_ERR_CORRUPT,
                      "journal %s: the batch at seq %llu does not fit the log before it or the log "
                      "window; keep the directory and ask for help",
                      r->group_dir, (unsigned long long)batch->first.v);
    }
    return TS_OK;
}

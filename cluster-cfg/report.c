#include "cluster-cfg/report.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"

const char *report_evidence_text(uint64_t number)
{
    static const char *const TEXTS[] = {
#define ROW(sym, num, text) [num] = (text),
        REPORT_EVIDENCE_LIST(ROW)
#undef ROW
    };
    return number < REPORT_EVIDENCES ? TEXTS[number] : "?";
}

const char *report_trace_role_text(uint64_t number)
{
    static const char *const TEXTS[] = {
#define ROW(sym, num, text) [num] = (text),
        REPORT_TRACE_ROLE_LIST(ROW)
#undef ROW
    };
    return number < REPORT_TRACE_ROLES ? TEXTS[number] : "?";
}

const char *report_why_text(uint64_t number)
{
    static const char *const TEXTS[] = {
#define ROW(name, num, text) [num] = (text),
        REPORT_WHY_LIST(ROW)
#undef ROW
    };
    return number < REPORT_WHYS ? TEXTS[number] : "?";
}

const char *report_stage_name(enum report_stage stage)
{
    static const char *const NAMES[] = {
#define ROW(sym, name, text) [sym] = (name),
        REPORT_STAGE_LIST(ROW)
#undef ROW
    };
    ts_assert(stage < REPORT_STAGES);
    return NAMES[stage];
}

const char *report_stage_text(enum report_stage stage)
{
    static const char *const TEXTS[] = {
#define ROW(sym, name, text) [sym] = (text),
        REPORT_STAGE_LIST(ROW)
#undef ROW
    };
    ts_assert(stage < REPORT_STAGES);
    return TEXTS[stage];
}

const char *report_counter_name(enum report_counter counter)
{
    static const char *const NAMES[] = {
#define ROW(sym, name, text) [sym] = (name),
        REPORT_COUNTER_LIST(ROW)
#undef ROW
    };
    ts_assert(counter < REPORT_COUNTERS);
    return NAMES[counter];
}

const char *report_counter_text(enum report_counter counter)
{
    static const char *const TEXTS[] = {
#define ROW(sym, name, text) [sym] = (text),
        REPORT_COUNTER_LIST(ROW)
#undef ROW
    };
    ts_assert(counter < REPORT_COUNTERS);
    return TEXTS[counter];
}

const char *report_gauge_name(enum report_gauge gauge)
{
    static const char *const NAMES[] = {
#define ROW(sym, name, text) [sym] = (name),
        REPORT_GAUGE_LIST(ROW)
#undef ROW
    };
    ts_assert(gauge < REPORT_GAUGES);
    return NAMES[gauge];
}

const char *report_gauge_text(enum report_gauge gauge)
{
    static const char *const TEXTS[] = {
#define ROW(sym, name, text) [sym] = (text),
        REPORT_GAUGE_LIST(ROW)
#undef ROW
    };
    ts_assert(gauge < REPORT_GAUGES);
    return TEXTS[gauge];
}

static void put_header(struct ts_writer *w, enum report_kind kind)
{
    ts_put_u8(w, REPORT_VERSION);
    ts_put_u8(w, (uint8_t)kind);
}

/* Opens a reader behind the header of the wanted kind. */
static enum ts_err open_reader(struct ts_reader *r, struct ts_bytes datagram, enum report_kind kind)
{
    *r = ts_reader_init(datagram.data, datagram.len);
    uint8_t version = ts_get_u8(r);
    uint8_t got = ts_get_u8(r);
    if (r->failed || datagram.len > REPORT_BYTES_MAX) {
        return TS_ERR_MALFORMED;
    }
    if (version != REPORT_VERSION) {
        return TS_ERR_VERSION;
    }
    return got == (uint8_t)kind ? TS_OK : TS_ERR_MALFORMED;
}

/* Short and over-long inputs are the same to the caller: not a report of ours. */
static enum ts_err close_reader(const struct ts_reader *r)
{
    return ts_reader_finish(r) == TS_OK ? TS_OK : TS_ERR_MALFORMED;
}

/* A value above `max` fails the reader and gives 0, so that it can be used as an index or enum. */
static uint8_t get_u8_max(struct ts_reader *r, unsigned max)
{
    uint8_t v = ts_get_u8(r);
    if (v > max) {
        ts_reader_fail(r);
        return 0;
    }
    return v;
}

static struct ts_nic_id get_nic(struct ts_reader *r)
{
    uint16_t v = ts_get_u16(r);
    if (v == 0 || v > TS_NODES_MAX) {
        ts_reader_fail(r);
        v = 0;
    }
    return (struct ts_nic_id){v};
}

/* 0 stands for "no group". */
static struct ts_group_id get_group(struct ts_reader *r)
{
    uint16_t v = ts_get_u16(r);
    if (v > TS_GROUPS_MAX) {
        ts_reader_fail(r);
        v = 0;
    }
    return (struct ts_group_id){v};
}

/* Printable ASCII only: the text ends in JSON and on terminals. Others become '?'. */
static void put_text(struct ts_writer *w, const char *text, size_t cap)
{
    size_t n = strnlen(text, cap - 1);
    ts_put_u8(w, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        ts_put_u8(w, (uint8_t)(c >= 0x20 && c < 0x7f ? c : '?'));
    }
}

static void get_text(struct ts_reader *r, char *out, size_t cap)
{
    size_t n = get_u8_max(r, (unsigned)(cap - 1));
    struct ts_bytes b = ts_get_bytes(r, n);
    for (size_t i = 0; i < b.len; i++) {
        if (b.data[i] < 0x20 || b.data[i] >= 0x7f) {
            ts_reader_fail(r);
        }
        out[i] = (char)b.data[i];
    }
    out[b.len] = '\0';
}

enum report_kind report_peek(struct ts_bytes datagram)
{
    if (datagram.len < 2 || datagram.data[0] != REPORT_VERSION) {
        return REPORT_NONE;
    }
    uint8_t kind = datagram.data[1];
    if (kind < REPORT_PROCS || kind > REPORT_REFUSED) {
        return REPORT_NONE;
    }
    return (enum report_kind)kind;
}

enum ts_err report_procs_encode(const struct report_procs *r, struct ts_writer *w)
{
    ts_assert(r->count <= REPORT_PROCS_MAX);
    put_header(w, REPORT_PROCS);
    ts_put_u16(w, r->nic.v);
    ts_put_u8(w, r->count);
    for (size_t i = 0; i < r->count; i++) {
        const struct report_proc *p = &r->p[i];
        ts_put_u8(w, (uint8_t)p->role);
        ts_put_u16(w, p->group.v);
        ts_put_u8(w, p->running);
        ts_put_u32(w, p->pid);
        ts_put_u32(w, p->starts);
        ts_put_u32(w, (uint32_t)p->last_status);
        put_text(w, p->said, sizeof(p->said));
    }
    return ts_writer_status(w);
}

enum ts_err report_procs_decode(struct report_procs *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_PROCS);
    if (err != TS_OK) {
        return err;
    }
    struct report_procs got; /* only what is counted is filled, and copied */
    got.nic = get_nic(&rd);
    got.count = get_u8_max(&rd, REPORT_PROCS_MAX);
    for (size_t i = 0; i < got.count; i++) {
        struct report_proc *p = &got.p[i];
        *p = (struct report_proc){0};
        p->role = (enum report_proc_role)get_u8_max(&rd, REPORT_PROC_REPLICA);
        p->group = get_group(&rd);
        p->running = ts_get_bool(&rd);
        p->pid = ts_get_u32(&rd);
        p->starts = ts_get_u32(&rd);
        p->last_status = (int32_t)ts_get_u32(&rd);
        get_text(&rd, p->said, sizeof(p->said));
        if ((p->role == REPORT_PROC_REPLICA) != (p->group.v != 0)) {
            ts_reader_fail(&rd);
        }
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        memcpy(r, &got, offsetof(struct report_procs, p) + got.count * sizeof(got.p[0]));
    }
    return err;
}

enum ts_err report_peers_encode(const struct report_peers *r, struct ts_writer *w)
{
    ts_assert(r->count <= TS_NODES_MAX);
    put_header(w, REPORT_PEERS);
    ts_put_u16(w, r->nic.v);
    ts_put_u32(w, r->own_stall_ms);
    ts_put_u8(w, r->count);
    for (size_t i = 0; i < r->count; i++) {
        const struct report_peer *p = &r->p[i];
        ts_put_u16(w, p->nic.v);
        ts_put_u8(w, p->alive);
        ts_put_u8(w, p->path_up_mask);
        ts_put_u64(w, p->instance.v);
        ts_put_u32(w, p->silent_ms);
        ts_put_u64(w, p->heartbeats_received);
        ts_put_u64(w, p->heartbeats_lost);
        ts_put_u64(w, p->replica_running_mask);
        ts_put_u64(w, p->replica_known_mask);
        ts_put_bytes(w, p->replica_starts, sizeof(p->replica_starts));
    }
    return ts_writer_status(w);
}

enum ts_err report_peers_decode(struct report_peers *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_PEERS);
    if (err != TS_OK) {
        return err;
    }
    struct report_peers got; /* only what is counted is filled, and copied */
    got.nic = get_nic(&rd);
    got.own_stall_ms = ts_get_u32(&rd);
    got.count = get_u8_max(&rd, TS_NODES_MAX);
    for (size_t i = 0; i < got.count; i++) {
        struct report_peer *p = &got.p[i];
        *p = (struct report_peer){.nic = get_nic(&rd)};
        p->alive = ts_get_bool(&rd);
        p->path_up_mask = get_u8_max(&rd, (1U << TS_PATHS_MAX) - 1);
        p->instance.v = ts_get_u64(&rd);
        p->silent_ms = ts_get_u32(&rd);
        p->heartbeats_received = ts_get_u64(&rd);
        p->heartbeats_lost = ts_get_u64(&rd);
        p->replica_running_mask = ts_get_u64(&rd);
        p->replica_known_mask = ts_get_u64(&rd);
        struct ts_bytes starts = ts_get_bytes(&rd, sizeof(p->replica_starts));
        if (starts.data != NULL) {
            memcpy(p->replica_starts, starts.data, starts.len);
        }
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        memcpy(r, &got, offsetof(struct report_peers, p) + got.count * sizeof(got.p[0]));
    }
    return err;
}

enum ts_err report_replica_encode(const struct report_replica *r, struct ts_writer *w)
{
    ts_assert(r->peer_count <= TS_MEMBERS_MAX);
    put_header(w, REPORT_REPLICA);
    ts_put_u16(w, r->nic.v);
    ts_put_u16(w, r->group.v);
    ts_put_u8(w, (uint8_t)r->role);
    /* A replica that has not heard of any decided config yet has epoch 0: no valid record. */
    ts_put_u8(w, r->config.epoch.v != 0);
    if (r->config.epoch.v != 0) {
        cfg_config_encode(&r->config, w);
    }
    ts_put_u64(w, r->required_mask);
    ts_put_u64(w, r->instance.v);
    ts_put_u64(w, r->incarnation.v);
    ts_put_u64(w, r->last.v);
    ts_put_u64(w, r->committed.v);
    ts_put_u64(w, r->applied.v);
    ts_put_hash(w, r->digest);
    ts_put_u64(w, r->alarms);
    ts_put_u64(w, r->requests_waiting);
    ts_put_u64(w, r->requests_total);
    ts_put_u64(w, r->rejected_total);
    put_text(w, r->why, sizeof(r->why));
    ts_put_u8(w, r->peer_count);
    for (size_t i = 0; i < r->peer_count; i++) {
        ts_put_u16(w, r->peers[i].nic.v);
        ts_put_u8(w, r->peers[i].connected);
        ts_put_u8(w, r->peers[i].path);
        ts_put_u64(w, r->peers[i].acked.v);
    }
    return ts_writer_status(w);
}

static void get_replica_body(struct ts_reader *r, struct report_replica *got)
{
    got->nic = get_nic(r);
    got->group = get_group(r);
    if (got->group.v == 0) {
        ts_reader_fail(r);
    }
    got->role = (enum report_role)get_u8_max(r, REPORT_ROLE_HALTED);
    if (ts_get_bool(r)) {
        cfg_config_decode(&got->config, r);
    }
    got->required_mask = ts_get_u64(r);
    got->instance.v = ts_get_u64(r);
    got->incarnation.v = ts_get_u64(r);
    got->last.v = ts_get_u64(r);
    got->committed.v = ts_get_u64(r);
    got->applied.v = ts_get_u64(r);
    got->digest = ts_get_hash(r);
    got->alarms = ts_get_u64(r);
    if (got->alarms >> REPORT_ALARMS != 0) {
        ts_reader_fail(r);
    }
    got->requests_waiting = ts_get_u64(r);
    got->requests_total = ts_get_u64(r);
    got->rejected_total = ts_get_u64(r);
    get_text(r, got->why, sizeof(got->why));
    got->peer_count = get_u8_max(r, TS_MEMBERS_MAX);
    for (size_t i = 0; i < got->peer_count; i++) {
        got->peers[i].nic = get_nic(r);
        got->peers[i].connected = ts_get_bool(r);
        got->peers[i].path = get_u8_max(r, TS_PATHS_MAX - 1);
        got->peers[i].acked.v = ts_get_u64(r);
    }
}

enum ts_err report_replica_decode(struct report_replica *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_REPLICA);
    if (err != TS_OK) {
        return err;
    }
    struct report_replica got = {0};
    get_replica_body(&rd, &got);
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

enum ts_err report_trace_encode(const struct report_trace *r, struct ts_writer *w)
{
    ts_assert(r->count <= REPORT_TRACES_MAX);
    put_header(w, REPORT_TRACE);
    ts_put_u16(w, r->nic.v);
    ts_put_u8(w, (uint8_t)r->role);
    ts_put_u16(w, r->group.v);
    ts_put_u64(w, r->instance.v);
    ts_put_u64(w, r->dropped);
    ts_put_u8(w, r->count);
    for (size_t i = 0; i < r->count; i++) {
        const struct ts_trace *t = &r->t[i];
        ts_put_u16(w, (uint16_t)t->kind);
        ts_put_u64(w, t->at.ns);
        ts_put_u64(w, t->epoch.v);
        ts_put_u64(w, t->seq.v);
        ts_put_u64(w, t->a);
        ts_put_u64(w, t->b);
    }
    return ts_writer_status(w);
}

enum ts_err report_trace_decode(struct report_trace *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_TRACE);
    if (err != TS_OK) {
        return err;
    }
    struct report_trace got = {.nic = get_nic(&rd)};
    got.role = (enum report_proc_role)get_u8_max(&rd, REPORT_PROC_REPLICA);
    got.group = get_group(&rd);
    got.instance.v = ts_get_u64(&rd);
    got.dropped = ts_get_u64(&rd);
    got.count = get_u8_max(&rd, REPORT_TRACES_MAX);
    for (size_t i = 0; i < got.count; i++) {
        struct ts_trace *t = &got.t[i];
        uint16_t kind = ts_get_u16(&rd);
        if (kind >= TS_TRACE_KINDS) {
            ts_reader_fail(&rd);
            kind = 0;
        }
        t->kind = (enum ts_trace_kind)kind;
        t->at.ns = ts_get_u64(&rd);
        t->epoch.v = ts_get_u64(&rd);
        t->seq.v = ts_get_u64(&rd);
        t->a = ts_get_u64(&rd);
        t->b = ts_get_u64(&rd);
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

enum ts_err report_handoff_encode(const struct report_handoff *r, struct ts_writer *w)
{
    put_header(w, REPORT_HANDOFF);
    ts_put_u16(w, r->group.v);
    ts_put_u64(w, r->epoch.v);
    ts_put_u16(w, r->target.v);
    return ts_writer_status(w);
}

enum ts_err report_handoff_decode(struct report_handoff *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_HANDOFF);
    if (err != TS_OK) {
        return err;
    }
    struct report_handoff got = {.group = get_group(&rd)};
    got.epoch.v = ts_get_u64(&rd);
    got.target.v = ts_get_u16(&rd);
    if (got.group.v == 0 || got.epoch.v == 0 || got.target.v > TS_NODES_MAX) {
        ts_reader_fail(&rd);
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

enum ts_err report_serves_encode(const struct report_serves *r, struct ts_writer *w)
{
    put_header(w, REPORT_SERVES);
    ts_put_u16(w, r->group.v);
    ts_put_u8(w, r->serves ? 1 : 0);
    ts_put_u64(w, r->epoch.v);
    ts_put_u64(w, r->confirmed.ns);
    return ts_writer_status(w);
}

enum ts_err report_serves_decode(struct report_serves *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_SERVES);
    if (err != TS_OK) {
        return err;
    }
    struct report_serves got = {.group = get_group(&rd)};
    uint8_t serves = ts_get_u8(&rd);
    got.serves = serves == 1;
    got.epoch.v = ts_get_u64(&rd);
    got.confirmed.ns = ts_get_u64(&rd);
    if (got.group.v == 0 || serves > 1 || got.serves != (got.confirmed.ns != 0) ||
        (got.serves && got.epoch.v == 0)) {
        ts_reader_fail(&rd);
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

void report_client_put(struct ts_writer *w, const struct report_client *c, bool v6)
{
    ts_put_bytes(w, c->bytes, v6 ? 16 : 4);
    ts_put_u16(w, c->port);
}

struct report_client report_client_get(struct ts_reader *r, bool v6)
{
    struct report_client c = {.port = 0};
    struct ts_bytes bytes = ts_get_bytes(r, v6 ? 16 : 4);
    if (bytes.len > 0) {
        memcpy(c.bytes, bytes.data, bytes.len);
    }
    c.port = ts_get_u16(r);
    return c;
}

_Static_assert(2 + 2 + 1 + 1 + 2 + REPORT_CLIENTS_MAX * 18 <= REPORT_BYTES_MAX,
               "all clients fit one datagram");

enum ts_err report_reset_encode(const struct report_reset *r, struct ts_writer *w)
{
    ts_assert(r->count <= REPORT_CLIENTS_MAX);
    put_header(w, REPORT_RESET);
    ts_put_u16(w, r->group.v);
    ts_put_u8(w, r->v6 ? 1 : 0);
    ts_put_u8(w, r->round);
    ts_put_u16(w, r->count);
    for (uint16_t i = 0; i < r->count; i++) {
        report_client_put(w, &r->c[i], r->v6);
    }
    return ts_writer_status(w);
}

enum ts_err report_reset_decode(struct report_reset *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_RESET);
    if (err != TS_OK) {
        return err;
    }
    struct report_reset got = {.group = get_group(&rd)};
    got.v6 = ts_get_bool(&rd);
    got.round = ts_get_u8(&rd);
    got.count = ts_get_u16(&rd);
    if (got.group.v == 0 || got.count > REPORT_CLIENTS_MAX) {
        ts_reader_fail(&rd);
        got.count = 0;
    }
    for (uint16_t i = 0; i < got.count; i++) {
        got.c[i] = report_client_get(&rd, got.v6);
        if (got.c[i].port == 0) {
            ts_reader_fail(&rd);
        }
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

enum ts_err report_address_encode(const struct report_address *r, struct ts_writer *w)
{
    put_header(w, REPORT_ADDRESS);
    ts_put_u16(w, r->nic.v);
    ts_put_u16(w, r->group.v);
    put_text(w, r->interface, sizeof(r->interface));
    put_text(w, r->why, sizeof(r->why));
    return ts_writer_status(w);
}

enum ts_err report_address_decode(struct report_address *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_ADDRESS);
    if (err != TS_OK) {
        return err;
    }
    struct report_address got = {.nic = get_nic(&rd)};
    got.group = get_group(&rd);
    get_text(&rd, got.interface, sizeof(got.interface));
    get_text(&rd, got.why, sizeof(got.why));
    if (got.group.v == 0) {
        ts_reader_fail(&rd);
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

enum ts_err report_refused_encode(const struct report_refused *r, struct ts_writer *w)
{
    put_header(w, REPORT_REFUSED);
    ts_put_u16(w, r->nic.v);
    ts_put_u16(w, r->peer.v);
    put_text(w, r->why, sizeof(r->why));
    put_text(w, r->detail, sizeof(r->detail));
    return ts_writer_status(w);
}

enum ts_err report_refused_decode(struct report_refused *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_REFUSED);
    if (err != TS_OK) {
        return err;
    }
    struct report_refused got = {.nic = get_nic(&rd)};
    got.peer = get_nic(&rd);
    get_text(&rd, got.why, sizeof(got.why));
    get_text(&rd, got.detail, sizeof(got.detail));
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

_Static_assert(2 + 2 + 2 + 8 + (REPORT_COUNTERS + REPORT_GAUGES) * 8 +
                       REPORT_STAGES * (TS_HISTOGRAM_BUCKETS + 2) * 8 <=
                   REPORT_BYTES_MAX,
               "all figures fit one datagram");

enum ts_err report_figures_encode(const struct report_figures *r, struct ts_writer *w)
{
    put_header(w, REPORT_FIGURES);
    ts_put_u16(w, r->nic.v);
    ts_put_u16(w, r->group.v);
    ts_put_u64(w, r->instance.v);
    for (size_t i = 0; i < REPORT_COUNTERS; i++) {
        ts_put_u64(w, r->counter[i]);
    }
    for (size_t i = 0; i < REPORT_GAUGES; i++) {
        ts_put_u64(w, r->gauge[i]);
    }
    for (size_t i = 0; i < REPORT_STAGES; i++) {
        ts_put_u64(w, r->stage[i].sum_ns);
        ts_put_u64(w, r->stage[i].max_ns);
        for (size_t b = 0; b < TS_HISTOGRAM_BUCKETS; b++) {
            ts_put_u64(w, r->stage[i].count[b]);
        }
    }
    return ts_writer_status(w);
}

enum ts_err report_figures_decode(struct report_figures *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_FIGURES);
    if (err != TS_OK) {
        return err;
    }
    struct report_figures got = {.nic = get_nic(&rd), .group = get_group(&rd)};
    if (got.group.v == 0) {
        ts_reader_fail(&rd);
    }
    got.instance.v = ts_get_u64(&rd);
    for (size_t i = 0; i < REPORT_COUNTERS; i++) {
        got.counter[i] = ts_get_u64(&rd);
    }
    for (size_t i = 0; i < REPORT_GAUGES; i++) {
        got.gauge[i] = ts_get_u64(&rd);
    }
    for (size_t i = 0; i < REPORT_STAGES; i++) {
        got.stage[i].sum_ns = ts_get_u64(&rd);
        got.stage[i].max_ns = ts_get_u64(&rd);
        for (size_t b = 0; b < TS_HISTOGRAM_BUCKETS; b++) {
            got.stage[i].count[b] = ts_get_u64(&rd);
        }
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

enum ts_err report_snapshot_encode(const struct report_snapshot *r, struct ts_writer *w)
{
    put_header(w, REPORT_SNAPSHOT);
    ts_put_u16(w, r->group.v);
    ts_put_u64(w, r->seq.v);
    return ts_writer_status(w);
}

enum ts_err report_snapshot_decode(struct report_snapshot *r, struct ts_bytes datagram)
{
    struct ts_reader rd;
    enum ts_err err = open_reader(&rd, datagram, REPORT_SNAPSHOT);
    if (err != TS_OK) {
        return err;
    }
    struct report_snapshot got = {.group = get_group(&rd)};
    got.seq.v = ts_get_u64(&rd);
    if (got.group.v == 0 || got.seq.v == 0) {
        ts_reader_fail(&rd);
    }
    err = close_reader(&rd);
    if (err == TS_OK) {
        *r = got;
    }
    return err;
}

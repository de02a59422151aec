#include "cluster-cfg/config.h"

#include "base/assert.h"

/* Raised when the layout changes; an older program refuses a newer record (R7). */
#define CONFIG_FORMAT_BARE 1 /* without voters */
#define CONFIG_FORMAT 2

const struct cfg_replica *cfg_set_find(const struct cfg_set *s, struct ts_nic_id nic)
{
    ts_assert(s->count <= TS_MEMBERS_MAX);
    for (size_t i = 0; i < s->count; i++) {
        if (ts_nic_eq(s->r[i].nic, nic)) {
            return &s->r[i];
        }
    }
    return NULL;
}

bool cfg_set_has(const struct cfg_set *s, struct ts_nic_id nic, struct ts_incarnation inc)
{
    const struct cfg_replica *r = cfg_set_find(s, nic);
    return r != NULL && ts_incarnation_eq(r->incarnation, inc);
}

uint64_t cfg_set_mask(const struct cfg_set *s)
{
    ts_assert(s->count <= TS_MEMBERS_MAX);
    uint64_t mask = 0;
    for (size_t i = 0; i < s->count; i++) {
        ts_assert(s->r[i].nic.v <= TS_NODES_MAX);
        mask |= 1ULL << s->r[i].nic.v;
    }
    return mask;
}

void cfg_set_add(struct cfg_set *s, struct cfg_replica r)
{
    ts_assert(r.nic.v >= 1 && r.nic.v <= TS_NODES_MAX);
    cfg_set_remove(s, r.nic);
    ts_assert(s->count < TS_MEMBERS_MAX);
    size_t at = s->count;
    while (at > 0 && s->r[at - 1].nic.v > r.nic.v) {
        s->r[at] = s->r[at - 1];
        at--;
    }
    s->r[at] = r;
    s->count++;
}

void cfg_set_remove(struct cfg_set *s, struct ts_nic_id nic)
{
    const struct cfg_replica *found = cfg_set_find(s, nic);
    if (found == NULL) {
        return;
    }
    for (size_t i = (size_t)(found - s->r); i + 1 < s->count; i++) {
        s->r[i] = s->r[i + 1];
    }
    s->count--;
    s->r[s->count] = (struct cfg_replica){{0}, {0}};
}

bool cfg_set_eq(const struct cfg_set *a, const struct cfg_set *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!ts_nic_eq(a->r[i].nic, b->r[i].nic) ||
            !ts_incarnation_eq(a->r[i].incarnation, b->r[i].incarnation)) {
            return false;
        }
    }
    return true;
}

/* The comparisons below are made all, whatever the first ones give: there are few. */
static bool voter_eq(const struct cfg_voter *a, const struct cfg_voter *b)
{
    return (a->incarnation.v == b->incarnation.v) & (a->phase == b->phase);
}

bool cfg_voters_eq(const struct cfg_voters *a, const struct cfg_voters *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; i < TS_VOTERS_MAX; i++) { /* those behind the last are all zero */
        same &= voter_eq(&a->v[i], &b->v[i]);
    }
    return same;
}

bool cfg_voters_count(const struct cfg_voters *s, uint8_t index, struct ts_incarnation disk)
{
    ts_assert(s->count <= TS_VOTERS_MAX);
    return s->count == 0 || (index < s->count && s->v[index].phase == CFG_VOTER_VOTES &&
                             ts_incarnation_eq(s->v[index].incarnation, disk));
}

uint8_t cfg_voters_joining(const struct cfg_voters *s)
{
    uint8_t i = 0;
    while (i < s->count && s->v[i].phase == CFG_VOTER_VOTES) {
        i++;
    }
    return i;
}

static bool voter_follows(const struct cfg_voter *from, const struct cfg_voter *to)
{
    bool same = from->incarnation.v == to->incarnation.v;
    bool next = (from->phase + 1) % (CFG_VOTER_REWRITTEN + 1) == to->phase;
    bool joins = to->phase == CFG_VOTER_JOINS;
    return same ? next & !joins : joins;
}

bool cfg_voters_follow(const struct cfg_voters *from, const struct cfg_voters *to)
{
    uint8_t joining = cfg_voters_joining(from);
    size_t changed = 0;
    bool follow = from->count == to->count;
    for (uint8_t i = 0; i < from->count; i++) {
        bool same = voter_eq(&from->v[i], &to->v[i]);
        bool may = (joining == from->count) | (joining == i);
        follow &= same | (may & voter_follows(&from->v[i], &to->v[i]));
        changed += !same;
    }
    return follow & (changed <= 1);
}

bool cfg_config_eq(const struct cfg_config *a, const struct cfg_config *b)
{
    return ts_epoch_eq(a->epoch, b->epoch) && ts_nic_eq(a->primary, b->primary) &&
           cfg_set_eq(&a->in_sync, &b->in_sync) && cfg_set_eq(&a->members, &b->members) &&
           a->durability == b->durability && a->min_version == b->min_version &&
           ts_seq_eq(a->suspect, b->suspect) && ts_instance_eq(a->proposer, b->proposer) &&
           a->nonce == b->nonce && cfg_voters_eq(&a->voters, &b->voters);
}

/* Ids in range and strictly rising: one form a set, and at most one entry a NIC. */
static bool set_valid(const struct cfg_set *s)
{
    if (s->count > TS_MEMBERS_MAX) {
        return false;
    }
    uint16_t last = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->r[i].nic.v <= last || s->r[i].nic.v > TS_NODES_MAX || s->r[i].incarnation.v == 0) {
            return false;
        }
        last = s->r[i].nic.v;
    }
    return true;
}

static bool voters_valid(const struct cfg_voters *s)
{
    bool valid = s->count <= TS_VOTERS_MAX;
    size_t joining = 0;
    for (size_t i = 0; i < TS_VOTERS_MAX; i++) {
        const struct cfg_voter *v = &s->v[i];
        bool listed = i < s->count;
        valid &= (listed == (v->incarnation.v != 0)) & (v->phase <= CFG_VOTER_REWRITTEN);
        valid &= listed | (v->phase == CFG_VOTER_VOTES);
        for (size_t k = 0; k < i; k++) {
            valid &= !listed | (v->incarnation.v != s->v[k].incarnation.v);
        }
        joining += v->phase != CFG_VOTER_VOTES;
    }
    return valid & (joining <= 1);
}

bool cfg_config_valid(const struct cfg_config *c)
{
    if (c->epoch.v == 0 || !set_valid(&c->in_sync) || !set_valid(&c->members) ||
        !voters_valid(&c->voters)) {
        return false;
    }
    if (c->durability != CFG_DURABILITY_DISK && c->durability != CFG_DURABILITY_MEMORY) {
        return false;
    }
    for (size_t i = 0; i < c->in_sync.count; i++) {
        if (!cfg_set_has(&c->members, c->in_sync.r[i].nic, c->in_sync.r[i].incarnation)) {
            return false;
        }
    }
    return cfg_set_find(&c->in_sync, c->primary) != NULL;
}

static void set_encode(const struct cfg_set *s, struct ts_writer *w)
{
    ts_assert(s->count <= TS_MEMBERS_MAX);
    ts_put_u8(w, s->count);
    for (size_t i = 0; i < s->count; i++) {
        ts_put_u16(w, s->r[i].nic.v);
        ts_put_u64(w, s->r[i].incarnation.v);
    }
}

static void set_decode(struct cfg_set *s, struct ts_reader *r)
{
    *s = (struct cfg_set){0};
    uint8_t count = ts_get_u8(r);
    if (count > TS_MEMBERS_MAX) {
        ts_reader_fail(r);
        return;
    }
    s->count = count;
    for (size_t i = 0; i < count; i++) {
        s->r[i].nic.v = ts_get_u16(r);
        s->r[i].incarnation.v = ts_get_u64(r);
    }
}

static void voters_encode(const struct cfg_voters *s, struct ts_writer *w)
{
    ts_put_u8(w, s->count);
    for (size_t i = 0; i < s->count; i++) {
        ts_put_u64(w, s->v[i].incarnation.v);
        ts_put_u8(w, (uint8_t)s->v[i].phase);
    }
}

/* No voters have a format of their own: one form a value. */
static void voters_decode(struct cfg_voters *s, struct ts_reader *r)
{
    uint8_t count = ts_get_u8(r);
    if (count == 0 || count > TS_VOTERS_MAX) {
        ts_reader_fail(r);
        return;
    }
    s->count = count;
    for (size_t i = 0; i < count; i++) {
        s->v[i].incarnation.v = ts_get_u64(r);
        s->v[i].phase = (enum cfg_voter_phase)ts_get_u8(r);
    }
}

void cfg_config_encode(const struct cfg_config *c, struct ts_writer *w)
{
    ts_assert(cfg_config_valid(c));
    ts_put_u8(w, c->voters.count == 0 ? CONFIG_FORMAT_BARE : CONFIG_FORMAT);
    ts_put_u64(w, c->epoch.v);
    ts_put_u16(w, c->primary.v);
    set_encode(&c->in_sync, w);
    set_encode(&c->members, w);
    ts_put_u8(w, (uint8_t)c->durability);
    ts_put_u32(w, c->min_version);
    ts_put_u64(w, c->suspect.v);
    if (c->voters.count > 0) {
        voters_encode(&c->voters, w);
    }
    ts_put_u64(w, c->proposer.v);
    ts_put_u64(w, c->nonce);
}

void cfg_config_decode(struct cfg_config *c, struct ts_reader *r)
{
    *c = (struct cfg_config){0};
    uint8_t format = ts_get_u8(r);
    if (format != CONFIG_FORMAT && format != CONFIG_FORMAT_BARE) {
        ts_reader_fail(r);
    }
    c->epoch.v = ts_get_u64(r);
    c->primary.v = ts_get_u16(r);
    set_decode(&c->in_sync, r);
    set_decode(&c->members, r);
    c->durability = (enum cfg_durability)ts_get_u8(r);
    c->min_version = ts_get_u32(r);
    c->suspect.v = ts_get_u64(r);
    if (format == CONFIG_FORMAT) {
        voters_decode(&c->voters, r);
    }
    c->proposer.v = ts_get_u64(r);
    c->nonce = ts_get_u64(r);
    if (r->failed || !cfg_config_valid(c)) {
        ts_reader_fail(r);
        *c = (struct cfg_config){0};
    }
}

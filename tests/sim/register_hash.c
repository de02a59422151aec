/* Equality of the model's states, by hash: without the numbers of voters, of writes and of what
 * can no longer matter, so that the search meets fewer of them. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "cluster-cfg/voter_state.h"
#include "tests/sim/register_state.h"

#define BLOB_MAX 2048

static int compare_msgs(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct model_msg));
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void put_record(struct ts_writer *w, const struct model_record *r)
{
    ts_put_u32(w, r->promised);
    ts_put_u32(w, r->accepted);
    ts_put_u8(w, r->value);
}

/* Whether what is stored by a minority at this ballot can still reach a majority. */
static bool can_be_chosen(const struct model_state *s, const struct model_chosen *c)
{
    unsigned n = 0;
    for (size_t v = 0; v < MODEL_DISKS; v++) {
        bool stored = ((c->voters >> v) & 1) != 0 || s->disk[v].promised <= c->ballot;
        n += stored && (v != MODEL_NEW || s->replaces) && model_counts(s, c->value, v);
    }
    return n > MODEL_VOTERS / 2;
}

static void put_sorted(struct ts_writer *w, uint64_t *v, size_t n)
{
    qsort(v, n, sizeof(*v), compare_u64);
    ts_put_u8(w, (uint8_t)n);
    ts_put_bytes(w, v, n * sizeof(*v));
}

/* What this voter stored of values that may be chosen yet. */
static void put_stored(struct ts_writer *w, const struct model_state *s, size_t voter)
{
    uint64_t stored[MODEL_CHOSEN_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s->chosen_count; i++) {
        const struct model_chosen *c = &s->chosen[i];
        if (((c->voters >> voter) & 1) != 0 && !model_by_majority(s, c) && can_be_chosen(s, c)) {
            stored[n++] = (uint64_t)c->ballot << 8 | c->value;
        }
    }
    put_sorted(w, stored, n);
}

/* What was chosen, by whichever voters. */
static void put_chosen(struct ts_writer *w, const struct model_state *s)
{
    uint64_t chosen[MODEL_CHOSEN_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s->chosen_count; i++) {
        if (model_by_majority(s, &s->chosen[i])) {
            chosen[n++] = (uint64_t)s->chosen[i].ballot << 8 | s->chosen[i].value;
        }
    }
    put_sorted(w, chosen, n);
}

/* All that concerns one voter, without its number. */
static uint64_t hash_voter(const struct model_state *s, size_t voter)
{
    uint8_t blob[BLOB_MAX];
    struct ts_writer w = ts_writer_init(blob, sizeof(blob));
    const struct voter *v = model_voter(s, voter);
    struct model_record mem = model_pack_record(&voter_slots(model_voter(s, voter))->rec);
    put_record(&w, &mem);
    put_record(&w, &s->disk[voter]);
    ts_put_u8(&w, s->pending_count[voter]);
    for (size_t i = 0; i < s->pending_count[voter]; i++) {
        put_record(&w, &s->pending[voter][i].rec);
        ts_put_u64(&w, v->issued - s->pending[voter][i].n);
    }
    for (size_t i = 0; i < v->held_count; i++) {
        const struct voter_held *h = &voter_held(v)[i];
        struct model_msg m = model_pack_msg(&h->msg, (uint8_t)h->handle, 0);
        ts_put_bytes(&w, &m, sizeof(m));
        ts_put_u64(&w, v->issued - h->n);
    }
    for (size_t a = 0; a < MODEL_ACTORS; a++) {
        bool linked = voter < MODEL_OLD || voter == s->actor[a].disk;
        const struct proposer_voter *pv =
            &s->actor[a].core.voter[voter < MODEL_OLD ? voter : MODEL_OLD];
        ts_put_u8(&w, linked ? (uint8_t)pv->answer : UINT8_MAX);
        ts_put_u8(&w, linked && pv->asked);
    }
    struct model_msg net[MODEL_NET_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s->net_count; i++) {
        if (s->net[i].voter == voter) {
            net[n] = s->net[i];
            net[n++].voter = 0;
        }
    }
    qsort(net, n, sizeof(net[0]), compare_msgs);
    ts_put_u8(&w, (uint8_t)n);
    ts_put_bytes(&w, net, n * sizeof(net[0]));
    put_stored(&w, s, voter);
    if (s->replaces && voter >= MODEL_OLD) { /* these two are not like the others */
        ts_put_u8(&w, (uint8_t)voter);
        ts_put_u8(&w, (uint8_t)voter_slots(v)->copy);
    }
    ts_assert(ts_writer_status(&w) == TS_OK);
    return ts_hash_bytes(blob, w.len).lo;
}

static void put_actor(struct ts_writer *w, const struct model_actor *a)
{
    const struct proposer *p = &a->core;
    uint64_t above = p->counter_seen > p->ballot.counter ? p->counter_seen : p->ballot.counter;
    const uint8_t bytes[] = {
        a->pc,
        a->life,
        a->ticks,
        a->rounds,
        a->base,
        a->shown,
        a->proposal,
        (uint8_t)p->op,
        (uint8_t)p->phase,
        (uint8_t)p->expected.v,
        (uint8_t)p->proposal.nonce,
        p->pinned,
        (uint8_t)p->pinned_nonce,
        p->has_seen,
        (uint8_t)p->seen.nonce,
        p->prepared,
        p->sent.len > 0,
        (uint8_t)p->pending,
        p->told,
        (uint8_t)above,
        a->disk,
        a->switches,
    };
    ts_put_bytes(w, bytes, sizeof(bytes));
    ts_put_u32(w, model_pack_ballot(p->ballot));
    ts_put_u32(w, model_pack_ballot(p->seen_ballot));
}

uint64_t model_hash(const struct model_state *s)
{
    uint8_t blob[BLOB_MAX];
    struct ts_writer w = ts_writer_init(blob, sizeof(blob));
    uint64_t voters[MODEL_DISKS];
    size_t disks = s->replaces ? MODEL_DISKS : MODEL_VOTERS;
    for (size_t v = 0; v < disks; v++) {
        voters[v] = hash_voter(s, v);
    }
    qsort(voters, disks, sizeof(voters[0]), compare_u64);
    ts_put_bytes(&w, voters, disks * sizeof(voters[0]));
    for (size_t a = 0; a < MODEL_ACTORS; a++) {
        put_actor(&w, &s->actor[a]);
    }
    put_chosen(&w, s);
    ts_put_bytes(&w, s->values, s->value_count * sizeof(s->values[0]));
    const uint8_t left[] = {s->restarts, s->abandons, s->crashes, s->duplicates};
    ts_put_bytes(&w, left, sizeof(left));
    ts_assert(ts_writer_status(&w) == TS_OK);
    return ts_hash_bytes(blob, w.len).lo;
}

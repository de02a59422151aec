/* LEASE.GRANT LEASE.KEEP LEASE.RELEASE LEASE.GET: a right that one owner has for a while, with a
 * fencing token that rises with every grant (R2.7). Leases and keys do not know of each other's
 * names. */
#include "services/kv/lease.h"

#include <string.h>

#include "base/assert.h"
#include "services/kv/state.h"

struct kv_lease kv_lease_of(struct ts_bytes value)
{
    struct ts_reader r = ts_reader_init(value.data, value.len);
    struct kv_lease l = {.epoch = ts_get_u64(&r)};
    l.seq = ts_get_u64(&r);
    ts_assert(ts_reader_status(&r) == TS_OK);
    l.owner = ts_get_bytes(&r, ts_reader_left(&r));
    return l;
}

/* The lease of this name that is held; one whose time has come is removed in apply. */
static struct kv_entry *held(struct kv_call *c, struct ts_bytes name)
{
    struct kv_entry *e = kv_store_find_in(&c->kv->store, KV_SPACE_LEASES, name);
    if (e != NULL && e->expire_ms <= c->now_ms) {
        if (c->mut != NULL) {
            kv_store_remove(&c->mut->store, e);
            c->mut->expired++;
        }
        e = NULL;
    }
    return e;
}

static bool is_owner(const struct kv_entry *e, struct ts_bytes owner)
{
    struct ts_bytes holder = kv_lease_of(kv_entry_value(e)).owner;
    if (holder.len != owner.len || owner.len == 0) {
        return holder.len == owner.len;
    }
    ts_assert(holder.data != NULL);
    return memcmp(holder.data, owner.data, owner.len) == 0;
}

/* An entry has one token to give: a lease that was granted in it and has ended in it leaves none
 * for the next holder. False: the error is written. */
static bool token_is_left(struct kv_call *c)
{
    if (c->mut->lease_ended != c->mut->store.version) {
        return true;
    }
    resp_put_error(&c->reply,
                   "ERR not executed: a lease that this transaction granted has ended in "
                   "it, and the next holder's token would be the same");
    return false;
}

/* When a lease of so many milliseconds ends; false when the error is written. */
static bool end_of(struct kv_call *c, struct ts_bytes word, uint64_t *at_ms)
{
    int64_t ms = 0;
    if (!kv_number(c, word, &ms)) {
        return false;
    }
    if (ms <= 0 || (uint64_t)ms > INT64_MAX - c->now_ms) {
        kv_expire_error(c);
        return false;
    }
    *at_ms = c->now_ms + (uint64_t)ms;
    return true;
}

static void put_token(struct kv_call *c, const struct kv_lease *l)
{
    resp_put_integer(&c->reply, (int64_t)l->epoch);
    resp_put_integer(&c->reply, (int64_t)l->seq);
}

static void make(struct kv_call *c, struct kv_entry *e, struct ts_bytes owner)
{
    uint8_t token[KV_LEASE_TOKEN];
    struct ts_writer w = ts_writer_init(token, sizeof(token));
    ts_put_u64(&w, c->epoch.v);
    ts_put_u64(&w, c->kv->store.version);
    ts_assert(ts_writer_status(&w) == TS_OK);
    kv_store_set_value(&c->mut->store, e, (struct ts_bytes){token, sizeof(token)});
    kv_store_append(&c->mut->store, e, owner);
}

/* {epoch, seq}: the token; nil: another owner has it. Who holds it gets it again, with its token: a
 * request may be repeated. */
void kv_run_lease_grant(struct kv_call *c)
{
    struct ts_bytes name = kv_word(c);
    struct ts_bytes owner = kv_word(c);
    uint64_t at_ms = 0;
    if (!end_of(c, kv_word(c), &at_ms) || !kv_key_ok(c, name) || !kv_key_ok(c, owner) ||
        !kv_value_ok(c, owner.len + KV_LEASE_TOKEN)) {
        return;
    }
    struct kv_entry *e = held(c, name);
    if (e != NULL && !is_owner(e, owner)) {
        resp_put_null_array(&c->reply);
        return;
    }
    if (e == NULL && !token_is_left(c)) {
        return;
    }
    if (e == NULL) {
        e = kv_store_add_in(&c->mut->store, KV_SPACE_LEASES, name);
        make(c, e, owner);
        c->mut->lease_granted = c->mut->store.version;
    }
    kv_store_set_expiry(&c->mut->store, e, at_ms);
    struct kv_lease l = kv_lease_of(kv_entry_value(e));
    resp_put_array(&c->reply, 2);
    put_token(c, &l);
}

void kv_run_lease_keep(struct kv_call *c)
{
    struct ts_bytes name = kv_word(c);
    struct ts_bytes owner = kv_word(c);
    uint64_t at_ms = 0;
    if (!end_of(c, kv_word(c), &at_ms)) {
        return;
    }
    struct kv_entry *e = held(c, name);
    bool is = e != NULL && is_owner(e, owner);
    if (is) {
        kv_store_set_expiry(&c->mut->store, e, at_ms);
    }
    resp_put_integer(&c->reply, is);
}

void kv_run_lease_release(struct kv_call *c)
{
    struct kv_entry *e = held(c, kv_word(c));
    bool is = e != NULL && is_owner(e, kv_word(c));
    if (is) {
        uint64_t granted = kv_lease_of(kv_entry_value(e)).seq;
        c->mut->lease_ended = granted == c->mut->store.version ? granted : c->mut->lease_ended;
        kv_delete(c, e);
    }
    resp_put_integer(&c->reply, is);
}

/* {owner, epoch, seq, milliseconds left}; nil: nobody holds it. */
void kv_run_lease_get(struct kv_call *c)
{
    const struct kv_entry *e = held(c, kv_word(c));
    if (e == NULL) {
        resp_put_null_array(&c->reply);
        return;
    }
    struct kv_lease l = kv_lease_of(kv_entry_value(e));
    resp_put_array(&c->reply, 4);
    resp_put_bulk(&c->reply, l.owner.data, l.owner.len);
    put_token(c, &l);
    resp_put_integer(&c->reply, (int64_t)(e->expire_ms - c->now_ms));
}

/* EXPIRE PEXPIRE EXPIREAT PEXPIREAT EXPIRETIME PEXPIRETIME TTL PTTL PERSIST. */
#include <stdio.h>
#include <string.h>

#include "services/kv/state.h"

struct expire_options {
    bool nx;
    bool xx;
    bool gt;
    bool lt;
};

static void unsupported(struct kv_call *c, struct ts_bytes word)
{
    char text[160];
    /* Like redis' format, a word ends at its first NUL. */
    size_t n = strnlen((const char *)word.data, word.len < 128 ? word.len : 128);
    snprintf(text, sizeof(text), "ERR Unsupported option %.*s", (int)n, (const char *)word.data);
    resp_put_error(&c->reply, text);
}

static bool take_expire_options(struct kv_call *c, struct expire_options *o)
{
    for (uint32_t i = 2; i < kv_words(c); i++) {
        struct ts_bytes word = kv_word(c);
        if (resp_word_is(word, "nx")) {
            o->nx = true;
        } else if (resp_word_is(word, "xx")) {
            o->xx = true;
        } else if (resp_word_is(word, "gt")) {
            o->gt = true;
        } else if (resp_word_is(word, "lt")) {
            o->lt = true;
        } else {
            unsupported(c, word);
            return false;
        }
    }
    if (o->nx && (o->xx || o->gt || o->lt)) {
        resp_put_error(&c->reply,
                       "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (o->gt && o->lt) {
        resp_put_error(&c->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* Whether the options let the expiry of `e` become `at_ms`; no expiry counts as the latest. */
static bool options_allow(const struct expire_options *o, const struct kv_entry *e, int64_t at_ms)
{
    bool has = e->expire_ms != KV_NO_EXPIRY;
    int64_t present = (int64_t)e->expire_ms;
    if ((o->nx && has) || (o->xx && !has)) {
        return false;
    }
    if (o->gt && (!has || at_ms <= present)) {
        return false;
    }
    return !(o->lt && has && at_ms >= present);
}

/* The word counts `unit_ms` from the logical time `base_ms` on. */
static void expire(struct kv_call *c, int64_t unit_ms, int64_t base_ms)
{
    struct ts_bytes key = kv_word(c);
    struct ts_bytes word = kv_word(c);
    struct expire_options o = {0};
    int64_t v = 0;
    if (!take_expire_options(c, &o) || !kv_number(c, word, &v)) {
        return;
    }
    int64_t now = (int64_t)c->now_ms;
    if (v > INT64_MAX / unit_ms || v < INT64_MIN / unit_ms || v * unit_ms > INT64_MAX - base_ms) {
        kv_expire_error(c);
        return;
    }
    int64_t at_ms = v * unit_ms + base_ms;
    struct kv_entry *e = kv_lookup(c, key);
    if (e == NULL || !options_allow(&o, e, at_ms)) {
        resp_put_integer(&c->reply, 0);
        return;
    }
    if (at_ms <= now) {
        kv_delete(c, e);
    } else {
        kv_store_set_expiry(&c->mut->store, e, (uint64_t)at_ms);
    }
    resp_put_integer(&c->reply, 1);
}

void kv_run_expire(struct kv_call *c)
{
    expire(c, KV_MS_PER_S, (int64_t)c->now_ms);
}

void kv_run_pexpire(struct kv_call *c)
{
    expire(c, 1, (int64_t)c->now_ms);
}

void kv_run_expireat(struct kv_call *c)
{
    expire(c, KV_MS_PER_S, 0);
}

void kv_run_pexpireat(struct kv_call *c)
{
    expire(c, 1, 0);
}

/* -2 without the key, -1 without an expiry; otherwise the expiry less `base_ms`, seconds rounded to
 * nearest. */
static void put_expiry(struct kv_call *c, uint64_t unit_ms, uint64_t base_ms)
{
    const struct kv_entry *e = kv_lookup(c, kv_word(c));
    if (e == NULL) {
        resp_put_integer(&c->reply, -2);
    } else if (e->expire_ms == KV_NO_EXPIRY) {
        resp_put_integer(&c->reply, -1);
    } else {
        uint64_t left = e->expire_ms - base_ms;
        resp_put_integer(&c->reply, (int64_t)((left + unit_ms / 2) / unit_ms));
    }
}

void kv_run_ttl(struct kv_call *c)
{
    put_expiry(c, KV_MS_PER_S, c->now_ms);
}

void kv_run_pttl(struct kv_call *c)
{
    put_expiry(c, 1, c->now_ms);
}

void kv_run_expiretime(struct kv_call *c)
{
    put_expiry(c, KV_MS_PER_S, 0);
}

void kv_run_pexpiretime(struct kv_call *c)
{
    put_expiry(c, 1, 0);
}

void kv_run_persist(struct kv_call *c)
{
    struct kv_entry *e = kv_lookup(c, kv_word(c));
    bool had = e != NULL && e->expire_ms != KV_NO_EXPIRY;
    if (had) {
        kv_store_set_expiry(&c->mut->store, e, KV_NO_EXPIRY);
    }
    resp_put_integer(&c->reply, had ? 1 : 0);
}

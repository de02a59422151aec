/* What every family's handlers share. */
#include <stdio.h>

#include "base/assert.h"
#include "services/kv/state.h"

struct ts_bytes kv_word(struct kv_call *c)
{
    return kv_payload_next(&c->payload);
}

uint32_t kv_words(const struct kv_call *c)
{
    return c->payload.words;
}

struct kv_entry *kv_lookup(struct kv_call *c, struct ts_bytes key)
{
    struct kv_entry *e = kv_store_find(&c->kv->store, key);
    if (e != NULL && e->expire_ms != KV_NO_EXPIRY && e->expire_ms <= c->now_ms) {
        if (c->mut != NULL) {
            kv_store_remove(&c->mut->store, e);
            c->mut->expired++;
        }
        e = NULL;
    }
    if (c->mut != NULL) {
        c->mut->hits += e != NULL;
        c->mut->misses += e == NULL;
    }
    return e;
}

void kv_delete(struct kv_call *c, struct kv_entry *e)
{
    ts_assert(c->mut != NULL);
    kv_store_remove(&c->mut->store, e);
}

void kv_put_value(struct kv_call *c, const struct kv_entry *e)
{
    if (e == NULL) {
        resp_put_null(&c->reply);
    } else {
        resp_put_bulk(&c->reply, e->value, e->value_len);
    }
}

struct kv_entry *kv_set(struct kv_call *c, struct kv_entry *e, struct ts_bytes key,
                        struct ts_bytes value)
{
    ts_assert(c->mut != NULL);
    if (e == NULL) {
        e = kv_store_add(&c->mut->store, key);
    }
    kv_store_set_value(&c->mut->store, e, value);
    return e;
}

bool kv_key_ok(struct kv_call *c, struct ts_bytes key)
{
    if (key.len <= c->kv->limits.key_max) {
        return true;
    }
    char text[96];
    snprintf(text, sizeof(text), "ERR key of %zu bytes exceeds the limit of %llu bytes", key.len,
             (unsigned long long)c->kv->limits.key_max);
    resp_put_error(&c->reply, text);
    return false;
}

bool kv_value_ok(struct kv_call *c, size_t len)
{
    if (len <= c->kv->limits.value_max) {
        return true;
    }
    char text[128];
    snprintf(text, sizeof(text), "ERR string exceeds maximum allowed size: %zu bytes, at most %llu",
             len, (unsigned long long)c->kv->limits.value_max);
    resp_put_error(&c->reply, text);
    return false;
}

bool kv_number(struct kv_call *c, struct ts_bytes word, int64_t *out)
{
    if (resp_parse_i64(word, out)) {
        return true;
    }
    resp_put_error(&c->reply, "ERR value is not an integer or out of range");
    return false;
}

void kv_payload_error(struct kv_call *c, enum ts_err err)
{
    char text[96];
    snprintf(text, sizeof(text), "ERR the request's payload is not valid: %s", ts_err_text(err));
    resp_put_error(&c->reply, text);
}

void kv_syntax_error(struct kv_call *c)
{
    resp_put_error(&c->reply, "ERR syntax error");
}

void kv_expire_error(struct kv_call *c)
{
    char text[96];
    snprintf(text, sizeof(text), "ERR invalid expire time in '%s' command", c->command->name);
    resp_put_error(&c->reply, text);
}

/* GET MGET MSET MSETNX APPEND STRLEN GETRANGE SETRANGE SUBSTR SETBIT GETBIT. */
#include <stdio.h>

#include "services/kv/state.h"

void kv_run_get(struct kv_call *c)
{
    kv_put_value(c, kv_lookup(c, kv_word(c)));
}

void kv_run_mget(struct kv_call *c)
{
    resp_put_array(&c->reply, kv_words(c));
    for (uint32_t i = 0; i < kv_words(c); i++) {
        kv_put_value(c, kv_lookup(c, kv_word(c)));
    }
}

void kv_run_strlen(struct kv_call *c)
{
    const struct kv_entry *e = kv_lookup(c, kv_word(c));
    resp_put_integer(&c->reply, e == NULL ? 0 : (int64_t)e->value_len);
}

/* All or nothing: every word is checked before the first key is set. */
static bool mset_ok(struct kv_call *c)
{
    if (kv_words(c) % 2 != 0) {
        char text[80];
        (void)snprintf(text, sizeof(text), "ERR wrong number of arguments for '%s' command",
                       c->command->name);
        resp_put_error(&c->reply, text);
        return false;
    }
    struct kv_payload again = c->payload;
    for (uint32_t i = 0; i < kv_words(c); i += 2) {
        struct ts_bytes key = kv_payload_next(&again);
        struct ts_bytes value = kv_payload_next(&again);
        if (!kv_key_ok(c, key) || !kv_value_ok(c, value.len)) {
            return false;
        }
    }
    return true;
}

static void set_all(struct kv_call *c)
{
    for (uint32_t i = 0; i < kv_words(c); i += 2) {
        struct ts_bytes key = kv_word(c);
        struct ts_bytes value = kv_word(c);
        struct kv_entry *e = kv_set(c, kv_lookup(c, key), key, value);
        kv_store_set_expiry(&c->mut->store, e, KV_NO_EXPIRY);
    }
}

void kv_run_mset(struct kv_call *c)
{
    if (mset_ok(c)) {
        set_all(c);
        resp_put_simple(&c->reply, "OK");
    }
}

void kv_run_msetnx(struct kv_call *c)
{
    if (!mset_ok(c)) {
        return;
    }
    bool any = false;
    struct kv_payload words = c->payload;
    for (uint32_t i = 0; i < kv_words(c); i += 2) {
        any = kv_lookup(c, kv_payload_next(&words)) != NULL || any;
        (void)kv_payload_next(&words);
    }
    if (!any) {
        set_all(c);
    }
    resp_put_integer(&c->reply, any ? 0 : 1);
}

void kv_run_append(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    struct ts_bytes tail = kv_word(c);
    if (!kv_key_ok(c, key)) {
        return;
    }
    struct kv_entry *e = kv_lookup(c, key);
    size_t len = (e != NULL ? e->value_len : 0) + tail.len;
    if (!kv_value_ok(c, len)) {
        return;
    }
    if (e == NULL) {
        e = kv_store_add(&c->mut->store, key);
    }
    kv_store_append(&c->mut->store, e, tail);
    resp_put_integer(&c->reply, (int64_t)e->value_len);
}

/* ---- parts of a value ---- */

void kv_run_getrange(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    int64_t from = 0;
    int64_t to = 0;
    if (!kv_number(c, kv_word(c), &from) || !kv_number(c, kv_word(c), &to)) {
        return;
    }
    const struct kv_entry *e = kv_lookup(c, key);
    int64_t len = e == NULL ? 0 : (int64_t)e->value_len;
    /* Counted from the end when negative; a range that is the wrong way round there is empty. */
    bool backwards = from < 0 && to < 0 && from > to;
    from = from < 0 ? from + len : from;
    to = to < 0 ? to + len : to;
    from = from < 0 ? 0 : from;
    to = to < 0 ? 0 : to;
    to = to >= len ? len - 1 : to;
    if (backwards || from > to || len == 0) {
        resp_put_bulk(&c->reply, "", 0);
    } else {
        resp_put_bulk(&c->reply, e->value + from, (size_t)(to - from + 1));
    }
}

void kv_run_setrange(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    int64_t at = 0;
    if (!kv_number(c, kv_word(c), &at)) {
        return;
    }
    struct ts_bytes part = kv_word(c);
    if (at < 0) {
        resp_put_error(&c->reply, "ERR offset is out of range");
        return;
    }
    struct kv_entry *e = kv_lookup(c, key);
    if (part.len == 0) {
        resp_put_integer(&c->reply, e == NULL ? 0 : (int64_t)e->value_len);
        return;
    }
    size_t end = (uint64_t)at > SIZE_MAX - part.len ? SIZE_MAX : (size_t)at + part.len;
    if (!kv_key_ok(c, key) || !kv_value_ok(c, end)) {
        return;
    }
    if (e == NULL) {
        e = kv_store_add(&c->mut->store, key);
    }
    kv_store_overwrite(&c->mut->store, e, (size_t)at, part);
    resp_put_integer(&c->reply, (int64_t)e->value_len);
}

/* ---- bits of a value ---- */

#define BITS_PER_BYTE 8

/* The byte that a bit's number means, and the bit in it: the highest one has the lowest number.
 * False: the error is written. */
static bool take_bit(struct kv_call *c, struct ts_bytes word, size_t *at, uint8_t *mask)
{
    int64_t v = 0;
    if (!resp_parse_i64(word, &v) || v < 0 ||
        (uint64_t)v / BITS_PER_BYTE >= c->kv->limits.value_max) {
        resp_put_error(&c->reply, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *at = (size_t)v / BITS_PER_BYTE;
    *mask = (uint8_t)(0x80U >> (unsigned)(v % BITS_PER_BYTE));
    return true;
}

void kv_run_setbit(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    size_t at = 0;
    uint8_t mask = 0;
    int64_t bit = 0;
    if (!take_bit(c, kv_word(c), &at, &mask)) {
        return;
    }
    if (!resp_parse_i64(kv_word(c), &bit) || bit < 0 || bit > 1) {
        resp_put_error(&c->reply, "ERR bit is not an integer or out of range");
        return;
    }
    if (!kv_key_ok(c, key)) {
        return;
    }
    struct kv_entry *e = kv_lookup(c, key);
    bool longer = e == NULL || at >= e->value_len;
    uint8_t old = longer ? 0 : e->value[at];
    uint8_t byte = (uint8_t)(bit != 0 ? old | mask : old & ~mask);
    if (e == NULL) {
        e = kv_store_add(&c->mut->store, key);
    }
    if (longer || byte != old) {
        kv_store_overwrite(&c->mut->store, e, at, (struct ts_bytes){&byte, 1});
    }
    resp_put_integer(&c->reply, (old & mask) != 0 ? 1 : 0);
}

void kv_run_getbit(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    size_t at = 0;
    uint8_t mask = 0;
    if (!take_bit(c, kv_word(c), &at, &mask)) {
        return;
    }
    const struct kv_entry *e = kv_lookup(c, key);
    bool set = e != NULL && at < e->value_len && (e->value[at] & mask) != 0;
    resp_put_integer(&c->reply, set ? 1 : 0);
}

/* GET SET MGET MSET APPEND STRLEN. */
#include "services/kv/state.h"

static void put_value(struct kv_call *c, const struct kv_entry *e)
{
    if (e == NULL) {
        resp_put_null(&c->reply);
    } else {
        resp_put_bulk(&c->reply, e->value, e->value_len);
    }
}

void kv_run_get(struct kv_call *c)
{
    put_value(c, kv_lookup(c, kv_word(c)));
}

void kv_run_mget(struct kv_call *c)
{
    resp_put_array(&c->reply, kv_words(c));
    for (uint32_t i = 0; i < kv_words(c); i++) {
        put_value(c, kv_lookup(c, kv_word(c)));
    }
}

void kv_run_strlen(struct kv_call *c)
{
    const struct kv_entry *e = kv_lookup(c, kv_word(c));
    resp_put_integer(&c->reply, e == NULL ? 0 : (int64_t)e->value_len);
}

/* ---- SET ---- */

enum set_expiry {
    SET_DROP_EXPIRY = 0, /* none given: an old one goes */
    SET_KEEPTTL,
    SET_EX,
    SET_PX,
    SET_EXAT,
    SET_PXAT,
};

struct set_options {
    bool nx;
    bool xx;
    bool get;
    enum set_expiry expiry;
    struct ts_bytes expiry_word; /* EX, PX, EXAT, PXAT */
};

static const struct {
    const char *word;
    enum set_expiry expiry;
} set_expiry_words[] = {
    {"keepttl", SET_KEEPTTL}, {"ex", SET_EX},     {"px", SET_PX},
    {"exat", SET_EXAT},       {"pxat", SET_PXAT},
};

/* One option with the words it takes. Like redis, takes a repeated one: the last counts. */
static bool take_set_option(struct kv_call *c, struct ts_bytes word, uint32_t *left,
                            struct set_options *o)
{
    if (resp_word_is(word, "nx")) {
        o->nx = true;
        return !o->xx;
    }
    if (resp_word_is(word, "xx")) {
        o->xx = true;
        return !o->nx;
    }
    if (resp_word_is(word, "get")) {
        o->get = true;
        return true;
    }
    for (size_t i = 0; i < sizeof(set_expiry_words) / sizeof(set_expiry_words[0]); i++) {
        if (!resp_word_is(word, set_expiry_words[i].word)) {
            continue;
        }
        enum set_expiry e = set_expiry_words[i].expiry;
        if (o->expiry != SET_DROP_EXPIRY && o->expiry != e) {
            return false;
        }
        o->expiry = e;
        if (e == SET_KEEPTTL) {
            return true;
        }
        if (*left == 0) {
            return false;
        }
        (*left)--;
        o->expiry_word = kv_word(c);
        return true;
    }
    return false;
}

/* The moment an EX, PX, EXAT or PXAT word means; false when the error is written. */
static bool set_moment(struct kv_call *c, const struct set_options *o, uint64_t *at_ms)
{
    *at_ms = KV_NO_EXPIRY;
    if (o->expiry == SET_DROP_EXPIRY || o->expiry == SET_KEEPTTL) {
        return true;
    }
    int64_t v = 0;
    if (!kv_number(c, o->expiry_word, &v)) {
        return false;
    }
    bool seconds = o->expiry == SET_EX || o->expiry == SET_EXAT;
    bool relative = o->expiry == SET_EX || o->expiry == SET_PX;
    if (v <= 0 || (seconds && v > INT64_MAX / KV_MS_PER_S)) {
        kv_expire_error(c);
        return false;
    }
    uint64_t ms = (uint64_t)v * (seconds ? KV_MS_PER_S : 1) + (relative ? c->now_ms : 0);
    if (ms > INT64_MAX) {
        kv_expire_error(c);
        return false;
    }
    *at_ms = ms;
    return true;
}

/* Sets the key, whose entry is `e` or, when that is NULL, is created. */
static struct kv_entry *set_key(struct kv_call *c, struct kv_entry *e, struct ts_bytes key,
                                struct ts_bytes value)
{
    if (e == NULL) {
        e = kv_store_add(&c->mut->store, key);
    }
    kv_store_set_value(&c->mut->store, e, value);
    return e;
}

void kv_run_set(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    struct ts_bytes value = kv_word(c);
    struct set_options o = {0};
    for (uint32_t left = kv_words(c) - 2; left > 0;) {
        left--;
        struct ts_bytes word = kv_word(c);
        if (!take_set_option(c, word, &left, &o)) {
            kv_syntax_error(c);
            return;
        }
    }
    uint64_t at_ms = KV_NO_EXPIRY;
    if (!set_moment(c, &o, &at_ms) || !kv_key_ok(c, key) || !kv_value_ok(c, value.len)) {
        return;
    }
    struct kv_entry *e = kv_lookup(c, key);
    if (o.get) {
        put_value(c, e);
    }
    if ((o.nx && e != NULL) || (o.xx && e == NULL)) {
        if (!o.get) {
            resp_put_null(&c->reply);
        }
        return;
    }
    e = set_key(c, e, key, value);
    if (o.expiry != SET_KEEPTTL) {
        kv_store_set_expiry(&c->mut->store, e, at_ms);
    }
    if (!o.get) {
        resp_put_simple(&c->reply, "OK");
    }
}

/* All or nothing: every word is checked before the first key is set. */
static bool mset_ok(struct kv_call *c)
{
    if (kv_words(c) % 2 != 0) {
        resp_put_error(&c->reply, "ERR wrong number of arguments for 'mset' command");
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

void kv_run_mset(struct kv_call *c)
{
    if (!mset_ok(c)) {
        return;
    }
    for (uint32_t i = 0; i < kv_words(c); i += 2) {
        struct ts_bytes key = kv_word(c);
        struct ts_bytes value = kv_word(c);
        struct kv_entry *e = set_key(c, kv_lookup(c, key), key, value);
        kv_store_set_expiry(&c->mut->store, e, KV_NO_EXPIRY);
    }
    resp_put_simple(&c->reply, "OK");
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

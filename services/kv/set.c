/* SET and its relatives: SETNX SETEX PSETEX GETSET GETEX GETDEL. */
#include "services/kv/state.h"

/* ---- when it expires ---- */

enum expiry_kind {
    EXPIRY_NONE = 0, /* none given: SET drops an old one, GETEX keeps it */
    EXPIRY_KEEP,
    EXPIRY_PERSIST,
    EXPIRY_EX,
    EXPIRY_PX,
    EXPIRY_EXAT,
    EXPIRY_PXAT,
};

struct expiry_option {
    enum expiry_kind kind;
    struct ts_bytes word; /* EX, PX, EXAT, PXAT */
};

static const struct {
    const char *word;
    enum expiry_kind kind;
} expiry_words[] = {
    {"keepttl", EXPIRY_KEEP}, {"persist", EXPIRY_PERSIST}, {"ex", EXPIRY_EX},
    {"px", EXPIRY_PX},        {"exat", EXPIRY_EXAT},       {"pxat", EXPIRY_PXAT},
};

/* One option with the word it takes, unless it is `never`. Like redis, takes a repeated one: the
 * last counts. */
static bool take_expiry(struct kv_call *c, struct ts_bytes word, uint32_t *left,
                        enum expiry_kind never, struct expiry_option *o)
{
    for (size_t i = 0; i < sizeof(expiry_words) / sizeof(expiry_words[0]); i++) {
        enum expiry_kind kind = expiry_words[i].kind;
        if (!resp_word_is(word, expiry_words[i].word)) {
            continue;
        }
        if (kind == never || (o->kind != EXPIRY_NONE && o->kind != kind)) {
            return false;
        }
        o->kind = kind;
        if (kind == EXPIRY_KEEP || kind == EXPIRY_PERSIST) {
            return true;
        }
        if (*left == 0) {
            return false;
        }
        (*left)--;
        o->word = kv_word(c);
        return true;
    }
    return false;
}

/* The moment that an EX, PX, EXAT or PXAT word means, KV_NO_EXPIRY for the others; false when the
 * error is written. */
static bool moment(struct kv_call *c, const struct expiry_option *o, uint64_t *at_ms)
{
    *at_ms = KV_NO_EXPIRY;
    if (o->kind < EXPIRY_EX) {
        return true;
    }
    int64_t v = 0;
    if (!kv_number(c, o->word, &v)) {
        return false;
    }
    bool seconds = o->kind == EXPIRY_EX || o->kind == EXPIRY_EXAT;
    bool relative = o->kind == EXPIRY_EX || o->kind == EXPIRY_PX;
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

/* ---- SET ---- */

struct set_options {
    bool nx;
    bool xx;
    bool get;
    struct expiry_option expiry;
};

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
    return take_expiry(c, word, left, EXPIRY_PERSIST, &o->expiry);
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
    if (!moment(c, &o.expiry, &at_ms) || !kv_key_ok(c, key) || !kv_value_ok(c, value.len)) {
        return;
    }
    struct kv_entry *e = kv_lookup(c, key);
    if (o.get) {
        kv_put_value(c, e);
    }
    if ((o.nx && e != NULL) || (o.xx && e == NULL)) {
        if (!o.get) {
            resp_put_null(&c->reply);
        }
        return;
    }
    e = kv_set(c, e, key, value);
    if (o.expiry.kind != EXPIRY_KEEP) {
        kv_store_set_expiry(&c->mut->store, e, at_ms);
    }
    if (!o.get) {
        resp_put_simple(&c->reply, "OK");
    }
}

void kv_run_setnx(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    struct ts_bytes value = kv_word(c);
    if (!kv_key_ok(c, key) || !kv_value_ok(c, value.len)) {
        return;
    }
    bool there = kv_lookup(c, key) != NULL;
    if (!there) {
        (void)kv_set(c, NULL, key, value);
    }
    resp_put_integer(&c->reply, there ? 0 : 1);
}

static void set_with_expiry(struct kv_call *c, enum expiry_kind kind)
{
    struct ts_bytes key = kv_word(c);
    struct expiry_option o = {.kind = kind, .word = kv_word(c)};
    struct ts_bytes value = kv_word(c);
    uint64_t at_ms = KV_NO_EXPIRY;
    if (!moment(c, &o, &at_ms) || !kv_key_ok(c, key) || !kv_value_ok(c, value.len)) {
        return;
    }
    kv_store_set_expiry(&c->mut->store, kv_set(c, kv_lookup(c, key), key, value), at_ms);
    resp_put_simple(&c->reply, "OK");
}

void kv_run_setex(struct kv_call *c)
{
    set_with_expiry(c, EXPIRY_EX);
}

void kv_run_psetex(struct kv_call *c)
{
    set_with_expiry(c, EXPIRY_PX);
}

/* ---- GET, and more ---- */

void kv_run_getset(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    struct ts_bytes value = kv_word(c);
    if (!kv_key_ok(c, key) || !kv_value_ok(c, value.len)) {
        return;
    }
    struct kv_entry *e = kv_lookup(c, key);
    kv_put_value(c, e);
    kv_store_set_expiry(&c->mut->store, kv_set(c, e, key, value), KV_NO_EXPIRY);
}

void kv_run_getdel(struct kv_call *c)
{
    struct kv_entry *e = kv_lookup(c, kv_word(c));
    kv_put_value(c, e);
    if (e != NULL) {
        kv_delete(c, e);
    }
}

void kv_run_getex(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    struct expiry_option o = {0};
    for (uint32_t left = kv_words(c) - 1; left > 0;) {
        left--;
        struct ts_bytes word = kv_word(c);
        if (!take_expiry(c, word, &left, EXPIRY_KEEP, &o)) {
            kv_syntax_error(c);
            return;
        }
    }
    struct kv_entry *e = kv_lookup(c, key);
    uint64_t at_ms = KV_NO_EXPIRY;
    if (e == NULL) {
        resp_put_null(&c->reply);
        return;
    }
    if (!moment(c, &o, &at_ms)) {
        return;
    }
    kv_put_value(c, e);
    if (o.kind >= EXPIRY_EX && at_ms <= c->now_ms) {
        kv_delete(c, e);
    } else if (o.kind != EXPIRY_NONE) {
        kv_store_set_expiry(&c->mut->store, e, at_ms);
    }
}

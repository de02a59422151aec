/* INCR DECR INCRBY DECRBY: counters are strings that spell a number. */
#include "services/kv/state.h"

static void add(struct kv_call *c, struct ts_bytes key, int64_t by)
{
    if (!kv_key_ok(c, key)) {
        return;
    }
    struct kv_entry *e = kv_lookup(c, key);
    int64_t v = 0;
    if (e != NULL && !kv_number(c, kv_entry_value(e), &v)) {
        return;
    }
    if ((by < 0 && v < INT64_MIN - by) || (by > 0 && v > INT64_MAX - by)) {
        resp_put_error(&c->reply, "ERR increment or decrement would overflow");
        return;
    }
    v += by;
    if (e == NULL) {
        e = kv_store_add(&c->mut->store, key);
    }
    char text[RESP_I64_TEXT_MAX];
    size_t len = resp_format_i64(text, v);
    kv_store_set_value(&c->mut->store, e, (struct ts_bytes){(const uint8_t *)text, len});
    resp_put_integer(&c->reply, v);
}

void kv_run_incr(struct kv_call *c)
{
    add(c, kv_word(c), 1);
}

void kv_run_decr(struct kv_call *c)
{
    add(c, kv_word(c), -1);
}

void kv_run_incrby(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    int64_t by = 0;
    if (kv_number(c, kv_word(c), &by)) {
        add(c, key, by);
    }
}

void kv_run_decrby(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    int64_t by = 0;
    if (!kv_number(c, kv_word(c), &by)) {
        return;
    }
    if (by == INT64_MIN) {
        resp_put_error(&c->reply, "ERR decrement would overflow");
        return;
    }
    add(c, key, -by);
}

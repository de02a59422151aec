/* INCR DECR INCRBY DECRBY INCRBYFLOAT: counters are strings that spell a number. */
#include "services/kv/decimal.h"
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

/* ---- INCRBYFLOAT ---- */

#define TOO_LARGE "ERR value is not a valid float: it has more than 64 figures before the point"

/* Both words; false: the error is written. */
static bool take_decimals(struct kv_call *c, const struct ts_bytes words[2],
                          struct kv_decimal out[2])
{
    enum kv_decimal_read a = kv_decimal_read(words[0], &out[0]);
    enum kv_decimal_read b = kv_decimal_read(words[1], &out[1]);
    if (a == KV_DECIMAL_NO_NUMBER || b == KV_DECIMAL_NO_NUMBER) {
        resp_put_error(&c->reply, "ERR value is not a valid float");
    } else if (a == KV_DECIMAL_INFINITE || b == KV_DECIMAL_INFINITE) {
        resp_put_error(&c->reply, "ERR increment would produce NaN or Infinity");
    } else if (a == KV_DECIMAL_TOO_LARGE || b == KV_DECIMAL_TOO_LARGE) {
        resp_put_error(&c->reply, TOO_LARGE);
    } else {
        return true;
    }
    return false;
}

void kv_run_incrbyfloat(struct kv_call *c)
{
    struct ts_bytes key = kv_word(c);
    struct ts_bytes words[2] = {{(const uint8_t *)"0", 1}, kv_word(c)};
    struct kv_decimal terms[2];
    struct kv_decimal sum;
    if (!kv_key_ok(c, key)) {
        return;
    }
    struct kv_entry *e = kv_lookup(c, key);
    if (e != NULL) {
        words[0] = kv_entry_value(e);
    }
    if (!take_decimals(c, words, terms)) {
        return;
    }
    char text[KV_DECIMAL_TEXT_MAX];
    size_t len = kv_decimal_add(&terms[0], &terms[1], &sum) ? kv_decimal_format(&sum, text) : 0;
    if (len == 0) {
        resp_put_error(&c->reply, "ERR increment would produce more than 64 figures before the "
                                  "point");
    } else if (kv_value_ok(c, len)) {
        (void)kv_set(c, e, key, (struct ts_bytes){(const uint8_t *)text, len});
        resp_put_bulk(&c->reply, text, len);
    }
}

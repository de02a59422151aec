/* FLUSHALL FLUSHDB DBSIZE TIME. */
#include "services/kv/state.h"

void kv_run_flush(struct kv_call *c)
{
    if (kv_words(c) > 1) {
        kv_syntax_error(c);
        return;
    }
    if (kv_words(c) == 1) {
        struct ts_bytes word = kv_word(c);
        if (!resp_word_is(word, "async") && !resp_word_is(word, "sync")) {
            kv_syntax_error(c);
            return;
        }
    }
    kv_store_clear(&c->mut->store);
    c->mut->lease_ended = c->mut->lease_granted;
    resp_put_simple(&c->reply, "OK");
}

/* Like redis, counts keys whose time has come until they are swept. */
void kv_run_dbsize(struct kv_call *c)
{
    resp_put_integer(&c->reply, (int64_t)(c->kv->store.keys - c->kv->store.leases));
}

static void put_number_text(struct kv_call *c, uint64_t v)
{
    char text[RESP_I64_TEXT_MAX];
    resp_put_bulk(&c->reply, text, resp_format_i64(text, (int64_t)v));
}

/* The group's logical time (R2.2), not this machine's. */
void kv_run_time(struct kv_call *c)
{
    uint64_t ns = c->kv->time.ns;
    resp_put_array(&c->reply, 2);
    put_number_text(c, ns / TS_NS_PER_S);
    put_number_text(c, ns % TS_NS_PER_S / TS_NS_PER_US);
}

/* DEL UNLINK EXISTS TOUCH TYPE RENAME RENAMENX. */
#include "services/kv/state.h"

void kv_run_del(struct kv_call *c)
{
    int64_t gone = 0;
    for (uint32_t i = 0; i < kv_words(c); i++) {
        struct kv_entry *e = kv_lookup(c, kv_word(c));
        if (e != NULL) {
            kv_delete(c, e);
            gone++;
        }
    }
    resp_put_integer(&c->reply, gone);
}

void kv_run_exists(struct kv_call *c)
{
    int64_t there = 0;
    for (uint32_t i = 0; i < kv_words(c); i++) {
        there += kv_lookup(c, kv_word(c)) != NULL;
    }
    resp_put_integer(&c->reply, there);
}

void kv_run_type(struct kv_call *c)
{
    resp_put_simple(&c->reply, kv_lookup(c, kv_word(c)) != NULL ? "string" : "none");
}

/* The new key has value and expiry of the old one. */
static void rename_key(struct kv_call *c, bool only_if_new)
{
    struct ts_bytes from = kv_word(c);
    struct ts_bytes to = kv_word(c);
    if (!kv_key_ok(c, to)) {
        return;
    }
    struct kv_entry *e = kv_lookup(c, from);
    if (e == NULL) {
        resp_put_error(&c->reply, "ERR no such key");
        return;
    }
    struct kv_entry *there = kv_lookup(c, to);
    if (only_if_new && there != NULL) {
        resp_put_integer(&c->reply, 0);
        return;
    }
    if (there != e) {
        uint64_t expire_ms = e->expire_ms;
        there = kv_set(c, there, to, kv_entry_value(e));
        kv_store_set_expiry(&c->mut->store, there, expire_ms);
        kv_delete(c, e);
    }
    if (only_if_new) {
        resp_put_integer(&c->reply, 1);
    } else {
        resp_put_simple(&c->reply, "OK");
    }
}

void kv_run_rename(struct kv_call *c)
{
    rename_key(c, false);
}

void kv_run_renamenx(struct kv_call *c)
{
    rename_key(c, true);
}

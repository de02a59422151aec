/* DEL EXISTS. */
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

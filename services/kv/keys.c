/* DEL UNLINK EXISTS TOUCH TYPE RENAME RENAMENX COPY OBJECT. */
#include <stdio.h>
#include <string.h>

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

/* ---- COPY ---- */

/* DB 0 is the only one. False: the error is written. */
static bool take_copy_options(struct kv_call *c, bool *replace)
{
    for (uint32_t left = kv_words(c) - 2; left > 0;) {
        struct ts_bytes word = kv_word(c);
        left--;
        if (resp_word_is(word, "replace")) {
            *replace = true;
            continue;
        }
        if (!resp_word_is(word, "db") || left == 0) {
            kv_syntax_error(c);
            return false;
        }
        int64_t db = 0;
        left--;
        if (!kv_number(c, kv_word(c), &db)) {
            return false;
        }
        if (db != 0) {
            resp_put_error(&c->reply, "ERR DB index is out of range");
            return false;
        }
    }
    return true;
}

void kv_run_copy(struct kv_call *c)
{
    struct ts_bytes from = kv_word(c);
    struct ts_bytes to = kv_word(c);
    bool replace = false;
    if (!take_copy_options(c, &replace) || !kv_key_ok(c, to)) {
        return;
    }
    if (from.len == to.len && memcmp(from.data, to.data, to.len) == 0) {
        resp_put_error(&c->reply, "ERR source and destination objects are the same");
        return;
    }
    const struct kv_entry *e = kv_lookup(c, from);
    struct kv_entry *there = e != NULL ? kv_lookup(c, to) : NULL;
    bool go = e != NULL && (there == NULL || replace);
    if (go) {
        there = kv_set(c, there, to, kv_entry_value(e));
        kv_store_set_expiry(&c->mut->store, there, e->expire_ms);
    }
    resp_put_integer(&c->reply, go ? 1 : 0);
}

/* ---- OBJECT ---- */

static void put_object_help(struct kv_call *c)
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return how the value is stored: always as it was given, raw.",
        "REFCOUNT <key>",
        "    Return how often the value is referred to: always 1.",
    };
    resp_put_lines(&c->reply, lines, sizeof(lines) / sizeof(lines[0]));
}

/* Nothing about the use of a key is kept: it would be a write, on every replica. */
static void put_object(struct kv_call *c, struct ts_bytes what, const struct kv_entry *e)
{
    if (e == NULL) {
        resp_put_null(&c->reply);
    } else if (resp_word_is(what, "encoding")) {
        resp_put_bulk_text(&c->reply, "raw");
    } else if (resp_word_is(what, "refcount")) {
        resp_put_integer(&c->reply, 1);
    } else if (resp_word_is(what, "freq")) {
        resp_put_error(&c->reply, "ERR access frequency is not tracked");
    } else {
        resp_put_error(&c->reply, "ERR idle time is not tracked");
    }
}

/* Whether `words` words, `what` the first of them, are nothing that OBJECT has: the error is in
 * `text`. */
static bool refuses(struct ts_bytes what, size_t words, char *text, size_t cap)
{
    static const char *const of_a_key[] = {"encoding", "refcount", "freq", "idletime"};
    if (resp_word_is(what, "help") && words == 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof(of_a_key) / sizeof(of_a_key[0]); i++) {
        if (resp_word_is(what, of_a_key[i])) {
            (void)snprintf(text, cap, "ERR wrong number of arguments for 'object|%s' command",
                           of_a_key[i]);
            return words != 2;
        }
    }
    size_t n = strnlen((const char *)what.data, what.len < 64 ? what.len : 64);
    (void)snprintf(text, cap, "ERR unknown subcommand '%.*s'. Try OBJECT HELP.", (int)n,
                   (const char *)what.data);
    return true;
}

bool kv_object_refuses(const struct kv_command *command, const struct ts_bytes *args, size_t argc,
                       char *text, size_t cap)
{
    return command->id == KV_OBJECT && refuses(args[1], argc - 1, text, cap);
}

void kv_run_object(struct kv_call *c)
{
    struct ts_bytes what = kv_word(c);
    char text[160];
    if (refuses(what, kv_words(c), text, sizeof(text))) {
        resp_put_error(&c->reply, text);
    } else if (kv_words(c) == 1) {
        put_object_help(c);
    } else {
        put_object(c, what, kv_lookup(c, kv_word(c)));
    }
}

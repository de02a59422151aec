/* KEYS SCAN RANDOMKEY: walks in the order of creation, which is the same on every replica. */
#include <inttypes.h>
#include <stdio.h>

#include "base/prng.h"
#include "services/kv/glob.h"
#include "services/kv/state.h"

/* KEYS looks at all of them in one turn, while nothing else is answered. */
#define KEYS_MAX 100000
#define SCAN_COUNT_DEFAULT 10
#define SCAN_COUNT_MAX 10000
#define RANDOM_TRIES 100
/* … and then looks at so many in a row: most of what is stored may be leases, or have expired. */
#define RANDOM_ROW 10000

static bool is_live(const struct kv_call *c, const struct kv_entry *e)
{
    if (e->space != KV_SPACE_KEYS) {
        return false;
    }
    return e->expire_ms == KV_NO_EXPIRY || e->expire_ms > c->now_ms;
}

static struct ts_bytes key_of(const struct kv_entry *e)
{
    return (struct ts_bytes){e->key, e->key_len};
}

/* ---- one walk, twice: to count, and to write ---- */

struct walk {
    struct ts_bytes pattern;
    bool all;  /* the pattern is not looked at */
    bool none; /* the type is not a string's */
    const struct kv_entry *from;
    uint64_t max; /* entries that are looked at */
};

/* Writes the keys that match, or counts them only; gives the last entry looked at. Ends before one
 * for which no steps are left: w->max is then what was looked at. */
static uint64_t walk(struct kv_call *c, struct walk *w, bool write, const struct kv_entry **last)
{
    uint64_t found = 0;
    uint64_t steps = c->steps;
    const struct kv_entry *e = w->from;
    for (uint64_t n = 0; e != NULL && n < w->max; n++, e = e->next) {
        steps -= steps > 0;
        bool matches = !w->none && is_live(c, e) &&
                       (w->all || kv_glob_match_within(w->pattern, key_of(e), &steps));
        if (steps == 0) {
            w->max = n;
            break;
        }
        *last = e;
        found += matches;
        if (matches && write) {
            resp_put_bulk(&c->reply, e->key, e->key_len);
        }
    }
    c->steps = write ? steps : c->steps;
    return found;
}

static void put_too_many_steps(struct kv_call *c)
{
    c->steps = 0;
    resp_put_error(&c->reply, "ERR comparing so many bytes of keys with this pattern would hold up "
                              "everybody: use SCAN, or a shorter pattern");
}

static bool is_star(struct ts_bytes pattern)
{
    return pattern.len == 1 && pattern.data[0] == '*';
}

void kv_run_keys(struct kv_call *c)
{
    struct ts_bytes pattern = kv_word(c);
    if (c->kv->store.keys > KEYS_MAX) {
        char text[160];
        (void)snprintf(text, sizeof(text),
                       "ERR KEYS would hold up everybody while it looks at %" PRIu64
                       " keys (at most %d): use SCAN",
                       c->kv->store.keys, KEYS_MAX);
        resp_put_error(&c->reply, text);
        return;
    }
    struct walk w = {
        .pattern = pattern, .all = is_star(pattern), .from = c->kv->store.first, .max = UINT64_MAX};
    const struct kv_entry *last = NULL;
    uint64_t found = walk(c, &w, false, &last);
    if (w.max != UINT64_MAX) {
        put_too_many_steps(c);
        return;
    }
    resp_put_array(&c->reply, found);
    (void)walk(c, &w, true, &last);
}

/* ---- SCAN ---- */

/* Decimal digits only, as Redis takes a cursor. */
static bool take_cursor(struct ts_bytes word, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < word.len; i++) {
        uint64_t digit = (uint64_t)word.data[i] - '0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = 10 * v + digit;
    }
    *out = v;
    return word.len > 0;
}

/* One option and its word; false: the error is written. */
static bool take_scan_option(struct kv_call *c, struct ts_bytes word, struct walk *w)
{
    struct ts_bytes value = kv_word(c);
    int64_t count = 0;
    if (resp_word_is(word, "match")) {
        w->pattern = value;
        w->all = is_star(value);
    } else if (resp_word_is(word, "type")) {
        w->none = !resp_word_is(value, "string");
    } else {
        bool counts = resp_word_is(word, "count");
        if (counts && !kv_number(c, value, &count)) {
            return false;
        }
        if (count < 1) { /* or it is no option */
            kv_syntax_error(c);
            return false;
        }
        w->max = count < SCAN_COUNT_MAX ? (uint64_t)count : SCAN_COUNT_MAX;
    }
    return true;
}

/* The cursor is the creation number of the last key looked at: it goes on where it was, also on
 * another replica, and whatever was created or deleted meanwhile. */
void kv_run_scan(struct kv_call *c)
{
    uint64_t cursor = 0;
    struct walk w = {.all = true, .max = SCAN_COUNT_DEFAULT};
    if (!take_cursor(kv_word(c), &cursor)) {
        resp_put_error(&c->reply, "ERR invalid cursor");
        return;
    }
    for (uint32_t left = kv_words(c) - 1; left > 0; left -= 2) {
        struct ts_bytes word = kv_word(c);
        if (left == 1) {
            kv_syntax_error(c);
            return;
        }
        if (!take_scan_option(c, word, &w)) {
            return;
        }
    }
    w.from = kv_order_after(&c->kv->store.order, cursor);
    const struct kv_entry *last = NULL;
    uint64_t found = walk(c, &w, false, &last);
    if (w.max == 0) {
        put_too_many_steps(c);
        return;
    }
    char text[24];
    uint64_t next = last != NULL && last->next != NULL ? last->serial : 0;
    int len = snprintf(text, sizeof(text), "%" PRIu64, next);
    resp_put_array(&c->reply, 2);
    resp_put_bulk(&c->reply, text, (size_t)len);
    resp_put_array(&c->reply, found);
    (void)walk(c, &w, true, &last);
}

/* The dice are logical time, so every replica chooses the same one. */
static const struct kv_entry *random_key(const struct kv_call *c)
{
    struct ts_prng dice = ts_prng_init(c->kv->time.ns);
    const struct kv_entry *e = NULL;
    for (unsigned tries = 0; tries < RANDOM_TRIES; tries++) {
        e = kv_order_pick(&c->kv->store.order, ts_prng_next(&dice));
        if (e != NULL && is_live(c, e)) {
            return e;
        }
    }
    for (unsigned n = 0; n < RANDOM_ROW && e != NULL; n++) {
        if (is_live(c, e)) {
            return e;
        }
        e = e->next != NULL ? e->next : c->kv->store.first;
    }
    return NULL;
}

void kv_run_randomkey(struct kv_call *c)
{
    const struct kv_entry *e = random_key(c);
    if (e != NULL) {
        resp_put_bulk(&c->reply, e->key, e->key_len);
    } else {
        resp_put_null(&c->reply);
    }
}

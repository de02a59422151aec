/* LCS: the longest common subsequence of two values, by the table of all their prefixes. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/kv/state.h"

/* Whoever asks for a larger table would hold everybody up: this one takes some milliseconds. */
#define CELLS_MAX (1024U * 1024U)

struct lcs_options {
    bool len;
    bool idx;
    bool match_len;
    uint64_t least; /* figures of a match that is told */
};

/* cell[i * (b.len + 1) + j] is the length for the first i bytes of a and j of b: at most that of
 * the shorter one, which CELLS_MAX keeps far below 65,536. */
struct lcs {
    struct ts_bytes a;
    struct ts_bytes b;
    uint16_t *cell; /* owned */
    uint8_t *text;  /* room for the subsequence, behind the cells */
};

static bool take_lcs_options(struct kv_call *c, struct lcs_options *o)
{
    for (uint32_t left = kv_words(c) - 2; left > 0;) {
        struct ts_bytes word = kv_word(c);
        left--;
        if (resp_word_is(word, "idx")) {
            o->idx = true;
        } else if (resp_word_is(word, "len")) {
            o->len = true;
        } else if (resp_word_is(word, "withmatchlen")) {
            o->match_len = true;
        } else if (resp_word_is(word, "minmatchlen") && left > 0) {
            int64_t v = 0;
            left--;
            if (!kv_number(c, kv_word(c), &v)) {
                return false;
            }
            o->least = v < 0 ? 0 : (uint64_t)v;
        } else {
            kv_syntax_error(c);
            return false;
        }
    }
    if (o->len && o->idx) {
        resp_put_error(&c->reply,
                       "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

static uint16_t length(const struct lcs *l, size_t i, size_t j)
{
    return l->cell[i * (l->b.len + 1) + j];
}

static void fill(struct lcs *l)
{
    const uint8_t *a = l->a.data;
    const uint8_t *b = l->b.data;
    size_t row = l->b.len + 1;
    ts_assert(a != NULL && b != NULL);
    for (size_t i = 1; i <= l->a.len; i++) {
        uint16_t *here = l->cell + i * row;
        const uint16_t *above = here - row;
        for (size_t j = 1; j < row; j++) {
            uint16_t most = above[j] > here[j - 1] ? above[j] : here[j - 1];
            here[j] = a[i - 1] == b[j - 1] ? (uint16_t)(above[j - 1] + 1) : most;
        }
    }
}

/* One step of the way back from (i, j); true: both bytes before it belong to the subsequence. */
static bool step_back(const struct lcs *l, size_t *i, size_t *j)
{
    ts_assert(l->a.data != NULL && l->b.data != NULL && *i > 0 && *j > 0);
    if (l->a.data[*i - 1] == l->b.data[*j - 1]) {
        (*i)--;
        (*j)--;
        return true;
    }
    if (length(l, *i - 1, *j) > length(l, *i, *j - 1)) {
        (*i)--;
    } else {
        (*j)--;
    }
    return false;
}

static void put_string(struct kv_call *c, const struct lcs *l)
{
    size_t i = l->a.len;
    size_t j = l->b.len;
    size_t left = length(l, i, j);
    size_t len = left;
    const uint8_t *a = l->a.data;
    ts_assert(left == 0 || a != NULL);
    while (left > 0) {
        if (step_back(l, &i, &j)) {
            l->text[--left] = a[i];
        }
    }
    resp_put_bulk(&c->reply, l->text, len);
}

static void put_match(struct kv_call *c, size_t i, size_t j, size_t n, bool with_length)
{
    resp_put_array(&c->reply, with_length ? 3 : 2);
    resp_put_array(&c->reply, 2);
    resp_put_integer(&c->reply, (int64_t)i);
    resp_put_integer(&c->reply, (int64_t)(i + n - 1));
    resp_put_array(&c->reply, 2);
    resp_put_integer(&c->reply, (int64_t)j);
    resp_put_integer(&c->reply, (int64_t)(j + n - 1));
    if (with_length) {
        resp_put_integer(&c->reply, (int64_t)n);
    }
}

/* The runs of the subsequence that both have in one piece, the last one first: counted, or
 * written. */
static size_t matches(struct kv_call *c, const struct lcs *l, const struct lcs_options *o,
                      bool write)
{
    size_t i = l->a.len;
    size_t j = l->b.len;
    size_t run = 0;
    size_t found = 0;
    while (i > 0 && j > 0) {
        size_t from[2] = {i, j};
        bool same = step_back(l, &i, &j);
        run += same;
        bool over = !same || i == 0 || j == 0;
        if (run > 0 && over && run >= o->least) {
            found++;
            if (write) {
                put_match(c, same ? i : from[0], same ? j : from[1], run, o->match_len);
            }
        }
        run = over ? 0 : run;
    }
    return found;
}

static void put_answer(struct kv_call *c, const struct lcs *l, const struct lcs_options *o)
{
    int64_t all = length(l, l->a.len, l->b.len);
    if (o->idx) {
        resp_put_map(&c->reply, 2);
        resp_put_bulk_text(&c->reply, "matches");
        resp_put_array(&c->reply, matches(c, l, o, false));
        (void)matches(c, l, o, true);
        resp_put_bulk_text(&c->reply, "len");
        resp_put_integer(&c->reply, all);
    } else if (o->len) {
        resp_put_integer(&c->reply, all);
    } else {
        put_string(c, l);
    }
}

static struct ts_bytes value_of(struct kv_call *c, struct ts_bytes key)
{
    const struct kv_entry *e = kv_lookup(c, key);
    return e != NULL ? kv_entry_value(e) : (struct ts_bytes){NULL, 0};
}

void kv_run_lcs(struct kv_call *c)
{
    struct ts_bytes keys[2] = {kv_word(c), {NULL, 0}};
    struct lcs_options o = {.len = false};
    keys[1] = kv_word(c);
    if (!take_lcs_options(c, &o)) {
        return;
    }
    struct lcs l = {.a = value_of(c, keys[0])};
    l.b = value_of(c, keys[1]);
    size_t cells = (l.a.len + 1) * (l.b.len + 1);
    if (cells > CELLS_MAX) {
        resp_put_error(&c->reply, "ERR LCS would hold up everybody: the product of the values' "
                                  "lengths must be below 1048576");
        return;
    }
    if (cells > c->steps) {
        resp_put_error(&c->reply, "ERR LCS would hold up everybody: this transaction has compared "
                                  "too much already");
        return;
    }
    c->steps -= cells;
    size_t most = l.a.len < l.b.len ? l.a.len : l.b.len;
    l.cell = calloc(cells * sizeof(*l.cell) + most, 1);
    ts_must(l.cell); /* its want must not turn into an answer: replicas would differ */
    l.text = (uint8_t *)(l.cell + cells);
    if (most > 0) {
        fill(&l);
    }
    put_answer(c, &l, &o);
    free(l.cell);
}

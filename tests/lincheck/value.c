#include "tests/lincheck/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* Odd, so that its powers keep all bits. Equal hashes are compared byte by byte. */
#define MULTIPLIER 0x9e3779b97f4a7c15u
/* Up to this length grown values are kept flat: numbers and other small things. */
#define FLAT_MAX 64
#define NUMBER_TEXT_MAX 20

static const uint8_t *flat_bytes(const struct lin_value *v)
{
    return (const uint8_t *)(v + 1);
}

/* ---- comparing ---- */

/* Walks the pieces of a value from its last byte to its first. */
struct pieces {
    const struct lin_values *values;
    uint32_t next; /* the value whose last piece comes next; 0 = none left */
    const uint8_t *data;
    size_t left; /* bytes of the present piece not yet walked */
};

static void next_piece(struct pieces *p)
{
    while (p->left == 0 && p->next != 0) {
        const struct lin_value *v = lin_value_at(p->values, p->next);
        const struct lin_value *flat = v->before == 0 ? v : lin_value_at(p->values, v->chunk);
        p->next = v->before;
        p->data = flat_bytes(flat);
        p->left = flat->len;
    }
}

static bool same_pieces(struct pieces *a, struct pieces *b, size_t len)
{
    while (len > 0) {
        if (a->next == b->next && a->left == b->left && (a->left == 0 || a->data == b->data)) {
            return true; /* the rest is one and the same */
        }
        next_piece(a);
        next_piece(b);
        size_t n = a->left < b->left ? a->left : b->left;
        if (memcmp(a->data + a->left - n, b->data + b->left - n, n) != 0) {
            return false;
        }
        a->left -= n;
        b->left -= n;
        len -= n;
    }
    return true;
}

/* ---- finding ---- */

static uint64_t table_hash(uint64_t hash, size_t len)
{
    return lin_mix(hash + lin_mix(len));
}

/* The value of this hash and length whose bytes are those of `p`; 0 when there is none. */
static uint32_t find(const struct lin_values *v, uint64_t hash, size_t len, const struct pieces *p)
{
    const struct lin_table *tables[] = {&v->kept, &v->passing};
    for (size_t t = 0; t < 2; t++) {
        size_t at = SIZE_MAX;
        uint32_t ref;
        while ((ref = lin_table_next(tables[t], table_hash(hash, len), &at)) != 0) {
            const struct lin_value *found = lin_value_at(v, ref);
            struct pieces theirs = {.values = v, .next = ref};
            struct pieces ours = *p;
            if (found->hash == hash && found->len == len && same_pieces(&theirs, &ours, len)) {
                return ref;
            }
        }
    }
    return 0;
}

static uint32_t enter(struct lin_values *v, const struct lin_value *made)
{
    struct lin_table *table = v->searching ? &v->passing : &v->kept;
    uint32_t ref = lin_ref(v->arena, made);
    return lin_table_add(table, v->arena, table_hash(made->hash, made->len), ref) ? ref : 0;
}

/* ---- numbers ---- */

/* The only spelling that INCR takes: no sign but '-', no leading zero, 64 bits. */
static bool spells_number(struct ts_bytes b, int64_t *out)
{
    size_t i = b.len > 0 && b.data[0] == '-' ? 1 : 0;
    uint64_t limit = i == 1 ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t n = 0;
    if (b.len == i || b.len > NUMBER_TEXT_MAX || (b.data[i] == '0' && b.len > 1)) {
        return false;
    }
    for (; i < b.len; i++) {
        uint64_t digit = (uint64_t)b.data[i] - '0';
        if (digit > 9 || n > (limit - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = b.data[0] == '-' ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

/* ---- making ---- */

static uint64_t hash_bytes(struct ts_bytes bytes, uint64_t *power)
{
    uint64_t hash = 0;
    *power = 1;
    for (size_t i = 0; i < bytes.len; i++) {
        hash = hash * MULTIPLIER + bytes.data[i] + 1;
        *power *= MULTIPLIER;
    }
    return hash;
}

uint32_t lin_value_find(const struct lin_values *v, struct ts_bytes bytes)
{
    uint64_t power;
    struct pieces p = {.values = v, .data = bytes.data, .left = bytes.len};
    return find(v, hash_bytes(bytes, &power), bytes.len, &p);
}

uint32_t lin_value(struct lin_values *v, struct ts_bytes bytes)
{
    uint64_t power;
    uint64_t hash = hash_bytes(bytes, &power);
    struct pieces p = {.values = v, .data = bytes.data, .left = bytes.len};
    uint32_t ref = find(v, hash, bytes.len, &p);
    if (ref != 0) {
        return ref;
    }
    if (bytes.len > v->arena->cap) {
        v->arena->full = true;
        return 0;
    }
    struct lin_value *made = lin_arena_take(v->arena, sizeof *made + bytes.len);
    if (made == NULL) {
        return 0;
    }
    *made = (struct lin_value){.hash = hash, .power = power, .len = bytes.len};
    if (bytes.len > 0) {
        memcpy(made + 1, bytes.data, bytes.len);
    }
    made->is_number = spells_number(bytes, &made->number);
    return enter(v, made);
}

uint32_t lin_value_number(struct lin_values *v, int64_t number)
{
    char text[NUMBER_TEXT_MAX + 1];
    int n = snprintf(text, sizeof text, "%" PRId64, number);
    return lin_value(v, (struct ts_bytes){(const uint8_t *)text, (size_t)n});
}

static uint32_t append_flat(struct lin_values *v, const struct lin_value *a,
                            const struct lin_value *b)
{
    uint8_t both[FLAT_MAX];
    if (a->len > 0) {
        memcpy(both, flat_bytes(a), a->len);
    }
    memcpy(both + a->len, flat_bytes(b), b->len);
    return lin_value(v, (struct ts_bytes){both, a->len + b->len});
}

uint32_t lin_value_append(struct lin_values *v, uint32_t value, uint32_t chunk)
{
    if (value == 0) {
        return chunk;
    }
    const struct lin_value *a = lin_value_at(v, value);
    const struct lin_value *b = lin_value_at(v, chunk);
    ts_assert(b->before == 0);
    if (b->len == 0) {
        return value;
    }
    size_t len = a->len + b->len;
    if (len <= FLAT_MAX) {
        return append_flat(v, a, b);
    }
    struct pieces p = {.values = v, .next = value, .data = flat_bytes(b), .left = b->len};
    uint64_t hash = a->hash * b->power + b->hash;
    uint32_t ref = find(v, hash, len, &p);
    if (ref != 0) {
        return ref;
    }
    struct lin_value *made = lin_arena_take(v->arena, sizeof *made);
    if (made == NULL) {
        return 0;
    }
    *made = (struct lin_value){
        .hash = hash, .power = a->power * b->power, .len = len, .before = value, .chunk = chunk};
    return enter(v, made);
}

/* ---- reading ---- */

size_t lin_value_len(const struct lin_values *v, uint32_t ref)
{
    return ref == 0 ? 0 : lin_value_at(v, ref)->len;
}

struct ts_bytes lin_value_bytes(const struct lin_values *v, uint32_t ref)
{
    const struct lin_value *value = lin_value_at(v, ref);
    if (value->before == 0) {
        return (struct ts_bytes){flat_bytes(value), value->len};
    }
    uint8_t *copy = lin_arena_take(v->arena, value->len);
    struct pieces p = {.values = v, .next = ref};
    size_t left = value->len;
    while (copy != NULL && left > 0) {
        next_piece(&p);
        ts_assert(p.left > 0 && p.left <= left && p.data != NULL);
        left -= p.left;
        memcpy(copy + left, p.data, p.left);
        p.left = 0;
    }
    return (struct ts_bytes){copy, copy == NULL ? 0 : value->len};
}

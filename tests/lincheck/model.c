#include "tests/lincheck/model.h"

#include "base/assert.h"

/* More keys than an arena can hold. */
#define DEPTH_MAX 32

bool lin_changes(const struct lin_record *r)
{
    switch ((enum lin_command)r->command) {
    case LIN_GET:
    case LIN_EXISTS:
    case LIN_STRLEN:
    case LIN_MGET:
        return false;
    case LIN_SET:
    case LIN_DEL:
    case LIN_INCRBY:
    case LIN_APPEND:
    case LIN_MSET:
    case LIN_FLUSHALL:
        return true;
    }
    ts_unreachable();
}

/* A SET that was refused by its condition. With GET the old value tells. */
static bool set_refused(const struct lin_record *r)
{
    bool nil = r->result_kind == LIN_RESULT_NIL;
    if ((r->flags & LIN_SET_GET) == 0) {
        return nil;
    }
    return ((r->flags & LIN_SET_NX) != 0 && !nil) || ((r->flags & LIN_SET_XX) != 0 && nil);
}

bool lin_left_state(const struct lin_record *r)
{
    if (!lin_changes(r)) {
        return true;
    }
    if (r->outcome != LIN_ANSWERED) {
        return false;
    }
    return (r->command == LIN_SET && set_refused(r)) ||
           (r->command == LIN_DEL && r->result_integer == 0) || r->result_kind == LIN_RESULT_ERROR;
}

bool lin_is_blind(const struct lin_record *r, bool with_result)
{
    switch ((enum lin_command)r->command) {
    case LIN_SET:
        return (r->flags & (LIN_SET_NX | LIN_SET_XX)) == 0 &&
               (!with_result || (r->flags & LIN_SET_GET) == 0);
    case LIN_DEL:
        return !with_result;
    case LIN_MSET:
    case LIN_FLUSHALL:
        return true;
    case LIN_GET:
    case LIN_EXISTS:
    case LIN_STRLEN:
    case LIN_MGET:
    case LIN_INCRBY:
    case LIN_APPEND:
        return false;
    }
    ts_unreachable();
}

/* ---- states ---- */

/* An inner node of the tree over the keys; both halves absent is 0, never a node. */
struct node {
    uint32_t half[2];
};

static uint32_t make_node(struct lin_model *m, const uint32_t half[2])
{
    struct lin_arena *arena = m->values->arena;
    if (half[0] == 0 && half[1] == 0) {
        return 0;
    }
    uint64_t hash = lin_mix((uint64_t)half[0] << 32 | half[1]);
    size_t at = SIZE_MAX;
    uint32_t ref;
    while ((ref = lin_table_next(&m->nodes, hash, &at)) != 0) {
        const struct node *found = lin_at(arena, ref);
        if (found->half[0] == half[0] && found->half[1] == half[1]) {
            return ref;
        }
    }
    struct node *made = lin_arena_take(arena, sizeof *made);
    if (made == NULL) {
        return 0;
    }
    *made = (struct node){{half[0], half[1]}};
    ref = lin_ref(arena, made);
    return lin_table_add(&m->nodes, arena, hash, ref) ? ref : 0;
}

uint32_t lin_local(const struct lin_model *m, uint32_t key)
{
    return m->local == NULL ? 0 : m->local[lin_value_at(m->values, key)->key];
}

uint32_t lin_read_key(const struct lin_model *m, uint32_t state, uint32_t key)
{
    uint32_t local = lin_local(m, key);
    for (unsigned d = m->depth; d > 0 && state != 0; d--) {
        const struct node *n = lin_at(m->values->arena, state);
        state = n->half[local >> (d - 1) & 1];
    }
    return state;
}

static uint32_t write_key(struct lin_model *m, uint32_t state, uint32_t key, uint32_t value)
{
    struct node path[DEPTH_MAX]; /* the nodes from the root to the key */
    uint32_t local = lin_local(m, key);
    ts_assert(m->depth <= DEPTH_MAX);
    for (unsigned d = m->depth; d > 0; d--) {
        path[d - 1] = state == 0 ? (struct node){{0, 0}}
                                 : *(const struct node *)lin_at(m->values->arena, state);
        state = path[d - 1].half[local >> (d - 1) & 1];
    }
    state = value;
    for (unsigned d = 1; d <= m->depth; d++) {
        path[d - 1].half[local >> (d - 1) & 1] = state;
        state = make_node(m, path[d - 1].half);
    }
    return state;
}

/* ---- commands ---- */

static bool step_set(struct lin_model *m, const struct lin_record *r, bool with_result,
                     uint32_t state, uint32_t *next)
{
    uint32_t old = lin_read_key(m, state, r->words[0]);
    bool refused =
        ((r->flags & LIN_SET_NX) != 0 && old != 0) || ((r->flags & LIN_SET_XX) != 0 && old == 0);
    *next = refused ? state : write_key(m, state, r->words[0], *lin_record_values(r));
    if (!with_result) {
        return true;
    }
    if ((r->flags & LIN_SET_GET) != 0) {
        return r->result == old; /* NIL is kept as 0 */
    }
    return r->result_kind == (refused ? LIN_RESULT_NIL : LIN_RESULT_OK);
}

static bool step_count(struct lin_model *m, const struct lin_record *r, bool with_result,
                       uint32_t state, uint32_t *next)
{
    int64_t there = 0;
    for (uint32_t i = 0; i < r->key_count; i++) {
        bool found = lin_read_key(m, state, r->words[i]) != 0;
        there += found;
        if (found && r->command == LIN_DEL) {
            state = write_key(m, state, r->words[i], 0);
        }
    }
    *next = state;
    return !with_result || r->result_integer == there;
}

static bool step_incrby(struct lin_model *m, const struct lin_record *r, bool with_result,
                        uint32_t state, uint32_t *next)
{
    uint32_t old = lin_read_key(m, state, r->words[0]);
    int64_t sum = 0;
    bool possible = old == 0 || lin_value_at(m->values, old)->is_number;
    if (possible && old != 0) {
        sum = lin_value_at(m->values, old)->number;
    }
    possible = possible && !__builtin_add_overflow(sum, r->by, &sum);
    *next = state;
    if (with_result && (r->result_kind == LIN_RESULT_ERROR) == possible) {
        return false;
    }
    if (!possible) {
        return true;
    }
    if (with_result && r->result_integer != sum) {
        return false;
    }
    *next = write_key(m, state, r->words[0], lin_value_number(m->values, sum));
    return true;
}

static bool step_append(struct lin_model *m, const struct lin_record *r, bool with_result,
                        uint32_t state, uint32_t *next)
{
    uint32_t old = lin_read_key(m, state, r->words[0]);
    uint32_t tail = *lin_record_values(r);
    size_t len = lin_value_len(m->values, old) + lin_value_len(m->values, tail);
    if (with_result && (uint64_t)r->result_integer != len) {
        return false;
    }
    *next = write_key(m, state, r->words[0], lin_value_append(m->values, old, tail));
    return true;
}

static bool answers_mget(const struct lin_model *m, const struct lin_record *r, uint32_t state)
{
    for (uint32_t i = 0; i < r->key_count; i++) {
        if (lin_record_array(r)[i] != lin_read_key(m, state, r->words[i])) {
            return false;
        }
    }
    return true;
}

static bool step_command(struct lin_model *m, const struct lin_record *r, bool with_result,
                         uint32_t state, uint32_t *next)
{
    *next = state;
    switch ((enum lin_command)r->command) {
    case LIN_GET:
        return !with_result || r->result == lin_read_key(m, state, r->words[0]);
    case LIN_STRLEN:
        return !with_result || (uint64_t)r->result_integer ==
                                   lin_value_len(m->values, lin_read_key(m, state, r->words[0]));
    case LIN_MGET:
        return !with_result || answers_mget(m, r, state);
    case LIN_EXISTS:
    case LIN_DEL:
        return step_count(m, r, with_result, state, next);
    case LIN_SET:
        return step_set(m, r, with_result, state, next);
    case LIN_INCRBY:
        return step_incrby(m, r, with_result, state, next);
    case LIN_APPEND:
        return step_append(m, r, with_result, state, next);
    case LIN_MSET:
        for (uint32_t i = 0; i < r->key_count; i++) {
            *next = write_key(m, *next, r->words[i], lin_record_values(r)[i]);
        }
        return true;
    case LIN_FLUSHALL:
        *next = 0;
        return true;
    }
    ts_unreachable();
}

bool lin_step(struct lin_model *m, const struct lin_record *r, bool with_result, uint32_t state,
              uint32_t *next)
{
    return step_command(m, r, with_result, state, next) && !m->values->arena->full;
}

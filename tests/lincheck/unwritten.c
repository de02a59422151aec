/* A look before the search, on one key: a value that was read and that nobody had begun to write
 * when the read ended refutes the part at once, which the search only finds after all orders of
 * what was under way. Sound where each value that the key can hold stands in some SET: not when the
 * key is appended to or counted, which makes values that no operation names. */
#include "tests/lincheck/check.h"

/* Whether an item may make a value that stands in no operation. */
static bool makes_values(const struct lin_item *item)
{
    bool makes = item->r->command == LIN_APPEND || item->r->command == LIN_INCRBY;
    return makes && item->mode != LIN_ABSENT && !lin_left_state(item->r);
}

/* The values that are written, each with when its write began, sorted. Gives their number, SIZE_MAX
 * without room. */
static size_t list_writes(struct lin_arena *a, const struct lin_part *p, struct lin_sort **out)
{
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++) {
        n += p->items[i].r->values;
    }
    *out = lin_arena_array(a, n, sizeof **out);
    n = 0;
    for (size_t i = 0; *out != NULL && i < p->count; i++) {
        const struct lin_item *item = &p->items[i];
        bool writes = item->r->command == LIN_SET || item->r->command == LIN_MSET;
        for (uint32_t k = 0; writes && item->mode != LIN_ABSENT && k < item->r->values; k++) {
            (*out)[n++] = (struct lin_sort){lin_record_values(item->r)[k], item->begin, 0};
        }
    }
    return *out != NULL && lin_sort(a, *out, n) ? n : SIZE_MAX;
}

/* Whether a write of the value had begun by then. */
static bool is_written(const struct lin_sort *writes, size_t n, uint32_t value, uint64_t by)
{
    size_t low = 0; /* the first of this value is the earliest */
    size_t high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (writes[middle].major < value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n && writes[low].major == value && writes[low].minor <= by;
}

bool lin_reads_unwritten(struct lin_arena *a, const struct lin_part *p)
{
    struct lin_sort *writes;
    size_t mark = a->used;
    bool found = false;
    for (size_t i = 0; i < p->count; i++) {
        if (makes_values(&p->items[i])) {
            return false;
        }
    }
    size_t n = p->keys == 1 ? list_writes(a, p, &writes) : SIZE_MAX;
    for (size_t i = 0; n != SIZE_MAX && !found && i < p->count; i++) {
        const struct lin_item *item = &p->items[i];
        bool reads = item->r->command == LIN_GET || item->r->command == LIN_SET;
        found = reads && item->mode == LIN_REQUIRED && item->r->result_kind == LIN_RESULT_BYTES &&
                !is_written(writes, n, item->r->result, item->end);
    }
    lin_arena_return(a, mark);
    a->full = false; /* without room the search tells */
    return found;
}

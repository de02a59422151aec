/* What the model checks:
 *   - the values ever stored by a majority at one ballot form a chain: of two of them, the one with
 *     the higher ballot is, or descends from, the other; so no two differ in one epoch;
 *   - WON says that the proposal is so chosen; LOST and a READ carry a value that is. A LOST
 *     proposal is defeated: were it chosen later, the chain would break. */
#include "tests/sim/register_state.h"

static bool descends(const struct model_state *s, uint8_t value, uint8_t ancestor)
{
    while (value != ancestor && value != 0) {
        value = s->values[value].parent;
    }
    return value == ancestor;
}

bool model_by_majority(const struct model_state *s, const struct model_chosen *c)
{
    unsigned n = 0;
    for (unsigned v = 0; v < MODEL_DISKS; v++) {
        n += ((c->voters >> v) & 1U) != 0 && model_counts(s, c->value, v);
    }
    return n > MODEL_VOTERS / 2;
}

static void check_pair(struct model_state *s, const struct model_chosen *a,
                       const struct model_chosen *b)
{
    if (a->ballot == b->ballot && a->value != b->value) {
        s->violation = "two values were chosen at one ballot";
        return;
    }
    const struct model_chosen *low = a->ballot < b->ballot ? a : b;
    const struct model_chosen *high = low == a ? b : a;
    if (!descends(s, high->value, low->value)) {
        s->violation = "the chosen values are no chain";
    } else if (high->value != low->value &&
               s->values[high->value].epoch <= s->values[low->value].epoch) {
        s->violation = "a change did not raise the epoch";
    }
}

static void check_chain(struct model_state *s, const struct model_chosen *c)
{
    for (size_t i = 0; i < s->chosen_count; i++) {
        if (&s->chosen[i] != c && model_by_majority(s, &s->chosen[i])) {
            check_pair(s, &s->chosen[i], c);
        }
    }
}

void model_note_durable(struct model_state *s, size_t voter, const struct model_record *rec)
{
    struct model_chosen *c = NULL;
    for (size_t i = 0; i < s->chosen_count && c == NULL; i++) {
        if (s->chosen[i].ballot == rec->accepted && s->chosen[i].value == rec->value) {
            c = &s->chosen[i];
        }
    }
    if (c == NULL) {
        if (s->chosen_count == MODEL_CHOSEN_MAX) {
            s->violation = "the model's own table is full: raise MODEL_CHOSEN_MAX";
            return;
        }
        c = &s->chosen[s->chosen_count++];
        *c = (struct model_chosen){.ballot = rec->accepted, .value = rec->value};
    }
    bool before = model_by_majority(s, c);
    c->voters = (uint8_t)(c->voters | 1U << voter);
    if (!before && model_by_majority(s, c)) {
        check_chain(s, c);
    }
}

bool model_is_chosen(const struct model_state *s, uint8_t value)
{
    for (size_t i = 0; i < s->chosen_count; i++) {
        if (s->chosen[i].value == value && model_by_majority(s, &s->chosen[i])) {
            return true;
        }
    }
    return false;
}

void model_check_result(struct model_state *s, const struct model_actor *a,
                        enum proposer_outcome outcome, uint8_t value)
{
    switch (outcome) {
    case PROPOSER_PREPARED:
        return;
    case PROPOSER_DECIDED:
        if (!model_is_chosen(s, value)) {
            s->violation = "a read gave a value that is not decided";
        }
        return;
    case PROPOSER_WON:
        if (value != a->proposal || !model_is_chosen(s, value)) {
            s->violation = "a swap won that is not decided";
        }
        return;
    case PROPOSER_LOST:
        if (value == a->proposal || !model_is_chosen(s, value)) {
            s->violation = "a swap lost to a value that is not decided";
        }
        return;
    }
}

#include "tests/lincheck/check.h"

#include "base/assert.h"
#include "tests/lincheck/history.h"

/* ---- methods ---- */

/* Whether no two of these items bear the same value; a full arena finds none. */
static bool values_differ(struct lin_values *v, const struct lin_part *p, enum lin_command command)
{
    struct lin_table seen = {0};
    size_t mark = v->arena->used;
    bool differ = true;
    for (size_t i = 0; i < p->count && differ; i++) {
        if (p->items[i].r->command != command) {
            continue;
        }
        uint32_t value = *lin_record_values(p->items[i].r);
        size_t at = SIZE_MAX;
        uint32_t other;
        while (differ && (other = lin_table_next(&seen, lin_mix(value), &at)) != 0) {
            differ = other != value;
        }
        differ = differ && lin_table_add(&seen, v->arena, lin_mix(value), value);
    }
    lin_arena_return(v->arena, mark);
    return differ;
}

static bool is_register(const struct lin_part *p)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct lin_record *r = p->items[i].r;
        if (r->command != LIN_GET && (r->command != LIN_SET || r->flags != 0)) {
            return false;
        }
    }
    return true;
}

static bool is_list(const struct lin_values *v, const struct lin_part *p)
{
    size_t element = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct lin_record *r = p->items[i].r;
        if (r->command == LIN_APPEND) {
            size_t len = lin_value_len(v, *lin_record_values(r));
            if (len == 0 || (element != 0 && len != element)) {
                return false;
            }
            element = len;
        } else if (r->command != LIN_GET && r->command != LIN_STRLEN) {
            return false;
        }
    }
    return element != 0;
}

/* Increments by one, which never found anything but a number, and reads. */
static bool is_counter(const struct lin_part *p)
{
    bool increments = false;
    for (size_t i = 0; i < p->count; i++) {
        const struct lin_record *r = p->items[i].r;
        bool one = r->command == LIN_INCRBY && r->by == 1 && r->result_kind != LIN_RESULT_ERROR;
        if (!one && r->command != LIN_GET) {
            return false;
        }
        increments = increments || one;
    }
    return increments;
}

enum lin_method lin_choose_method(struct lin_values *v, const struct lin_part *p)
{
    if (p->keys > 1) {
        return LIN_BY_SEARCH;
    }
    if (is_register(p) && values_differ(v, p, LIN_SET)) {
        return LIN_BY_ZONES;
    }
    bool list = is_list(v, p) && values_differ(v, p, LIN_APPEND);
    return list || is_counter(p) ? LIN_BY_PLACES : LIN_BY_SEARCH;
}

static enum lin_verdict judge_joined(struct lin_model *m, const struct lin_part *p,
                                     struct lin_budget *b)
{
    struct lin_part wrong;
    size_t mark = m->values->arena->used;
    enum lin_verdict verdict = lin_project(m, p, b, &wrong);
    lin_arena_return(m->values->arena, mark);
    m->values->arena->full = false;
    return verdict == LIN_NOT_LINEARIZABLE ? verdict : lin_search(m, p, b);
}

enum lin_verdict lin_judge(struct lin_model *m, const struct lin_part *p, struct lin_budget *b)
{
    switch (p->method) {
    case LIN_BY_ZONES:
        return lin_judge_registers(m, p, b);
    case LIN_BY_PLACES:
        return lin_judge_places(m, p, b);
    case LIN_BY_SEARCH:
        if (p->keys > 1) {
            return judge_joined(m, p, b);
        }
        return lin_reads_unwritten(m->values->arena, p) ? LIN_NOT_LINEARIZABLE
                                                        : lin_search(m, p, b);
    case LIN_METHODS:
        break;
    }
    ts_unreachable();
}

/* ---- all parts ---- */

static void note(struct lin_report *report, const struct lin_part *p, enum lin_verdict verdict,
                 bool out_of_memory)
{
    /* The items of a part stand by their begin; what names it is its first by index. */
    size_t first = p->items[0].index;
    for (size_t i = 1; i < p->count; i++) {
        first = p->items[i].index < first ? p->items[i].index : first;
    }
    bool worse = false;
    if (verdict == LIN_NOT_LINEARIZABLE) {
        worse = report->parts_wrong++ == 0 || first < report->part_op;
        report->verdict = LIN_NOT_LINEARIZABLE;
    } else if (verdict == LIN_GAVE_UP) {
        report->parts_given_up++;
        report->out_of_memory = report->out_of_memory || out_of_memory;
        report->out_of_steps = report->out_of_steps || !out_of_memory;
        worse = report->parts_wrong == 0 && first < report->part_op;
        report->verdict = report->parts_wrong == 0 ? LIN_GAVE_UP : report->verdict;
    }
    if (worse) {
        report->part_op = first;
        report->part_keys = p->keys;
    }
}

/* Judges the parts that are searched, or the others. */
static void judge_parts(struct lin *l, const struct lin_division *d, bool searched,
                        struct lin_report *report)
{
    struct lin_part p;
    struct lin_model m;
    for (size_t at = 0; at < d->count;) {
        at = lin_part_at(l, d, at, &p, &m);
        if ((p.method == LIN_BY_SEARCH) != searched) {
            continue;
        }
        /* No part may take all that is left: others could be refuted with less. */
        uint64_t left = l->limits.steps_max - report->steps;
        struct lin_budget b = {.steps_max = at < d->count && searched ? left / 2 : left};
        enum lin_verdict verdict = lin_judge(&m, &p, &b);
        report->steps += b.steps < left ? b.steps : left;
        report->parts++;
        report->method[p.method]++;
        note(report, &p, verdict, l->arena.full);
        l->arena.full = false; /* its memory was given back */
    }
}

void lin_check(struct lin *l, struct lin_report *report)
{
    struct lin_division d;
    lin_end_loan(l);
    *report = (struct lin_report){
        .operations = l->count, .keys = l->keys, .part_op = LIN_NONE, .verdict = LIN_LINEARIZABLE};
    size_t mark = l->arena.used;
    l->arena.full = false;
    if (lin_divide(l, &d)) {
        report->unknown = d.unknown;
        report->failed = d.failed;
        judge_parts(l, &d, false, report);
        judge_parts(l, &d, true, report);
    } else {
        report->verdict = LIN_GAVE_UP;
        report->out_of_memory = true;
    }
    l->arena.full = false;
    lin_arena_return(&l->arena, mark);
    report->memory = l->arena.used_max;
}

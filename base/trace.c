#include "base/trace.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

static const char *const NAMES[] = {
#define TS_TRACE_NAME(sym, name, a, b) name,
    TS_TRACE_LIST(TS_TRACE_NAME)
#undef TS_TRACE_NAME
};

static const char *const MEANINGS[][2] = {
#define TS_TRACE_MEANING(sym, name, a, b) {a, b},
    TS_TRACE_LIST(TS_TRACE_MEANING)
#undef TS_TRACE_MEANING
};

const char *ts_trace_name(enum ts_trace_kind kind)
{
    ts_assert(kind < TS_TRACE_KINDS);
    return NAMES[kind];
}

const char *ts_trace_meaning(enum ts_trace_kind kind, int field)
{
    ts_assert(kind < TS_TRACE_KINDS);
    ts_assert(field == 0 || field == 1);
    return MEANINGS[kind][field];
}

/* Appends at `used`; returns the new total, also when it no longer fits. */
static size_t append_field(char *out, size_t cap, size_t used, const char *name, uint64_t v)
{
    char *at = used < cap ? out + used : NULL;
    int n = snprintf(at, at == NULL ? 0 : cap - used, " %s=%" PRIu64, name, v);
    ts_assert(n > 0);
    return used + (size_t)n;
}

size_t ts_trace_format(const struct ts_trace *t, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s", ts_trace_name(t->kind));
    ts_assert(n > 0);
    size_t used = (size_t)n;
    if (t->epoch.v != 0) {
        used = append_field(out, cap, used, "epoch", t->epoch.v);
    }
    if (t->seq.v != 0) {
        used = append_field(out, cap, used, "seq", t->seq.v);
    }
    if (MEANINGS[t->kind][0][0] != '\0') {
        used = append_field(out, cap, used, MEANINGS[t->kind][0], t->a);
    }
    if (MEANINGS[t->kind][1][0] != '\0') {
        used = append_field(out, cap, used, MEANINGS[t->kind][1], t->b);
    }
    return used;
}

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lab/drill_run.h"
#include "lab/mem.h"

const char *lab_drill_verdict_text(enum lab_drill_verdict verdict)
{
    static const char *const texts[] = {"held", "failed", "invalid", "broken"};
    return texts[verdict];
}

static double seconds_since(const struct lab_drill_result *r, uint64_t at_ns)
{
    return at_ns <= r->begin_ns ? 0.0 : (double)(at_ns - r->begin_ns) / 1e9;
}

/* ---- outages ---- */

struct outages {
    size_t count;
    double p50_ms;
    double p99_ms;
    double max_ms;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct outages outages_of(const struct lab_drill_result *r)
{
    struct outages o = {.count = r->strike_count};
    if (o.count == 0) {
        return o;
    }
    double *ms = lab_calloc(o.count, sizeof(*ms));
    for (size_t i = 0; i < o.count; i++) {
        ms[i] = (double)r->strikes[i].gap_ns / 1e6;
    }
    qsort(ms, o.count, sizeof(*ms), by_value);
    o.p50_ms = ms[(o.count - 1) / 2];
    o.p99_ms = ms[(o.count * 99 + 99) / 100 - 1];
    o.max_ms = ms[o.count - 1];
    free(ms);
    return o;
}

/* ---- text ---- */

void lab_drill_print(FILE *out, const struct lab_drill *d, const struct lab_drill_result *r)
{
    struct outages o = outages_of(r);
    char text[256];
    (void)fprintf(out, "%s: %s after %.1f s\n", d->name, lab_drill_verdict_text(r->verdict),
                  seconds_since(r, r->end_ns));
    for (size_t i = 0; i < r->finding_count; i++) {
        (void)fprintf(out, "  ! %s\n", r->findings[i]);
    }
    if (r->judged) {
        lab_verdict_text(&r->answers, text, sizeof(text));
        (void)fprintf(out, "  answers    %s\n", text);
    }
    if (o.count > 0) {
        (void)fprintf(
            out,
            "  outages    %zu, each the longest time without an answer after a fault: p50 "
            "%.1f ms, p99 %.1f ms, max %.1f ms\n",
            o.count, o.p50_ms, o.p99_ms, o.max_ms);
    }
    (void)fprintf(out,
                  "  primary    changed %" PRIu64 " times, without a cause %" PRIu64
                  "; epochs %" PRIu64 ", with two primaries %" PRIu64 "\n",
                  r->takeovers, r->false_takeovers, r->primary_epochs, r->two_primaries);
    (void)fprintf(out, "  alarms    ");
    for (size_t i = 0; i < r->code_count; i++) {
        (void)fprintf(out, " %s", r->codes[i]);
    }
    (void)fprintf(out, "%s\n", r->code_count == 0 ? " none" : "");
}

/* ---- JSON ---- */

static json_t *strings(const char *texts, size_t count, size_t size)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, json_string(texts + i * size));
    }
    return list;
}

static json_t *phases_json(const struct lab_phases *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->count; i++) {
        (void)json_array_append_new(list,
                                    json_pack("{s:s,s:f}", "name", p->p[i].name, "ms", p->p[i].ms));
    }
    return list;
}

static json_t *series_json(const struct lab_drill_series *s)
{
    json_t *answers = json_array();
    json_t *p50 = json_array();
    json_t *max = json_array();
    for (size_t i = 0; i < s->count; i++) {
        (void)json_array_append_new(answers, json_integer(s->bins[i].answers));
        (void)json_array_append_new(p50, json_real(s->bins[i].p50_us / 1e3));
        (void)json_array_append_new(max, json_real(s->bins[i].max_us / 1e3));
    }
    return json_pack("{s:f,s:o,s:o,s:o}", "bin_s", (double)s->bin_ns / 1e9, "answers", answers,
                     "p50_ms", p50, "max_ms", max);
}

static json_t *faults_json(const struct lab_drill_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->strike_count; i++) {
        const struct lab_drill_strike *s = &r->strikes[i];
        json_t *one = json_pack("{s:f,s:s,s:f,s:f}", "at_s", seconds_since(r, s->at_ns), "fault",
                                s->what, "outage_ms", (double)s->gap_ns / 1e6, "outage_from_s",
                                seconds_since(r, s->gap_begin_ns));
        if (s->phases.count > 0) {
            (void)json_object_set_new(one, "phases", phases_json(&s->phases));
        }
        if (s->redundant_ns != 0) {
            (void)json_object_set_new(one, "redundant_after_s",
                                      json_real((double)(s->redundant_ns - s->at_ns) / 1e9));
        }
        (void)json_array_append_new(list, one);
    }
    return list;
}

static json_t *events_json(const struct lab_drill_result *r)
{
    static const char *const kinds[] = {"step", "fault", "heal", "primary", "alarm"};
    json_t *list = json_array();
    for (size_t i = 0; i < r->event_count; i++) {
        const struct lab_drill_event *e = &r->events[i];
        (void)json_array_append_new(list,
                                    json_pack("{s:f,s:s,s:s}", "at_s", seconds_since(r, e->at_ns),
                                              "kind", kinds[e->kind], "text", e->text));
    }
    return list;
}

json_t *lab_drill_json(const struct lab_drill *d, const struct lab_drill_result *r)
{
    const struct lab_verdict *a = &r->answers;
    struct outages o = outages_of(r);
    json_t *all = json_pack("{s:s,s:s,s:s,s:s,s:I,s:f}", "drill", d->name, "about", d->about,
                            "topology", d->topology, "verdict", lab_drill_verdict_text(r->verdict),
                            "seed", (json_int_t)d->seed, "seconds", seconds_since(r, r->end_ns));
    (void)json_object_set_new(all, "findings",
                              strings(r->findings[0], r->finding_count, LAB_DRILL_FINDING_TEXT));
    if (r->judged) {
        (void)json_object_set_new(
            all, "answers",
            json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "acknowledged",
                      (json_int_t)a->acknowledged, "reads", (json_int_t)a->reads, "failed",
                      (json_int_t)a->failed, "ambiguous", (json_int_t)a->ambiguous, "lost",
                      (json_int_t)a->lost, "executed_twice", (json_int_t)a->executed_twice,
                      "stale_reads", (json_int_t)a->stale_reads, "phantoms",
                      (json_int_t)a->phantoms, "disorder", (json_int_t)a->disorder));
    }
    if (a->leases_granted > 0) {
        (void)json_object_set_new(
            all, "leases",
            json_pack("{s:I,s:I,s:I,s:I,s:I}", "granted", (json_int_t)a->leases_granted, "renewed",
                      (json_int_t)a->leases_renewed, "lost", (json_int_t)a->leases_lost, "expired",
                      (json_int_t)a->leases_expired, "violations",
                      (json_int_t)a->lease_violations));
    }
    (void)json_object_set_new(all, "outages",
                              json_pack("{s:I,s:f,s:f,s:f}", "count", (json_int_t)o.count, "p50_ms",
                                        o.p50_ms, "p99_ms", o.p99_ms, "max_ms", o.max_ms));
    (void)json_object_set_new(all, "takeovers", json_integer((json_int_t)r->takeovers));
    (void)json_object_set_new(all, "false_takeovers", json_integer((json_int_t)r->false_takeovers));
    (void)json_object_set_new(all, "primary_epochs", json_integer((json_int_t)r->primary_epochs));
    (void)json_object_set_new(all, "two_primaries", json_integer((json_int_t)r->two_primaries));
    (void)json_object_set_new(all, "stall_ms", json_real((double)r->stall_ns / 1e6));
    (void)json_object_set_new(all, "stalled", json_boolean(r->stalled));
    (void)json_object_set_new(all, "alarms",
                              strings(r->codes[0], r->code_count, LAB_DRILL_ALARM_MAX));
    (void)json_object_set_new(all, "faults", faults_json(r));
    (void)json_object_set_new(all, "events", events_json(r));
    (void)json_object_set_new(all, "series", series_json(&r->series));
    return all;
}

/* ---- JUnit XML ---- */

static void put_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            (void)fputs("&amp;", out);
            break;
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        case '"':
            (void)fputs("&quot;", out);
            break;
        default:
            (void)fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
            break;
        }
    }
}

/* What makes a drill invalid is an error, as JUnit has it; all else that is wrong is a failure. */
static void put_case(FILE *out, const json_t *r)
{
    const char *verdict = json_string_value(json_object_get(r, "verdict"));
    const json_t *findings = json_object_get(r, "findings");
    size_t i;
    json_t *finding;
    (void)fprintf(out, "  <testcase classname=\"drill\" name=\"%s\" time=\"%.3f\">\n",
                  json_string_value(json_object_get(r, "drill")),
                  json_real_value(json_object_get(r, "seconds")));
    if (strcmp(verdict, lab_drill_verdict_text(LAB_DRILL_HELD)) != 0) {
        bool invalid = strcmp(verdict, lab_drill_verdict_text(LAB_DRILL_INVALID)) == 0;
        const char *first = json_string_value(json_array_get(findings, 0));
        (void)fprintf(out, "    <%s type=\"%s\" message=\"", invalid ? "error" : "failure",
                      verdict);
        put_escaped(out, first != NULL ? first : "");
        (void)fputs("\">", out);
        json_array_foreach(findings, i, finding)
        {
            put_escaped(out, json_string_value(finding));
            (void)fputc('\n', out);
        }
        (void)fprintf(out, "</%s>\n", invalid ? "error" : "failure");
    }
    (void)fputs("  </testcase>\n", out);
}

void lab_drill_junit(FILE *out, const json_t *results)
{
    size_t i;
    json_t *r;
    size_t held = 0;
    json_array_foreach(results, i, r)
    {
        const char *verdict = json_string_value(json_object_get(r, "verdict"));
        held += verdict != NULL && strcmp(verdict, lab_drill_verdict_text(LAB_DRILL_HELD)) == 0;
    }
    (void)fprintf(out,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"drills\" "
                  "tests=\"%zu\" failures=\"%zu\" errors=\"0\">\n",
                  json_array_size(results), json_array_size(results) - held);
    json_array_foreach(results, i, r)
    {
        put_case(out, r);
    }
    (void)fputs("</testsuite>\n", out);
}

/* ---- the page ---- */

extern const unsigned char lab_drills_page[]; /* lab/page/drills.html */
extern const size_t lab_drills_page_len;

void lab_drill_page(FILE *out, const json_t *results)
{
    static const char MARK[] = "@RESULTS@";
    size_t n = sizeof(MARK) - 1;
    const unsigned char *at = memmem(lab_drills_page, lab_drills_page_len, MARK, n);
    ts_assert(at != NULL);
    size_t before = (size_t)(at - lab_drills_page);
    (void)fwrite(lab_drills_page, 1, before, out);
    /* "</script>" or "<!--" in a text would end the data, or more */
    char *text = json_dumps(results, JSON_COMPACT | JSON_REAL_PRECISION(9));
    for (const char *c = text; c != NULL && *c != '\0'; c++) {
        (void)(*c == '<' ? fputs("\\u003c", out) : fputc(*c, out));
    }
    free(text);
    (void)fwrite(at + n, 1, lab_drills_page_len - before - n, out);
}

/* What the replicas here counted and timed, as JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "cluster-cfg/io/admin.h"

static json_t *number(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *buckets_json(const struct ts_histogram *h)
{
    json_t *list = json_array();
    for (size_t i = 0; i < TS_HISTOGRAM_BUCKETS; i++) {
        if (h->count[i] > 0) {
            bool last = i + 1 == TS_HISTOGRAM_BUCKETS;
            json_t *bound = last ? json_null() : number(ts_histogram_bound(i));
            (void)json_array_append_new(list, json_pack("[o,o]", bound, number(h->count[i])));
        }
    }
    return list;
}

static json_t *stage_json(enum report_stage stage, const struct ts_histogram *h)
{
    static const struct {
        const char *key;
        unsigned per_10000;
    } QUANTILES[] = {{"p50_ns", 5000}, {"p90_ns", 9000}, {"p99_ns", 9900}, {"p999_ns", 9990}};
    json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:I}", "stage", report_stage_name(stage), "meaning",
                          report_stage_text(stage), "count", (json_int_t)ts_histogram_total(h),
                          "sum_ns", (json_int_t)h->sum_ns, "max_ns", (json_int_t)h->max_ns);
    for (size_t i = 0; i < sizeof(QUANTILES) / sizeof(QUANTILES[0]); i++) {
        (void)json_object_set_new(o, QUANTILES[i].key,
                                  number(ts_histogram_quantile(h, QUANTILES[i].per_10000)));
    }
    (void)json_object_set_new(o, "buckets", buckets_json(h));
    return o;
}

static json_t *group_json(const struct cfg_group *g, const struct admin_figures *kept,
                          struct ts_mono now)
{
    const struct report_figures *f = kept->report;
    json_t *o = json_pack("{s:s}", "group", g->name);
    json_t *counters = json_object();
    json_t *gauges = json_object();
    json_t *stages = json_array();
    (void)json_object_set_new(
        o, "age_ms", f == NULL ? json_null() : number(ts_mono_since(kept->at, now) / TS_NS_PER_MS));
    if (f != NULL) {
        char instance[17];
        (void)snprintf(instance, sizeof(instance), "%016" PRIx64, f->instance.v);
        (void)json_object_set_new(o, "instance", json_string(instance));
        for (unsigned i = 0; i < REPORT_COUNTERS; i++) {
            (void)json_object_set_new(counters, report_counter_name((enum report_counter)i),
                                      number(f->counter[i]));
        }
        for (unsigned i = 0; i < REPORT_GAUGES; i++) {
            (void)json_object_set_new(gauges, report_gauge_name((enum report_gauge)i),
                                      number(f->gauge[i]));
        }
        for (unsigned i = 0; i < REPORT_STAGES; i++) {
            (void)json_array_append_new(stages, stage_json((enum report_stage)i, &f->stage[i]));
        }
    }
    (void)json_object_set_new(o, "counters", counters);
    (void)json_object_set_new(o, "gauges", gauges);
    (void)json_object_set_new(o, "stages", stages);
    return o;
}

json_t *admin_latency_json(const struct admin_state *s, struct ts_mono now)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->cluster->group_count; i++) {
        const struct cfg_group *g = &s->cluster->groups[i];
        if (cfg_group_has(g, s->self->id)) {
            (void)json_array_append_new(list, group_json(g, &s->figures[g->id.v], now));
        }
    }
    return list;
}

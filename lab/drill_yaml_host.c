/* Faults of the machine under a node, and the workload of leases, as a drill's file has them. */
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "lab/drill_yaml.h"

#define PERIOD_MS_USUAL 100
#define JUMP_DAYS_MAX 7300
#define DIGITS_MAX 9
#define LEASE_MS_USUAL 1000
#define LEASE_MS_MIN 100
#define LEASE_MS_MAX 60000

/* "90s", "1h", "400d": the clock of a certificate's life. */
static uint64_t read_jump(struct yaml_doc *y, const yaml_node_t *node)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } UNITS[] = {
        {"ms", 1}, {"s", 1000}, {"min", 60ULL * 1000}, {"h", 3600 * 1000}, {"d", 86400000ULL}};
    const char *text = yaml_doc_text(y, node, "by");
    size_t digits = strspn(text, "0123456789");
    uint64_t n = digits == 0 || digits > DIGITS_MAX ? 0 : strtoull(text, NULL, 10);
    uint64_t ms = 0;
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        ms = strcmp(text + digits, UNITS[i].unit) == 0 ? n * UNITS[i].ms : ms;
    }
    if (!y->failed && (ms == 0 || ms > JUMP_DAYS_MAX * 86400000ULL)) {
        yaml_doc_fail(y, node,
                      "by is \"%.40s\"; write a number with ms, s, min, h or d, at most %dd", text,
                      JUMP_DAYS_MAX);
    }
    return ms;
}

static uint32_t read_share(struct yaml_doc *y, const yaml_node_t *node)
{
    const char *text = yaml_doc_text(y, node, "share");
    size_t digits = strspn(text, "0123456789");
    unsigned long n = digits == 0 || digits > 2 ? 0 : strtoul(text, NULL, 10);
    if (!y->failed && (n == 0 || strcmp(text + digits, "%") != 0)) {
        yaml_doc_fail(y, node, "share is \"%.40s\"; write a whole share from 1%% to 99%%", text);
    }
    return (uint32_t)n;
}

void lab_drill_read_host(struct yaml_doc *y, const yaml_node_t *map, struct lab_step *s)
{
    const yaml_node_t *share = yaml_doc_get(y, map, "share");
    const yaml_node_t *period = yaml_doc_get(y, map, "period");
    bool jumps = s->fault == LAB_DRILL_CLOCK_FORWARD || s->fault == LAB_DRILL_CLOCK_BACK;
    bool shares = s->fault == LAB_DRILL_CLOCK_DRIFT || s->fault == LAB_DRILL_STARVE;
    if (y->failed) {
        return;
    }
    if ((share != NULL) != shares) {
        yaml_doc_fail(y, map, "`share`, like 30%%, is of clock-drift and starve, and no other");
    }
    if (period != NULL && s->fault != LAB_DRILL_STARVE) {
        yaml_doc_fail(y, period, "`period` is of starve: the time of which it has a share");
    }
    if (jumps) {
        s->jump_ms = read_jump(y, yaml_doc_need(y, map, "a clock that jumps", "by"));
    }
    if (shares) {
        s->share_percent = read_share(y, share);
    }
    if (s->fault == LAB_DRILL_STARVE) {
        s->period_ms = period == NULL
                           ? PERIOD_MS_USUAL
                           : (uint32_t)(yaml_doc_duration(y, period, "period", 2 * TS_NS_PER_MS,
                                                          10 * TS_NS_PER_S) /
                                        TS_NS_PER_MS);
    }
}

bool lab_drill_read_leases(struct yaml_doc *y, const yaml_node_t *map, struct lab_drill *d)
{
    static const char *const OF_KEYS[] = {"kind",        "clients", "keys", "reads",
                                          "value-bytes", "rest",    "user", NULL};
    static const char *const OF_LEASES[] = {"kind", "clients", "leases", "for", "user", NULL};
    static const char *const ALL[] = {"kind", "clients", "keys", "reads", "value-bytes",
                                      "rest", "leases",  "for",  "user",  NULL};
    yaml_doc_check_map(y, map, "workload", ALL);
    const yaml_node_t *kind = yaml_doc_get(y, map, "kind");
    const char *text = kind == NULL ? "keys" : yaml_doc_text(y, kind, "kind");
    bool leases = strcmp(text, "leases") == 0;
    if (!y->failed && !leases && strcmp(text, "keys") != 0) {
        yaml_doc_fail(y, kind, "kind is \"%.40s\"; there are: keys, leases", text);
    }
    yaml_doc_check_map(y, map, leases ? "a workload of leases" : "a workload of keys",
                       leases ? OF_LEASES : OF_KEYS);
    const yaml_node_t *time = yaml_doc_get(y, map, "for");
    const yaml_node_t *user = yaml_doc_get(y, map, "user");
    d->has_user = user != NULL && yaml_doc_bool(y, user, "user");
    if (leases) {
        d->lease_ms =
            time == NULL ? LEASE_MS_USUAL
                         : (uint32_t)(yaml_doc_duration(y, time, "for", LEASE_MS_MIN * TS_NS_PER_MS,
                                                        LEASE_MS_MAX * TS_NS_PER_MS) /
                                      TS_NS_PER_MS);
    }
    return leases;
}

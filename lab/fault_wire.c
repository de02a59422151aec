/* What happens to frames on their way, in a lab. The wire itself counts what it did: no word of
 * whoever suffers it is needed. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "lab/clock.h"
#include "lab/control.h"
#include "lab/fault.h"
#include "lab/wire_text.h"

/* A wire on which nothing is sent has no effect to show. */
#define HIT_NS_MAX (5 * TS_NS_PER_S)

static json_t *request(const struct lab_fault *f, const char *cmd)
{
    json_t *o = json_pack("{s:s,s:[s],s:b}", "cmd", cmd, "from", f->node, "both", f->both);
    if (f->to[0] != '\0') {
        (void)json_object_set_new(o, "to", json_pack("[s]", f->to));
    }
    if (f->network[0] != '\0') {
        (void)json_object_set_new(o, "network", json_string(f->network));
    }
    return o;
}

static bool is_text(const json_t *o, const char *key, const char *text)
{
    const char *is = json_string_value(json_object_get(o, key));
    return is != NULL && strcmp(is, text) == 0;
}

static bool is_meant(const struct lab_fault *f, const json_t *pair)
{
    bool there = is_text(pair, "from", f->node) && (f->to[0] == '\0' || is_text(pair, "to", f->to));
    bool back = f->both && is_text(pair, "to", f->node) &&
                (f->to[0] == '\0' || is_text(pair, "from", f->to));
    return there || back;
}

/* What the wire did to frames that merely passed otherwise. */
static uint64_t effects_of(const json_t *counters)
{
    static const char *const EFFECTS[] = {"cut",       "flapped",    "lost",
                                          "overrun",   "corrupted",  "delayed",
                                          "reordered", "duplicated", "replayed"};
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof(EFFECTS) / sizeof(EFFECTS[0]); i++) {
        n += (uint64_t)json_integer_value(json_object_get(counters, EFFECTS[i]));
    }
    return n;
}

static enum ts_err count(const struct lab_fault *f, uint64_t *out, struct ts_why *why)
{
    json_t *show = json_pack("{s:s}", "cmd", "wire-show");
    json_t *answer = NULL;
    size_t i;
    size_t k;
    json_t *network;
    json_t *pair;
    enum ts_err err = lab_ask_labd(f->run->run, show, &answer, why);
    json_decref(show);
    *out = 0;
    json_array_foreach(json_object_get(answer, "networks"), i, network)
    {
        bool here = f->network[0] == '\0' || is_text(network, "name", f->network);
        json_array_foreach(json_object_get(network, "pairs"), k, pair)
        {
            *out += here && is_meant(f, pair) ? effects_of(json_object_get(pair, "counters")) : 0;
        }
    }
    json_decref(answer);
    return err;
}

static enum ts_err ask(const struct lab_fault *f, json_t *o, struct ts_why *why)
{
    json_t *answer = NULL;
    enum ts_err err = lab_ask_labd(f->run->run, o, &answer, why);
    json_decref(answer);
    json_decref(o);
    return err;
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    json_t *o = request(f, "wire-set");
    (void)json_object_set_new(o, "rule", lab_wire_rule_json(&f->rule));
    enum ts_err err = count(f, &f->effect, why);
    f->injected_ns = lab_now_ns();
    return err == TS_OK ? ask(f, o, why) : err;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    uint64_t end = lab_now_ns() + HIT_NS_MAX;
    uint64_t now = f->effect;
    enum ts_err err = count(f, &now, why);
    while (err == TS_OK && now == f->effect) {
        if (lab_now_ns() > end) {
            return ts_why(why, TS_ERR_NOT_FOUND, "the wire did nothing to any frame of %s",
                          f->node);
        }
        lab_pause_ms(1);
        err = count(f, &now, why);
    }
    return err;
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    return ask(f, request(f, "wire-clear"), why);
}

static const struct lab_fault_type type = {
    .name = "wire", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_wire(struct lab_fault *f, const struct nodes_run *run, const char *from,
                    const char *to, const char *network, bool both,
                    const struct lab_wire_rule *rule)
{
    *f = (struct lab_fault){.type = &type, .run = run, .both = both, .rule = *rule};
    (void)snprintf(f->node, sizeof(f->node), "%s", from);
    (void)snprintf(f->to, sizeof(f->to), "%s", to == NULL ? "" : to);
    (void)snprintf(f->network, sizeof(f->network), "%s", network == NULL ? "" : network);
}

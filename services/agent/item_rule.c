#include <stdio.h>
#include <string.h>

#include "services/agent/fields.h"

#define TCP 6
#define UDP 17
#define SCTP 132
#define ICMP 1
#define ICMP6 58

static const char *const ACTIONS[] = {
#define ACTION_TEXT(name, text) text,
    AGENT_ACTION_LIST(ACTION_TEXT)
#undef ACTION_TEXT
};
static const char *const NAT_ACTIONS[] = {
#define NAT_TEXT(name, text) text,
    AGENT_NAT_LIST(NAT_TEXT)
#undef NAT_TEXT
};
static const char *const DIRECTIONS[] = {"IN", "OUT", "IN_OUT"};

/* ---- sets ---- */

static void take_names(struct agent_sets *s, const char *name, const json_t *list,
                       struct agent_fields *f)
{
    size_t count = json_array_size(list);
    if (count > AGENT_SETS_MAX) {
        agent_fields_fail(f, name, "at most 64 sets");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(list, i);
        const char *text = json_is_string(entry) ? json_string_value(entry) : "";
        if (!agent_is_set_name(text) || strlen(text) != json_string_length(entry)) {
            agent_fields_fail(f, name, "names of sets");
            return;
        }
        (void)snprintf(s->name[i], sizeof(s->name[i]), "%s", text);
    }
    s->count = count;
}

/* {"sets":[…],"not":bool} */
static void take_sets(struct agent_sets *s, const char *name, struct agent_fields *f)
{
    const json_t *object = agent_fields_get(f, name, JSON_OBJECT, false);
    s->any = object == NULL;
    if (object == NULL) {
        return;
    }
    struct agent_fields inner = agent_fields_of(f->key, name, object, f->error);
    const json_t *list = agent_fields_get(&inner, "sets", JSON_ARRAY, true);
    s->negated = agent_fields_bool(&inner, "not", false);
    if (list != NULL) {
        take_names(s, "sets", list, &inner);
    }
    f->err = agent_fields_end(&inner);
}

/* ---- services ---- */

static bool take_number(const char **text, uint16_t *out)
{
    unsigned n = 0;
    const char *at = *text;
    for (; *at >= '0' && *at <= '9' && at - *text < 6; at++) {
        n = n * 10 + (unsigned)(*at - '0');
    }
    if (at == *text || n > UINT16_MAX || ((*text)[0] == '0' && at - *text > 1)) {
        return false;
    }
    *text = at;
    *out = (uint16_t)n;
    return true;
}

/* "80", "1000-2000" */
static bool take_range(const char *text, struct agent_range *r)
{
    if (!take_number(&text, &r->first)) {
        return false;
    }
    r->last = r->first;
    if (*text == '-') {
        text++;
        if (!take_number(&text, &r->last)) {
            return false;
        }
    }
    return *text == '\0' && r->first <= r->last;
}

static size_t take_ranges(struct agent_fields *f, const char *name, struct agent_range *out)
{
    const json_t *list = agent_fields_get(f, name, JSON_ARRAY, false);
    size_t count = list == NULL ? 0 : json_array_size(list);
    if (count > AGENT_RANGES_MAX) {
        agent_fields_fail(f, name, "at most 32 ports or ranges");
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(list, i);
        if (!json_is_string(entry) || !take_range(json_string_value(entry), &out[i])) {
            agent_fields_fail(f, name, "texts like \"80\" and \"1000-2000\"");
            return 0;
        }
    }
    return count;
}

static void take_service(struct agent_service *s, const json_t *object, struct agent_fields *outer)
{
    struct agent_fields f = agent_fields_of(outer->key, "services", object, outer->error);
    s->protocol = (uint8_t)agent_fields_number(&f, "protocol", 0, UINT8_MAX, true, 0);
    s->sources = take_ranges(&f, "source", s->source);
    s->destinations = take_ranges(&f, "destination", s->destination);
    uint64_t type = agent_fields_number(&f, "type", 0, UINT8_MAX, false, UINT64_MAX);
    uint64_t code = agent_fields_number(&f, "code", 0, UINT8_MAX, false, UINT64_MAX);
    bool has_ports = s->protocol == TCP || s->protocol == UDP || s->protocol == SCTP;
    bool has_type = s->protocol == ICMP || s->protocol == ICMP6;
    s->type = type == UINT64_MAX ? -1 : (int)type;
    s->code = code == UINT64_MAX ? -1 : (int)code;
    if (!has_ports && s->sources + s->destinations > 0) {
        agent_fields_fail(&f, "protocol", "one that has ports (6, 17, 132)");
    } else if (!has_type && (s->type >= 0 || s->code >= 0)) {
        agent_fields_fail(&f, "protocol", "one that has types (1, 58)");
    } else if (s->type < 0 && s->code >= 0) {
        agent_fields_fail(&f, "type", "a type, where a code is");
    }
    outer->err = agent_fields_end(&f);
}

static void take_services(struct agent_rule *r, struct agent_fields *f)
{
    const json_t *list = agent_fields_get(f, "services", JSON_ARRAY, false);
    size_t count = list == NULL ? 0 : json_array_size(list);
    if (list != NULL && (count == 0 || count > AGENT_SERVICES_MAX)) {
        agent_fields_fail(f, "services", "1 to 64 services");
        return;
    }
    for (size_t i = 0; i < count && f->err == TS_OK; i++) {
        const json_t *entry = json_array_get(list, i);
        if (!json_is_object(entry)) {
            agent_fields_fail(f, "services", "a list of objects");
            return;
        }
        take_service(&r->service[i], entry, f);
    }
    r->services = count;
}

/* ---- rules ---- */

enum ts_err agent_rule_decode(struct agent_rule *rule, struct agent_fields *f)
{
    rule->id = (uint32_t)agent_fields_number(f, "id", 1, UINT32_MAX, true, 0);
    (void)agent_fields_text(f, "path", AGENT_TEXT_MAX, false);
    rule->action = (enum agent_action)agent_fields_word(f, "action", ACTIONS, 4);
    unsigned direction = agent_fields_word(f, "direction", DIRECTIONS, 3);
    rule->in = direction != 1;
    rule->out = direction != 0;
    rule->family = (int)agent_fields_number(f, "family", 4, 6, false, 0);
    if (rule->family == 5) {
        agent_fields_fail(f, "family", "4 or 6");
    }
    take_sets(&rule->sources, "sources", f);
    take_sets(&rule->destinations, "destinations", f);
    take_services(rule, f);
    const json_t *ports = agent_fields_get(f, "ports", JSON_ARRAY, false);
    rule->ports.any = ports == NULL;
    if (ports != NULL) {
        take_names(&rule->ports, "ports", ports, f);
    }
    rule->stateful = agent_fields_bool(f, "stateful", false);
    rule->logged = json_object_get(f->object, "log") != NULL;
    const char *log = agent_fields_text(f, "log", AGENT_LOG_MAX, false);
    (void)snprintf(rule->log, sizeof(rule->log), "%s", log);
    for (char *c = rule->log; *c != '\0'; c++) {
        *c = *c == '"' || *c == '\\' || *c == '$' || (unsigned char)*c > 0x7e ? '_' : *c;
    }
    return agent_fields_end(f);
}

/* ---- translations ---- */

enum ts_err agent_nat_decode(struct agent_nat *nat, struct agent_fields *f)
{
    nat->id = (uint32_t)agent_fields_number(f, "id", 1, UINT32_MAX, true, 0);
    nat->action = (enum agent_nat_action)agent_fields_word(f, "action", NAT_ACTIONS, 4);
    bool translates = nat->action == AGENT_SNAT || nat->action == AGENT_DNAT;
    nat->source = agent_fields_address(f, "source", AGENT_ADDRESS_PREFIX, false);
    nat->destination = agent_fields_address(f, "destination", AGENT_ADDRESS_PREFIX, false);
    nat->translated = agent_fields_address(f, "translated", AGENT_ADDRESS_ALONE, translates);
    nat->translated_port =
        (uint16_t)agent_fields_number(f, "translated_port", 1, UINT16_MAX, false, 0);
    const json_t *service = agent_fields_get(f, "service", JSON_OBJECT, false);
    nat->has_service = service != NULL;
    if (service != NULL) {
        take_service(&nat->service, service, f);
    }
    nat->logged = agent_fields_bool(f, "log", false);
    uint8_t family = nat->translated.family;
    bool mixed =
        (nat->source.family != 0 && family != 0 && nat->source.family != family) ||
        (nat->destination.family != 0 && family != 0 && nat->destination.family != family) ||
        (nat->source.family != 0 && nat->destination.family != 0 &&
         nat->source.family != nat->destination.family);
    bool has_ports =
        nat->has_service && nat->service.protocol != ICMP && nat->service.protocol != ICMP6;
    if (f->err == TS_OK && mixed) {
        agent_fields_fail(f, "translated", "addresses of one family");
    } else if (f->err == TS_OK && nat->translated_port != 0 &&
               (nat->action != AGENT_DNAT || !has_ports)) {
        agent_fields_fail(f, "translated_port", "it with DNAT and a service with ports only");
    } else if (f->err == TS_OK && translates && !agent_address_is_host(&nat->translated)) {
        agent_fields_fail(f, "translated", "an address that a host can have");
    }
    return agent_fields_end(f);
}

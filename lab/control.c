#include "lab/control.h"

#include <string.h>

#include "lab/wire_text.h"

static enum ts_err read_cmd(const json_t *o, enum lab_cmd *out, struct ts_why *why)
{
    static const char *const NAMES[] = {[LAB_CMD_WIRE_SHOW] = "wire-show",
                                        [LAB_CMD_WIRE_SET] = "wire-set",
                                        [LAB_CMD_WIRE_CLEAR] = "wire-clear"};
    const char *name = json_string_value(json_object_get(o, "cmd"));
    for (size_t i = 0; name != NULL && i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strcmp(NAMES[i], name) == 0) {
            *out = (enum lab_cmd)i;
            return TS_OK;
        }
    }
    return ts_why(why, TS_ERR_MALFORMED, "labd knows no command \"%.40s\"",
                  name == NULL ? "" : name);
}

static enum ts_err read_network(const json_t *name, const struct lab_topology *t,
                                bool out[TS_PATHS_MAX], struct ts_why *why)
{
    bool found = false;
    for (size_t i = 0; i < t->network_count; i++) {
        out[i] = name == NULL || (json_is_string(name) &&
                                  strcmp(json_string_value(name), t->networks[i].name) == 0);
        found = found || out[i];
    }
    return found ? TS_OK
                 : ts_why(why, TS_ERR_MALFORMED, "the lab has no network \"%.60s\"",
                          json_is_string(name) ? json_string_value(name) : "");
}

static enum ts_err read_machines(const json_t *list, const struct lab_topology *t,
                                 bool out[LAB_MACHINES_MAX], struct ts_why *why)
{
    size_t i;
    const json_t *item;
    if (list != NULL && (!json_is_array(list) || json_array_size(list) == 0)) {
        return ts_why(why, TS_ERR_MALFORMED, "from and to are lists of machines");
    }
    for (size_t k = 0; list == NULL && k < t->machine_count; k++) {
        out[k] = true;
    }
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(item);
        const struct lab_machine *m = name == NULL ? NULL : lab_topology_machine(t, name);
        if (m == NULL) {
            return ts_why(why, TS_ERR_MALFORMED, "the lab has no machine \"%.60s\"",
                          name == NULL ? "" : name);
        }
        out[m - t->machines] = true;
    }
    return TS_OK;
}

bool lab_request_means(const struct lab_request *r, const struct lab_topology *t, size_t network,
                       size_t from, size_t to)
{
    return from != to && r->network[network] && network < t->machines[from].path_count &&
           network < t->machines[to].path_count &&
           ((r->from[from] && r->to[to]) || (r->both && r->from[to] && r->to[from]));
}

static bool means_any(const struct lab_request *r, const struct lab_topology *t)
{
    for (size_t n = 0; n < t->network_count; n++) {
        for (size_t i = 0; i < t->machine_count; i++) {
            for (size_t k = 0; k < t->machine_count; k++) {
                if (lab_request_means(r, t, n, i, k)) {
                    return true;
                }
            }
        }
    }
    return false;
}

static enum ts_err read_keys(json_t *o, const char *const *keys, struct ts_why *why)
{
    for (void *at = json_object_iter(o); at != NULL; at = json_object_iter_next(o, at)) {
        const char *key = json_object_iter_key(at);
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (keys[i] == NULL) {
            return ts_why(why, TS_ERR_MALFORMED, "the command takes no \"%.40s\"", key);
        }
    }
    return TS_OK;
}

static enum ts_err read_object(json_t *o, const struct lab_topology *t, struct lab_request *r,
                               struct ts_why *why)
{
    static const char *const SHOW[] = {"cmd", NULL};
    static const char *const CLEAR[] = {"cmd", "network", "from", "to", "both", NULL};
    static const char *const SET[] = {"cmd", "network", "from", "to", "both", "rule", NULL};
    static const char *const *const KEYS[] = {
        [LAB_CMD_WIRE_SHOW] = SHOW, [LAB_CMD_WIRE_SET] = SET, [LAB_CMD_WIRE_CLEAR] = CLEAR};
    if (!json_is_object(o)) {
        return ts_why(why, TS_ERR_MALFORMED, "the request is no JSON object");
    }
    const json_t *both = json_object_get(o, "both");
    enum ts_err err = read_cmd(o, &r->cmd, why);
    err = err != TS_OK ? err : read_keys(o, KEYS[r->cmd], why);
    err = err != TS_OK ? err : read_network(json_object_get(o, "network"), t, r->network, why);
    err = err != TS_OK ? err : read_machines(json_object_get(o, "from"), t, r->from, why);
    err = err != TS_OK ? err : read_machines(json_object_get(o, "to"), t, r->to, why);
    if (err == TS_OK && both != NULL && !json_is_boolean(both)) {
        err = ts_why(why, TS_ERR_MALFORMED, "both is true or false");
    }
    r->both = json_is_true(both);
    if (err == TS_OK && r->cmd == LAB_CMD_WIRE_SET) {
        err = lab_wire_rule_read(json_object_get(o, "rule"), &r->rule, why);
    }
    if (err == TS_OK && !means_any(r, t)) {
        err = ts_why(why, TS_ERR_MALFORMED, "no two of these machines are on one network of these");
    }
    return err;
}

enum ts_err lab_request_read(struct ts_bytes line, const struct lab_topology *t,
                             struct lab_request *out, struct ts_why *why)
{
    json_error_t error;
    struct lab_request r = {0};
    json_t *o = json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES, &error);
    if (o == NULL) {
        return ts_why(why, TS_ERR_MALFORMED, "the request is no JSON: %s", error.text);
    }
    enum ts_err err = read_object(o, t, &r, why);
    json_decref(o);
    if (err == TS_OK) {
        *out = r;
    }
    return err;
}

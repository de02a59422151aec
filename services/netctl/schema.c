#include "services/netctl/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "services/netctl/address.h"

#define WHERE_MAX 200
/* An object in an object in …: the descriptors have fewer. */
#define DEPTH_MAX 8

bool netctl_error_set(struct netctl_error *e, int status, int code, const char *format, ...)
{
    va_list args;
    if (e->status == 0) {
        e->status = status;
        e->code = code;
        va_start(args, format);
        int n = vsnprintf(e->message, sizeof(e->message), format, args);
        va_end(args);
        ts_assert(n >= 0);
        ts_utf8_mend(e->message); /* a path's bytes, or a letter that was cut */
    }
    return false;
}

static bool wrong(struct netctl_error *e, const char *where, const char *what)
{
    return netctl_error_set(e, 400, NETCTL_CODE_INVALID, "%s %s", where, what);
}

static bool is_choice(const char *const *choices, const char *text)
{
    for (size_t i = 0; choices != NULL && choices[i] != NULL; i++) {
        if (strcmp(choices[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_choice(const struct netctl_field *f, const char *text, const char *where,
                         struct netctl_error *e)
{
    char list[256] = "";
    size_t len = 0;
    if (is_choice(f->choices, text)) {
        return true;
    }
    for (size_t i = 0; f->choices[i] != NULL && len < sizeof(list); i++) {
        int n = snprintf(list + len, sizeof(list) - len, "%s%s", i == 0 ? "" : ", ", f->choices[i]);
        len += n < 0 ? 0 : (size_t)n;
    }
    return netctl_error_set(e, 400, NETCTL_CODE_INVALID, "%s is \"%.40s\"; there are: %s", where,
                            text, list);
}

static bool check_text(const struct netctl_field *f, const char *text, size_t len,
                       const char *where, struct netctl_error *e)
{
    struct netctl_address ignored;
    if (strlen(text) != len) {
        return wrong(e, where, "has a character 0 in it");
    }
    switch (f->kind) {
    case NETCTL_TEXT:
        return (len >= (size_t)f->min && len <= (size_t)f->max) ||
               netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                "%s has %zu bytes; %lld to %lld are allowed", where, len,
                                (long long)f->min, (long long)f->max);
    case NETCTL_CHOICE:
        return check_choice(f, text, where, e);
    case NETCTL_PATH:
        return is_choice(f->choices, text) || netctl_path_is_valid(text) ||
               (f->or_element && netctl_element_is_valid(text)) ||
               wrong(e, where, "is no path of an object, such as /infra/segments/web");
    case NETCTL_ADDRESS:
        return netctl_address_read(text, &ignored) ||
               wrong(e, where, "is no IP address, such as 10.0.0.1");
    case NETCTL_PREFIX:
        return netctl_prefix_read(text, &ignored) ||
               wrong(e, where, "is no address with a prefix length, such as 10.0.0.1/24");
    case NETCTL_ELEMENT:
        return netctl_element_is_valid(text) ||
               wrong(e, where, "is no address, prefix (10.0.0.0/24) or range (10.0.0.1-10.0.0.9)");
    case NETCTL_MAC:
        return netctl_mac_is_valid(text) || wrong(e, where, "is no MAC, such as 02:00:5e:00:00:01");
    case NETCTL_PORTS:
        return netctl_ports_are_valid(text) ||
               wrong(e, where, "is no port, such as 80 or 1000-2000");
    case NETCTL_NUMBER:
    case NETCTL_BOOL:
    case NETCTL_OBJECT:
    case NETCTL_LIST:
    case NETCTL_PASSED:
        break;
    }
    ts_unreachable();
}

/* How deep it stands, and by which rules it is looked at. */
struct place {
    unsigned depth;
    uint8_t rules;
};

static bool check_object(const struct netctl_field *fields, json_t *object, const char *where,
                         struct place at, struct netctl_error *e);

static bool check(const struct netctl_field *f, json_t *value, const char *where, struct place at,
                  struct netctl_error *e)
{
    char inner[WHERE_MAX];
    switch (f->kind) {
    case NETCTL_NUMBER:
        return (json_is_integer(value) && json_integer_value(value) >= f->min &&
                json_integer_value(value) <= f->max) ||
               netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                "%s is no whole number from %lld to %lld", where, (long long)f->min,
                                (long long)f->max);
    case NETCTL_BOOL:
        return (json_is_boolean(value) || wrong(e, where, "is neither true nor false")) &&
               (f->choices == NULL || json_is_false(value) ||
                wrong(e, where, "is true, which is not offered here; leave it out"));
    case NETCTL_OBJECT:
        (void)snprintf(inner, sizeof(inner), "%s.", where);
        at.depth++;
        return json_is_object(value) ? check_object(f->fields, value, inner, at, e)
                                     : wrong(e, where, "is no object {…}");
    case NETCTL_LIST:
        if (!json_is_array(value) || json_array_size(value) > (size_t)f->max) {
            return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                    "%s is no list […] of at most %lld", where, (long long)f->max);
        }
        for (size_t i = 0; i < json_array_size(value); i++) {
            (void)snprintf(inner, sizeof(inner), "%s[%zu]", where, i);
            if (!check(f->of, json_array_get(value, i), inner, at, e)) {
                return false;
            }
        }
        return true;
    case NETCTL_PASSED:
        return true;
    case NETCTL_TEXT:
    case NETCTL_CHOICE:
    case NETCTL_PATH:
    case NETCTL_ADDRESS:
    case NETCTL_PREFIX:
    case NETCTL_ELEMENT:
    case NETCTL_MAC:
    case NETCTL_PORTS:
        return json_is_string(value)
                   ? check_text(f, json_string_value(value), json_string_length(value), where, e)
                   : wrong(e, where, "is no text \"…\"");
    }
    ts_unreachable();
}

static const struct netctl_field *find(const struct netctl_field *fields, const char *name,
                                       uint8_t rules)
{
    while (fields->name != NULL && strcmp(fields->name, name) != 0) {
        fields++;
    }
    return fields->name == NULL || fields->since > rules ? NULL : fields;
}

static bool check_known(const struct netctl_field *fields, json_t *object, const char *where,
                        struct place at, struct netctl_error *e)
{
    const char *key;
    json_t *value;
    void *next;
    char name[WHERE_MAX];
    if (at.depth > DEPTH_MAX) {
        return wrong(e, where, "has too many objects inside each other");
    }
    json_object_foreach_safe(object, next, key, value)
    {
        const struct netctl_field *f = find(fields, key, at.rules);
        (void)snprintf(name, sizeof(name), "%s%.64s", where, key);
        if (f == NULL && !json_is_null(value)) {
            return wrong(e, name, "is not known here");
        }
        if (f == NULL || json_is_null(value) || f->kind == NETCTL_PASSED) {
            (void)json_object_del(object, key);
        } else if (!check(f, value, name, at, e)) {
            return false;
        }
    }
    return true;
}

static bool check_needed(const struct netctl_field *fields, const json_t *object, uint8_t rules,
                         const char *where, struct netctl_error *e)
{
    for (const struct netctl_field *f = fields; f->name != NULL; f++) {
        if (f->needed && f->since <= rules && json_object_get(object, f->name) == NULL) {
            return netctl_error_set(e, 400, NETCTL_CODE_INVALID, "%s%s is missing", where, f->name);
        }
    }
    return true;
}

static bool check_object(const struct netctl_field *fields, json_t *object, const char *where,
                         struct place at, struct netctl_error *e)
{
    return check_known(fields, object, where, at, e) &&
           check_needed(fields, object, at.rules, where, e);
}

bool netctl_schema_check_part(const struct netctl_field *fields, json_t *object, uint8_t rules,
                              const char *where, struct netctl_error *e)
{
    return check_known(fields, object, where, (struct place){0, rules}, e);
}

bool netctl_schema_check_needed(const struct netctl_field *fields, const json_t *object,
                                uint8_t rules, const char *where, struct netctl_error *e)
{
    return check_needed(fields, object, rules, where, e);
}

bool netctl_schema_check(const struct netctl_field *fields, json_t *object, uint8_t rules,
                         const char *where, struct netctl_error *e)
{
    return check_object(fields, object, where, (struct place){0, rules}, e);
}

/* ---- references ---- */

static void refer(const struct netctl_field *f, const json_t *value, netctl_schema_refers *refers,
                  void *arg)
{
    if (f->kind == NETCTL_PATH && netctl_path_is_valid(json_string_value(value))) {
        refers(arg, f, json_string_value(value));
    } else if (f->kind == NETCTL_OBJECT) {
        netctl_schema_paths(f->fields, value, refers, arg);
    } else if (f->kind == NETCTL_LIST) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            refer(f->of, json_array_get(value, i), refers, arg);
        }
    }
}

void netctl_schema_paths(const struct netctl_field *fields, const json_t *object,
                         netctl_schema_refers *refers, void *arg)
{
    for (const struct netctl_field *f = fields; f->name != NULL; f++) {
        const json_t *value = json_object_get(object, f->name);
        if (value != NULL) {
            refer(f, value, refers, arg);
        }
    }
}

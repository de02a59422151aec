#include "services/agent/fields.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

struct agent_fields agent_fields_of(const char *key, const char *within, const json_t *object,
                                    struct agent_error *error)
{
    return (struct agent_fields){.key = key, .within = within, .object = object, .error = error};
}

static void fail(struct agent_fields *f, enum ts_err err, const char *name, const char *says)
{
    if (f->err == TS_OK) {
        f->err = err;
        (void)snprintf(f->error->text, sizeof(f->error->text), "%.120s: field %s%s%.60s: %.120s",
                       f->key, f->within, f->within[0] == '\0' ? "" : ".", name, says);
    }
}

void agent_fields_fail(struct agent_fields *f, const char *name, const char *want)
{
    char says[128];
    (void)snprintf(says, sizeof(says), "want %s", want);
    fail(f, TS_ERR_MALFORMED, name, says);
}

const json_t *agent_fields_get(struct agent_fields *f, const char *name, json_type type,
                               bool required)
{
    static const char *const TYPES[] = {"an object",      "a list",         "a text",
                                        "a whole number", "a whole number", "true or false",
                                        "true or false"};
    const json_t *value = json_object_get(f->object, name);
    ts_assert(f->asked < AGENT_FIELDS_MAX);
    f->name[f->asked++] = name;
    if (value == NULL) {
        if (required) {
            fail(f, TS_ERR_MALFORMED, name, "it is missing");
        }
        return NULL;
    }
    bool fits = type == JSON_TRUE ? json_is_boolean(value) : json_typeof(value) == type;
    if (!fits) {
        agent_fields_fail(f, name, TYPES[type]);
    }
    return fits && f->err == TS_OK ? value : NULL;
}

uint64_t agent_fields_number(struct agent_fields *f, const char *name, uint64_t least,
                             uint64_t most, bool required, uint64_t otherwise)
{
    const json_t *value = agent_fields_get(f, name, JSON_INTEGER, required);
    json_int_t n = value == NULL ? 0 : json_integer_value(value);
    if (value == NULL) {
        return otherwise;
    }
    if (n < 0 || (uint64_t)n < least || (uint64_t)n > most) {
        char want[80];
        (void)snprintf(want, sizeof(want), "a number from %llu to %llu", (unsigned long long)least,
                       (unsigned long long)most);
        agent_fields_fail(f, name, want);
        return otherwise;
    }
    return (uint64_t)n;
}

bool agent_fields_bool(struct agent_fields *f, const char *name, bool required)
{
    const json_t *value = agent_fields_get(f, name, JSON_TRUE, required);
    return value != NULL && json_is_true(value);
}

/* Its text; NULL if it has control characters (a NUL is one) or is too long. */
static const char *text_of(const json_t *value, size_t most)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return NULL;
        }
    }
    return len <= most ? text : NULL;
}

const char *agent_fields_text(struct agent_fields *f, const char *name, size_t most, bool required)
{
    const json_t *value = agent_fields_get(f, name, JSON_STRING, required);
    const char *text = value == NULL ? "" : text_of(value, most);
    if (text == NULL) {
        char want[80];
        (void)snprintf(want, sizeof(want), "at most %zu bytes without control characters", most);
        agent_fields_fail(f, name, want);
        return "";
    }
    return text;
}

static const char *form_text(int form)
{
    return form == AGENT_ADDRESS_ALONE    ? "an address as inet_ntop writes it"
           : form == AGENT_ADDRESS_PREFIX ? "ADDRESS/BITS with the other bits zero"
                                          : "ADDRESS/BITS, as inet_ntop writes the address";
}

struct agent_address agent_fields_address(struct agent_fields *f, const char *name, int form,
                                          bool required)
{
    struct agent_address a = {0};
    const char *text = agent_fields_text(f, name, AGENT_ADDRESS_TEXT, required);
    bool absent = json_object_get(f->object, name) == NULL;
    if (!absent && f->err == TS_OK && agent_address_parse(&a, text, form) != TS_OK) {
        agent_fields_fail(f, name, form_text(form));
    }
    return a;
}

size_t agent_fields_addresses(struct agent_fields *f, const char *name, int form, size_t most,
                              struct agent_address *out, bool required)
{
    const json_t *list = agent_fields_get(f, name, JSON_ARRAY, required);
    size_t count = list == NULL ? 0 : json_array_size(list);
    if (count > most) {
        char want[80];
        (void)snprintf(want, sizeof(want), "at most %zu addresses", most);
        agent_fields_fail(f, name, want);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(list, i);
        const char *text = json_is_string(entry) ? text_of(entry, AGENT_ADDRESS_TEXT) : NULL;
        if (text == NULL || agent_address_parse(&out[i], text, form) != TS_OK) {
            agent_fields_fail(f, name, form_text(form));
            return 0;
        }
        if (!agent_address_is_host(&out[i])) {
            agent_fields_fail(f, name, "addresses that a host can have");
            return 0;
        }
    }
    return count;
}

void agent_fields_mac(struct agent_fields *f, const char *name, struct agent_mac *out)
{
    const char *text = agent_fields_text(f, name, AGENT_MAC_TEXT, true);
    if (f->err == TS_OK && agent_mac_parse(out, text) != TS_OK) {
        agent_fields_fail(f, name, "a unicast MAC, six small hex pairs with colons");
    }
}

unsigned agent_fields_word(struct agent_fields *f, const char *name, const char *const *words,
                           unsigned count)
{
    char want[96] = "one of";
    const char *text = agent_fields_text(f, name, AGENT_TEXT_MAX, true);
    for (unsigned i = 0; i < count; i++) {
        size_t len = strlen(want);
        if (strcmp(text, words[i]) == 0) {
            return i;
        }
        (void)snprintf(want + len, sizeof(want) - len, " %s", words[i]);
    }
    agent_fields_fail(f, name, want);
    return 0;
}

static bool is_asked(const struct agent_fields *f, const char *name)
{
    for (size_t i = 0; i < f->asked; i++) {
        if (strcmp(f->name[i], name) == 0) {
            return true;
        }
    }
    return false;
}

enum ts_err agent_fields_end(struct agent_fields *f)
{
    json_t *object = (json_t *)f->object;
    for (void *i = json_object_iter(object); f->err == TS_OK && i != NULL;
         i = json_object_iter_next(object, i)) {
        if (!is_asked(f, json_object_iter_key(i))) {
            fail(f, TS_ERR_VERSION, json_object_iter_key(i), "this agent does not know it");
        }
    }
    return f->err;
}

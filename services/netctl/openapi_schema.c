/* The fields of objects as schemas (JSON Schema 2020-12, as OpenAPI 3.1 has it). */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/openapi_inner.h"

#define ID_PATTERN "[A-Za-z0-9_.:~@-]{1,255}"
#define PATH_PATTERN "(/" ID_PATTERN ")+"
#define ELEMENT_PATTERN "[0-9a-fA-F:.]+(/[0-9]{1,3}|-[0-9a-fA-F:.]+)?"

/* ---- JSON ---- */

void openapi_set(json_t *object, const char *key, json_t *value)
{
    ts_must(value);
    int failed = json_object_set_new(object, key, value);
    ts_assert(failed == 0);
}

void openapi_set_text(json_t *object, const char *key, const char *text)
{
    openapi_set(object, key, json_string(text));
}

void openapi_append(json_t *list, json_t *value)
{
    ts_must(value);
    int failed = json_array_append_new(list, value);
    ts_assert(failed == 0);
}

json_t *openapi_object(void)
{
    json_t *object = json_object();
    ts_must(object);
    return object;
}

json_t *openapi_list(void)
{
    json_t *list = json_array();
    ts_must(list);
    return list;
}

json_t *openapi_ref(const char *kind, const char *name, const char *suffix)
{
    json_t *ref = openapi_object();
    char text[OPENAPI_NAME_ROOM];
    int n = snprintf(text, sizeof(text), "#/components/%s/%s%s", kind, name, suffix);
    ts_assert(n > 0 && (size_t)n < sizeof(text));
    openapi_set_text(ref, "$ref", text);
    return ref;
}

static json_t *typed(const char *type)
{
    json_t *schema = openapi_object();
    openapi_set_text(schema, "type", type);
    return schema;
}

static json_t *pattern(const char *text)
{
    json_t *schema = typed("string");
    openapi_set_text(schema, "pattern", text);
    return schema;
}

static json_t *texts(const char *const *list)
{
    json_t *all = openapi_list();
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        openapi_append(all, json_string(list[i]));
    }
    return all;
}

/* ---- fields ---- */

static json_t *path_field(const struct netctl_field *f)
{
    const char *any = f->choices == NULL ? "" : "ANY|";
    char text[256];
    int n = snprintf(text, sizeof(text), "^(%s%s" PATH_PATTERN ")$", any,
                     f->or_element ? ELEMENT_PATTERN "|" : "");
    ts_assert(n > 0 && (size_t)n < sizeof(text));
    json_t *schema = pattern(text);
    openapi_set(schema, "maxLength", json_integer(NETCTL_PATH_MAX));
    if (f->types != NULL) {
        openapi_set(schema, "x-refers-to", texts(f->types));
    }
    return schema;
}

static json_t *number_field(const struct netctl_field *f)
{
    json_t *schema = typed("integer");
    openapi_set(schema, "minimum", json_integer((json_int_t)f->min));
    openapi_set(schema, "maximum", json_integer((json_int_t)f->max));
    return schema;
}

/* Bytes are counted, of which a character has one at least. */
static json_t *text_field(const struct netctl_field *f)
{
    json_t *schema = typed("string");
    if (f->min > 0) {
        openapi_set(schema, "minLength", json_integer(1));
    }
    openapi_set(schema, "maxLength", json_integer((json_int_t)f->max));
    return schema;
}

/* What clients send back as they were given it. */
static json_t *passed_field(const struct netctl_field *f)
{
    static const char *const PATHS[] = {"path", "parent_path", NULL};
    static const char *const TIMES[] = {"_create_time", "_last_modified_time", NULL};
    static const char *const TEXTS[] = {"relative_path", "_create_user", "_last_modified_user",
                                        NULL};
    json_t *schema = NULL;
    if (strcmp(f->name, "_revision") == 0) {
        schema = typed("integer");
        openapi_set(schema, "minimum", json_integer(0));
        return schema; /* said by clients, too: PUT of what is there needs it */
    }
    for (size_t i = 0; PATHS[i] != NULL && schema == NULL; i++) {
        schema = strcmp(PATHS[i], f->name) == 0 ? pattern("^" PATH_PATTERN "$") : NULL;
    }
    for (size_t i = 0; TIMES[i] != NULL && schema == NULL; i++) {
        schema = strcmp(TIMES[i], f->name) == 0 ? typed("integer") : NULL;
    }
    for (size_t i = 0; TEXTS[i] != NULL && schema == NULL; i++) {
        schema = strcmp(TEXTS[i], f->name) == 0 ? typed("string") : NULL;
    }
    schema = schema == NULL ? openapi_object() : schema;
    openapi_set(schema, "readOnly", json_true());
    return schema;
}

json_t *openapi_field(const struct netctl_field *f)
{
    json_t *schema = NULL;
    switch (f->kind) {
    case NETCTL_TEXT:
        return text_field(f);
    case NETCTL_NUMBER:
        return number_field(f);
    case NETCTL_BOOL:
        schema = typed("boolean");
        if (f->choices != NULL) {
            openapi_set(schema, "const", json_false());
        }
        return schema;
    case NETCTL_CHOICE:
        schema = typed("string");
        openapi_set(schema, "enum", texts(f->choices));
        return schema;
    case NETCTL_PATH:
        return path_field(f);
    case NETCTL_ADDRESS:
    case NETCTL_PREFIX:
    case NETCTL_ELEMENT:
    case NETCTL_MAC:
    case NETCTL_PORTS:
        return openapi_ref("schemas",
                           f->kind == NETCTL_ADDRESS   ? "Address"
                           : f->kind == NETCTL_PREFIX  ? "Prefix"
                           : f->kind == NETCTL_ELEMENT ? "AddressElement"
                           : f->kind == NETCTL_MAC     ? "Mac"
                                                       : "PortRange",
                           "");
    case NETCTL_OBJECT:
        return openapi_fields(f->fields);
    case NETCTL_LIST:
        schema = typed("array");
        openapi_set(schema, "maxItems", json_integer((json_int_t)f->max));
        openapi_set(schema, "items", openapi_field(f->of));
        return schema;
    case NETCTL_PASSED:
        return passed_field(f);
    }
    ts_unreachable();
}

static const struct netctl_field *find(const struct netctl_field *fields, const char *name)
{
    while (fields->name != NULL && strcmp(fields->name, name) != 0) {
        fields++;
    }
    return fields->name == NULL ? NULL : fields;
}

/* The first kind has nothing but what all have. */
static const struct netctl_field *common(void)
{
    return netctl_resources[0].fields;
}

static bool has_common(const struct netctl_field *fields)
{
    bool has = true;
    for (const struct netctl_field *f = common(); f->name != NULL && has; f++) {
        has = find(fields, f->name) != NULL;
    }
    return has;
}

/* `but`: a field that is left out; NULL: none. */
static json_t *properties(const struct netctl_field *fields, bool without_common, const char *but)
{
    json_t *all = openapi_object();
    for (const struct netctl_field *f = fields; f->name != NULL; f++) {
        bool left_out = (without_common && find(common(), f->name) != NULL) ||
                        (but != NULL && strcmp(f->name, but) == 0);
        if (!left_out) {
            openapi_set(all, f->name, openapi_field(f));
        }
    }
    return all;
}

static void add_required(json_t *schema, const struct netctl_field *fields)
{
    json_t *names = openapi_list();
    for (const struct netctl_field *f = fields; f->name != NULL; f++) {
        if (f->needed) {
            openapi_append(names, json_string(f->name));
        }
    }
    if (json_array_size(names) > 0) {
        openapi_set(schema, "required", names);
    } else {
        json_decref(names);
    }
}

json_t *openapi_fields(const struct netctl_field *fields)
{
    bool is_common = has_common(fields);
    json_t *schema = is_common ? openapi_ref("schemas", "CommonFields", "") : openapi_object();
    openapi_set_text(schema, "type", "object");
    openapi_set(schema, "properties", properties(fields, is_common, NULL));
    add_required(schema, fields);
    openapi_set(schema, is_common ? "unevaluatedProperties" : "additionalProperties", json_false());
    return schema;
}

/* ---- kinds of objects ---- */

/* A schema that another one begins, and that has no other fields than both. */
static json_t *closed(const char *type, const char *suffix)
{
    json_t *schema = openapi_ref("schemas", type, suffix);
    openapi_set(schema, "unevaluatedProperties", json_false());
    return schema;
}

static void put(json_t *schemas, const char *type, const char *suffix, json_t *schema)
{
    char name[OPENAPI_NAME_ROOM];
    int n = snprintf(name, sizeof(name), "%s%s", type, suffix);
    ts_assert(n > 0 && (size_t)n < sizeof(name));
    openapi_set(schemas, name, schema);
}

/* The objects that clients see as a list in this one. */
static json_t *embedded(const struct netctl_resource *r, const char *suffix)
{
    char collection[NETCTL_PATH_ROOM];
    (void)snprintf(collection, sizeof(collection), "%s/%s", r->pattern, r->embedded);
    const struct netctl_resource *inner = netctl_resource_in(collection);
    ts_assert(inner != NULL);
    json_t *items = openapi_ref("schemas", inner->type, suffix);
    if (suffix[0] != '\0') { /* as clients send them: each says which one it is */
        openapi_set(items, "required", json_pack("[s]", "id"));
        openapi_set(items, "unevaluatedProperties", json_false());
    }
    json_t *list = typed("array");
    openapi_set(list, "maxItems", json_integer((json_int_t)find(r->fields, r->embedded)->max));
    openapi_set(list, "items", items);
    return list;
}

static json_t *of_body(const struct netctl_resource *r, bool whole)
{
    json_t *schema = closed(r->type, "Fields");
    openapi_set_text(schema, "type", "object");
    if (r->embedded != NULL) {
        json_t *inner = openapi_object();
        openapi_set(inner, r->embedded, embedded(r, "Fields"));
        openapi_set(schema, "properties", inner);
    }
    if (whole) {
        add_required(schema, r->fields);
    }
    return schema;
}

/* As it is given: `Kept` says what is in all of them. */
static json_t *of_answer(const struct netctl_resource *r)
{
    json_t *schema = closed(r->type, "Fields");
    openapi_set_text(schema, "type", "object");
    openapi_set(schema, "allOf", json_pack("[o]", openapi_ref("schemas", "Kept", "")));
    if (r->embedded != NULL) {
        json_t *inner = openapi_object();
        openapi_set(inner, r->embedded, embedded(r, ""));
        openapi_set(schema, "properties", inner);
    }
    add_required(schema, r->fields);
    return schema;
}

static json_t *of_list(const struct netctl_resource *r)
{
    json_t *schema =
        json_pack("{ss,s{s{ss,so},s{ss,si,ss},s{ss,sb},s{ss,ss}},s[ss],sb}", "type", "object",
                  "properties", "results", "type", "array", "items",
                  openapi_ref("schemas", r->type, ""), "result_count", "type", "integer", "minimum",
                  0, "description", "Objects of all pages; in the first page only.",
                  "sort_ascending", "type", "boolean", "const", 1, "cursor", "type", "string",
                  "description", "Of the page behind this one; there is none when it is missing.",
                  "required", "results", "sort_ascending", "additionalProperties", 0);
    ts_must(schema);
    return schema;
}

static bool is_below(const struct netctl_resource *r, const struct netctl_resource *parent)
{
    size_t n = strlen(parent->pattern);
    size_t len = strlen(r->pattern);
    return r != parent && len > n + 2 && strncmp(r->pattern, parent->pattern, n) == 0 &&
           r->pattern[n] == '/' && strstr(r->pattern + n, "<>") == r->pattern + len - 2;
}

static bool is_first_of_type(const struct netctl_resource *r)
{
    const struct netctl_resource *first = netctl_resources;
    while (strcmp(first->type, r->type) != 0) {
        first++;
    }
    return first == r;
}

/* Whether objects of this kind stand below those of a type, wherever these are. */
static bool is_below_type(const struct netctl_resource *r, const char *type)
{
    bool below = false;
    for (const struct netctl_resource *p = netctl_resources; p->type != NULL && !below; p++) {
        below = strcmp(p->type, type) == 0 && is_below(r, p);
    }
    return below;
}

/* What objects of a type may have as children; NULL: any. */
static json_t *children_of(const char *type)
{
    json_t *named = openapi_object();
    json_t *one_of = openapi_list();
    for (const struct netctl_resource *r = netctl_resources; r->type != NULL; r++) {
        bool below = !r->is_fixed && (type == NULL || is_below_type(r, type));
        if (below && json_object_get(named, r->type) == NULL) {
            char name[OPENAPI_NAME_ROOM];
            (void)snprintf(name, sizeof(name), "Child%s", r->type);
            openapi_append(one_of, openapi_ref("schemas", name, ""));
            openapi_set(named, r->type, json_true());
        }
    }
    json_decref(named);
    openapi_append(one_of, openapi_ref("schemas", "ChildResourceReference", ""));
    json_t *list = typed("array");
    openapi_set(list, "items", json_pack("{so}", "oneOf", one_of));
    return list;
}

static json_t *of_child(const struct netctl_resource *r)
{
    char name[OPENAPI_NAME_ROOM];
    json_t *object = closed(r->type, "Fields");
    json_t *inner = openapi_object();
    openapi_set_text(object, "type", "object");
    openapi_set(inner, "children", children_of(r->type));
    if (r->embedded != NULL) {
        openapi_set(inner, r->embedded, embedded(r, "Fields"));
    }
    openapi_set(object, "properties", inner);
    openapi_set(object, "required", json_pack("[s]", "id"));
    (void)snprintf(name, sizeof(name), "Child%s", r->type);
    json_t *schema = json_pack("{ss,s{s{ss},s{ss,ss},so},s[ss]}", "type", "object", "properties",
                               "resource_type", "const", name, "marked_for_delete", "type",
                               "boolean", "description", "It is deleted, behind what is in it.",
                               r->type, object, "required", "resource_type", r->type);
    ts_must(schema);
    return schema;
}

static json_t *of_reference(void)
{
    json_t *types = openapi_list();
    for (const struct netctl_resource *r = netctl_resources + 1; r->type != NULL; r++) {
        if (is_first_of_type(r)) {
            openapi_append(types, json_string(r->type));
        }
    }
    json_t *schema =
        json_pack("{ss,s{s{ss},s{ss,so},s{ss,ss},so},s[sss]}", "type", "object", "properties",
                  "resource_type", "const", "ChildResourceReference", "target_type", "type",
                  "string", "enum", types, "id", "type", "string", "pattern", "^" ID_PATTERN "$",
                  "children", children_of(NULL), "required", "resource_type", "target_type", "id");
    ts_must(schema);
    return schema;
}

static void add_texts(json_t *schemas)
{
    static const struct {
        const char *name;
        const char *pattern;
        const char *about;
    } TEXTS[] = {
        {"Address", "^[0-9a-fA-F:.]{2,45}$", "10.0.0.1, 2001:db8::1"},
        {"Prefix", "^[0-9a-fA-F:.]{2,45}/[0-9]{1,3}$", "10.0.0.0/24, or with the host's own bits"},
        {"AddressElement", "^" ELEMENT_PATTERN "$",
         "An address, a prefix, or a range such as 10.0.0.1-10.0.0.9"},
        {"Mac", "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$", "02:00:5e:00:00:01"},
        {"PortRange", "^[0-9]{1,5}(-[0-9]{1,5})?$", "80, or 1000-2000"},
    };
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        json_t *schema = pattern(TEXTS[i].pattern);
        openapi_set_text(schema, "description", TEXTS[i].about);
        openapi_set(schemas, TEXTS[i].name, schema);
    }
}

void openapi_add_objects(json_t *schemas)
{
    json_t *all = typed("object");
    add_texts(schemas);
    openapi_set(all, "properties", properties(common(), false, NULL));
    openapi_set(schemas, "CommonFields", all);
    json_t *kept =
        json_pack("{ss,ss,s[ssssssssss]}", "type", "object", "description",
                  "What each object has that is there.", "required", "id", "display_name", "path",
                  "relative_path", "resource_type", "_revision", "_create_time", "_create_user",
                  "_last_modified_time", "_last_modified_user");
    openapi_set(schemas, "Kept", kept);
    openapi_set(schemas, "InfraTree",
                json_pack("{ss,s{s{ss},so},s[s]}", "type", "object", "properties", "resource_type",
                          "const", "Infra", "children", children_of("Infra"), "required",
                          "resource_type"));
    openapi_set(schemas, "ChildResourceReference", of_reference());
    for (const struct netctl_resource *r = netctl_resources; r->type != NULL; r++) {
        if (!is_first_of_type(r)) {
            continue;
        }
        json_t *fields = openapi_ref("schemas", "CommonFields", "");
        json_t *own = properties(r->fields, true, r->embedded);
        openapi_set(own, "resource_type", json_pack("{ss}", "const", r->type));
        openapi_set_text(fields, "type", "object");
        openapi_set(fields, "properties", own);
        put(schemas, r->type, "Fields", fields);
        put(schemas, r->type, "", of_answer(r));
        if (strcmp(r->pattern, "/infra") != 0) {
            put(schemas, r->type, "List", of_list(r));
        }
        if (!r->is_fixed) {
            char name[OPENAPI_NAME_ROOM];
            put(schemas, r->type, "Body", of_body(r, true));
            put(schemas, r->type, "Patch", of_body(r, false));
            (void)snprintf(name, sizeof(name), "Child%s", r->type);
            openapi_set(schemas, name, of_child(r));
        }
    }
}

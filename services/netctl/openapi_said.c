/* Answers that are no objects: errors, how far intent is made true, which way a packet goes. */
#include <stdint.h>

#include "base/memory.h"
#include "services/netctl/openapi_inner.h"

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define FIELDS(...) ((const struct netctl_field[]){__VA_ARGS__, {0}})
#define LONG_TEXT 4096

#define SAYS(key) \
    { \
        .name = (key), .kind = NETCTL_TEXT, .needed = true, .max = LONG_TEXT \
    }
#define MAY_SAY(key) \
    { \
        .name = (key), .kind = NETCTL_TEXT, .max = LONG_TEXT \
    }
#define ONE_OF(key, ...) \
    { \
        .name = (key), .kind = NETCTL_CHOICE, .needed = true, .choices = TEXTS(__VA_ARGS__) \
    }
#define COUNT(key) \
    { \
        .name = (key), .kind = NETCTL_NUMBER, .needed = true, .max = INT64_MAX \
    }
#define FLAG(key) \
    { \
        .name = (key), .kind = NETCTL_BOOL, .needed = true \
    }
#define LIST(key, what) \
    { \
        .name = (key), .kind = NETCTL_LIST, .needed = true, .max = INT32_MAX, .of = &(what) \
    }
#define LIST_OF(key, ...) \
    LIST(key, ((const struct netctl_field){.kind = NETCTL_OBJECT, .fields = FIELDS(__VA_ARGS__)}))

static const struct netctl_field A_TEXT = {.kind = NETCTL_TEXT, .max = LONG_TEXT};

static const struct netctl_field ERROR[] = {
    SAYS("httpStatus"), COUNT("error_code"), SAYS("module_name"), SAYS("error_message"), {0}};

static const struct netctl_field VERSION[] = {
    SAYS("node_version"), SAYS("product_version"), SAYS("twinstep_version"), {0}};

static const struct netctl_field EVENT[] = {
    SAYS("node"), COUNT("generation"), FLAG("realized"), COUNT("errors"), {0}};

static const struct netctl_field ENTITY[] = {
    ONE_OF("resource_type", "GenericPolicyRealizedResource"),
    SAYS("entity_type"),
    SAYS("id"),
    SAYS("display_name"),
    SAYS("path"),
    LIST("intent_paths", A_TEXT),
    ONE_OF("state", "REALIZED", "UNREALIZED", "ERROR"),
    LIST_OF("alarms", ONE_OF("resource_type", "PolicyRuntimeAlarm"), SAYS("message"),
            SAYS("source_reference")),
    ONE_OF("runtime_status", "SUCCESS", "IN_PROGRESS", "ERROR"),
    {0}};
static const struct netctl_field AN_ENTITY = {.kind = NETCTL_OBJECT, .fields = ENTITY};

static const struct netctl_field ENTITIES[] = {
    LIST("results", AN_ENTITY), COUNT("result_count"), FLAG("sort_ascending"), {0}};

static const struct netctl_field STATUS[] = {
    SAYS("intent_path"),
    ONE_OF("publish_status", "REALIZED", "UNREALIZED", "ERROR"),
    {.name = "consolidated_status",
     .kind = NETCTL_OBJECT,
     .needed = true,
     .fields = FIELDS(ONE_OF("consolidated_status", "SUCCESS", "IN_PROGRESS", "ERROR"))},
    SAYS("intent_version"),
    MAY_SAY("error_message"),
    {0}};

#define SEGMENT_STATE ONE_OF("state", "success", "in_progress", "failed")
static const struct netctl_field SEGMENT[] = {
    SAYS("segment_path"),
    SEGMENT_STATE,
    LIST_OF("details", SAYS("sub_system_id"), SEGMENT_STATE, MAY_SAY("failure_message")),
    {0}};

/* Of a port, what its rules say; of a router, whether it has both segments. */
static const struct netctl_field RULE_STEP[] = {
    SAYS("node"),
    SAYS("item"),
    SAYS("address"),
    ONE_OF("direction", "IN", "OUT"),
    ONE_OF("action", "ALLOW", "DROP", "REJECT", "DETECT"),
    {0}};
static const struct netctl_field ROUTE_STEP[] = {
    SAYS("node"), ONE_OF("action", "ROUTE", "UNREACHABLE"), {0}};

/* A field that is null where there is none. */
static json_t *with_nullable(json_t *schema, const char *name, const char *type)
{
    openapi_set(json_object_get(schema, "properties"), name,
                json_pack("{s[ss]}", "type", type, "null"));
    openapi_append(json_object_get(schema, "required"), json_string(name));
    return schema;
}

void openapi_add_said(json_t *schemas)
{
    static const struct {
        const char *name;
        const struct netctl_field *fields;
        const char *about;
    } SAID[] = {
        {"ApiError", ERROR, "Each error; nothing has changed then."},
        {"Version", VERSION, "Of the API that this is a subset of, and of Twinstep."},
        {"RealizationEvent", EVENT,
         "The data of an event: what a transport node does now. The event is called realization, "
         "its id is the node."},
        {"RealizedEntityList", ENTITIES, "The first entity is for all nodes of the object's span."},
        {"RealizationStatus", STATUS, "The same in one word."},
        {"SegmentState", SEGMENT, "The same of a segment."},
    };
    for (size_t i = 0; i < sizeof(SAID) / sizeof(SAID[0]); i++) {
        json_t *schema = openapi_fields(SAID[i].fields);
        openapi_set_text(schema, "description", SAID[i].about);
        openapi_set(schemas, SAID[i].name, schema);
    }
    json_t *rule = with_nullable(openapi_fields(RULE_STEP), "rule", "string");
    json_t *route = with_nullable(openapi_fields(ROUTE_STEP), "router", "integer");
    json_t *trace =
        json_pack("{ss,ss,s{s{ss},s{ss,s{s[oo]}}},s[ss],sb}", "description",
                  "The rules and routers that a packet meets, as far as it gets.", "type", "object",
                  "properties", "arrives", "type", "boolean", "steps", "type", "array", "items",
                  "oneOf", rule, route, "required", "arrives", "steps", "additionalProperties", 0);
    openapi_set(schemas, "Trace", trace);
}

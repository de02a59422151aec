#include "services/netctl/openapi.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/northbound.h"
#include "services/netctl/openapi_inner.h"
#include "services/netctl/request.h"

#define BASE "/policy/api/v1"
#define REALIZED BASE "/infra/realized-state/"
#define JSON_TYPE "application/json"
#define STREAM_TYPE "text/event-stream"

#define ABOUT \
    "The northbound API of the network controller netctl: a subset of the NSX Policy API. " \
    "Objects stand under /infra and are made, changed and deleted one by one, or many at once " \
    "with PATCH of /infra. " \
    "HEAD is answered wherever GET is, OPTIONS everywhere, with 204 and Allow. " \
    "PUT replaces an object, PATCH the fields that it has. " \
    "A field that is null is left out of what PUT makes, and taken away by PATCH. " \
    "Lengths of texts are bytes, so a text of other than ASCII characters may have fewer. " \
    "Fields that are read-only may be sent, and make no difference. " \
    "What objects say together must make sense, too: a reference to what is not there, or two " \
    "subnets that overlap behind one router, are a 400 that names both. " \
    "503 says that nothing was done, and where the primary is."

/* ---- names ---- */

/* "/infra/tier-0s/<>/nat/USER/nat-rules/<>" gives "InfraTier0sNatUSERNatRules". */
static void operation_name(const char *method, const char *pattern, char out[OPENAPI_NAME_ROOM])
{
    size_t n = (size_t)snprintf(out, OPENAPI_NAME_ROOM, "%s", method);
    bool begins = true;
    for (const char *c = pattern; *c != '\0' && n + 1 < OPENAPI_NAME_ROOM; c++) {
        if (strchr("/-<>.", *c) != NULL) {
            begins = true;
        } else {
            out[n++] = (char)(begins && *c >= 'a' && *c <= 'z' ? *c + 'A' - 'a' : *c);
            begins = false;
        }
    }
    out[n] = '\0';
}

/* Of "segments" "segment-id", of "security-policies" "security-policy-id". */
static void id_name(const char *part, size_t len, char out[OPENAPI_NAME_ROOM])
{
    bool is_ies = len > 3 && memcmp(part + len - 3, "ies", 3) == 0;
    (void)snprintf(out, OPENAPI_NAME_ROOM, "%.*s%s-id", (int)(is_ies ? len - 3 : len - 1), part,
                   is_ies ? "y" : "");
}

struct at {
    char path[NETCTL_PATH_ROOM]; /* "/policy/api/v1/infra/segments/{segment-id}" */
    json_t *params;              /* of its ids */
};

/* `pattern` as a path, and its ids as parameters, which are put among all `named` ones. */
static struct at place(const char *pattern, json_t *named)
{
    struct at at = {.params = openapi_list()};
    const char *part = pattern;
    size_t part_len = 0;
    size_t n = (size_t)snprintf(at.path, sizeof(at.path), "%s", BASE);
    while (*pattern != '\0') {
        size_t len = strcspn(pattern + 1, "/");
        if (strncmp(pattern + 1, "<>", len) == 0 && len == 2) {
            char name[OPENAPI_NAME_ROOM];
            id_name(part, part_len, name);
            n += (size_t)snprintf(at.path + n, sizeof(at.path) - n, "/{%s}", name);
            openapi_append(at.params, openapi_ref("parameters", name, ""));
            openapi_set(named, name,
                        json_pack("{ss,ss,sb,s{ss,ss}}", "name", name, "in", "path", "required", 1,
                                  "schema", "type", "string", "pattern",
                                  "^[A-Za-z0-9_.:~@-]{1,255}$"));
        } else {
            n += (size_t)snprintf(at.path + n, sizeof(at.path) - n, "%.*s", (int)len + 1, pattern);
        }
        part = pattern + 1;
        part_len = len;
        pattern += len + 1;
    }
    ts_assert(n < sizeof(at.path));
    return at;
}

/* ---- operations ---- */

static void add_params(json_t *params, unsigned on)
{
    for (const struct northbound_param *p = northbound_params; p->name != NULL; p++) {
        if ((p->on & on) != 0) {
            openapi_append(params, openapi_ref("parameters", p->name, ""));
        }
    }
}

/* Errors that an operation may answer with. */
static json_t *responses(bool changes, bool has_body)
{
    static const char *const ALWAYS[] = {"400", "401", "403", "404", "503", "default"};
    static const char *const OF_BODIES[] = {"412", "413", "507"};
    json_t *all = openapi_object();
    openapi_set(all, "200", json_null()); /* its place is the first */
    for (size_t i = 0; i < sizeof(ALWAYS) / sizeof(ALWAYS[0]); i++) {
        openapi_set(all, ALWAYS[i], openapi_ref("responses", ALWAYS[i], ""));
    }
    for (size_t i = 0; changes && has_body && i < sizeof(OF_BODIES) / sizeof(OF_BODIES[0]); i++) {
        openapi_set(all, OF_BODIES[i], openapi_ref("responses", OF_BODIES[i], ""));
    }
    return all;
}

static json_t *content(const char *type, const char *schema, const char *suffix)
{
    json_t *c = json_pack("{s{so}}", type, "schema", openapi_ref("schemas", schema, suffix));
    ts_must(c);
    return c;
}

/* `answer`: a schema; NULL: it is empty. */
static json_t *good(const char *answer, const char *suffix)
{
    json_t *r = openapi_object();
    openapi_set_text(r, "description", answer == NULL ? "It was done." : "It is there.");
    if (answer != NULL) {
        openapi_set(r, "content", content(JSON_TYPE, answer, suffix));
    }
    return r;
}

struct operation {
    const char *method; /* as the document has it: "get" */
    const char *name;   /* begins its operationId */
    const char *of;     /* a pattern or a path: goes on with it */
    const char *summary;
    const char *tag;
    const char *body; /* schemas; NULL: none */
    const char *body_suffix;
    const char *answer;
    const char *answer_suffix;
    unsigned on; /* which parameters it has */
};

static json_t *operation(const struct operation *o)
{
    char id[OPENAPI_NAME_ROOM];
    json_t *op = openapi_object();
    json_t *params = openapi_list();
    bool changes = strcmp(o->method, "get") != 0;
    operation_name(o->name, o->of, id);
    openapi_set_text(op, "operationId", id);
    openapi_set_text(op, "summary", o->summary);
    openapi_set(op, "tags", json_pack("[s]", o->tag));
    add_params(params, o->on);
    if (json_array_size(params) > 0) {
        openapi_set(op, "parameters", params);
    } else {
        json_decref(params);
    }
    if (o->body != NULL) {
        openapi_set(op, "requestBody",
                    json_pack("{sb,so}", "required", 1, "content",
                              content(JSON_TYPE, o->body, o->body_suffix)));
    }
    json_t *all = responses(changes, o->body != NULL);
    openapi_set(all, "200", good(o->answer, o->answer_suffix));
    openapi_set(op, "responses", all);
    return op;
}

static void add_operation(json_t *item, const struct operation *o)
{
    openapi_set(item, o->method, operation(o));
}

/* ---- paths ---- */

static void add_object(json_t *paths, json_t *named, const struct netctl_resource *r)
{
    struct at at = place(r->pattern, named);
    json_t *item = openapi_object();
    const char *t = r->type;
    const char *p = r->pattern;
    bool is_root = strcmp(p, "/infra") == 0;
    if (json_array_size(at.params) > 0) {
        openapi_set(item, "parameters", at.params);
    } else {
        json_decref(at.params);
    }
    add_operation(item, &(struct operation){"get", "Get", p, "Reads it.", t, NULL, "", t, "", 0});
    if (is_root) {
        add_operation(item, &(struct operation){
                                "patch", "Patch", p,
                                "Makes, changes and deletes many objects, all of them or none.", t,
                                "InfraTree", "", NULL, "", NORTHBOUND_ON_TREE});
    } else if (!r->is_fixed) {
        add_operation(item, &(struct operation){"put", "Put", p,
                                                "Makes it, or replaces it: then the body has its "
                                                "present _revision.",
                                                t, t, "Body", t, "", 0});
        add_operation(item, &(struct operation){"patch", "Patch", p,
                                                "Makes it, or replaces the fields of the body.", t,
                                                t, "Patch", NULL, "", 0});
        add_operation(item, &(struct operation){"delete", "Delete", p,
                                                "Deletes it, if nothing is in it or refers to it.",
                                                t, NULL, "", NULL, "", NORTHBOUND_ON_DELETE});
    }
    openapi_set(paths, at.path, item);
}

/* The list that objects of this kind are in, where there is none yet. */
static void add_list(json_t *paths, json_t *named, const struct netctl_resource *r)
{
    char pattern[NETCTL_PATH_ROOM];
    size_t len = strlen(r->pattern);
    if (len < 3 || strcmp(r->pattern + len - 3, "/<>") != 0) {
        return;
    }
    (void)snprintf(pattern, sizeof(pattern), "%.*s", (int)len - 3, r->pattern);
    struct at at = place(pattern, named);
    json_t *item = openapi_object();
    if (json_array_size(at.params) > 0) {
        openapi_set(item, "parameters", at.params);
    } else {
        json_decref(at.params);
    }
    add_operation(item,
                  &(struct operation){"get", "List", pattern, "Lists them, page by page.", r->type,
                                      NULL, "", r->type, "List", NORTHBOUND_ON_LIST});
    openapi_set(paths, at.path, item);
}

static void add_state(json_t *paths, json_t *named, const struct netctl_resource *r)
{
    char pattern[NETCTL_PATH_ROOM];
    (void)snprintf(pattern, sizeof(pattern), "%s/state", r->pattern);
    struct at at = place(pattern, named);
    json_t *item = openapi_object();
    openapi_set(item, "parameters", at.params);
    add_operation(item, &(struct operation){"get", "Get", pattern,
                                            "Tells how far nodes have made it true.", "Realization",
                                            NULL, "", "SegmentState", "", 0});
    openapi_set(paths, at.path, item);
}

static void add_stream(json_t *paths)
{
    static const struct operation EVENTS = {"get",
                                            "Get",
                                            "/infra/realized-state/events",
                                            "A stream: what nodes do, whenever that changes.",
                                            "Realization",
                                            NULL,
                                            "",
                                            NULL,
                                            "",
                                            0};
    json_t *op = operation(&EVENTS);
    json_t *stream =
        json_pack("{ss,s{s{s{ss,ss},so}}}", "description",
                  "Server-Sent Events without an end; comments keep a silent one alive.", "content",
                  STREAM_TYPE, "schema", "type", "string", "description",
                  "Events called realization, with the node as id and a RealizationEvent as data.",
                  "x-event-data", openapi_ref("schemas", "RealizationEvent", ""));
    openapi_set(json_object_get(op, "responses"), "200", stream);
    json_t *item = openapi_object();
    openapi_set(item, "get", op);
    openapi_set(paths, REALIZED "events", item);
}

static void add_questions(json_t *paths)
{
    static const struct {
        const char *path;
        struct operation op;
    } ASKED[] = {
        {REALIZED "realized-entities",
         {"get", "List", "/infra/realized-state/realized-entities",
          "Tells how far nodes have made an object true, an entity a node.", "Realization", NULL,
          "", "RealizedEntityList", "", NORTHBOUND_ON_REALIZED}},
        {REALIZED "status",
         {"get", "Get", "/infra/realized-state/status", "Tells the same in one word.",
          "Realization", NULL, "", "RealizationStatus", "", NORTHBOUND_ON_REALIZED}},
        {REALIZED "trace",
         {"get", "Get", "/infra/realized-state/trace",
          "Tells which rules decide about a packet, and on which nodes.", "Realization", NULL, "",
          "Trace", "", NORTHBOUND_ON_TRACE}},
        {"/api/v1/node",
         {"get", "Get", "/node", "Tells the version.", "Node", NULL, "", "Version", "", 0}},
        {"/api/v1/node/version",
         {"get", "Get", "/node/version", "Tells the version.", "Node", NULL, "", "Version", "", 0}},
        {NORTHBOUND_SPEC,
         {"get", "Get", "/spec/openapi", "This document.", "Node", NULL, "", "Document", "", 0}},
        {"/policy" NORTHBOUND_SPEC,
         {"get", "Get", "/policy/spec/openapi", "This document.", "Node", NULL, "", "Document", "",
          0}},
    };
    for (size_t i = 0; i < sizeof(ASKED) / sizeof(ASKED[0]); i++) {
        json_t *item = openapi_object();
        add_operation(item, &ASKED[i].op);
        openapi_set(paths, ASKED[i].path, item);
    }
}

static json_t *paths_of(json_t *named)
{
    json_t *paths = openapi_object();
    for (const struct netctl_resource *r = netctl_resources; r->type != NULL; r++) {
        add_list(paths, named, r);
        add_object(paths, named, r);
        if (strcmp(r->type, "Segment") == 0) {
            add_state(paths, named, r);
        }
    }
    add_questions(paths);
    add_stream(paths);
    return paths;
}

/* ---- components ---- */

static void add_query_params(json_t *named)
{
    for (const struct northbound_param *p = northbound_params; p->name != NULL; p++) {
        openapi_set(named, p->name,
                    json_pack("{ss,ss,sb,ss,so}", "name", p->name, "in", "query", "required",
                              p->is_needed, "description", p->about, "schema",
                              openapi_field(&p->value)));
    }
}

static json_t *error_responses(void)
{
    static const char *const ERRORS[][2] = {
        {"400", "The request is wrong: error_message says in what."},
        {"401", "It does not say who it is from, or name or password are wrong."},
        {"403", "Who it is from may not do that."},
        {"404", "There is no such object, or no such path."},
        {"412", "The object has changed meanwhile: the _revision is not the present one."},
        {"413", "The body is longer than 4 MiB less 8 KiB."},
        {"503", "Nothing was done: this replica is no primary, or too much waits."},
        {"507", "All objects together would have more bytes than they may."},
        {"default", "Another error of the front-end: a header that is too long, a method that "
                    "there is not (405), a request that took too long."},
    };
    _Static_assert(NETCTL_BODY_MAX == 4U * 1024U * 1024U - 8192U, "413 says so");
    json_t *all = openapi_object();
    for (size_t i = 0; i < sizeof(ERRORS) / sizeof(ERRORS[0]); i++) {
        json_t *r = json_pack("{ss,so}", "description", ERRORS[i][1], "content",
                              content(JSON_TYPE, "ApiError", ""));
        openapi_set(all, ERRORS[i][0], r);
    }
    openapi_set(json_object_get(all, "503"), "headers",
                json_pack("{s{ss,s{ss}}}", "Retry-After", "description",
                          "Seconds after which to try again.", "schema", "type", "string"));
    return all;
}

static json_t *components(json_t *named)
{
    json_t *schemas = openapi_object();
    openapi_add_said(schemas);
    openapi_set(schemas, "Document", json_pack("{ss}", "type", "object"));
    openapi_add_objects(schemas);
    add_query_params(named);
    json_t *all = json_pack(
        "{s{s{ss,ss,ss},s{ss,ss}},so,so,so}", "securitySchemes", "basic", "type", "http", "scheme",
        "basic", "description", "A user of the cluster (twinstep user).", "certificate", "type",
        "mutualTLS", "description", "A certificate of the cluster's authority: an administrator.",
        "parameters", named, "responses", error_responses(), "schemas", schemas);
    ts_must(all);
    return all;
}

json_t *netctl_openapi(void)
{
    json_t *named = openapi_object();
    json_t *paths = paths_of(named);
    json_t *all = json_pack("{ss,s{ss,ss,ss},s[{ss,ss,s{s{ss}}}],s[{s[]},{s[]},{}],so,so}",
                            "openapi", "3.1.0", "info", "title", "netctl", "version", "1",
                            "description", ABOUT, "servers", "url", "https://{controller}",
                            "description", "The primary's NIC, or the service address.",
                            "variables", "controller", "default", "192.0.2.10", "security", "basic",
                            "certificate", "paths", paths, "components", components(named));
    ts_must(all);
    return all;
}

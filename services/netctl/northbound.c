#include "services/netctl/northbound.h"

#include <string.h>

#include "services/netctl/address.h"
#include "services/netctl/intent.h"
#include "services/netctl/resource.h"

#define BASE "/policy/api/v1"
#define REALIZED BASE "/infra/realized-state/"

static bool is(struct ts_bytes text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static bool begins(struct ts_bytes text, const char *with)
{
    return text.len >= strlen(with) && memcmp(text.data, with, strlen(with)) == 0;
}

/* ---- parameters ---- */

struct northbound_taking {
    struct netctl_request *request;
    struct ts_bytes intent_path;
    struct ts_bytes from;
    struct ts_bytes to;
    struct northbound_trace *trace;
    struct netctl_error *e;
};

static bool take_page(struct northbound_taking *p, struct ts_bytes value)
{
    uint32_t n = 0;
    bool good = value.len > 0 && value.len <= 4;
    for (size_t i = 0; i < value.len && good; i++) {
        good = value.data[i] >= '0' && value.data[i] <= '9';
        n = n * 10 + (uint32_t)(value.data[i] - '0');
    }
    if (!good || n == 0 || n > NETCTL_PAGE_MAX) {
        return netctl_error_set(p->e, 400, NETCTL_CODE_INVALID, "page_size is 1 to %d",
                                NETCTL_PAGE_MAX);
    }
    p->request->page = (uint16_t)n;
    return true;
}

static bool take_cursor(struct northbound_taking *p, struct ts_bytes value)
{
    size_t skip = begins(value, NETCTL_CURSOR) ? strlen(NETCTL_CURSOR) : 0;
    value.data += skip;
    value.len -= skip;
    if ((value.len > 0) != (skip > 0) ||
        (value.len > 0 && !netctl_id_is_valid((const char *)value.data, value.len))) {
        return netctl_error_set(p->e, 400, NETCTL_CODE_INVALID,
                                "cursor is what the page before has as its \"cursor\"");
    }
    memcpy(p->request->cursor, value.data, value.len);
    p->request->cursor[value.len] = '\0';
    return true;
}

static bool take_revisions(struct northbound_taking *p, struct ts_bytes value)
{
    if (!is(value, "true") && !is(value, "false")) {
        return netctl_error_set(p->e, 400, NETCTL_CODE_INVALID,
                                "enforce_revision_check is true or false");
    }
    p->request->revisions = is(value, "true");
    return true;
}

static bool take_intent_path(struct northbound_taking *p, struct ts_bytes value)
{
    p->intent_path = value;
    return true;
}

static bool take_from(struct northbound_taking *p, struct ts_bytes value)
{
    p->from = value;
    return true;
}

static bool take_to(struct northbound_taking *p, struct ts_bytes value)
{
    p->to = value;
    return true;
}

static bool take_protocol(struct northbound_taking *p, struct ts_bytes value)
{
    p->trace->protocol = is(value, "tcp") ? 6 : is(value, "udp") ? 17 : is(value, "icmp") ? 1 : 0;
    return p->trace->protocol != 0 ||
           netctl_error_set(p->e, 400, NETCTL_CODE_INVALID, "protocol is one of tcp, udp, icmp");
}

static bool take_port(struct northbound_taking *p, struct ts_bytes value)
{
    char text[8] = "";
    uint16_t last = 0;
    if (value.len < sizeof(text)) {
        memcpy(text, value.data, value.len);
    }
    return (netctl_ports_read(text, &p->trace->port, &last) && last == p->trace->port) ||
           netctl_error_set(p->e, 400, NETCTL_CODE_INVALID, "port is 0 to 65535");
}

/* What clients send, and what makes no difference here. */
static bool take_nothing(struct northbound_taking *p, struct ts_bytes value)
{
    (void)p;
    (void)value;
    return true;
}

#define TEXT \
    { \
        .kind = NETCTL_TEXT, .max = HTTP_PARAM_VALUE_MAX \
    }
#define OBJECT_PATH \
    { \
        .kind = NETCTL_PATH \
    }
#define FLAG \
    { \
        .kind = NETCTL_BOOL \
    }
#define IGNORED "Taken, since clients send it; it makes no difference here."

static const char *const PROTOCOLS[] = {"tcp", "udp", "icmp", NULL};

const struct northbound_param northbound_params[] = {
    {.name = "page_size",
     .on = NORTHBOUND_ON_LIST,
     .about = "How many objects a page has at the most; 1000 if it is left out.",
     .value = {.kind = NETCTL_NUMBER, .min = 1, .max = NETCTL_PAGE_MAX},
     .take = take_page},
    {.name = "cursor",
     .on = NORTHBOUND_ON_LIST,
     .about = "What the page before has as its cursor: the page behind that one is wanted.",
     .value = TEXT,
     .take = take_cursor},
    {.name = "enforce_revision_check",
     .on = NORTHBOUND_ON_TREE,
     .about = "Whether each object that is there already needs its present _revision.",
     .value = FLAG,
     .take = take_revisions},
    {.name = "intent_path",
     .on = NORTHBOUND_ON_REALIZED,
     .is_needed = true,
     .about = "The object whose realization is asked for.",
     .value = OBJECT_PATH,
     .take = take_intent_path},
    {.name = "source_path",
     .on = NORTHBOUND_ON_TRACE,
     .is_needed = true,
     .about = "The port that the packet comes from.",
     .value = OBJECT_PATH,
     .take = take_from},
    {.name = "destination_path",
     .on = NORTHBOUND_ON_TRACE,
     .is_needed = true,
     .about = "The port that it goes to.",
     .value = OBJECT_PATH,
     .take = take_to},
    {.name = "protocol",
     .on = NORTHBOUND_ON_TRACE,
     .about = "icmp if it is left out.",
     .value = {.kind = NETCTL_CHOICE, .choices = PROTOCOLS},
     .take = take_protocol},
    {.name = "port",
     .on = NORTHBOUND_ON_TRACE,
     .about = "The port of TCP or UDP that it goes to; 0 if it is left out.",
     .value = {.kind = NETCTL_NUMBER, .min = 0, .max = UINT16_MAX},
     .take = take_port},
    {"enforcement_point_path", NORTHBOUND_ON_REALIZED, false, IGNORED, TEXT, take_nothing},
    {"site_path", NORTHBOUND_ON_REALIZED, false, IGNORED, TEXT, take_nothing},
    {"include_mark_for_delete_objects", NORTHBOUND_ON_LIST, false, IGNORED, FLAG, take_nothing},
    {"include_enforced_status", NORTHBOUND_ON_REALIZED, false, IGNORED, FLAG, take_nothing},
    {"included_fields", NORTHBOUND_ON_LIST, false, IGNORED, TEXT, take_nothing},
    {"sort_ascending", NORTHBOUND_ON_LIST, false, IGNORED, FLAG, take_nothing},
    {"sort_by", NORTHBOUND_ON_LIST, false, IGNORED, TEXT, take_nothing},
    {"force", NORTHBOUND_ON_DELETE, false, IGNORED, FLAG, take_nothing},
    {0},
};

static bool take_params(const struct northbound_question *q, struct northbound_taking *p)
{
    for (size_t i = 0; i < q->param_count; i++) {
        const struct http_param *param = &q->params[i];
        const struct northbound_param *k = northbound_params;
        while (k->name != NULL && !is(param->name, k->name)) {
            k++;
        }
        if (k->name == NULL) {
            return netctl_error_set(p->e, 400, NETCTL_CODE_INVALID,
                                    "there is no parameter \"%.*s\"", (int)param->name.len,
                                    (const char *)param->name.data);
        }
        if (!k->take(p, param->value)) {
            return false;
        }
    }
    return true;
}

/* ---- paths ---- */

static enum northbound_kind error(struct netctl_error *e, int status, int code, const char *text)
{
    (void)netctl_error_set(e, status, code, "%s", text);
    return NORTH_ERROR;
}

static enum northbound_kind no_path(const struct northbound_question *q, struct netctl_error *e)
{
    (void)netctl_error_set(e, 404, NETCTL_CODE_NOT_FOUND, "there is nothing at %.*s",
                           (int)(q->path.len < 200 ? q->path.len : 200),
                           (const char *)q->path.data);
    return NORTH_ERROR;
}

/* The object's path, of `text`. */
static bool set_path(struct netctl_request *r, struct ts_bytes text)
{
    if (text.len > 0 && text.data[text.len - 1] == '/') {
        text.len--;
    }
    if (text.len == 0 || text.len > NETCTL_PATH_MAX) {
        return false;
    }
    memcpy(r->path, text.data, text.len);
    r->path[text.len] = '\0';
    return netctl_path_is_valid(r->path);
}

static bool is_object_or_list(const char *path)
{
    return netctl_resource_of(path) != NULL || netctl_resource_in(path) != NULL;
}

/* /infra/segments/<>/state; then `path` is the segment's. */
static bool is_state(char *path)
{
    char *last = strrchr(path, '/');
    if (last == NULL || last == path || strcmp(last, "/state") != 0) {
        return false;
    }
    *last = '\0';
    const struct netctl_resource *r = netctl_resource_of(path);
    bool segment = r != NULL && strcmp(r->type, "Segment") == 0;
    if (!segment) {
        *last = '/';
    }
    return segment;
}

static enum northbound_kind realized(const struct northbound_question *q,
                                     const struct northbound_taking *p)
{
    bool entities = is(q->path, REALIZED "realized-entities");
    if (!entities && !is(q->path, REALIZED "status")) {
        return no_path(q, p->e);
    }
    if (!set_path(p->request, p->intent_path) || netctl_resource_of(p->request->path) == NULL) {
        return error(p->e, 400, NETCTL_CODE_INVALID,
                     "intent_path is the path of an object: ?intent_path=/infra/segments/web");
    }
    return entities ? NORTH_ENTITIES : NORTH_STATUS;
}

static bool copy_path(struct ts_bytes text, char out[NETCTL_PATH_ROOM])
{
    bool fits = text.len > 0 && text.len <= NETCTL_PATH_MAX;
    if (fits) {
        memcpy(out, text.data, text.len);
        out[text.len] = '\0';
    }
    return fits && netctl_path_is_valid(out);
}

static enum northbound_kind trace(const struct northbound_taking *p)
{
    return copy_path(p->from, p->trace->from) && copy_path(p->to, p->trace->to)
               ? NORTH_TRACE
               : error(p->e, 400, NETCTL_CODE_INVALID,
                       "source_path and destination_path are paths of ports");
}

static enum northbound_kind get(const struct northbound_question *q, struct northbound_taking *p)
{
    if (is(q->path, "/api/v1/node") || is(q->path, "/api/v1/node/version")) {
        return NORTH_VERSION;
    }
    if (is(q->path, NORTHBOUND_SPEC) || is(q->path, "/policy" NORTHBOUND_SPEC)) {
        return NORTH_SPEC;
    }
    if (is(q->path, REALIZED "events")) {
        return NORTH_EVENTS;
    }
    if (is(q->path, REALIZED "trace")) {
        return trace(p);
    }
    if (begins(q->path, REALIZED)) {
        return realized(q, p);
    }
    struct ts_bytes path = q->path;
    if (!begins(path, BASE "/infra")) {
        return no_path(q, p->e);
    }
    path.data += strlen(BASE);
    path.len -= strlen(BASE);
    if (!set_path(p->request, path)) {
        return no_path(q, p->e);
    }
    if (is_state(p->request->path)) {
        return NORTH_STATE;
    }
    return is_object_or_list(p->request->path) ? NORTH_READ : no_path(q, p->e);
}

/* What is to be read there, or nothing. */
static enum northbound_kind no_change(const struct northbound_question *q,
                                      const struct northbound_taking *p)
{
    struct netctl_request request = {.method = NETCTL_GET};
    struct netctl_error e = {0};
    struct northbound_taking as_read = *p;
    as_read.request = &request;
    as_read.e = &e;
    return get(q, &as_read) == NORTH_ERROR && e.status == 404
               ? no_path(q, p->e)
               : error(p->e, 405, NETCTL_CODE_METHOD,
                       "this can be read only; change objects, one by one or with PATCH of /infra");
}

static enum northbound_kind change(const struct northbound_question *q, struct northbound_taking *p)
{
    struct ts_bytes path = q->path;
    if (!q->may_change) {
        return error(p->e, 403, NETCTL_CODE_FORBIDDEN,
                     "an auditor may read only; ask for the role operator or admin");
    }
    if (!begins(path, BASE "/infra")) {
        return no_change(q, p);
    }
    path.data += strlen(BASE);
    path.len -= strlen(BASE);
    const struct netctl_resource *r =
        set_path(p->request, path) ? netctl_resource_of(p->request->path) : NULL;
    bool is_tree = p->request->method == NETCTL_PATCH && strcmp(p->request->path, "/infra") == 0;
    if (r == NULL || (r->is_fixed && !is_tree)) {
        return no_change(q, p);
    }
    p->request->body = q->body;
    return NORTH_ORDER;
}

bool northbound_removes(const struct netctl_request *request)
{
    bool is_tree = request->method == NETCTL_PATCH && strcmp(request->path, "/infra") == 0;
    json_t *body = is_tree ? json_loadb((const char *)request->body.data, request->body.len,
                                        JSON_REJECT_DUPLICATES, NULL)
                           : NULL;
    bool removes =
        request->method == NETCTL_DELETE || (body != NULL && netctl_intent_tree_removes(body));
    json_decref(body);
    return removes;
}

enum northbound_kind northbound_read(const struct northbound_question *q,
                                     struct netctl_request *request,
                                     struct northbound_trace *trace_of, struct netctl_error *e)
{
    struct northbound_taking p = {.request = request, .trace = trace_of, .e = e};
    size_t user = strlen(q->user);
    *request = (struct netctl_request){.method = NETCTL_GET};
    *e = (struct netctl_error){0};
    *trace_of = (struct northbound_trace){.protocol = 1};
    if (user > NETCTL_USER_MAX) {
        return error(e, 403, NETCTL_CODE_FORBIDDEN, "the name of this user is too long");
    }
    memcpy(request->user, q->user, user + 1);
    if (!q->may_read) {
        return error(e, 403, NETCTL_CODE_FORBIDDEN,
                     "this user may do nothing; ask for the role auditor, operator or admin");
    }
    if (!take_params(q, &p)) {
        return NORTH_ERROR;
    }
    switch (q->method) {
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD:
        return get(q, &p);
    case HTTP_METHOD_PUT:
        request->method = NETCTL_PUT;
        return change(q, &p);
    case HTTP_METHOD_PATCH:
        request->method = NETCTL_PATCH;
        return change(q, &p);
    case HTTP_METHOD_DELETE:
        request->method = NETCTL_DELETE;
        return change(q, &p);
    case HTTP_METHOD_OPTIONS:
        return NORTH_METHODS;
    case HTTP_METHOD_POST:
        break;
    }
    return error(e, 405, NETCTL_CODE_METHOD, "make an object with PUT or PATCH of its path");
}

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

/* ---- parameters ---- */

struct params {
    struct netctl_request *request;
    struct ts_bytes intent_path;
    struct ts_bytes from;
    struct ts_bytes to;
    struct northbound_trace *trace;
    struct netctl_error *e;
};

static bool take_page(struct params *p, struct ts_bytes value)
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

static bool take_cursor(struct params *p, struct ts_bytes value)
{
    if (value.len > 0 && !netctl_id_is_valid((const char *)value.data, value.len)) {
        return netctl_error_set(p->e, 400, NETCTL_CODE_INVALID,
                                "cursor is what the page before has as its \"cursor\"");
    }
    memcpy(p->request->cursor, value.data, value.len);
    p->request->cursor[value.len] = '\0';
    return true;
}

static bool take_revisions(struct params *p, struct ts_bytes value)
{
    if (!is(value, "true") && !is(value, "false")) {
        return netctl_error_set(p->e, 400, NETCTL_CODE_INVALID,
                                "enforce_revision_check is true or false");
    }
    p->request->revisions = is(value, "true");
    return true;
}

static bool take_intent_path(struct params *p, struct ts_bytes value)
{
    p->intent_path = value;
    return true;
}

static bool take_from(struct params *p, struct ts_bytes value)
{
    p->from = value;
    return true;
}

static bool take_to(struct params *p, struct ts_bytes value)
{
    p->to = value;
    return true;
}

static bool take_protocol(struct params *p, struct ts_bytes value)
{
    p->trace->protocol = is(value, "tcp") ? 6 : is(value, "udp") ? 17 : is(value, "icmp") ? 1 : 0;
    return p->trace->protocol != 0 ||
           netctl_error_set(p->e, 400, NETCTL_CODE_INVALID, "protocol is one of tcp, udp, icmp");
}

static bool take_port(struct params *p, struct ts_bytes value)
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
static bool take_nothing(struct params *p, struct ts_bytes value)
{
    (void)p;
    (void)value;
    return true;
}

static bool take_params(const struct northbound_question *q, struct params *p)
{
    static const struct {
        const char *name;
        bool (*take)(struct params *p, struct ts_bytes value);
    } KNOWN[] = {
        {"page_size", take_page},
        {"cursor", take_cursor},
        {"enforce_revision_check", take_revisions},
        {"intent_path", take_intent_path},
        {"source_path", take_from},
        {"destination_path", take_to},
        {"protocol", take_protocol},
        {"port", take_port},
        {"enforcement_point_path", take_nothing},
        {"site_path", take_nothing},
        {"include_mark_for_delete_objects", take_nothing},
        {"include_enforced_status", take_nothing},
        {"included_fields", take_nothing},
        {"sort_ascending", take_nothing},
        {"sort_by", take_nothing},
        {"force", take_nothing},
    };
    for (size_t i = 0; i < q->param_count; i++) {
        const struct http_param *param = &q->params[i];
        size_t k = 0;
        while (k < sizeof(KNOWN) / sizeof(KNOWN[0]) && !is(param->name, KNOWN[k].name)) {
            k++;
        }
        if (k == sizeof(KNOWN) / sizeof(KNOWN[0])) {
            return netctl_error_set(p->e, 400, NETCTL_CODE_INVALID,
                                    "there is no parameter \"%.*s\"", (int)param->name.len,
                                    (const char *)param->name.data);
        }
        if (!KNOWN[k].take(p, param->value)) {
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

static enum northbound_kind realized(const struct northbound_question *q, const struct params *p)
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

static bool begins(struct ts_bytes text, const char *with)
{
    return text.len >= strlen(with) && memcmp(text.data, with, strlen(with)) == 0;
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

static enum northbound_kind trace(const struct params *p)
{
    return copy_path(p->from, p->trace->from) && copy_path(p->to, p->trace->to)
               ? NORTH_TRACE
               : error(p->e, 400, NETCTL_CODE_INVALID,
                       "source_path and destination_path are paths of ports");
}

static enum northbound_kind get(const struct northbound_question *q, struct params *p)
{
    if (is(q->path, "/api/v1/node") || is(q->path, "/api/v1/node/version")) {
        return NORTH_VERSION;
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

static enum northbound_kind change(const struct northbound_question *q, struct params *p)
{
    struct ts_bytes path = q->path;
    if (!q->may_change) {
        return error(p->e, 403, NETCTL_CODE_FORBIDDEN,
                     "an auditor may read only; ask for the role operator or admin");
    }
    if (!begins(path, BASE "/infra")) {
        return no_path(q, p->e);
    }
    path.data += strlen(BASE);
    path.len -= strlen(BASE);
    if (!set_path(p->request, path)) {
        return no_path(q, p->e);
    }
    if (netctl_resource_of(p->request->path) == NULL) {
        return netctl_resource_in(p->request->path) == NULL
                   ? no_path(q, p->e)
                   : error(p->e, 405, NETCTL_CODE_METHOD,
                           "a list cannot be changed; change the objects in it, one by one or "
                           "with PATCH of /infra");
    }
    p->request->body = q->body;
    return NORTH_ORDER;
}

enum northbound_kind northbound_read(const struct northbound_question *q,
                                     struct netctl_request *request,
                                     struct northbound_trace *trace_of, struct netctl_error *e)
{
    struct params p = {.request = request, .trace = trace_of, .e = e};
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

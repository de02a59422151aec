/* What an HTTP request is to netctl: the paths, parameters and methods of the NSX Policy API.
 *
 *   /policy/api/v1/infra…                                       the tree of objects
 *   /policy/api/v1/infra/realized-state/realized-entities       ?intent_path=…
 *   /policy/api/v1/infra/realized-state/status                  ?intent_path=…
 *   /policy/api/v1/infra/realized-state/events                  a stream (text/event-stream)
 *   /policy/api/v1/infra/realized-state/trace   ?source_path=&destination_path=&protocol=&port=
 *   /policy/api/v1/infra/segments/<>/state                      … also below a tier-1
 *   /api/v1/node, /api/v1/node/version                          what clients ask for first
 *   /api/v1/spec/openapi/nsx_policy_api.json   all of this, in OpenAPI (openapi.h); also below
 *                                              /policy
 *
 * Source: where the OpenAPI document stands is of the NSX-T Data Center REST API reference, "API
 * Spec" (developer.broadcom.com/xapis/nsx-t-data-center-rest-api), "/policy" before it of NSX 9. */
#ifndef SERVICES_NETCTL_NORTHBOUND_H
#define SERVICES_NETCTL_NORTHBOUND_H

#include "services/http.h"
#include "services/netctl/request.h"
#include "services/netctl/schema.h"

enum northbound_kind {
    NORTH_ERROR,    /* *e says why, at once */
    NORTH_READ,     /* `request`, of the applied state, confirmed */
    NORTH_ORDER,    /* `request`, by the log */
    NORTH_ENTITIES, /* how far what `request.path` says is made true, as a list, … */
    NORTH_STATUS,   /* … in one word, … */
    NORTH_STATE,    /* … or as a segment's state */
    NORTH_TRACE,    /* `trace`: what decides about a packet */
    NORTH_EVENTS,   /* changes of that, as a stream */
    NORTH_VERSION,  /* of the product */
    NORTH_SPEC,     /* the OpenAPI document */
    NORTH_METHODS,  /* OPTIONS: which methods there are */
};

struct northbound_question {
    enum http_method method;
    struct ts_bytes path; /* decoded, http_path_is_valid */
    const struct http_param *params;
    size_t param_count;
    struct ts_bytes body;
    const char *user;
    bool may_read;
    bool may_change;
};

struct northbound_trace {
    char from[NETCTL_PATH_ROOM];
    char to[NETCTL_PATH_ROOM];
    uint8_t protocol;
    uint16_t port;
};

/* ---- parameters ---- */

#define NORTHBOUND_SPEC "/api/v1/spec/openapi/nsx_policy_api.json"

/* Where a parameter says something; it is taken everywhere. */
enum northbound_on {
    NORTHBOUND_ON_LIST = 1,
    NORTHBOUND_ON_TREE = 2, /* PATCH of /infra */
    NORTHBOUND_ON_REALIZED = 4,
    NORTHBOUND_ON_TRACE = 8,
    NORTHBOUND_ON_DELETE = 16,
};

struct northbound_taking; /* what the parameters of one request are taken into */

struct northbound_param {
    const char *name;
    unsigned on;               /* enum northbound_on, added up */
    bool is_needed;            /* there */
    const char *about;         /* a sentence for those who read the OpenAPI document */
    struct netctl_field value; /* what it may be */
    bool (*take)(struct northbound_taking *p, struct ts_bytes value);
};

/* All that there are; a name that is NULL ends them. */
extern const struct northbound_param northbound_params[];

/* Whether an order takes objects away and does nothing else, so that there is room for it always.
 */
bool northbound_removes(const struct netctl_request *request);

/* Fills *request, whose body is borrowed of `q`, as the kind needs it. */
enum northbound_kind northbound_read(const struct northbound_question *q,
                                     struct netctl_request *request, struct northbound_trace *trace,
                                     struct netctl_error *e);

#endif

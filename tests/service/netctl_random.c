#include "tests/service/netctl_random.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "services/netctl/request.h"
#include "tests/service/netctl_random_net.h"

#define IDS 6
#define BODY_MAX NETCTL_RANDOM_BODY

static unsigned below(struct ts_prng *p, unsigned n)
{
    return (unsigned)ts_prng_below(p, n);
}

/* A path of some kind, of one of a few objects; now and then one that there cannot be. */
static void random_path(struct ts_prng *p, char *out, size_t cap)
{
    static const char *const KINDS[] = {
        "/infra/segments/s%u",
        "/infra/segments/s%u/ports/p%u",
        "/infra/tier-0s/t%u",
        "/infra/tier-1s/t%u",
        "/infra/tier-1s/t%u/static-routes/r%u",
        "/infra/tier-1s/t%u/nat/USER/nat-rules/n%u",
        "/infra/services/v%u",
        "/infra/domains/default/groups/g%u",
        "/infra/domains/default/security-policies/p%u",
        "/infra/domains/default/security-policies/p%u/rules/r%u",
        "/infra/sites/default/enforcement-points/default/host-transport-nodes/n%u",
        "/infra/colours/c%u",
    };
    unsigned kind = below(p, sizeof KINDS / sizeof KINDS[0]);
    unsigned a = below(p, IDS);
    unsigned b = below(p, IDS);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = snprintf(out, cap, KINDS[kind], a, b);
#pragma GCC diagnostic pop
    ts_assert(n > 0 && (size_t)n < cap);
}

/* A field that some kinds have; of others it is refused. */
static void random_field(struct ts_prng *p, char *out, size_t cap)
{
    unsigned a = below(p, IDS);
    unsigned b = below(p, 3);
    switch (below(p, 12)) {
    case 0:
        (void)snprintf(out, cap, "\"description\":\"d%u\"", b);
        break;
    case 1:
        (void)snprintf(out, cap, "\"connectivity_path\":\"/infra/tier-1s/t%u\"", a);
        break;
    case 2:
        (void)snprintf(out, cap, "\"tier0_path\":\"/infra/tier-0s/t%u\"", a);
        break;
    case 3:
        (void)snprintf(out, cap, "\"tags\":[{\"scope\":\"s%u\",\"tag\":\"t\"}]", b);
        break;
    case 4:
        (void)snprintf(out, cap, "\"network\":\"10.%u.0.0/16\"", a);
        break;
    case 5:
        (void)snprintf(out, cap, "\"action\":\"%s\"", b == 0 ? "ALLOW" : b == 1 ? "DROP" : "SNAT");
        break;
    case 6:
        (void)snprintf(out, cap,
                       "\"source_groups\":[\"/infra/domains/default/groups/g%u\"],"
                       "\"services\":[\"/infra/services/v%u\"]",
                       a, b);
        break;
    case 7:
        (void)snprintf(out, cap,
                       "\"rules\":[{\"id\":\"r%u\",\"action\":\"DROP\"},{\"id\":\"x%u\"}]", a, b);
        break;
    case 8:
        (void)snprintf(out, cap, "\"_revision\":%u", b);
        break;
    case 9:
        (void)snprintf(out, cap, "\"tunnel_address\":\"192.0.2.%u\"", a);
        break;
    case 10:
        (void)snprintf(out, cap, "\"attachment\":{\"id\":\"vif%u\"}", a);
        break;
    default:
        (void)snprintf(out, cap, "\"colour\":%u", b);
        break;
    }
}

static void random_body(struct ts_prng *p, char *out, size_t cap)
{
    size_t len = (size_t)snprintf(out, cap, "{");
    for (unsigned i = below(p, 3); i > 0; i--) {
        char field[512];
        random_field(p, field, sizeof field);
        len += (size_t)snprintf(out + len, cap - len, "%s%s", len > 1 ? "," : "", field);
    }
    (void)snprintf(out + len, cap - len, below(p, 40) == 0 ? "" : "}");
}

/* Several objects at once. */
static void random_tree(struct ts_prng *p, char *out, size_t cap)
{
    size_t len = (size_t)snprintf(out, cap, "{\"resource_type\":\"Infra\",\"children\":[");
    for (unsigned i = 0, n = 1 + below(p, 4); i < n; i++) {
        static const char *const TYPES[] = {"Segment", "Tier1", "Tier0", "Service"};
        static const char PREFIX[] = "sttv";
        unsigned type = below(p, 4);
        char body[1024];
        random_body(p, body, sizeof body);
        bool gone = below(p, 4) == 0;
        unsigned id = below(p, IDS);
        len += (size_t)snprintf(
            out + len, cap - len,
            "%s{\"resource_type\":\"Child%s\",\"marked_for_delete\":%s,\"%s\":{"
            "\"id\":\"%c%u\"%s%s}",
            i > 0 ? "," : "", TYPES[type], gone ? "true" : "false", TYPES[type], PREFIX[type], id,
            strcmp(body, "{}") == 0 || body[1] == '\0' ? "" : ",", body[1] == '}' ? "" : body + 1);
        if (body[1] == '}' || strchr(body, '}') == NULL) {
            len += (size_t)snprintf(out + len, cap - len, "}");
        }
    }
    (void)snprintf(out + len, cap - len, "]}");
}

static size_t encode(struct ts_prng *p, struct netctl_request *r, const char *body,
                     uint8_t *payload, size_t cap)
{
    struct ts_writer w = ts_writer_init(payload, cap);
    (void)snprintf(r->user, sizeof r->user, "user%u", below(p, 3));
    if (body != NULL) {
        r->body = (struct ts_bytes){(const uint8_t *)body, strlen(body)};
    }
    enum ts_err err = netctl_request_encode(r, &w);
    ts_assert(err == TS_OK);
    return below(p, 100) == 0 ? (size_t)ts_prng_below(p, w.len) : w.len;
}

size_t netctl_random_query(struct ts_prng *p, uint8_t *payload, size_t cap)
{
    struct netctl_request r = {.method = NETCTL_GET};
    static const char *const LISTS[] = {"/infra/segments", "/infra/tier-1s",
                                        "/infra/domains/default/security-policies",
                                        "/infra/segments/s1/ports", "/infra/nothing"};
    if (below(p, 3) == 0) {
        (void)snprintf(r.path, sizeof r.path, "%s", LISTS[below(p, 5)]);
        r.page = (uint16_t)below(p, 4);
        (void)snprintf(r.cursor, sizeof r.cursor, "%s", below(p, 2) == 0 ? "" : "s2");
    } else {
        random_path(p, r.path, sizeof r.path);
    }
    return encode(p, &r, "", payload, cap);
}

size_t netctl_random_request(struct ts_prng *p, uint8_t *payload, size_t cap)
{
    static const enum netctl_method METHODS[] = {NETCTL_PATCH, NETCTL_PATCH, NETCTL_PATCH,
                                                 NETCTL_PUT, NETCTL_DELETE};
    struct netctl_request r = {.method = METHODS[below(p, 5)]};
    char body[BODY_MAX];
    if (below(p, 10) == 0) {
        return netctl_random_query(p, payload, cap);
    }
    if (below(p, 2) == 0) {
        netctl_random_net(p, &r, body);
        return encode(p, &r, NULL, payload, cap);
    }
    if (below(p, 6) == 0) {
        r.method = NETCTL_PATCH;
        r.revisions = below(p, 4) == 0;
        (void)snprintf(r.path, sizeof r.path, "/infra");
        random_tree(p, body, sizeof body);
    } else {
        random_path(p, r.path, sizeof r.path);
        random_body(p, body, sizeof body);
    }
    return encode(p, &r, body, payload, cap);
}

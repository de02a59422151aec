/* The compiler of netctl: all tables at once, and after one change each.
 *
 *   bench_netctl [NODES PORTS GROUPS RULES] */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "services/netctl/compile.h"
#include "services/netctl/netctl.h"
#include "services/netctl/request.h"

#define DOMAIN "/infra/domains/default"
#define PORTS_OF_A_SEGMENT 100
#define RULES_OF_A_POLICY 100
#define CHANGES 200
#define TURN_US 2000 /* as the controller's */

struct bench {
    struct netctl_state *state;
    struct svc_out out;
    uint64_t seq;
    unsigned nodes;
    unsigned ports;
    unsigned groups;
    unsigned rules;
};

/* Seconds of this thread's work. */
static double worked(void)
{
    struct timespec t;
    int err = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    ts_assert(err == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void ask(struct bench *b, enum netctl_method method, const char *path, const char *format,
                ...) __attribute__((format(printf, 4, 5)));
static void ask(struct bench *b, enum netctl_method method, const char *path, const char *format,
                ...)
{
    static char body[65536];
    static uint8_t payload[131072];
    struct netctl_request r = {.method = method, .user = "bench"};
    va_list args;
    va_start(args, format);
    int n = vsnprintf(body, sizeof body, format, args);
    va_end(args);
    ts_assert(n >= 0 && (size_t)n < sizeof body);
    (void)snprintf(r.path, sizeof r.path, "%s", path);
    r.body = (struct ts_bytes){(const uint8_t *)body, (size_t)n};
    struct ts_writer w = ts_writer_init(payload, sizeof payload);
    enum ts_err err = netctl_request_encode(&r, &w);
    ts_assert(err == TS_OK);
    const struct svc_entry e = {.epoch = {1},
                                .seq = {++b->seq},
                                .kind = SVC_ENTRY_COMMAND,
                                .time = {1},
                                .payload = {payload, w.len}};
    b->out.len = 0;
    netctl_service.apply(b->state, &e, &b->out);
    if ((b->out.data[0] | b->out.data[1] << 8) != 200) {
        (void)fprintf(stderr, "%s: %.*s\n", path, (int)b->out.len - 2, b->out.data + 2);
        exit(1);
    }
}

static const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *text(const char *format, ...)
{
    static char out[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out, sizeof out, format, args);
    va_end(args);
    return out;
}

static void declare_nodes(struct bench *b)
{
    for (unsigned n = 0; n < b->nodes; n++) {
        static char vifs[32768];
        size_t len = 0;
        vifs[0] = '\0';
        for (unsigned p = n; p < b->ports; p += b->nodes) {
            len += (size_t)snprintf(vifs + len, sizeof vifs - len, "%s\"v%u\"", len == 0 ? "" : ",",
                                    p);
        }
        ask(b, NETCTL_PATCH, text(NETCTL_NODES "n%u", n), "{\"tunnel_address\":\"192.0.2.1\"}");
        ask(b, NETCTL_NODE, text("n%u", n), "{\"vtep\":\"192.168.%u.%u\",\"vifs\":[%s]}",
            n / 250 + 1, n % 250 + 1, vifs);
    }
}

static void patch_port(struct bench *b, unsigned p, unsigned tag, unsigned host)
{
    unsigned s = p / PORTS_OF_A_SEGMENT;
    ask(b, NETCTL_PATCH, text("/infra/segments/s%u/ports/p%u", s, p),
        "{\"attachment\":{\"id\":\"v%u\"},\"tags\":[{\"scope\":\"app\",\"tag\":\"a%u\"}],"
        "\"address_bindings\":[{\"ip_address\":\"10.%u.%u.%u\"}]}",
        p, tag, s / 250, s % 250, host);
}

static void declare(struct bench *b)
{
    declare_nodes(b);
    for (unsigned s = 0; s * PORTS_OF_A_SEGMENT < b->ports; s++) {
        if (s % 10 == 0) {
            ask(b, NETCTL_PATCH, text("/infra/tier-1s/t%u", s / 10), "{}");
        }
        ask(b, NETCTL_PATCH, text("/infra/segments/s%u", s),
            "{\"connectivity_path\":\"/infra/tier-1s/t%u\",\"subnets\":[{\"gateway_address\":"
            "\"10.%u.%u.1/24\"}]}",
            s / 10, s / 250, s % 250);
    }
    for (unsigned p = 0; p < b->ports; p++) {
        patch_port(b, p, p % b->groups, p % PORTS_OF_A_SEGMENT + 10);
    }
    for (unsigned g = 0; g < b->groups; g++) {
        ask(b, NETCTL_PATCH, text(DOMAIN "/groups/g%u", g),
            "{\"expression\":[{\"resource_type\":\"Condition\",\"member_type\":\"VirtualMachine\","
            "\"key\":\"Tag\",\"operator\":\"EQUALS\",\"value\":\"app|a%u\"}]}",
            g);
    }
    ask(b, NETCTL_PATCH, "/infra/services/web",
        "{\"service_entries\":[{\"l4_protocol\":\"TCP\",\"destination_ports\":[\"80\"]}]}");
    for (unsigned r = 0; r < b->rules; r++) {
        unsigned policy = r / RULES_OF_A_POLICY;
        if (r % RULES_OF_A_POLICY == 0) {
            ask(b, NETCTL_PATCH, text(DOMAIN "/security-policies/p%u", policy),
                "{\"category\":\"Application\",\"sequence_number\":%u}", policy);
        }
        ask(b, NETCTL_PATCH, text(DOMAIN "/security-policies/p%u/rules/r%u", policy, r),
            "{\"action\":\"ALLOW\",\"sequence_number\":%u,\"source_groups\":[\"" DOMAIN
            "/groups/g%u\"],\"destination_groups\":[\"" DOMAIN "/groups/g%u\"],\"services\":["
            "\"/infra/services/web\"],\"scope\":[\"" DOMAIN "/groups/g%u\"]}",
            r % RULES_OF_A_POLICY, r % b->groups, (r * 7 + 1) % b->groups, (r * 7 + 1) % b->groups);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

typedef void change(struct bench *b, unsigned i);

static void change_tag(struct bench *b, unsigned i)
{
    unsigned p = i * 37 % b->ports;
    patch_port(b, p, (p + i + 1) % b->groups, p % PORTS_OF_A_SEGMENT + 10);
}

static void change_address(struct bench *b, unsigned i)
{
    unsigned p = i * 41 % b->ports;
    unsigned host = p % PORTS_OF_A_SEGMENT + 10;
    patch_port(b, p, p % b->groups, i % 2 == 0 ? host + 100 : host);
}

static void change_rule(struct bench *b, unsigned i)
{
    unsigned r = i * 43 % b->rules;
    ask(b, NETCTL_PATCH, text(DOMAIN "/security-policies/p%u/rules/r%u", r / RULES_OF_A_POLICY, r),
        "{\"action\":\"%s\"}", i % 2 == 0 ? "DROP" : "REJECT");
}

static void add_rule(struct bench *b, unsigned i)
{
    ask(b, NETCTL_PATCH, text(DOMAIN "/security-policies/p3/rules/new%u", i),
        "{\"action\":\"DROP\",\"sequence_number\":50,\"scope\":[\"" DOMAIN "/groups/g%u\"]}",
        i % b->groups);
}

static void change_any_rule(struct bench *b, unsigned i)
{
    ask(b, NETCTL_PATCH, DOMAIN "/security-policies/p3/rules/any",
        "{\"action\":\"ALLOW\",\"sequence_number\":%u}", i);
}

static void measure(struct bench *b, struct netctl_compiler *c, const char *what, change *does)
{
    static double ms[CHANGES];
    size_t units = 0;
    size_t nodes = 0;
    for (unsigned i = 0; i < CHANGES; i++) {
        does(b, i);
        double begin = now();
        netctl_compile(c, b->state);
        ms[i] = (now() - begin) * 1e3;
        units += netctl_compiler_units(c);
        for (const char *n = netctl_compiler_changed(c, NULL); n != NULL;
             n = netctl_compiler_changed(c, n)) {
            nodes++;
        }
    }
    qsort(ms, CHANGES, sizeof ms[0], by_value);
    printf("%-28s median %8.3f ms  99th %8.3f ms  %6.1f units  %6.1f nodes\n", what,
           ms[CHANGES / 2], ms[CHANGES * 99 / 100], (double)units / CHANGES,
           (double)nodes / CHANGES);
}

int main(int argc, char **argv)
{
    struct bench b = {.nodes = 100, .ports = 10000, .groups = 1000, .rules = 10000};
    unsigned *const sizes[] = {&b.nodes, &b.ports, &b.groups, &b.rules};
    for (int i = 1; i < argc && i <= 4; i++) {
        *sizes[i - 1] = (unsigned)strtoul(argv[i], NULL, 10);
    }
    b.state = netctl_service.create(NULL);
    b.out.max = SVC_ANSWER_MAX;
    ts_assert(b.state != NULL);
    double begin = now();
    declare(&b);
    printf("%u nodes, %u ports, %u groups, %u rules: declared by %llu requests in %.2f s\n",
           b.nodes, b.ports, b.groups, b.rules, (unsigned long long)b.seq, now() - begin);
    struct netctl_compiler *c = netctl_compiler_new(1);
    begin = now();
    double longest = 0;
    double turn = worked();
    netctl_compile_begin(c, b.state);
    while (!netctl_compile_some(c, TURN_US)) {
        double at = worked();
        longest = at - turn > longest ? at - turn : longest;
        turn = at;
    }
    double took = now() - begin;
    size_t items = 0;
    for (const char *n = netctl_compiler_next(c, NULL); n != NULL; n = netctl_compiler_next(c, n)) {
        items += netctl_compiler_table(c, n)->count;
    }
    printf("%-28s %.2f s, longest turn %.1f ms, %zu units, %zu items in all tables\n",
           "all at first", took, longest * 1e3, netctl_compiler_units(c), items);
    measure(&b, c, "a port's tag", change_tag);
    measure(&b, c, "a port's address", change_address);
    measure(&b, c, "a rule's action", change_rule);
    measure(&b, c, "a rule more", add_rule);
    measure(&b, c, "a rule that is everywhere", change_any_rule);
    netctl_compiler_free(c);
    netctl_service.destroy(b.state);
    svc_out_free(&b.out);
    return 0;
}

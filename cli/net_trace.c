/* twinstep net trace: which rules decide about a connection, and where. */
#include <stdio.h>
#include <string.h>

#include "cli/net.h"
#include "services/netctl/resource.h"

#define PATH_ROOM 4096

static void print_step(const struct cli_net *n, const json_t *step)
{
    const char *direction = cli_string(step, "direction", "");
    const char *action = cli_string(step, "action", "?");
    FILE *out = n->cli->out;
    if (direction[0] == '\0') {
        (void)fprintf(out, "  %-10s between the segments: %s\n", cli_string(step, "node", "?"),
                      strcmp(action, "ROUTE") == 0 ? "routed" : "no router has both");
        return;
    }
    (void)fprintf(out, "  %-10s %s %s: %s by %s\n", cli_string(step, "node", "?"),
                  strcmp(direction, "OUT") == 0 ? "out of" : "into",
                  cli_string(step, "address", "?"), action, cli_string(step, "rule", "no rule"));
}

static bool is_port(const char *path)
{
    const struct netctl_resource *r = netctl_path_is_valid(path) ? netctl_resource_of(path) : NULL;
    return r != NULL && strcmp(r->type, "SegmentPort") == 0;
}

static int check_number(const struct cli_net *n, const char *option, const char *text)
{
    uint16_t first;
    uint16_t last;
    bool good = text == NULL || (netctl_ports_read(text, &first, &last) && first == last &&
                                 strchr(text, '-') == NULL && first > 0);
    return good ? CLI_OK
                : cli_fail(n->cli, CLI_USAGE, "%s %.40s: give a port, 1 to 65535", option, text);
}

int cli_net_check_trace(const struct cli_net *n, const char *operand)
{
    (void)operand;
    if (n->from == NULL || n->to == NULL) {
        return cli_fail(n->cli, CLI_USAGE,
                        "net trace needs --from PORT and --to PORT, as in --from "
                        "/infra/segments/web/ports/p1");
    }
    if ((n->tcp != NULL) + (n->udp != NULL) + n->icmp > 1) {
        return cli_fail(n->cli, CLI_USAGE, "net trace takes one of --tcp, --udp and --icmp");
    }
    for (size_t i = 0; i < 2; i++) {
        const char *path = i == 0 ? n->from : n->to;
        if (!is_port(path)) {
            return cli_fail(n->cli, CLI_USAGE,
                            "%s %.200s: this is no path of a segment's port, as "
                            "/infra/segments/web/ports/p1",
                            i == 0 ? "--from" : "--to", path);
        }
    }
    int status = check_number(n, "--tcp", n->tcp);
    return status != CLI_OK ? status : check_number(n, "--udp", n->udp);
}

int cli_net_trace(struct cli_net *n, const char *operand)
{
    char path[PATH_ROOM];
    json_t *said = NULL;
    size_t i;
    const json_t *step;
    (void)operand;
    const char *protocol = n->tcp != NULL ? "tcp" : n->udp != NULL ? "udp" : "icmp";
    const char *port = n->tcp != NULL ? n->tcp : n->udp != NULL ? n->udp : "0";
    (void)snprintf(path, sizeof(path),
                   "/infra/realized-state/trace?source_path=%.1000s&destination_path=%.1000s"
                   "&protocol=%s&port=%.8s",
                   n->from, n->to, protocol, port);
    int status = cli_net_ask(n, "GET", path, NULL, false, &said);
    if (status == CLI_OK && n->as_json) {
        (void)json_dumpf(said, n->cli->out, JSON_INDENT(2) | JSON_SORT_KEYS);
        (void)fputc('\n', n->cli->out);
    } else if (status == CLI_OK) {
        (void)fprintf(n->cli->out, "%s\n",
                      cli_bool(said, "arrives") ? "it arrives" : "it does not arrive");
        json_array_foreach(json_object_get(said, "steps"), i, step)
        {
            print_step(n, step);
        }
    }
    json_decref(said);
    return status;
}

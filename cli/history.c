#include "cli/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cluster-cfg/io/admin_client.h"
#include "cluster-cfg/io/format.h"

#define FIRST_EVENTS 1024

enum ts_err cli_history_add(struct cli_history *h, const struct cli_event *e)
{
    if (h->count == h->room) {
        size_t room = h->room == 0 ? FIRST_EVENTS : h->room * 2;
        struct cli_event *bigger = reallocarray(h->events, room, sizeof(*bigger));
        if (bigger == NULL) {
            return TS_ERR_NOMEM;
        }
        h->events = bigger;
        h->room = room;
    }
    h->events[h->count++] = *e;
    return TS_OK;
}

static enum ts_err add_page(struct cli_history *h, size_t node, const json_t *reply)
{
    size_t i;
    json_t *json;
    json_array_foreach(json_object_get(reply, "events"), i, json)
    {
        struct cli_event event = {.node = (uint8_t)node};
        enum ts_err err = recorder_event_parse(&event.e, json);
        if (err != TS_OK) {
            continue; /* a kind that only a newer release knows */
        }
        h->last_seq[node] = event.e.seq;
        err = cli_history_add(h, &event);
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

enum ts_err cli_history_more(const char *run, const struct cfg_cluster *cluster, size_t node,
                             struct cli_history *h, struct ts_why *why)
{
    char dir[TS_PATH_MAX];
    enum ts_err err = ts_path(dir, why, run, "%s", cluster->nodes[node].name);
    size_t before = h->count;
    bool more = true;
    while (err == TS_OK && more && h->count - before < CLI_HISTORY_MAX) {
        json_t *reply = NULL;
        json_t *request =
            json_pack("{s:s,s:I}", "cmd", "events", "since", (json_int_t)h->last_seq[node]);
        err = admin_client_ask(dir, request, CLI_ASK_MS, &reply, why);
        json_decref(request);
        if (err != TS_OK) {
            return err;
        }
        uint64_t last = h->last_seq[node];
        err = add_page(h, node, reply);
        more = cli_bool(reply, "more") && h->last_seq[node] > last;
        json_decref(reply);
    }
    return err;
}

static int compare(const void *a, const void *b)
{
    const struct cli_event *x = a;
    const struct cli_event *y = b;
    if (x->e.wall_us != y->e.wall_us) {
        return x->e.wall_us > y->e.wall_us ? 1 : -1;
    }
    if (x->node != y->node) {
        return x->node > y->node ? 1 : -1;
    }
    return (x->e.seq > y->e.seq) - (x->e.seq < y->e.seq);
}

/* A total order needs one key: wall times are made to rise along each node's numbers first. */
void cli_history_sort(struct cli_history *h)
{
    uint64_t newest[TS_NODES_MAX] = {0};
    for (size_t i = 0; i < h->count; i++) {
        struct cli_event *e = &h->events[i];
        if (e->e.wall_us < newest[e->node]) {
            e->e.wall_us = newest[e->node];
        }
        newest[e->node] = e->e.wall_us;
    }
    if (h->count > 1) {
        qsort(h->events, h->count, sizeof(*h->events), compare);
    }
}

static void drop_before(struct cli_history *h, uint64_t wall_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->count; i++) {
        if (h->events[i].e.wall_us >= wall_us) {
            h->events[kept++] = h->events[i];
        }
    }
    h->count = kept;
}

enum ts_err cli_history_read(const char *run, const struct cfg_cluster *cluster,
                             uint64_t since_wall_us, struct cli_history *out)
{
    enum ts_err err = TS_OK;
    size_t used = 0;
    *out = (struct cli_history){0};
    for (size_t i = 0; i < cluster->node_count && err != TS_ERR_NOMEM; i++) {
        struct ts_why why = {0};
        if (!format_node_is_complete(run, &cluster->nodes[i])) {
            continue;
        }
        out->nodes_asked++;
        err = cli_history_more(run, cluster, i, out, &why);
        if (err == TS_OK) {
            out->nodes_answered++;
        } else if (used < sizeof(out->unreachable)) {
            int n = snprintf(out->unreachable + used, sizeof(out->unreachable) - used, "%s%s: %s",
                             used == 0 ? "" : "; ", cluster->nodes[i].name, why.text);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    if (err == TS_ERR_NOMEM) {
        cli_history_free(out);
        return err;
    }
    cli_history_sort(out);
    drop_before(out, since_wall_us);
    return TS_OK;
}

void cli_history_free(struct cli_history *h)
{
    free(h->events);
    h->events = NULL;
    h->count = 0;
    h->room = 0;
}

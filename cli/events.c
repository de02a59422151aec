/* twinstep events. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/event_text.h"
#include "cli/gather.h"
#include "cli/history.h"
#include "cluster-cfg/io/admin_client.h"
#include "cluster-cfg/io/format.h"

/* How long to listen to one node before the next has its turn. */
#define TURN_MS 20
#define TURN_EVENTS 256

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep events [--dir RUN] [--since TIME] [--follow] [--json]\n"
        "\n"
        "Prints what the nodes of this machine recorded, in the order of their clocks.\n"
        "\n"
        "  --dir RUN     where the nodes keep their data (default ./run)\n"
        "  --since TIME  only the last 30s, 5m, 2h or 7d\n"
        "  --follow      go on with what happens (end with Ctrl-C)\n"
        "  --json        one JSON object a line (see cli/event_text.h)\n"
        "\n"
        "Times are UTC. Exit status: 0 done, 1 a node does not answer, 2 wrong usage, 3 no node\n"
        "answers, 130 ended by Ctrl-C.\n",
        out);
}

struct events_args {
    const struct cli *cli;
    const char *dir;
    uint64_t since_us; /* age; 0 = all */
    bool follow;
    bool as_json;
    struct cfg_cluster cluster;
};

static bool parse_age(const char *text, uint64_t *out_us)
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);
    uint64_t unit = 0;
    if (strcmp(end, "s") == 0) {
        unit = 1;
    } else if (strcmp(end, "m") == 0) {
        unit = 60;
    } else if (strcmp(end, "h") == 0) {
        unit = 3600;
    } else if (strcmp(end, "d") == 0) {
        unit = 86400;
    }
    *out_us = n * unit * 1000000U;
    return *text >= '0' && *text <= '9' && unit != 0 && n >= 1 && n <= 1000000;
}

static uint64_t wall_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

static void print_event(const struct events_args *a, const struct cli_event *event)
{
    const char *node = a->cluster.nodes[event->node].name;
    if (a->as_json) {
        json_t *json = cli_event_json(&a->cluster, node, &event->e);
        (void)json_dumpf(json, a->cli->out, JSON_COMPACT);
        (void)fputc('\n', a->cli->out);
        json_decref(json);
        return;
    }
    char time[CLI_TIME_MAX];
    char text[CLI_EVENT_TEXT_MAX];
    (void)fprintf(a->cli->out, "%s %-8s %s\n", cli_time((int64_t)event->e.wall_us, time), node,
                  cli_event_text(&a->cluster, &event->e, text));
}

/* ---- following ---- */

/* Events that have not had their time yet, so that what several nodes say of one moment is printed
 * in its order: reports of one node may come a little after those of another. */
struct follower {
    const struct events_args *a;
    struct cli_history *known; /* last_seq says which numbers were read */
    struct cli_history held;
    struct admin_stream *streams[TS_NODES_MAX];
};

/* A number that is not the next one says that some were missed: they are read again. */
static void take(struct follower *f, size_t node, const json_t *json)
{
    struct cli_event event = {.node = (uint8_t)node};
    uint64_t *last = &f->known->last_seq[node];
    if (recorder_event_parse(&event.e, json) != TS_OK || event.e.seq <= *last) {
        return;
    }
    if (event.e.seq == *last + 1) {
        *last = event.e.seq;
        if (cli_history_add(&f->held, &event) != TS_OK) {
            print_event(f->a, &event); /* out of order rather than not at all */
        }
        return;
    }
    f->held.last_seq[node] = *last;
    enum ts_err err = cli_history_more(f->a->dir, &f->a->cluster, node, &f->held, NULL);
    *last = f->held.last_seq[node];
    (void)err; /* what could not be read is read when its next event tells of the gap */
}

size_t cli_events_due(struct cli_history *held, uint64_t wall_us)
{
    size_t n = 0;
    cli_history_sort(held);
    /* What lies far ahead bears the time of a clock that was set back since. */
    while (n < held->count && (held->events[n].e.wall_us + CLI_EVENTS_HOLD_US <= wall_us ||
                               held->events[n].e.wall_us > wall_us + CLI_EVENTS_HOLD_US)) {
        n++;
    }
    return n;
}

static void print_due(struct follower *f)
{
    size_t n = cli_events_due(&f->held, wall_now_us());
    for (size_t i = 0; i < n; i++) {
        print_event(f->a, &f->held.events[i]);
    }
    f->held.count -= n;
    memmove(f->held.events, f->held.events + n, f->held.count * sizeof(*f->held.events));
}

static int open_streams(struct follower *f)
{
    const struct events_args *a = f->a;
    for (size_t i = 0; i < a->cluster.node_count; i++) {
        char dir[TS_PATH_MAX];
        struct ts_why why = {0};
        if (!format_node_is_complete(a->dir, &a->cluster.nodes[i])) {
            continue;
        }
        enum ts_err err = ts_path(dir, &why, a->dir, "%s", a->cluster.nodes[i].name);
        err = err != TS_OK ? err : admin_stream_open(dir, &f->streams[i], &why);
        if (err != TS_OK) {
            return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
        }
    }
    return CLI_OK;
}

/* Until a signal ends the process, or nobody reads any more. */
static int follow(const struct events_args *a, struct cli_history *h)
{
    struct follower f = {.a = a, .known = h};
    int status = open_streams(&f);
    while (status == CLI_OK) {
        for (size_t i = 0; i < a->cluster.node_count; i++) {
            json_t *json = NULL;
            int taken = 0;
            while (f.streams[i] != NULL && taken < TURN_EVENTS &&
                   admin_stream_next(f.streams[i], TURN_MS, &json) == TS_OK) {
                take(&f, i, json);
                json_decref(json);
                taken++;
            }
        }
        print_due(&f);
        status = fflush(a->cli->out) == 0 ? CLI_OK : CLI_FAILED;
    }
    cli_history_free(&f.held);
    return status;
}

static int show(struct events_args *a)
{
    struct cli_history h;
    int status = cli_open_run(a->cli, a->dir, &a->cluster);
    if (status != CLI_OK) {
        return status;
    }
    uint64_t from = a->since_us == 0 ? 0 : wall_now_us() - a->since_us;
    if (cli_history_read(a->dir, &a->cluster, from, &h) != TS_OK) {
        return cli_fail(a->cli, CLI_FAILED, "out of memory; free some");
    }
    for (size_t i = 0; i < h.count; i++) {
        print_event(a, &h.events[i]);
    }
    if (h.nodes_answered == 0) {
        status =
            cli_fail(a->cli, CLI_UNREACHABLE, "no node of %s answers: %s", a->dir, h.unreachable);
    } else if (h.unreachable[0] != '\0') {
        status = cli_fail(a->cli, CLI_FAILED, "%s", h.unreachable);
    }
    (void)fflush(a->cli->out);
    if (a->follow && status != CLI_UNREACHABLE) {
        status = follow(a, &h);
    }
    cli_history_free(&h);
    return status;
}

int cli_events(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'}, {"since", required_argument, NULL, 's'},
        {"follow", no_argument, NULL, 'f'},    {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},      {NULL, 0, NULL, 0},
    };
    struct events_args a = {.cli = cli, .dir = CLI_DEFAULT_DIR};
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
        case 'd':
            a.dir = optarg;
            break;
        case 's':
            if (!parse_age(optarg, &a.since_us)) {
                return cli_fail(cli, CLI_USAGE, "--since %s: give a time like 30s, 5m, 2h or 7d",
                                optarg);
            }
            break;
        case 'f':
            a.follow = true;
            break;
        case 'j':
            a.as_json = true;
            break;
        case 'h':
            print_help(cli->out);
            return CLI_OK;
        default:
            return cli_usage(cli, "events");
        }
    }
    return optind == argc ? show(&a) : cli_excess(cli, "events", argv[optind]);
}

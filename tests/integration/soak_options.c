#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/clock.h"
#include "tests/integration/soak.h"

#define ROUNDS_MAX 10000
/* Above the default, so that a busy machine's stalls are not failures: what must not fail over
 * is judged too. */
#define FAILURE_TIMEOUT_MS 250

static _Noreturn void usage(int status)
{
    fputs(
        "soak [--rounds N] [--seed N] [--faults NAME,…] [--faults-a-round N] [--clients N]\n"
        "     [--freeze-ms-max N] [--long] [--bin DIR] [--history FILE] [--keep] [--expect-loss]\n"
        "     [--from ROUND] [--plan] [--failure-timeout MS] [--lost-writes LIBRARY]\n"
        "\n"
        "Exit status: 0 all promises held, 1 one was broken, 2 stuck; with --expect-loss\n"
        "(for builds that are broken on purpose) 0 when acknowledged writes were lost.\n"
        "--faults may be repeated; without it all of them come.\n"
        "--from runs the rounds from that one on, with the faults that the seed gives them.\n"
        "--plan only tells which faults each round would get.\n"
        "--lost-writes: disks that lose what was not synced when their process ends.\n"
        "--history writes what every client asked and was told, for `lincheck FILE`.\n"
        "Faults:",
        status == 0 ? stdout : stderr);
    for (unsigned k = 0; k < SOAK_KINDS; k++) {
        fprintf(status == 0 ? stdout : stderr, " %s", soak_kind_name(k));
    }
    fputs("\n", status == 0 ? stdout : stderr);
    exit(status);
}

static uint64_t parse_number(const char *text, uint64_t min, uint64_t max)
{
    int64_t n;
    if (lab_parse_int(lab_bytes(text), &n) != TS_OK || n < 0 || (uint64_t)n < min ||
        (uint64_t)n > max) {
        fprintf(stderr, "soak: %s is no number from %" PRIu64 " to %" PRIu64 "\n", text, min, max);
        exit(SOAK_EXIT_USAGE);
    }
    return (uint64_t)n;
}

static uint32_t parse_kinds(const char *text)
{
    uint32_t kinds = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        unsigned k = 0;
        while (k < SOAK_KINDS &&
               (strlen(soak_kind_name(k)) != len || memcmp(soak_kind_name(k), text, len) != 0)) {
            k++;
        }
        if (k == SOAK_KINDS) {
            fprintf(stderr, "soak: no kind of fault is called %.*s\n", (int)len, text);
            usage(SOAK_EXIT_USAGE);
        }
        kinds |= 1u << k;
        text += len + (text[len] == ',' ? 1 : 0);
    }
    return kinds;
}

static void take_option(struct soak_options *o, int c)
{
    switch (c) {
    case 'r':
        o->rounds = (unsigned)parse_number(optarg, 1, ROUNDS_MAX);
        break;
    case 's':
        o->seed = parse_number(optarg, 0, INT64_MAX);
        break;
    case 'F':
        o->from = (unsigned)parse_number(optarg, 1, ROUNDS_MAX);
        break;
    case 't':
        o->failure_timeout_ms = (unsigned)parse_number(optarg, 20, 60000);
        break;
    case 'k':
        o->kinds |= parse_kinds(optarg);
        break;
    case 'f':
        o->faults_a_round = (unsigned)parse_number(optarg, 1, 100);
        break;
    case 'c':
        o->clients = (unsigned)parse_number(optarg, 1, LAB_CLIENTS_MAX);
        break;
    case 'z':
        o->freeze_ms_max = (unsigned)parse_number(optarg, 1000, 600000);
        break;
    case 'b':
        o->bin = optarg;
        break;
    case 'd':
        o->history = optarg;
        break;
    case 'w':
        o->lost_writes = optarg;
        break;
    case 'p':
        o->plan = true;
        break;
    case 'l':
        o->rounds = 100;
        o->freeze_ms_max = 10000;
        break;
    case 'K':
        o->keep = true;
        break;
    case 'x':
        o->expect_loss = true;
        break;
    case 'h':
        usage(0);
    default:
        usage(SOAK_EXIT_USAGE);
    }
}

struct soak_options soak_read_options(int argc, char **argv)
{
    static const struct option longs[] = {{"rounds", required_argument, NULL, 'r'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"faults", required_argument, NULL, 'k'},
                                          {"from", required_argument, NULL, 'F'},
                                          {"failure-timeout", required_argument, NULL, 't'},
                                          {"faults-a-round", required_argument, NULL, 'f'},
                                          {"clients", required_argument, NULL, 'c'},
                                          {"freeze-ms-max", required_argument, NULL, 'z'},
                                          {"bin", required_argument, NULL, 'b'},
                                          {"history", required_argument, NULL, 'd'},
                                          {"plan", no_argument, NULL, 'p'},
                                          {"long", no_argument, NULL, 'l'},
                                          {"keep", no_argument, NULL, 'K'},
                                          {"lost-writes", required_argument, NULL, 'w'},
                                          {"expect-loss", no_argument, NULL, 'x'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct soak_options o = {.rounds = 5,
                             .failure_timeout_ms = FAILURE_TIMEOUT_MS,
                             .seed = lab_now_ns() % 1000000007u,
                             .clients = 16,
                             .freeze_ms_max = 2500,
                             .bin = ""};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        take_option(&o, c);
    }
    o.kinds = o.kinds == 0 ? (1u << SOAK_KINDS) - 1 : o.kinds;
    if (o.lost_writes != NULL) {
        /* What is damaged below the layer's feet is not what its process reads. */
        o.kinds &= ~(1u << SOAK_DAMAGE_JOURNAL | 1u << SOAK_DAMAGE_AND_START);
    }
    if (o.kinds == 0 || optind != argc) {
        usage(SOAK_EXIT_USAGE);
    }
    return o;
}

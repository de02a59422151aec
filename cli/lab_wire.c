/* twinstep lab wire: faults on the networks of a lab, and what they did. */
#include <getopt.h>
#include <string.h>

#include "cli/lab.h"
#include "lab/control.h"
#include "lab/wire_text.h"

#define NAMES_MAX 1024

void cli_lab_wire_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep lab wire [show] [--network NAME] [--dir DIR] [--json]\n"
        "       twinstep lab wire set [WHERE …] FAULT … [--dir DIR] [--json]\n"
        "       twinstep lab wire clear [WHERE …] [--dir DIR] [--json]\n"
        "\n"
        "What happens to frames between machines of a lab, in each direction of each pair, until\n"
        "it is cleared or set anew; and what has happened: the counters prove that a fault took\n"
        "effect. Frames of pairs without a fault pass as ever.\n"
        "\n"
        "  show   rules and counters since the lab came up\n"
        "  set    replaces the rules of the pairs that are meant\n"
        "  clear  takes them away; counters stay\n"
        "\n"
        "WHERE; what is not given means all:\n"
        "  --network NAME      one network\n"
        "  --from M[,M …]      frames that these machines send\n"
        "  --to M[,M …]        … to these\n"
        "  --both              the other direction, too\n"
        "\n"
        "FAULT:\n"
        "  --drop              nothing passes: a partition, of one direction without --both\n"
        "  --loss P            this share is lost, as 30% or 0.1%\n"
        "  --delay T           everything comes so much later, as 5ms or 200us\n"
        "  --jitter T          up to so much more; the order stays\n"
        "  --reorder P         this share waits longer, so that later frames overtake it; by\n"
        "                      --reorder-by T (default 1ms)\n"
        "  --duplicate P       this share comes twice\n"
        "  --corrupt P         of this share (of IP) one to four bits are flipped\n"
        "  --rate R            no more than 10mbit, 500kbit, … each second; --queue BYTES wait\n"
        "                      (default 64k), what is beyond them is lost\n"
        "  --flap UP/DOWN      passes and is cut by turns, as 200ms/300ms\n"
        "  --replay P          after this share an old frame is sent again\n"
        "  --seed N            chance begins anew with this number\n"
        "\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no lab runs there.\n",
        out);
}

enum option_code {
    OPTION_DIR = 256,
    OPTION_JSON,
    OPTION_NETWORK,
    OPTION_FROM,
    OPTION_TO,
    OPTION_BOTH,
    OPTION_FAULTS, /* all from here on are of the rule */
    OPTION_DROP = OPTION_FAULTS,
    OPTION_LOSS,
    OPTION_DELAY,
    OPTION_JITTER,
    OPTION_REORDER,
    OPTION_REORDER_BY,
    OPTION_DUPLICATE,
    OPTION_CORRUPT,
    OPTION_RATE,
    OPTION_QUEUE,
    OPTION_FLAP,
    OPTION_REPLAY,
    OPTION_SEED,
};

struct wire_args {
    const struct cli *cli;
    const char *dir;
    const char *network;
    const char *from;
    const char *to;
    bool both;
    bool as_json;
    bool has_fault;
    struct lab_wire_rule rule;
};

/* Gives -1 to go on. */
static int read_option(struct wire_args *a, int code, const char *name)
{
    const char *wanted = NULL;
    switch (code) {
    case OPTION_DIR:
        a->dir = optarg;
        return -1;
    case OPTION_JSON:
        a->as_json = true;
        return -1;
    case OPTION_NETWORK:
        a->network = optarg;
        return -1;
    case OPTION_FROM:
        a->from = optarg;
        return -1;
    case OPTION_TO:
        a->to = optarg;
        return -1;
    case OPTION_BOTH:
        a->both = true;
        return -1;
    case 'h':
        cli_lab_wire_help(a->cli->out);
        return CLI_OK;
    default:
        break;
    }
    if (code < OPTION_FAULTS) {
        return cli_usage(a->cli, "lab wire");
    }
    a->has_fault = a->has_fault || code != OPTION_SEED;
    return lab_wire_rule_option(&a->rule, name, optarg, &wanted)
               ? -1
               : cli_fail(a->cli, CLI_USAGE, "--%s is \"%.40s\"; write %s", name, optarg, wanted);
}

static int parse(struct wire_args *a, int argc, char **argv, const char **action)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, OPTION_DIR},
        {"json", no_argument, NULL, OPTION_JSON},
        {"network", required_argument, NULL, OPTION_NETWORK},
        {"from", required_argument, NULL, OPTION_FROM},
        {"to", required_argument, NULL, OPTION_TO},
        {"both", no_argument, NULL, OPTION_BOTH},
        {"drop", no_argument, NULL, OPTION_DROP},
        {"loss", required_argument, NULL, OPTION_LOSS},
        {"delay", required_argument, NULL, OPTION_DELAY},
        {"jitter", required_argument, NULL, OPTION_JITTER},
        {"reorder", required_argument, NULL, OPTION_REORDER},
        {"reorder-by", required_argument, NULL, OPTION_REORDER_BY},
        {"duplicate", required_argument, NULL, OPTION_DUPLICATE},
        {"corrupt", required_argument, NULL, OPTION_CORRUPT},
        {"rate", required_argument, NULL, OPTION_RATE},
        {"queue", required_argument, NULL, OPTION_QUEUE},
        {"flap", required_argument, NULL, OPTION_FLAP},
        {"replay", required_argument, NULL, OPTION_REPLAY},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;
    int index = 0;
    int status = -1;
    optind = 0;
    while (status < 0 && (c = getopt_long(argc, argv, "h", OPTIONS, &index)) != -1) {
        status = read_option(a, c, OPTIONS[index].name);
    }
    if (status >= 0) {
        return status;
    }
    *action = optind < argc ? argv[optind++] : "show";
    return optind < argc ? cli_excess(a->cli, "lab wire", argv[optind]) : -1;
}

/* "nic1,nic2" as a list; NULL for NULL. */
static json_t *names(const char *text)
{
    json_t *list = text == NULL ? NULL : json_array();
    while (text != NULL) {
        size_t len = strcspn(text, ",");
        (void)json_array_append_new(list, json_stringn(text, len));
        text = text[len] == ',' ? text + len + 1 : NULL;
    }
    return list;
}

static json_t *request_of(const struct wire_args *a, const char *action)
{
    json_t *o = json_object();
    if (strcmp(action, "show") == 0) {
        (void)json_object_set_new(o, "cmd", json_string("wire-show"));
        return o;
    }
    bool set = strcmp(action, "set") == 0;
    (void)json_object_set_new(o, "cmd", json_string(set ? "wire-set" : "wire-clear"));
    if (a->network != NULL) {
        (void)json_object_set_new(o, "network", json_string(a->network));
    }
    if (a->from != NULL) {
        (void)json_object_set_new(o, "from", names(a->from));
    }
    if (a->to != NULL) {
        (void)json_object_set_new(o, "to", names(a->to));
    }
    (void)json_object_set_new(o, "both", json_boolean(a->both));
    if (set) {
        (void)json_object_set_new(o, "rule", lab_wire_rule_json(&a->rule));
    }
    return o;
}

/* One number in the words of the options: "loss 30%", "delay 5ms", "lost 12". */
static void number(const char *key, json_int_t n, char *out, size_t cap)
{
    size_t len = strlen(key);
    if (len > 4 && strcmp(key + len - 4, "_ppm") == 0) {
        (void)snprintf(out, cap, "%.*s %.6g%%", (int)len - 4, key, (double)n / 10000);
    } else if (len > 3 && strcmp(key + len - 3, "_us") == 0) {
        (void)snprintf(out, cap, "%.*s %.6gms", (int)len - 3, key, (double)n / 1000);
    } else {
        (void)snprintf(out, cap, "%s %lld", key, (long long)n);
    }
}

/* Those that are not 0. */
static void numbers(json_t *o, char *out, size_t cap)
{
    static const char *const DULL[] = {"bytes", "frames", "passed", "seed"};
    size_t len = 0;
    out[0] = '\0';
    for (void *at = json_object_iter(o); at != NULL; at = json_object_iter_next(o, at)) {
        const char *key = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        char text[64];
        bool dull = false;
        for (size_t i = 0; i < sizeof(DULL) / sizeof(DULL[0]); i++) {
            dull = dull || strcmp(DULL[i], key) == 0;
        }
        if (dull || (!json_is_true(value) && json_integer_value(value) == 0)) {
            continue;
        }
        if (json_is_true(value)) {
            (void)snprintf(text, sizeof(text), "%s", key);
        } else {
            number(key, json_integer_value(value), text, sizeof(text));
        }
        int n = snprintf(out + len, cap - len, "%s%s", len > 0 ? ", " : "", text);
        len += n > 0 && (size_t)n < cap - len ? (size_t)n : 0;
    }
}

static void print_network(const struct cli *cli, const json_t *network)
{
    size_t i;
    const json_t *pair;
    char on[NAMES_MAX];
    (void)fprintf(cli->out, "%s  on the wire: %s\n", cli_string(network, "name", "?"),
                  cli_names(json_object_get(network, "on"), on, sizeof(on)));
    json_t *rows = json_array();
    cli_row(rows, 6, (const char *const[]){"from", "to", "frames", "passed", "rule", "of these"});
    json_array_foreach(json_object_get(network, "pairs"), i, pair)
    {
        json_t *counters = json_object_get(pair, "counters");
        char rule[NAMES_MAX];
        char effects[NAMES_MAX];
        char frames[24];
        char passed[24];
        numbers(json_object_get(pair, "rule"), rule, sizeof(rule));
        numbers(counters, effects, sizeof(effects));
        (void)snprintf(frames, sizeof(frames), "%lld", (long long)cli_number(counters, "frames"));
        (void)snprintf(passed, sizeof(passed), "%lld", (long long)cli_number(counters, "passed"));
        cli_row(rows, 6,
                (const char *const[]){cli_string(pair, "from", "?"), cli_string(pair, "to", "?"),
                                      frames, passed, rule, effects});
    }
    if (json_array_size(rows) > 1) {
        cli_table(cli, rows, 2);
    }
    json_decref(rows);
    if (cli_number(network, "missed") > 0) {
        (void)fprintf(cli->out, "  %lld frames came faster than they were read and are lost\n",
                      (long long)cli_number(network, "missed"));
    }
}

static int ask(const struct wire_args *a, const char *action)
{
    struct ts_why why = {{0}};
    json_t *answer = NULL;
    json_t *request = request_of(a, action);
    size_t i;
    json_t *network;
    json_t *all = json_array();
    enum ts_err err = lab_ask_labd(a->dir, request, &answer, &why);
    json_decref(request);
    json_array_foreach(json_object_get(answer, "networks"), i, network)
    {
        if (a->network == NULL || strcmp(a->network, cli_string(network, "name", "")) == 0) {
            (void)json_array_append(all, network);
        }
    }
    if (err != TS_OK) {
        json_decref(all);
        return cli_fail(a->cli, err == TS_ERR_NOT_FOUND ? CLI_UNREACHABLE : CLI_FAILED, "%s",
                        why.text);
    }
    (void)json_object_set(answer, "networks", all);
    if (a->as_json) {
        (void)json_dumpf(answer, a->cli->out, JSON_INDENT(1));
        (void)fputc('\n', a->cli->out);
    }
    json_array_foreach(all, i, network)
    {
        if (!a->as_json && strcmp(action, "show") == 0) {
            print_network(a->cli, network);
        }
    }
    int status = json_array_size(all) > 0
                     ? CLI_OK
                     : cli_fail(a->cli, CLI_FAILED, "the lab has no network \"%.60s\"",
                                a->network == NULL ? "" : a->network);
    json_decref(all);
    json_decref(answer);
    return status;
}

int cli_lab_wire(const struct cli *cli, int argc, char **argv)
{
    struct wire_args a = {.cli = cli, .dir = CLI_LAB_DIR};
    const char *action = NULL;
    int status = parse(&a, argc, argv, &action);
    if (status >= 0) {
        return status;
    }
    bool set = strcmp(action, "set") == 0;
    if (!set && strcmp(action, "clear") != 0 && strcmp(action, "show") != 0) {
        return cli_fail(cli, CLI_USAGE, "lab wire show, set or clear, and not \"%s\"", action);
    }
    if (set != a.has_fault) {
        return cli_fail(cli, CLI_USAGE,
                        set ? "lab wire set needs a fault; see --help"
                            : "only lab wire set takes a fault");
    }
    if (strcmp(action, "show") == 0 && (a.from != NULL || a.to != NULL || a.both)) {
        return cli_fail(cli, CLI_USAGE, "lab wire show tells of all pairs of a network");
    }
    return ask(&a, action);
}

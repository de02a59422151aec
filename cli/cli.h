/* What the commands of `twinstep` share. One command a file; each reads its own options. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "base/io/files.h"

/* Exit statuses of every command. */
enum cli_exit {
    CLI_OK = 0,            /* done; no alarm */
    CLI_FAILED = 1,        /* it failed, or there are alarms */
    CLI_USAGE = 2,         /* the command line is wrong */
    CLI_UNREACHABLE = 3,   /* no node answers */
    CLI_INTERRUPTED = 130, /* by Ctrl-C, as shells tell it */
};

#define CLI_DEFAULT_CONFIG "cluster.yaml"
#define CLI_DEFAULT_DIR "run"
/* How long a node may take to answer a question. */
#define CLI_ASK_MS 2000

struct cli {
    FILE *out;
    FILE *err;
    bool colour; /* of `out` */
};

struct cli_command {
    const char *name;
    const char *summary; /* one line */
    int (*run)(const struct cli *cli, int argc, char **argv);
};

/* The terminal's streams; colours only on a terminal that knows escapes (TERM is neither
 * missing nor "dumb"), and without NO_COLOR. */
struct cli cli_standard(void);

/* "twinstep: " and the sentence on err. Gives `status`. */
int cli_fail(const struct cli *cli, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What every command ends with: what it printed must have left, or it did not do what it was asked
 * for. Gives `status`, CLI_FAILED in place of CLI_OK when standard output took not all. */
int cli_finish(const struct cli *cli, int status);
/* After getopt_long printed what is wrong: points at --help. Gives CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *command);
/* CLI_USAGE and a sentence for an argument that the command does not take. */
int cli_excess(const struct cli *cli, const char *command, const char *argument);
/* An option's argument, `low` to `high` seconds. CLI_OK; or CLI_USAGE and a sentence. */
int cli_seconds(const struct cli *cli, const char *option, const char *argument, unsigned low,
                unsigned high, unsigned *out);

/* The options of a command that only asks the nodes of one directory: --dir, --json, --help. */
struct cli_question {
    const char *dir; /* borrowed from argv */
    bool as_json;
};
/* False when there is nothing more to do: then `status` is what the command exits with. */
bool cli_question(const struct cli *cli, const char *command, void (*help)(FILE *out), int argc,
                  char **argv, struct cli_question *out, int *status);

/* Escape codes, "" without colours. Static storage. */
enum cli_style {
    CLI_PLAIN,
    CLI_BOLD,
    CLI_GOOD,
    CLI_BAD,
};
const char *cli_style(const struct cli *cli, enum cli_style style);

/* A table: a JSON array of rows, a row an array of strings; the first row is the heading.
 * Columns are as wide as needed; `indent` blanks stand before each line. */
void cli_table(const struct cli *cli, const json_t *rows, int indent);
/* Appends a row of `n` strings (borrowed, copied). */
void cli_row(json_t *rows, size_t n, const char *const *cells);

/* The names of a JSON array of strings, "nic1 nic2"; "-" when empty. Gives `out`. */
const char *cli_names(const json_t *array, char *out, size_t cap);
/* A string of an object; `fallback` when it is none. Borrowed. */
const char *cli_string(const json_t *object, const char *key, const char *fallback);
int64_t cli_number(const json_t *object, const char *key);
bool cli_bool(const json_t *object, const char *key);
/* Unix time in microseconds as "2026-01-02T03:04:05.678Z", UTC as in the logs. Gives `out`. */
#define CLI_TIME_MAX 40
const char *cli_time(int64_t wall_us, char out[CLI_TIME_MAX]);

/* The commands. */
int cli_up(const struct cli *cli, int argc, char **argv);
int cli_down(const struct cli *cli, int argc, char **argv);
int cli_status(const struct cli *cli, int argc, char **argv);
int cli_events(const struct cli *cli, int argc, char **argv);
int cli_explain(const struct cli *cli, int argc, char **argv);
int cli_handoff(const struct cli *cli, int argc, char **argv);
int cli_nic(const struct cli *cli, int argc, char **argv);
int cli_net(const struct cli *cli, int argc, char **argv);
int cli_demo(const struct cli *cli, int argc, char **argv);
int cli_lab(const struct cli *cli, int argc, char **argv);
int cli_drill(const struct cli *cli, int argc, char **argv);
int cli_ca(const struct cli *cli, int argc, char **argv);
int cli_user(const struct cli *cli, int argc, char **argv);
int cli_backup(const struct cli *cli, int argc, char **argv);
int cli_restore(const struct cli *cli, int argc, char **argv);
int cli_bundle(const struct cli *cli, int argc, char **argv);
int cli_journal(const struct cli *cli, int argc, char **argv);
int cli_version(const struct cli *cli, int argc, char **argv);

#endif

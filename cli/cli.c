#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define COLUMNS_MAX 12

struct cli cli_standard(void)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    bool able = term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
    bool wanted = able && (no_color == NULL || no_color[0] == '\0');
    return (struct cli){
        .out = stdout, .err = stderr, .colour = wanted && isatty(STDOUT_FILENO) == 1};
}

int cli_fail(const struct cli *cli, int status, const char *format, ...)
{
    va_list args;
    (void)fflush(cli->out);
    (void)fputs("twinstep: ", cli->err);
    va_start(args, format);
    (void)vfprintf(cli->err, format, args);
    va_end(args);
    (void)fputc('\n', cli->err);
    return status;
}

int cli_finish(const struct cli *cli, int status)
{
    bool before = ferror(cli->out) != 0;
    if (fflush(cli->out) == 0 && !before) {
        return status;
    }
    const char *why = before ? "an earlier write failed" : strerror(errno);
    return cli_fail(cli, status == CLI_OK ? CLI_FAILED : status,
                    "standard output did not take all that was to be printed: %s", why);
}

int cli_usage(const struct cli *cli, const char *command)
{
    (void)fprintf(cli->err, "Try \"twinstep %s --help\".\n", command);
    return CLI_USAGE;
}

int cli_excess(const struct cli *cli, const char *command, const char *argument)
{
    return cli_fail(cli, CLI_USAGE, "%s takes no \"%s\"; \"twinstep %s --help\" tells its options",
                    command, argument, command);
}

int cli_seconds(const struct cli *cli, const char *option, const char *argument, unsigned low,
                unsigned high, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(argument, &end, 10);
    if (*argument < '0' || *argument > '9' || *end != '\0' || n < low || n > high) {
        return cli_fail(cli, CLI_USAGE, "%s %s: give %u to %u seconds", option, argument, low,
                        high);
    }
    *out = (unsigned)n;
    return CLI_OK;
}

bool cli_question(const struct cli *cli, const char *command, void (*help)(FILE *out), int argc,
                  char **argv, struct cli_question *out, int *status)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;
    *out = (struct cli_question){.dir = CLI_DEFAULT_DIR};
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        if (c == 'd') {
            out->dir = optarg;
        } else if (c == 'j') {
            out->as_json = true;
        } else if (c == 'h') {
            help(cli->out);
            *status = CLI_OK;
            return false;
        } else {
            *status = cli_usage(cli, command);
            return false;
        }
    }
    *status = optind == argc ? CLI_OK : cli_excess(cli, command, argv[optind]);
    return optind == argc;
}

const char *cli_style(const struct cli *cli, enum cli_style style)
{
    static const char *const CODES[] = {
        [CLI_PLAIN] = "\033[0m",
        [CLI_BOLD] = "\033[1m",
        [CLI_GOOD] = "\033[32m",
        [CLI_BAD] = "\033[31m",
    };
    return cli->colour ? CODES[style] : "";
}

void cli_row(json_t *rows, size_t n, const char *const *cells)
{
    ts_assert(n <= COLUMNS_MAX);
    json_t *row = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *cell = json_string(cells[i]);
        (void)json_array_append_new(row, cell == NULL ? json_string("?") : cell);
    }
    (void)json_array_append_new(rows, row);
}

void cli_table(const struct cli *cli, const json_t *rows, int indent)
{
    size_t width[COLUMNS_MAX] = {0};
    size_t i;
    size_t c;
    json_t *row;
    json_t *cell;
    json_array_foreach(rows, i, row)
    {
        json_array_foreach(row, c, cell)
        {
            size_t len = json_string_length(cell);
            width[c] = len > width[c] ? len : width[c];
        }
    }
    json_array_foreach(rows, i, row)
    {
        (void)fprintf(cli->out, "%*s%s", indent, "", cli_style(cli, i == 0 ? CLI_BOLD : CLI_PLAIN));
        json_array_foreach(row, c, cell)
        {
            bool last = c + 1 == json_array_size(row);
            (void)fprintf(cli->out, "%-*s%s", last ? 0 : (int)width[c], json_string_value(cell),
                          last ? "" : "  ");
        }
        (void)fprintf(cli->out, "%s\n", cli_style(cli, CLI_PLAIN));
    }
}

const char *cli_names(const json_t *array, char *out, size_t cap)
{
    size_t used = 0;
    size_t i;
    json_t *name;
    (void)snprintf(out, cap, "-");
    json_array_foreach(array, i, name)
    {
        const char *text = json_string_value(name);
        int n = used < cap ? snprintf(out + used, cap - used, "%s%s", i == 0 ? "" : " ",
                                      text == NULL ? "?" : text)
                           : 0;
        used += n > 0 ? (size_t)n : 0;
    }
    return out;
}

const char *cli_string(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? fallback : text;
}

int64_t cli_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool cli_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const char *cli_time(int64_t wall_us, char out[CLI_TIME_MAX])
{
    time_t s = (time_t)(wall_us / 1000000);
    struct tm tm;
    char date[CLI_TIME_MAX];
    if (gmtime_r(&s, &tm) == NULL || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        (void)snprintf(date, sizeof(date), "?");
    }
    (void)snprintf(out, CLI_TIME_MAX, "%.30s.%03dZ", date, (int)(wall_us / 1000 % 1000));
    return out;
}

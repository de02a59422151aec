#include "tests/script/script.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 1024
#define FILE_MAX_BYTES (1024 * 1024)

static void reserve(struct script_text *t, size_t more)
{
    if (t->cap - t->len > more) {
        return;
    }
    size_t cap = (t->len + more + 1) * 2;
    char *data = realloc(t->data, cap);
    if (data == NULL) {
        fprintf(stderr, "script: out of memory\n");
        exit(2);
    }
    t->data = data;
    t->cap = cap;
}

static void append(struct script_text *t, const char *data, size_t n)
{
    reserve(t, n);
    memcpy(t->data + t->len, data, n);
    t->len += n;
    t->data[t->len] = '\0';
}

void script_printf(struct script_text *out, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(line)) {
        fprintf(stderr, "script: a line of trace is too long\n");
        exit(2);
    }
    append(out, line, (size_t)n);
}

void script_text_free(struct script_text *out)
{
    free(out->data);
    *out = (struct script_text){0};
}

const char *script_arg(const struct script_command *cmd, const char *key)
{
    size_t n = strlen(key);
    for (int i = 1; i < cmd->count; i++) {
        if (strncmp(cmd->words[i], key, n) == 0 && cmd->words[i][n] == '=') {
            return cmd->words[i] + n + 1;
        }
    }
    return NULL;
}

uint64_t script_arg_u64(const struct script_command *cmd, const char *key, uint64_t otherwise)
{
    const char *text = script_arg(cmd, key);
    if (text == NULL) {
        return otherwise;
    }
    char *end = NULL;
    errno = 0;
    uint64_t v = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' ? v : otherwise;
}

bool script_flag(const struct script_command *cmd, const char *word)
{
    for (int i = 1; i < cmd->count; i++) {
        if (strcmp(cmd->words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* One file being run. `result` is the file as it should read. */
struct run {
    const struct script_runner *runner;
    const char *path;
    void *state;
    struct script_text result;
    struct script_text got; /* trace of the present block */
    bool bad_command;
};

static void run_command(struct run *r, const char *line, size_t len)
{
    char words[LINE_MAX_BYTES];
    if (len >= sizeof(words)) {
        script_printf(&r->got, "error: the command line is too long\n");
        r->bad_command = true;
        return;
    }
    memcpy(words, line, len);
    words[len] = '\0';
    struct script_command cmd = {0};
    char *save = NULL;
    for (char *w = strtok_r(words, " \t", &save); w != NULL && cmd.count < SCRIPT_WORDS_MAX;
         w = strtok_r(NULL, " \t", &save)) {
        cmd.words[cmd.count++] = w;
    }
    if (cmd.count > 0 && !r->runner->run(r->state, &cmd, &r->got)) {
        fprintf(stderr, "%s: cannot run `%.*s`\n", r->path, (int)len, line);
        r->bad_command = true;
    }
}

/* Where the lines of the expected trace end: at a blank line or the end of the text. */
static const char *skip_trace(const char *at)
{
    while (*at != '\0' && *at != '\n') {
        const char *nl = strchr(at, '\n');
        at = nl != NULL ? nl + 1 : at + strlen(at);
    }
    return at;
}

static void run_text(struct run *r, const char *text)
{
    const char *at = text;
    while (*at != '\0') {
        const char *nl = strchr(at, '\n');
        size_t len = nl != NULL ? (size_t)(nl - at) : strlen(at);
        const char *next = nl != NULL ? nl + 1 : at + len;
        append(&r->result, at, len);
        append(&r->result, "\n", 1);
        if (len == 4 && memcmp(at, "----", 4) == 0) {
            if (r->got.len > 0) {
                append(&r->result, r->got.data, r->got.len);
            }
            r->got.len = 0;
            next = skip_trace(next);
        } else if (len > 0 && at[0] != '#') {
            run_command(r, at, len);
        }
        at = next;
    }
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return NULL;
    }
    char *text = calloc(1, FILE_MAX_BYTES);
    size_t n = text != NULL ? fread(text, 1, FILE_MAX_BYTES - 1, f) : 0;
    bool ok = text != NULL && !ferror(f) && n < FILE_MAX_BYTES - 1;
    fclose(f);
    if (!ok) {
        fprintf(stderr, "%s: cannot be read, or is larger than a scenario may be\n", path);
        free(text);
        return NULL;
    }
    return text;
}

static bool write_file(const char *path, const struct script_text *t)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    bool ok = fwrite(t->data, 1, t->len, f) == t->len;
    return fclose(f) == 0 && ok;
}

/* Prints the first line that differs, of both texts. */
static void print_difference(const char *path, const char *want, const char *got)
{
    int line = 1;
    while (*want != '\0' && *got != '\0') {
        size_t nw = strcspn(want, "\n");
        size_t ng = strcspn(got, "\n");
        if (nw != ng || memcmp(want, got, nw) != 0) {
            break;
        }
        want += nw + (want[nw] == '\n');
        got += ng + (got[ng] == '\n');
        line++;
    }
    fprintf(stderr,
            "%s:%d: the trace differs (--update rewrites it)\n  expected: %.*s\n  got:      %.*s\n",
            path, line, (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"), got);
}

static bool run_file(const struct script_runner *runner, const char *path, bool update)
{
    char *text = read_file(path);
    if (text == NULL) {
        return false;
    }
    struct run r = {.runner = runner, .path = path, .state = runner->open()};
    bool ok = r.state != NULL;
    if (ok) {
        run_text(&r, text);
        if (r.got.len > 0) {
            fprintf(stderr, "%s: the last commands have no ----\n", path);
            r.bad_command = true;
        }
        runner->close(r.state);
        ok = !r.bad_command;
    }
    const char *result = r.result.data != NULL ? r.result.data : "";
    if (ok && strcmp(text, result) != 0) {
        ok = update && write_file(path, &r.result);
        if (!update) {
            print_difference(path, text, result);
        }
    }
    script_text_free(&r.result);
    script_text_free(&r.got);
    free(text);
    return ok;
}

int script_main(const struct script_runner *runner, int argc, char **argv)
{
    bool update = argc > 1 && strcmp(argv[1], "--update") == 0;
    int first = update ? 2 : 1;
    if (argc <= first) {
        fprintf(stderr, "usage: %s [--update] FILE...\n", runner->name);
        return 2;
    }
    int failed = 0;
    for (int i = first; i < argc; i++) {
        failed += !run_file(runner, argv[i], update);
    }
    printf("%s: %d of %d scenarios hold\n", runner->name, argc - first - failed, argc - first);
    return failed == 0 ? 0 : 1;
}

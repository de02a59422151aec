/* Runs histories whose verdicts are known: corpus/NAME.jsonl. Among their comments are
 *
 *   # expect: linearizable | not linearizable | gave up     set by hand
 *   # steps: N                                              the limit, where it matters
 *   #> …                                                    what lincheck prints
 *
 * usage: lincheck_corpus [--update] FILE...
 *
 * With --update the last are written anew, to be reviewed as a diff; the verdict never is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lincheck/io/json.h"
#include "tests/lincheck/io/story.h"

#define STEPS 1000000
#define MEMORY ((size_t)16 << 20)
#define EXPECT "# expect: "
#define STEPS_MARK "# steps: "
#define SAID "#> "
#define SAID_EMPTY "#>"

struct history {
    const char *path;
    char *text; /* owned */
    size_t len;
    char expect[32];
    uint64_t steps;
    char *said;    /* owned: the lines behind SAID */
    char *history; /* owned: all other lines */
};

static bool complain(const struct history *h, const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", h->path, what);
    return false;
}

static bool read_file(struct history *h)
{
    FILE *in = fopen(h->path, "re");
    size_t cap;
    FILE *out = open_memstream(&h->text, &cap);
    bool good = in != NULL && out != NULL;
    for (int c; good && (c = fgetc(in)) != EOF;) {
        good = fputc(c, out) != EOF;
    }
    good = good && ferror(in) == 0;
    if (out != NULL) {
        good = fclose(out) == 0 && good;
    }
    if (in != NULL) {
        (void)fclose(in);
    }
    h->len = cap;
    return good || complain(h, strerror(errno));
}

static bool begins_with(const char *line, size_t len, const char *mark)
{
    return len >= strlen(mark) && memcmp(line, mark, strlen(mark)) == 0;
}

static bool split(struct history *h)
{
    size_t said_len;
    size_t history_len;
    FILE *said = open_memstream(&h->said, &said_len);
    FILE *history = open_memstream(&h->history, &history_len);
    if (said == NULL || history == NULL) {
        return complain(h, strerror(errno));
    }
    h->steps = STEPS;
    for (const char *at = h->text; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        size_t whole = len + (at[len] == '\n' ? 1 : 0);
        if (begins_with(at, len, SAID)) {
            (void)fwrite(at + strlen(SAID), 1, whole - strlen(SAID), said);
        } else if (begins_with(at, len, SAID_EMPTY)) {
            (void)fputc('\n', said);
        } else {
            (void)fwrite(at, 1, whole, history);
        }
        if (begins_with(at, len, EXPECT)) {
            (void)snprintf(h->expect, sizeof h->expect, "%.*s", (int)(len - strlen(EXPECT)),
                           at + strlen(EXPECT));
        } else if (begins_with(at, len, STEPS_MARK)) {
            h->steps = strtoull(at + strlen(STEPS_MARK), NULL, 10);
        }
        at += whole;
    }
    bool good = fclose(said) == 0;
    return fclose(history) == 0 && good;
}

/* The file as it was, but for what is said: SAID stands in front of its lines. */
static bool write_again(const struct history *h, const char *says)
{
    FILE *out = fopen(h->path, "we");
    if (out == NULL) {
        return complain(h, strerror(errno));
    }
    (void)fputs(h->history, out);
    for (const char *at = says; *at != '\0';) {
        int len = (int)strcspn(at, "\n");
        (void)fprintf(out, "%s%.*s\n", len == 0 ? SAID_EMPTY : SAID, len, at);
        at += len + (at[len] == '\n' ? 1 : 0);
    }
    return fclose(out) == 0 || complain(h, strerror(errno));
}

static bool judge(struct lin *l, const struct history *h, bool update)
{
    char *says = NULL;
    size_t len;
    const char *slash = strrchr(h->path, '/');
    struct lin_findings f;
    lin_find(l, slash == NULL ? h->path : slash + 1, &f);
    if (strcmp(lin_verdict_name(f.report.verdict), h->expect) != 0) {
        (void)fprintf(stderr, "%s: expected \"%s\", found \"%s\"\n", h->path, h->expect,
                      lin_verdict_name(f.report.verdict));
        return false;
    }
    FILE *out = open_memstream(&says, &len);
    if (out == NULL) {
        return complain(h, strerror(errno));
    }
    lin_story_print(l, &f, out);
    bool good = fclose(out) == 0;
    if (update) {
        good = good && write_again(h, says);
    } else if (strcmp(says, h->said) != 0) {
        (void)fprintf(stderr, "%s: want\n%s--- but got\n%s--- (--update accepts it)\n", h->path,
                      h->said, says);
        good = false;
    }
    free(says);
    return good;
}

static bool run(const char *path, bool update)
{
    struct history h = {.path = path};
    char error[LIN_JSON_ERROR_MAX];
    bool good = read_file(&h) && split(&h);
    struct lin_limits limits = {.memory_max = MEMORY, .steps_max = h.steps};
    struct lin *l = good ? lin_new(&limits) : NULL;
    good = l != NULL;
    if (good &&
        lin_json_text(l, path, (struct ts_bytes){(uint8_t *)h.text, h.len}, error) != TS_OK) {
        (void)fprintf(stderr, "%s\n", error);
        good = false;
    }
    good = good && judge(l, &h, update);
    lin_free(l);
    free(h.text);
    free(h.said);
    free(h.history);
    return good;
}

int main(int argc, char **argv)
{
    bool update = argc > 1 && strcmp(argv[1], "--update") == 0;
    bool good = true;
    int first = update ? 2 : 1;
    if (argc <= first) {
        (void)fputs("usage: lincheck_corpus [--update] FILE...\n", stderr);
        return 2;
    }
    for (int i = first; i < argc; i++) {
        good = run(argv[i], update) && good;
    }
    return good ? 0 : 1;
}

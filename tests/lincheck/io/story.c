#include "tests/lincheck/io/story.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lincheck/io/text.h"

#define TEXT_MAX 400
/* A story of more lines is told without the picture. */
#define PICTURE_MAX 16

void lin_find(struct lin *l, const char *name, struct lin_findings *out)
{
    *out = (struct lin_findings){.name = name};
    lin_check(l, &out->report);
    if (out->report.verdict == LIN_NOT_LINEARIZABLE) {
        out->explained = lin_explain(l, out->report.part_op, &out->story);
    }
}

/* ---- the picture of an operation in time ---- */

struct picture {
    uint64_t times[2 * PICTURE_MAX]; /* all begins and ends, in order */
    size_t count;
};

static int compare_time(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void make_picture(const struct lin_op *ops, size_t n, struct picture *p)
{
    p->count = 0;
    for (size_t i = 0; i < n; i++) {
        p->times[p->count++] = ops[i].begin;
        p->times[p->count++] = ops[i].end;
    }
    qsort(p->times, p->count, sizeof p->times[0], compare_time);
    size_t kept = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (i == 0 || p->times[i] != p->times[kept - 1]) {
            p->times[kept++] = p->times[i];
        }
    }
    p->count = kept;
}

/* "  [---]   ": instants that matter, at equal distances. What never ended has no bracket there. */
static void draw(const struct picture *p, const struct lin_op *op, FILE *out)
{
    for (size_t i = 0; i < p->count; i++) {
        uint64_t t = p->times[i];
        char c = t > op->begin && t < op->end ? '-' : ' ';
        c = t == op->begin ? '[' : c;
        c = t == op->end ? ']' : c;
        c = t == op->begin && t == op->end ? '|' : c;
        c = t == LIN_NEVER && t == op->end ? ' ' : c;
        (void)fputc(c, out);
        (void)fputc(t >= op->begin && t < op->end ? '-' : ' ', out);
    }
}

/* ---- words ---- */

static void print_count(FILE *out, size_t n, const char *one, const char *many)
{
    (void)fprintf(out, "%zu %s", n, n == 1 ? one : many);
}

static void print_scope(const struct lin_report *r, FILE *out)
{
    print_count(out, r->operations, "operation", "operations");
    (void)fputs(" on ", out);
    print_count(out, r->keys, "key", "keys");
    if (r->unknown > 0) {
        (void)fprintf(out, ", %zu of unknown outcome", r->unknown);
    }
    if (r->failed > 0) {
        (void)fprintf(out, ", %zu failed", r->failed);
    }
}

/* The part that is wrong or was given up. */
static void print_part(struct lin *l, const struct lin_report *r, FILE *out)
{
    struct lin_op op;
    char text[TEXT_MAX];
    if (r->part_op == LIN_NONE || !lin_view(l, r->part_op, &op) || op.key_count == 0) {
        (void)fputs("all keys together", out);
        return;
    }
    lin_key_text(op.keys[0], text, sizeof text);
    if (r->part_keys == 1) {
        (void)fprintf(out, "key %s", text);
    } else {
        (void)fprintf(out, "%zu keys that commands name together, %s among them", r->part_keys,
                      text);
    }
}

/* The lines of a story: its operations and those that wrote what they read, by their begins. */
struct lines {
    size_t count;
    struct lin_op op[LIN_STORY_MAX + LIN_WRITERS_MAX];
    bool extra[LIN_STORY_MAX + LIN_WRITERS_MAX];
    struct lin_op last;
};

/* False when there is no room to see them all. */
static bool take_line(struct lin *l, size_t index, bool extra, struct lines *lines)
{
    struct lin_op op;
    if (!lin_view(l, index, &op)) {
        return false;
    }
    size_t i = lines->count++;
    for (; i > 0 && lines->op[i - 1].begin > op.begin; i--) {
        lines->op[i] = lines->op[i - 1];
        lines->extra[i] = lines->extra[i - 1];
    }
    lines->op[i] = op;
    lines->extra[i] = extra;
    return true;
}

static bool take_lines(struct lin *l, const struct lin_story *s, struct lines *lines)
{
    bool room = true;
    lines->count = 0;
    for (size_t i = 0; i < s->count && room; i++) {
        room = take_line(l, s->op[i], false, lines);
    }
    for (size_t i = 0; i < s->writer_count && room; i++) {
        room = take_line(l, s->writer[i], true, lines);
    }
    return room && lin_view(l, s->op[s->last], &lines->last);
}

/* Columns that a text takes: bytes that begin a character. */
static int columns(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

/* The text, filled up with blanks to `width` columns. */
static void print_padded(const char *text, int width, FILE *out)
{
    int blanks = width - columns(text);
    (void)fprintf(out, "%s%*s", text, blanks > 0 ? blanks : 0, "");
}

static int width_of(const struct lines *lines,
                    void (*text_of)(const struct lin_op *, char *, size_t), int max)
{
    char text[TEXT_MAX];
    int width = 0;
    for (size_t i = 0; i < lines->count; i++) {
        text_of(&lines->op[i], text, sizeof text);
        width = columns(text) > width ? columns(text) : width;
    }
    return width < max ? width : max;
}

static void print_lines(const struct lines *lines, FILE *out)
{
    struct picture picture = {0};
    int command_width = width_of(lines, lin_op_text, 60);
    int answer_width = width_of(lines, lin_answer_text, 40);
    char text[TEXT_MAX];
    if (lines->count <= PICTURE_MAX) {
        make_picture(lines->op, lines->count, &picture);
    }
    uint64_t start = lines->op[0].begin;
    for (size_t i = 0; i < lines->count; i++) {
        const struct lin_op *op = &lines->op[i];
        (void)fprintf(out, "%c line %-6" PRIu32 " client %-4" PRIu32 " ",
                      lines->extra[i] ? '~' : ' ', op->place, op->client);
        draw(&picture, op, out);
        lin_op_text(op, text, sizeof text);
        (void)fputs(" ", out);
        print_padded(text, command_width, out);
        lin_answer_text(op, text, sizeof text);
        (void)fputs("  ", out);
        print_padded(text, answer_width, out);
        (void)fprintf(out, "  begin +%" PRIu64, op->begin - start);
        if (op->end != LIN_NEVER) {
            (void)fprintf(out, ", end +%" PRIu64, op->end - start);
        }
        (void)fputs("\n", out);
    }
}

/* "by the other operations the key held "a" or was absent at every moment …" */
static void print_held(const struct lin_story *s, FILE *out)
{
    char text[TEXT_MAX];
    (void)fputs("by the other operations the key ", out);
    for (size_t i = 0; i < s->held_count; i++) {
        bool absent = s->held[i].data == NULL;
        lin_bytes_text(s->held[i], text, sizeof text);
        (void)fprintf(out, "%s%s%s", i == 0 ? "" : " or ", absent ? "was absent" : "held ",
                      absent ? "" : text);
    }
    (void)fputs(" at every moment between its begin and its end.\n", out);
}

static void print_source(struct lin *l, const struct lin_story *s, FILE *out)
{
    struct lin_op op;
    if (s->unwritten) {
        (void)fputs("no operation of the history writes that value.\n", out);
    } else if (lin_view(l, s->source, &op)) {
        (void)fprintf(out, "line %" PRIu32 ", which writes that value, %s.\n", op.place,
                      op.outcome == LIN_FAILED ? "was refused, so it had no effect"
                                               : "began only after its end");
    }
}

static void print_reason(struct lin *l, const struct lin_story *s, const struct lin_op *last,
                         FILE *out)
{
    char text[TEXT_MAX];
    bool source = s->unwritten || s->source != LIN_NONE;
    if (!source && !s->held_known && s->count > 1) {
        (void)fprintf(out,
                      "\nNo order of these operations gives all these answers; line %" PRIu32
                      " is the last that ended.\n",
                      last->place);
        return;
    }
    lin_answer_text(last, text, sizeof text);
    (void)fprintf(out, "\nLine %" PRIu32 " cannot answer %s: ", last->place, text + strlen("→ "));
    if (source) {
        print_source(l, s, out);
    } else if (s->count == 1) {
        (void)fputs("nothing that had begun by its end makes that possible.\n", out);
    } else {
        print_held(s, out);
    }
}

static void print_rest(const struct lin_story *s, FILE *out)
{
    if (s->left_out > 0) {
        (void)fprintf(out, "That is so whatever became of the %zu other answered %s", s->left_out,
                      s->left_out == 1 ? "operation" : "operations");
    } else if (s->unknown > 0) {
        (void)fputs("That is so whatever became of", out);
    }
    if (s->unknown > 0) {
        (void)fprintf(out, "%s the %zu of unknown outcome", s->left_out > 0 ? " and of" : "",
                      s->unknown);
    }
    (void)fputs(s->left_out > 0 || s->unknown > 0 ? ".\n" : "", out);
    if (!s->minimal) {
        (void)fputs("A shorter story may exist; it was not found within the limits.\n", out);
    }
}

static void print_story(struct lin *l, const struct lin_findings *f, FILE *out)
{
    const struct lin_story *s = &f->story;
    struct lines lines;
    (void)fputs("\n", out);
    if (!f->explained || !take_lines(l, s, &lines)) {
        (void)fputs(
            "The reason could not be found within the limits: give more steps and memory.\n", out);
        return;
    }
    if (s->projected) {
        char text[TEXT_MAX];
        lin_key_text(s->key, text, sizeof text);
        (void)fprintf(out, "Key %s is wrong by itself. ", text);
    }
    if (s->count == s->part_ops) {
        (void)fprintf(out, "It takes %s to show it",
                      s->count == 1 ? "its only operation" : "all its operations");
    } else {
        (void)fprintf(out, "%zu of its %zu operations %s to show it", s->count, s->part_ops,
                      s->count == 1 ? "suffices" : "suffice");
    }
    (void)fputs(s->writer_count > 0 ? " (~ wrote what is read here):\n\n" : ":\n\n", out);
    print_lines(&lines, out);
    print_reason(l, s, &lines.last, out);
    print_rest(s, out);
}

void lin_story_print(struct lin *l, const struct lin_findings *f, FILE *out)
{
    const struct lin_report *r = &f->report;
    (void)fprintf(out, "%s: ", f->name);
    if (r->verdict == LIN_LINEARIZABLE) {
        (void)fputs("linearizable: ", out);
        print_scope(r, out);
        (void)fputs("\n", out);
        return;
    }
    if (r->verdict == LIN_GAVE_UP) {
        (void)fputs("GAVE UP on ", out);
        print_part(l, r, out);
        (void)fprintf(out, ": not judged within the limit of %s; give more by %s (",
                      r->out_of_memory ? "memory" : "steps",
                      r->out_of_memory ? "--memory" : "--steps");
        print_scope(r, out);
        (void)fprintf(out, ", %zu of %zu parts given up)\n", r->parts_given_up, r->parts);
        return;
    }
    (void)fputs("NOT LINEARIZABLE: ", out);
    print_part(l, r, out);
    (void)fputs(" (", out);
    print_scope(r, out);
    if (r->parts > 1) {
        (void)fprintf(out, "; %zu of %zu parts wrong", r->parts_wrong, r->parts);
    }
    if (r->parts_given_up > 0) {
        (void)fprintf(out, ", %zu given up", r->parts_given_up);
    }
    (void)fputs(")\n", out);
    print_story(l, f, out);
}

/* ---- JSON ---- */

static json_t *story_json(struct lin *l, const struct lin_story *s)
{
    json_t *operations = json_array();
    json_t *held = json_array();
    json_t *writers = json_array();
    for (size_t i = 0; i < s->writer_count; i++) {
        struct lin_op op;
        if (lin_view(l, s->writer[i], &op)) {
            json_array_append_new(writers, lin_op_json(&op));
        }
    }
    for (size_t i = 0; i < s->count; i++) {
        struct lin_op op;
        if (lin_view(l, s->op[i], &op)) {
            json_array_append_new(operations, lin_op_json(&op));
        }
    }
    for (size_t i = 0; i < s->held_count; i++) {
        bool absent = s->held[i].data == NULL;
        json_array_append_new(held, absent ? json_null() : lin_bytes_json(s->held[i]));
    }
    if (!s->held_known) {
        json_decref(held);
        held = json_null();
    }
    json_t *json = json_pack(
        "{s:o,s:o,s:I,s:I,s:I,s:I,s:b,s:o}", "operations", operations, "writers", writers, "last",
        (json_int_t)s->last, "of", (json_int_t)s->part_ops, "left_out", (json_int_t)s->left_out,
        "unknown", (json_int_t)s->unknown, "minimal", s->minimal, "could_hold", held);
    struct lin_op source;
    if (s->source != LIN_NONE && lin_view(l, s->source, &source)) {
        json_object_set_new(json, "source", lin_op_json(&source));
    }
    if (s->unwritten) {
        json_object_set_new(json, "unwritten", json_true());
    }
    if (s->projected) {
        json_object_set_new(json, "key", lin_bytes_json(s->key));
    }
    return json;
}

static json_t *keys_json(struct lin *l, size_t op_index)
{
    struct lin_op op;
    json_t *keys = json_array();
    if (op_index != LIN_NONE && lin_view(l, op_index, &op)) {
        for (size_t i = 0; i < op.key_count; i++) {
            json_array_append_new(keys, lin_bytes_json(op.keys[i]));
        }
    }
    return keys;
}

json_t *lin_story_json(struct lin *l, const struct lin_findings *f)
{
    const struct lin_report *r = &f->report;
    json_t *json = json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:I,s:{s:I,s:I,s:I},s:{s:I,s:I,s:I},s:I,s:I}", "history", f->name,
        "verdict", lin_verdict_name(r->verdict), "operations", (json_int_t)r->operations, "unknown",
        (json_int_t)r->unknown, "failed", (json_int_t)r->failed, "keys", (json_int_t)r->keys,
        "parts", "all", (json_int_t)r->parts, "wrong", (json_int_t)r->parts_wrong, "given_up",
        (json_int_t)r->parts_given_up, "methods", "zones", (json_int_t)r->method[LIN_BY_ZONES],
        "places", (json_int_t)r->method[LIN_BY_PLACES], "search",
        (json_int_t)r->method[LIN_BY_SEARCH], "steps", (json_int_t)r->steps, "memory",
        (json_int_t)r->memory);
    if (json == NULL || r->verdict == LIN_LINEARIZABLE) {
        return json;
    }
    json_object_set_new(json, "part", keys_json(l, r->part_op));
    if (r->parts_given_up > 0 || r->verdict == LIN_GAVE_UP) {
        json_object_set_new(json, "limit", json_string(r->out_of_memory ? "memory" : "steps"));
    }
    if (f->explained) {
        json_object_set_new(json, "story", story_json(l, &f->story));
    }
    return json;
}

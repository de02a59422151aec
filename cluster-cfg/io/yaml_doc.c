#include "cluster-cfg/io/yaml_doc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/ids.h"

static void __attribute__((format(printf, 3, 0)))
fail_at(struct yaml_doc *y, yaml_mark_t mark, const char *format, va_list args)
{
    if (y->failed) {
        return;
    }
    y->failed = true;
    int n =
        snprintf(y->error, y->error_cap, "%s:%zu:%zu: ", y->file, mark.line + 1, mark.column + 1);
    ts_assert(n > 0);
    if ((size_t)n < y->error_cap) {
        (void)vsnprintf(y->error + n, y->error_cap - (size_t)n, format, args);
    }
    /* Quoted parts come from the file: an error stays one printable line. */
    for (char *p = y->error; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }
}

void yaml_doc_fail(struct yaml_doc *y, const yaml_node_t *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_at(y, node != NULL ? node->start_mark : (yaml_mark_t){0}, format, args);
    va_end(args);
}

static void fail_mark(struct yaml_doc *y, yaml_mark_t mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail_mark(struct yaml_doc *y, yaml_mark_t mark, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_at(y, mark, format, args);
    va_end(args);
}

/* A reader error (bad UTF-8) has an offset in place of a mark. */
static yaml_mark_t problem_mark(const yaml_parser_t *p, struct ts_bytes text)
{
    if (p->error != YAML_READER_ERROR) {
        return p->problem_mark;
    }
    yaml_mark_t m = {.index = p->problem_offset};
    for (size_t i = 0; i < text.len && i < p->problem_offset; i++) {
        m.column++;
        if (text.data[i] == '\n') {
            m.line++;
            m.column = 0;
        }
    }
    return m;
}

/* libyaml says of a tab that it "cannot start any token": the character is not to be seen. */
static void fail_syntax(struct yaml_doc *y, const yaml_parser_t *p, struct ts_bytes text)
{
    yaml_mark_t mark = problem_mark(p, text);
    size_t line = 0;
    size_t at = 0;
    while (at < text.len && line < mark.line) {
        line += text.data[at] == '\n' ? 1 : 0;
        at++;
    }
    at += mark.column; /* in front of a tab in an indentation there are but spaces */
    if (p->error == YAML_SCANNER_ERROR && at < text.len && text.data[at] == '\t') {
        fail_mark(y, mark, "a tab stands here; YAML is indented with spaces only: replace it");
        return;
    }
    const char *problem = p->problem != NULL ? p->problem : "out of memory";
    fail_mark(y, mark, "not valid YAML: %s; correct the syntax here", problem);
}

static void load(struct yaml_doc *y, yaml_parser_t *p, struct ts_bytes text)
{
    if (yaml_parser_load(p, &y->doc) == 0) {
        fail_syntax(y, p, text);
        return;
    }
    y->loaded = true;
    if (yaml_document_get_root_node(&y->doc) == NULL) {
        fail_mark(y, (yaml_mark_t){0}, "the file is empty; describe a cluster in it");
        return;
    }
    yaml_document_t second;
    if (yaml_parser_load(p, &second) == 0) {
        fail_syntax(y, p, text);
        return;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&second);
    if (root != NULL) {
        fail_mark(y, root->start_mark, "a second document begins; a cluster is one document");
    }
    yaml_document_delete(&second);
}

/* A mark that says "UTF-8" may stand in front of the text (YAML 1.2, 5.2). libyaml would take it
 * for the first column of the first key, which then stands deeper than the others. */
static struct ts_bytes without_mark(struct ts_bytes text)
{
    bool marked =
        text.len >= 3 && text.data[0] == 0xef && text.data[1] == 0xbb && text.data[2] == 0xbf;
    return marked ? (struct ts_bytes){text.data + 3, text.len - 3} : text;
}

/* UTF-16 and UTF-32 begin with a mark of their own, or with the one character that a key begins
 * with, which leaves a zero byte beside it. */
static bool is_wide(struct ts_bytes text)
{
    const uint8_t *d = text.data;
    bool marked =
        text.len >= 2 && ((d[0] == 0xff && d[1] == 0xfe) || (d[0] == 0xfe && d[1] == 0xff));
    return marked || (text.len >= 2 && (d[0] == 0) != (d[1] == 0)) ||
           (text.len >= 4 && d[0] == 0 && d[1] == 0 && (d[2] != 0 || d[3] != 0));
}

void yaml_doc_open(struct yaml_doc *y, const char *file, struct ts_bytes text, char *error,
                   size_t error_cap)
{
    ts_assert(error_cap > 0);
    error[0] = '\0';
    *y = (struct yaml_doc){.file = file, .error = error, .error_cap = error_cap};
    yaml_parser_t parser;
    if (is_wide(text)) {
        fail_mark(y, (yaml_mark_t){0}, "the file is in UTF-16 or UTF-32; save it as UTF-8");
        return;
    }
    text = without_mark(text);
    if (yaml_parser_initialize(&parser) == 0) {
        fail_mark(y, (yaml_mark_t){0}, "out of memory; free some");
        return;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.data, text.len);
    load(y, &parser, text);
    yaml_parser_delete(&parser);
}

void yaml_doc_close(struct yaml_doc *y)
{
    if (y->loaded) {
        yaml_document_delete(&y->doc);
        y->loaded = false;
    }
}

const yaml_node_t *yaml_doc_root(struct yaml_doc *y)
{
    return y->failed ? NULL : yaml_document_get_root_node(&y->doc);
}

static const char *type_name(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_SCALAR_NODE:
        return node->data.scalar.length == 0 ? "nothing" : "a single value";
    case YAML_NO_NODE:
        break;
    }
    return "nothing";
}

static bool key_is(const yaml_node_t *key, const char *text)
{
    return key->type == YAML_SCALAR_NODE && key->data.scalar.length == strlen(text) &&
           memcmp(key->data.scalar.value, text, key->data.scalar.length) == 0;
}

static void fail_unknown_key(struct yaml_doc *y, const yaml_node_t *key, const char *what,
                             const char *const *keys)
{
    char known[160] = "";
    size_t used = 0;
    for (size_t i = 0; keys[i] != NULL && used < sizeof(known); i++) {
        int n = snprintf(known + used, sizeof(known) - used, "%s%s", i == 0 ? "" : ", ", keys[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    yaml_doc_fail(y, key, "unknown key \"%.40s\" in %s; known are: %s",
                  (const char *)key->data.scalar.value, what, known);
}

void yaml_doc_check_map(struct yaml_doc *y, const yaml_node_t *node, const char *what,
                        const char *const *keys)
{
    if (y->failed) {
        return;
    }
    if (node->type != YAML_MAPPING_NODE) {
        yaml_doc_fail(y, node, "%s is %s; write a mapping of \"key: value\" pairs here", what,
                      type_name(node));
        return;
    }
    uint32_t seen = 0;
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *key = yaml_document_get_node(&y->doc, p->key);
        if (key->type != YAML_SCALAR_NODE) {
            yaml_doc_fail(y, key, "a key of %s is %s; write a word", what, type_name(key));
            return;
        }
        size_t i = 0;
        while (keys[i] != NULL && !key_is(key, keys[i])) {
            i++;
        }
        ts_assert(i < 32);
        if (keys[i] == NULL) {
            fail_unknown_key(y, key, what, keys);
            return;
        }
        if ((seen & (1U << i)) != 0) {
            yaml_doc_fail(y, key, "key \"%s\" is in %s twice; remove one", keys[i], what);
            return;
        }
        seen |= 1U << i;
    }
}

const yaml_node_t *yaml_doc_get(struct yaml_doc *y, const yaml_node_t *map, const char *key)
{
    if (y->failed) {
        return NULL;
    }
    ts_assert(map->type == YAML_MAPPING_NODE);
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        if (key_is(yaml_document_get_node(&y->doc, p->key), key)) {
            return yaml_document_get_node(&y->doc, p->value);
        }
    }
    return NULL;
}

const yaml_node_t *yaml_doc_need(struct yaml_doc *y, const yaml_node_t *map, const char *what,
                                 const char *key)
{
    const yaml_node_t *value = yaml_doc_get(y, map, key);
    if (value == NULL) {
        yaml_doc_fail(y, map, "%s has no \"%s\"; add it", what, key);
    }
    return value;
}

size_t yaml_doc_count(struct yaml_doc *y, const yaml_node_t *node, const char *what)
{
    if (y->failed) {
        return 0;
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        yaml_doc_fail(y, node, "%s is %s; write a list here", what, type_name(node));
        return 0;
    }
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

const yaml_node_t *yaml_doc_item(struct yaml_doc *y, const yaml_node_t *seq, size_t i)
{
    if (y->failed) {
        return NULL;
    }
    ts_assert(seq->type == YAML_SEQUENCE_NODE);
    return yaml_document_get_node(&y->doc, seq->data.sequence.items.start[i]);
}

const char *yaml_doc_text(struct yaml_doc *y, const yaml_node_t *node, const char *what)
{
    if (y->failed) {
        return "";
    }
    if (node->type != YAML_SCALAR_NODE) {
        yaml_doc_fail(y, node, "%s is %s; write a single value here", what, type_name(node));
        return "";
    }
    const char *text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        yaml_doc_fail(y, node, "%s contains a NUL character; remove it", what);
        return "";
    }
    return text;
}

bool yaml_doc_bool(struct yaml_doc *y, const yaml_node_t *node, const char *what)
{
    const char *text = yaml_doc_text(y, node, what);
    if (y->failed) {
        return false;
    }
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        yaml_doc_fail(y, node, "%s is \"%.40s\"; write true or false", what, text);
        return false;
    }
    return text[0] == 't';
}

/* The last digit is checked against the limit before it counts, so nothing overflows. */
uint64_t yaml_doc_number(struct yaml_doc *y, const yaml_node_t *node, const char *what,
                         uint64_t min, uint64_t max)
{
    const char *text = yaml_doc_text(y, node, what);
    if (y->failed) {
        return 0;
    }
    uint64_t v = 0;
    bool ok = text[0] != '\0';
    for (const char *p = text; *p != '\0' && ok; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        ok = *p >= '0' && *p <= '9' && v <= (max - digit) / 10;
        v = v * 10 + digit;
    }
    if (!ok || v < min || v > max) {
        yaml_doc_fail(y, node, "%s is \"%.40s\"; write a whole number from %" PRIu64 " to %" PRIu64,
                      what, text, min, max);
        return 0;
    }
    return v;
}

/* As a person writes it; whole seconds or milliseconds. */
static void duration_text(uint64_t ns, char out[32])
{
    bool whole = ns % TS_NS_PER_S == 0;
    uint64_t n = ns / (whole ? TS_NS_PER_S : TS_NS_PER_MS);
    (void)snprintf(out, 32, "%" PRIu64 "%s", n, whole ? "s" : "ms");
}

uint64_t yaml_doc_duration(struct yaml_doc *y, const yaml_node_t *node, const char *what,
                           uint64_t min_ns, uint64_t max_ns)
{
    const char *text = yaml_doc_text(y, node, what);
    if (y->failed) {
        return 0;
    }
    uint64_t v = 0;
    size_t i = 0;
    while (text[i] >= '0' && text[i] <= '9' && i < 9) {
        v = v * 10 + (uint64_t)(text[i] - '0');
        i++;
    }
    uint64_t unit = 0;
    if (strcmp(text + i, "ms") == 0) {
        unit = TS_NS_PER_MS;
    } else if (strcmp(text + i, "s") == 0) {
        unit = TS_NS_PER_S;
    }
    if (i == 0 || unit == 0) {
        yaml_doc_fail(y, node, "%s is \"%.40s\"; write a number with ms or s, like 100ms", what,
                      text);
        return 0;
    }
    if (v * unit < min_ns || v * unit > max_ns) {
        char min[32];
        char max[32];
        duration_text(min_ns, min);
        duration_text(max_ns, max);
        yaml_doc_fail(y, node, "%s is %.40s; choose from %s to %s", what, text, min, max);
        return 0;
    }
    return v * unit;
}

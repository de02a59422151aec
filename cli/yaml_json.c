#include "cli/yaml_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/memory.h"

#define DEPTH_MAX 64

struct yaml_json {
    const char *file;
    yaml_document_t doc;
    struct ts_why *why;
    size_t nodes; /* made so far: an alias is written out, and may be of aliases itself */
};

#define NODES_MAX 10000000U

static json_t *fail(const struct yaml_json *y, const yaml_node_t *node, const char *what)
{
    (void)ts_why(y->why, TS_ERR_MALFORMED, "%s:%zu:%zu: %s", y->file, node->start_mark.line + 1,
                 node->start_mark.column + 1, what);
    return NULL;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

/* [-+]?[0-9]+, or with a fraction or an exponent. */
static json_t *number(const char *text)
{
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    char *end = NULL;
    size_t n = strspn(digits, "0123456789");
    errno = 0;
    if (n > 0 && digits[n] == '\0') {
        long long value = strtoll(text, &end, 10);
        return errno == 0 ? json_integer(value) : NULL;
    }
    if (n == 0 || strspn(digits, "0123456789.eE+-") != strlen(digits)) {
        return NULL;
    }
    double value = strtod(text, &end);
    return *end == '\0' && errno == 0 ? json_real(value) : NULL;
}

static json_t *scalar(const struct yaml_json *y, const yaml_node_t *node)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const TRUES[] = {"true", "True", "TRUE", NULL};
    static const char *const FALSES[] = {"false", "False", "FALSE", NULL};
    const char *text = (const char *)node->data.scalar.value;
    size_t len = node->data.scalar.length;
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strlen(text) == len) {
        json_t *n = number(text);
        if (n != NULL || is_one_of(text, NULLS)) {
            return n != NULL ? n : json_null();
        }
        if (is_one_of(text, TRUES) || is_one_of(text, FALSES)) {
            return json_boolean(is_one_of(text, TRUES));
        }
    }
    json_t *s = json_stringn(text, len);
    return s != NULL ? s : fail(y, node, "a text is no UTF-8");
}

static json_t *convert(struct yaml_json *y, int index, int depth);

static json_t *mapping(struct yaml_json *y, const yaml_node_t *node, int depth)
{
    json_t *object = json_object();
    ts_must(object);
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&y->doc, pair->key);
        const char *name =
            key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : NULL;
        json_t *value = NULL;
        if (name == NULL || strlen(name) != key->data.scalar.length) {
            (void)fail(y, key, "a key is a text");
        } else if (json_object_get(object, name) != NULL) {
            (void)fail(y, key, "this key is there twice");
        } else {
            value = convert(y, pair->value, depth);
        }
        if (value == NULL || json_object_set_new(object, name, value) != 0) {
            if (value != NULL) {
                (void)fail(y, key, "a key is no UTF-8");
            }
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *sequence(struct yaml_json *y, const yaml_node_t *node, int depth)
{
    json_t *array = json_array();
    ts_must(array);
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; item < node->data.sequence.items.top; item++) {
        json_t *value = convert(y, *item, depth);
        if (value == NULL) {
            json_decref(array);
            return NULL;
        }
        (void)json_array_append_new(array, value);
    }
    return array;
}

static json_t *convert(struct yaml_json *y, int index, int depth)
{
    const yaml_node_t *node = yaml_document_get_node(&y->doc, index);
    if (depth == DEPTH_MAX || ++y->nodes > NODES_MAX) {
        return fail(y, node, "this is nested too deep, or an alias is in itself");
    }
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return scalar(y, node);
    case YAML_SEQUENCE_NODE:
        return sequence(y, node, depth + 1);
    case YAML_MAPPING_NODE:
        return mapping(y, node, depth + 1);
    case YAML_NO_NODE:
        break;
    }
    return json_null();
}

/* The next document; NULL with *end: there is none. */
static json_t *next(struct yaml_json *y, yaml_parser_t *parser, bool *end)
{
    json_t *out = NULL;
    *end = false;
    if (!yaml_parser_load(parser, &y->doc)) {
        (void)ts_why(y->why, TS_ERR_MALFORMED, "%s:%zu:%zu: %s", y->file,
                     parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                     parser->problem == NULL ? "this is no YAML" : parser->problem);
        return NULL;
    }
    *end = yaml_document_get_root_node(&y->doc) == NULL;
    if (!*end) {
        out = convert(y, 1, 0);
    }
    yaml_document_delete(&y->doc);
    return out;
}

json_t *cli_yaml_json(const char *file, struct ts_bytes text, struct ts_why *why)
{
    struct yaml_json y = {.file = file, .why = why};
    yaml_parser_t parser;
    json_t *all = json_array();
    bool end = false;
    ts_must(all);
    if (yaml_parser_initialize(&parser) == 0) {
        abort();
    }
    yaml_parser_set_input_string(&parser, text.data, text.len);
    json_t *one = next(&y, &parser, &end);
    while (one != NULL) {
        (void)json_array_append_new(all, one);
        one = next(&y, &parser, &end);
    }
    yaml_parser_delete(&parser);
    if (!end) {
        json_decref(all);
        return NULL;
    }
    if (json_array_size(all) == 1) {
        one = json_incref(json_array_get(all, 0));
        json_decref(all);
        return one;
    }
    return all;
}

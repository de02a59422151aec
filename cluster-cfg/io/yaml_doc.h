/* A YAML document whose nodes keep the line and column of the events they came from, and a
 * sticky first error, so that a schema reads as one linear text (like base/buf.h).
 *
 * After the first error all getters do nothing and give NULL, "" or 0. */
#ifndef CLUSTER_CFG_IO_YAML_DOC_H
#define CLUSTER_CFG_IO_YAML_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yaml.h>

#include "base/buf.h"
#include "base/err.h"

struct yaml_doc {
    yaml_document_t doc;
    bool loaded;
    const char *file; /* borrowed: its name in errors */
    char *error;      /* borrowed: where the first error is written */
    size_t error_cap;
    bool failed;
};

/* Parses `text`, which is UTF-8, with or without a byte order mark in front of it; on an error
 * `failed` is set. yaml_doc_close is due in either case. */
void yaml_doc_open(struct yaml_doc *y, const char *file, struct ts_bytes text, char *error,
                   size_t error_cap);
void yaml_doc_close(struct yaml_doc *y);

/* The first error wins: "FILE:LINE:COLUMN: …" at the place of `node`. */
void yaml_doc_fail(struct yaml_doc *y, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const yaml_node_t *yaml_doc_root(struct yaml_doc *y);
/* Fails unless `node` is a mapping whose keys are all among `keys` (NULL-terminated) and none is
 * there twice. `what` names the thing in errors. */
void yaml_doc_check_map(struct yaml_doc *y, const yaml_node_t *node, const char *what,
                        const char *const *keys);
/* The value of `key`, NULL when it is absent. The map must have been checked. */
const yaml_node_t *yaml_doc_get(struct yaml_doc *y, const yaml_node_t *map, const char *key);
/* The same, and fails when it is absent. */
const yaml_node_t *yaml_doc_need(struct yaml_doc *y, const yaml_node_t *map, const char *what,
                                 const char *key);
/* Length of a sequence; fails when `node` is none. */
size_t yaml_doc_count(struct yaml_doc *y, const yaml_node_t *node, const char *what);
const yaml_node_t *yaml_doc_item(struct yaml_doc *y, const yaml_node_t *seq, size_t i);
/* The text of a scalar without NUL bytes, "" after an error. Borrowed from the document. */
const char *yaml_doc_text(struct yaml_doc *y, const yaml_node_t *node, const char *what);
bool yaml_doc_bool(struct yaml_doc *y, const yaml_node_t *node, const char *what);
uint64_t yaml_doc_number(struct yaml_doc *y, const yaml_node_t *node, const char *what,
                         uint64_t min, uint64_t max);
/* "100ms", "2s": digits and a unit without a space. In ns; both bounds are whole milliseconds. */
uint64_t yaml_doc_duration(struct yaml_doc *y, const yaml_node_t *node, const char *what,
                           uint64_t min_ns, uint64_t max_ns);

#endif

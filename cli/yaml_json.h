/* YAML as JSON: null, true and false, numbers and texts as YAML 1.2's core schema has them. */
#ifndef CLI_YAML_JSON_H
#define CLI_YAML_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "base/io/files.h"

/* Of several documents: an array of them. NULL: `why` tells "FILE:LINE:COLUMN: …". The caller's. */
json_t *cli_yaml_json(const char *file, struct ts_bytes text, struct ts_why *why);

#endif

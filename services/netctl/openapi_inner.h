/* Inside the making of the OpenAPI document: openapi.c has paths and answers, openapi_schema.c the
 * objects' schemas, openapi_said.c those of what is said about them. */
#ifndef SERVICES_NETCTL_OPENAPI_INNER_H
#define SERVICES_NETCTL_OPENAPI_INNER_H

#include "services/netctl/openapi.h"
#include "services/netctl/resource.h"

/* ids, object's own paths and what is around them */
#define OPENAPI_NAME_ROOM 128

/* Each puts its own under a key; `value` is taken. */
void openapi_set(json_t *object, const char *key, json_t *value);
void openapi_set_text(json_t *object, const char *key, const char *text);
void openapi_append(json_t *list, json_t *value);
json_t *openapi_object(void);
json_t *openapi_list(void);
json_t *openapi_ref(const char *kind, const char *name, const char *suffix);

/* What a field may be. */
json_t *openapi_field(const struct netctl_field *f);
/* An object of these fields, and no others. */
json_t *openapi_fields(const struct netctl_field *fields);
/* The schemas of all kinds of objects. */
void openapi_add_objects(json_t *schemas);
/* Those of answers that are no objects, and of errors. */
void openapi_add_said(json_t *schemas);

#endif

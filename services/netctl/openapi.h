/* The northbound API as an OpenAPI 3.1 document, made of what the service itself goes by: the kinds
 * of objects and their fields (resource.h), the parameters (northbound.h). What it says of answers
 * and errors is held against them by tests/integration/netctl_openapi.
 *
 * Of each kind there are the schemas <Type>Fields (what it may say), <Type>Body (of PUT),
 * <Type>Patch, <Type> (as it is read), <Type>List and Child<Type> (in PATCH of /infra). */
#ifndef SERVICES_NETCTL_OPENAPI_H
#define SERVICES_NETCTL_OPENAPI_H

#include <jansson.h>

/* The caller's; the same at each call. */
json_t *netctl_openapi(void);

#endif

/* What the fields of an object may be: descriptors, and the check of a JSON object against them.
 * What a client sends is never asserted: each mistake is a sentence that names the field. */
#ifndef SERVICES_NETCTL_SCHEMA_H
#define SERVICES_NETCTL_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* What is told to the client of a request that was not carried out. */
struct netctl_error {
    int status; /* of HTTP: 400, 404, 409, 412, … */
    int code;   /* error_code, as the NSX Policy API numbers them */
    char message[512];
};

/* Gives false, so that a check can end with it. The first error stands. */
bool netctl_error_set(struct netctl_error *e, int status, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define NETCTL_CODE_INVALID 255       /* a field */
#define NETCTL_CODE_BODY 287          /* no JSON object, or not that of this path */
#define NETCTL_CODE_NOT_FOUND 500012  /* the object */
#define NETCTL_CODE_REFERENCE 500090  /* what a field refers to */
#define NETCTL_CODE_REFERENCED 500030 /* it cannot be deleted */
#define NETCTL_CODE_REVISION 604
#define NETCTL_CODE_FORBIDDEN 403
#define NETCTL_CODE_METHOD 405
#define NETCTL_CODE_FULL 98

enum netctl_kind {
    NETCTL_TEXT,    /* min..max bytes */
    NETCTL_NUMBER,  /* min..max */
    NETCTL_BOOL,    /* where `choices` says so, false only: the rest is not offered here */
    NETCTL_CHOICE,  /* one of `choices` */
    NETCTL_PATH,    /* of another object; "ANY" where `choices` says so */
    NETCTL_ADDRESS, /* 10.0.0.1, 2001:db8::1 */
    NETCTL_PREFIX,  /* 10.0.0.0/24, or with the interface's own bits, 10.0.0.1/24 */
    NETCTL_ELEMENT, /* an address, a prefix, or a range 10.0.0.1-10.0.0.9 */
    NETCTL_MAC,     /* 02:00:5e:00:00:01 */
    NETCTL_PORTS,   /* "80", "1000-2000" */
    NETCTL_OBJECT,  /* of `fields` */
    NETCTL_LIST,    /* of `of`, at most `max` */
    NETCTL_PASSED,  /* read-only: clients send back what they were given; it is let go */
};

struct netctl_field {
    const char *name; /* NULL ends a list of fields */
    enum netctl_kind kind;
    bool needed;
    int64_t min;
    int64_t max;
    const char *const *choices; /* NULL ends them */
    const char *const *types;   /* NETCTL_PATH: what the other object may be; NULL: anything */
    bool or_element;            /* NETCTL_PATH: or a NETCTL_ELEMENT */
    uint8_t since;              /* the first rules (request.h) that know it; 0 = all do */
    const struct netctl_field *fields;
    const struct netctl_field *of;
};

/* Checks `object` by the rules of its request (request.h), and takes what is null or read-only out
 * of it. `where` begins the names in an error ("rules[3]."), "" at the top. */
bool netctl_schema_check(const struct netctl_field *fields, json_t *object, uint8_t rules,
                         const char *where, struct netctl_error *e);

/* The same of an object's part, in which nothing is needed; and whether an object has what is. */
bool netctl_schema_check_part(const struct netctl_field *fields, json_t *object, uint8_t rules,
                              const char *where, struct netctl_error *e);
bool netctl_schema_check_needed(const struct netctl_field *fields, const json_t *object,
                                uint8_t rules, const char *where, struct netctl_error *e);

/* Tells each path that an object refers to; its fields were checked. */
typedef void netctl_schema_refers(void *arg, const struct netctl_field *field, const char *path);
void netctl_schema_paths(const struct netctl_field *fields, const json_t *object,
                         netctl_schema_refers *refers, void *arg);

#endif

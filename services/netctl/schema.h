/* What the fields of an object may be: descriptors, and the check of a JSON object against them.
 * What a client sends is never asserted: each mistake is a sentence that names the field. */
#ifndef SERVICES_NETCTL_SCHEMA_H
#define SERVICES_NETCTL_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* What is told to the client of a request that was not carried out. */
struct net_error {
    int status; /* of HTTP: 400, 404, 409, 412, … */
    int code;   /* error_code, as the NSX Policy API numbers them */
    char message[512];
};

/* Gives false, so that a check can end with it. The first error stands. */
bool net_error_set(struct net_error *e, int status, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define NET_CODE_INVALID 255       /* a field */
#define NET_CODE_BODY 287          /* no JSON object, or not that of this path */
#define NET_CODE_NOT_FOUND 500012  /* the object */
#define NET_CODE_PARENT 500030     /* what it would be in */
#define NET_CODE_REFERENCE 500090  /* what a field refers to */
#define NET_CODE_REFERENCED 500030 /* it cannot be deleted */
#define NET_CODE_REVISION 604
#define NET_CODE_FULL 98

enum net_kind {
    NET_TEXT,    /* min..max bytes */
    NET_NUMBER,  /* min..max */
    NET_BOOL,    /**/
    NET_CHOICE,  /* one of `choices` */
    NET_PATH,    /* of another object; "ANY" where `choices` says so */
    NET_ADDRESS, /* 10.0.0.1, 2001:db8::1 */
    NET_PREFIX,  /* 10.0.0.0/24, or with the interface's own bits, 10.0.0.1/24 */
    NET_ELEMENT, /* an address, a prefix, or a range 10.0.0.1-10.0.0.9 */
    NET_MAC,     /* 02:00:5e:00:00:01 */
    NET_PORTS,   /* "80", "1000-2000" */
    NET_OBJECT,  /* of `fields` */
    NET_LIST,    /* of `of`, at most `max` */
    NET_PASSED,  /* read-only: clients send back what they were given; it is let go */
};

struct net_field {
    const char *name; /* NULL ends a list of fields */
    enum net_kind kind;
    bool needed;
    int64_t min;
    int64_t max;
    const char *const *choices; /* NULL ends them */
    const struct net_field *fields;
    const struct net_field *of;
};

/* Checks `object` and takes what is null or read-only out of it. `where` begins the names in an
 * error ("rules[3]."), "" at the top. */
bool net_schema_check(const struct net_field *fields, json_t *object, const char *where,
                      struct net_error *e);

/* Tells each path that an object refers to; its fields were checked. */
typedef void net_schema_refers(void *arg, const char *path);
void net_schema_paths(const struct net_field *fields, const json_t *object,
                      net_schema_refers *refers, void *arg);

#endif

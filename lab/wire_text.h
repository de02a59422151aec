/* What the wire's numbers look like on a command line, and in messages of labd. Pure but for
 * jansson's memory. */
#ifndef LAB_WIRE_TEXT_H
#define LAB_WIRE_TEXT_H

#include <stdbool.h>

#include <jansson.h>

#include "base/io/files.h"
#include "lab/wire.h"

/* Each is false for what is no such thing, or greater than the wire takes. Up to six digits behind
 * the point count. */
bool lab_wire_parse_share(const char *text, uint64_t *ppm); /* 30%, 0.1% */
bool lab_wire_parse_time(const char *text, uint64_t *us);   /* 200us, 1.5ms, 2s */
bool lab_wire_parse_rate(const char *text, uint64_t *rate); /* 10mbit, 500kbit, 1gbit */
bool lab_wire_parse_bytes(const char *text, uint64_t *n);   /* 65536, 64k, 1m */
bool lab_wire_parse_flap(const char *text, uint64_t *up_us, uint64_t *down_us); /* 200ms/300ms */

/* Sets what the command's option --NAME says, "drop" without a text. False: the text is none of its
 * kind, and `*wanted` tells what would be; or there is no such option, and it is NULL. */
bool lab_wire_rule_option(struct lab_wire_rule *r, const char *name, const char *text,
                          const char **wanted);

/* An object of the rule's numbers by name, and "cut"; those that are 0 or false are left out. */
json_t *lab_wire_rule_json(const struct lab_wire_rule *r);
/* TS_ERR_MALFORMED: another key or type, or a number too great. */
enum ts_err lab_wire_rule_read(json_t *o, struct lab_wire_rule *out,
                               struct ts_why *why) TS_MUST_USE;
/* An object of all counters by name. */
json_t *lab_wire_counters_json(const struct lab_wire_counters *c);
/* Whether anything was counted. */
bool lab_wire_counters_any(const struct lab_wire_counters *c);

#endif

/* Reading the fields of an item's JSON object: each is asked for by name and comes checked; the
 * first thing that is wrong is kept as a sentence, and all further questions give nothing. */
#ifndef SERVICES_AGENT_FIELDS_H
#define SERVICES_AGENT_FIELDS_H

#include <jansson.h>

#include "services/agent/item.h"

#define AGENT_FIELDS_MAX 20

struct agent_fields {
    const char *key;    /* of the item */
    const char *within; /* "" or the field that this object is a part of */
    const json_t *object;
    struct agent_error *error;
    enum ts_err err; /* of the first thing that is wrong */
    size_t asked;
    const char *name[AGENT_FIELDS_MAX]; /* what was asked for: all else is unknown */
};

struct agent_fields agent_fields_of(const char *key, const char *within, const json_t *object,
                                    struct agent_error *error);
/* Says that `name` is not what is wanted: "rule/…: field x: want …". */
void agent_fields_fail(struct agent_fields *f, const char *name, const char *want);
/* The field, NULL when it is absent or of another JSON type (then that is said). */
const json_t *agent_fields_get(struct agent_fields *f, const char *name, json_type type,
                               bool required);
uint64_t agent_fields_number(struct agent_fields *f, const char *name, uint64_t least,
                             uint64_t most, bool required, uint64_t otherwise);
bool agent_fields_bool(struct agent_fields *f, const char *name, bool required);
/* Without control characters, at most `most` bytes; "" when absent. Borrowed. */
const char *agent_fields_text(struct agent_fields *f, const char *name, size_t most, bool required);
/* family 0 when absent. */
struct agent_address agent_fields_address(struct agent_fields *f, const char *name, int form,
                                          bool required);
/* How many; addresses of hosts. */
size_t agent_fields_addresses(struct agent_fields *f, const char *name, int form, size_t most,
                              struct agent_address *out, bool required);
void agent_fields_mac(struct agent_fields *f, const char *name, struct agent_mac *out);
/* Which of `count` words it is. */
unsigned agent_fields_word(struct agent_fields *f, const char *name, const char *const *words,
                           unsigned count);
/* Whether nothing was wrong and nothing is left that was not asked for. */
enum ts_err agent_fields_end(struct agent_fields *f);

/* DHCP's parts (item_dhcp.c). */
enum ts_err agent_dhcp_decode(struct agent_dhcp *dhcp, struct agent_fields *f) TS_MUST_USE;
enum ts_err agent_binding_decode(struct agent_binding *binding, struct agent_fields *f) TS_MUST_USE;
/* A rule's and a translation's parts (item_rule.c). */
enum ts_err agent_rule_decode(struct agent_rule *rule, struct agent_fields *f) TS_MUST_USE;
enum ts_err agent_nat_decode(struct agent_nat *nat, struct agent_fields *f) TS_MUST_USE;

#endif

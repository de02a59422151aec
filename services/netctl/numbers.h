/* The numbers that objects bear in the tables of transport nodes, and the order of the firewall's
 * rules. They are of the state, not of a compiler: given when an object comes, the same until it
 * goes, and the same on every replica.
 *
 *   Segment         its VNI: overlay_id if it says one, else the lowest free one
 *   SegmentPort, Group, Tier1, Tier0: the lowest free one; a Tier0 has a VNI, too (its transit)
 *   PolicyNatRule, Rule: ids, counted up, so that a log's old id means no other rule soon
 *
 * A rule has a place, too: a number, between those of the rules before and behind it. Where there
 * is no room between two, some around them move. */
#ifndef SERVICES_NETCTL_NUMBERS_H
#define SERVICES_NETCTL_NUMBERS_H

#include "services/netctl/address.h"
#include "services/netctl/tree.h"

/* The letter of a number's owner. */
enum netctl_number {
    NETCTL_N_VNI = 'v',
    NETCTL_N_PORT = 'p',
    NETCTL_N_GROUP = 'g',
    NETCTL_N_ROUTER = 'r',
    NETCTL_N_RULE = 'f',
    NETCTL_N_NAT = 'n',
};

#define NETCTL_VNI_FIRST 5000U /* of those that are given */
#define NETCTL_VNI_MAX 0xffffffU
#define NETCTL_N_KINDS 6

struct netctl_numbers {
    struct netctl_tree given;  /* path → "NUMBER", "NUMBER SECOND" (transit VNI, place) */
    struct netctl_tree owners; /* letter, 10 digits → path; follows from `given` */
    struct netctl_tree order;  /* what a rule is ordered by → its place; follows from `given` */
    uint32_t last_rule;        /* ids given last */
    uint32_t last_nat;
    uint32_t low[NETCTL_N_KINDS]; /* below it none is free: a place to begin to look at */
};

struct netctl_numbers netctl_numbers_make(uint64_t seed);
void netctl_numbers_free(struct netctl_numbers *n);

/* Gives and takes back what follows from these changes of the objects, which were checked. */
void netctl_numbers_follow(struct netctl_numbers *n, const struct netctl_tree *before,
                           const struct netctl_tree *after);

/* 0: it has none. */
uint64_t netctl_number_of(const struct netctl_numbers *n, const char *path);
/* A Tier0's transit VNI, a rule's place. */
uint64_t netctl_number_second(const struct netctl_numbers *n, const char *path);
/* Whose it is, with its NUL in `out`; false: nobody's. So a rule's id in a log or a counter is
 * found to be of a path. */
bool netctl_number_owner(const struct netctl_numbers *n, enum netctl_number kind, uint64_t number,
                         char out[NETCTL_PATH_ROOM]);
/* Of what kind the first number of this object is; false: such objects have none. */
bool netctl_number_kind(const char *path, enum netctl_number *kind);

/* For a load. False: it is none; of all: it does not fit to the objects. */
bool netctl_numbers_load(struct netctl_numbers *n, const struct netctl_tree *objects,
                         const char *path, struct ts_bytes text);
bool netctl_numbers_loaded(const struct netctl_numbers *n, const struct netctl_tree *objects);

/* ---- the order of rules (order.c) ---- */

#define NETCTL_ORDER_ROOM (NETCTL_PATH_ROOM + NETCTL_ID_MAX + 32)

/* What a rule is ordered by: category, its policy's sequence_number and path, its own
 * sequence_number and id. False: the rule or its policy is not among the objects. */
bool netctl_order_key(const struct netctl_tree *objects, const char *rule,
                      char out[NETCTL_ORDER_ROOM]);
/* Finds the rule a place; it has none. */
void netctl_order_put(struct netctl_numbers *n, const char *rule, const char *key);
/* Whether `place` can be that of a rule with this key, by the others that are there. */
bool netctl_order_fits(const struct netctl_numbers *n, const char *key, uint64_t place);
void netctl_order_store(struct netctl_numbers *n, const char *rule, const char *key,
                        uint64_t place);

#endif

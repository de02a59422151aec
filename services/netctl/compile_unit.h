/* What a unit of the compiler reads and gives.
 *
 * Units are called by a letter and a number that the state gives (or a name). Facts are texts; a
 * key is a letter and parts with NETCTL_SEP between them. Each unit reads facts of earlier ones
 * only (but groups, which are in each other):
 *
 *   N node   R router                                        what there is
 *   V vif    A segment   E edge   L rule
 *   P port
 *   B nodes of a segment   Z a segment's ports on a node   G group
 *   D nodes of a router    Y nodes with ports   K nodes of some groups   Q routes, translations
 *   T transit              U nodes that use a group
 *
 *   h VIF NODE → told     t NODE → vtep       u NODE → uplinks      a VIF → node
 *   d ROUTER → its domain e DOMAIN → node     x DOMAIN NETWORK (of the uplink)
 *   s VNI → segment       c DOMAIN VNI → gateways                   n DOMAIN NODE WHY
 *   b VNI PORT            p VNI NODE PORT → port                    m PORT → addresses
 *   k VNI NODE            y NODE VNI          r DOMAIN PREFIX       l KIND NUMBER → names, tags
 *   g KIND HASH NUMBER (of a tag)             i GROUP PREFIX        o GROUP PORT → node
 *   q GROUP NODE          w GROUP SPAN RULE   z GROUP RULE          j GROUPS RULE → groups
 *   S SPAN NODE
 *
 * Spans: n NODE; s VNI: where it has ports; d DOMAIN; e DOMAIN: its edge; a: all with ports;
 * k GROUPS; u GROUP. */
#ifndef SERVICES_NETCTL_COMPILE_UNIT_H
#define SERVICES_NETCTL_COMPILE_UNIT_H

#include <jansson.h>

#include "services/netctl/compile.h"

#define NETCTL_SEP "\x01"
#define NETCTL_FACT_ROOM 768

/* ---- what it reads ---- */

/* The caller's; NULL: there is none. */
json_t *netctl_unit_object(struct netctl_compiler *c, const char *path);
/* The next object behind item->key (NULL: the first one) whose path begins with `prefix`, which
 * ends with '/'. */
bool netctl_unit_objects(struct netctl_compiler *c, const char *prefix, struct netctl_item *item);
json_t *netctl_unit_node(struct netctl_compiler *c, const char *id);
/* 0: it has none. */
uint64_t netctl_unit_number(struct netctl_compiler *c, const char *path);
uint64_t netctl_unit_second(struct netctl_compiler *c, const char *path);
/* Whose number it is that the unit is called by; false: nobody's (any more). */
bool netctl_unit_owner(struct netctl_compiler *c, enum netctl_number kind, const char *number,
                       char path[NETCTL_PATH_ROOM]);
/* data NULL: there is none. */
struct ts_bytes netctl_unit_fact(struct netctl_compiler *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* As JSON, the caller's. */
json_t *netctl_unit_fact_json(struct netctl_compiler *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The next fact whose key begins with `prefix`, which ends with NETCTL_SEP. */
bool netctl_unit_facts(struct netctl_compiler *c, const char *prefix, struct netctl_item *item);
/* The same, but behind all that have the same next part as the last one. `part`: that part. */
bool netctl_unit_parts(struct netctl_compiler *c, const char *prefix, char part[NETCTL_FACT_ROOM]);

/* ---- what it gives ---- */

void netctl_unit_put(struct netctl_compiler *c, const char *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes `value`. */
void netctl_unit_put_json(struct netctl_compiler *c, json_t *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The fragment `slot` (a letter or more) is for the nodes of this span, but not for `but` (or
 * NULL). */
void netctl_unit_span(struct netctl_compiler *c, const char *slot, const char *span,
                      const char *but);
/* An item of the fragment; takes `value`. */
void netctl_unit_item(struct netctl_compiler *c, const char *slot, json_t *value,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- the units ---- */

/* Each is told what it is called by behind its letter. */
typedef void netctl_unit_make(struct netctl_compiler *c, const char *name);
netctl_unit_make netctl_make_node, netctl_make_vif, netctl_make_segment, netctl_make_port,
    netctl_make_segment_nodes, netctl_make_segment_node, netctl_make_port_node;
netctl_unit_make netctl_make_router, netctl_make_edge, netctl_make_router_node, netctl_make_routes,
    netctl_make_transit;
netctl_unit_make netctl_make_group, netctl_make_group_span, netctl_make_scope;
netctl_unit_make netctl_make_rule;

/* ---- what several of them need ---- */

const char *netctl_unit_text(const json_t *object, const char *name);
/* Takes `value`. */
void netctl_unit_set(json_t *object, const char *name, json_t *value);
void netctl_unit_append(json_t *list, json_t *value);
json_t *netctl_unit_list(void);
/* A text that a table can have: no control characters, at most 255 bytes. */
json_t *netctl_unit_clean(const char *text);
/* The prefixes that an address, a prefix or a range has; told one by one. */
typedef void netctl_unit_prefix(void *arg, const char *prefix);
void netctl_unit_prefixes(const char *element, netctl_unit_prefix *tells, void *arg);
/* What the dhcp item of this segment is, the caller's; NULL: it has none (compile_dhcp.c). */
json_t *netctl_unit_dhcp(struct netctl_compiler *c, const char *path, const json_t *segment);

#endif

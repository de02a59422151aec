/* From what operators declare and nodes tell to each transport node's table (docs/NETCTL.md).
 *
 * Incrementally: a *unit* (a segment, a port, a group, a rule, …) reads objects and *facts* of
 * other units, and gives facts and *fragments*, which are items for the nodes of a *span*. What a
 * unit reads is kept, so only those are made anew whose inputs changed. The tables depend on the
 * state alone, not on how it came about: they are those of a new compiler, digest for digest.
 *
 * A table is a tree (tree.h): a copy of it is an older generation, and costs nothing. */
#ifndef SERVICES_NETCTL_COMPILE_H
#define SERVICES_NETCTL_COMPILE_H

#include "services/netctl/walk.h"

/* What a segment's interfaces have; the nodes' own network takes 50 bytes more. */
#define NETCTL_SEGMENT_MTU 1500

struct netctl_compiler;

/* Never NULL; netctl_compiler_free it. `seed`: of the tables' trees, the same wherever two of them
 * are compared. */
struct netctl_compiler *netctl_compiler_new(uint64_t seed);
void netctl_compiler_free(struct netctl_compiler *c);

/* Makes the tables those of this state, in a time that grows with what changed since the last call.
 * All calls of one compiler are of one state, or of states whose trees have one seed. */
void netctl_compile(struct netctl_compiler *c, const struct netctl_state *s);

/* The same in parts, so that others have their turn meanwhile: begin, then some at a time, of
 * about `us` microseconds, until that is true. The state may change meanwhile: it is compiled as it
 * was at the beginning. Tables, spans and what changed count for nothing until the end. */
void netctl_compile_begin(struct netctl_compiler *c, const struct netctl_state *s);
bool netctl_compile_some(struct netctl_compiler *c, uint64_t us) TS_MUST_USE;

/* NULL: nothing is for this node. Borrowed until the next compile. */
const struct netctl_tree *netctl_compiler_table(const struct netctl_compiler *c, const char *node);
/* The next node behind `after` (NULL: the first one) that has a table; NULL: there is none. */
const char *netctl_compiler_next(const struct netctl_compiler *c, const char *after);
/* The same, of those whose tables the last compile changed. */
const char *netctl_compiler_changed(const struct netctl_compiler *c, const char *after);

/* Where something follows from the object of this path, and from those in it: nodes as keys, the
 * caller's. */
struct netctl_tree netctl_compiler_span(const struct netctl_compiler *c,
                                        const struct netctl_state *s, const char *path);

/* Statistics: units that the last compile made anew. */
size_t netctl_compiler_units(const struct netctl_compiler *c);

#endif

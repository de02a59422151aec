/* The compiler's own: a compile in its order (compile.c), how units are made (compile_make.c), and
 * how fragments become tables (compile_link.c). */
#ifndef SERVICES_NETCTL_COMPILE_INNER_H
#define SERVICES_NETCTL_COMPILE_INNER_H

#include <string.h>

#include "base/assert.h"
#include "services/netctl/compile.h"

/* Between a key and what belongs to it, in the compiler's own trees. */
#define NETCTL_OF "\x02"
#define NETCTL_KEY_ROOM (NETCTL_KEY_MAX + 1)

struct netctl_unit {
    /* keys: 'o' path, 'n' path, 'i' node, 'f' fact; '*' before prefixes */
    struct netctl_tree reads;
    struct netctl_tree gives; /* 'f' fact, 'c' slot (its span), 'd' slot NETCTL_OF item */
};

struct netctl_table {
    char *node;
    struct netctl_tree items;
};

/* What the tables follow from, as it was and as it is. */
struct netctl_linked {
    struct netctl_tree facts; /* key → value */
    struct netctl_tree items; /* unit NETCTL_OF slot NETCTL_OF key → value */
    struct netctl_tree spans; /* unit NETCTL_OF slot → span NETCTL_OF node to which it is not for */
    struct netctl_tree users; /* span NETCTL_OF unit NETCTL_OF slot */
};

/* What of a state its tables follow from; copies, which cost nothing. */
struct netctl_source {
    struct netctl_tree objects;
    struct netctl_tree nodes;
    struct netctl_numbers numbers; /* given and owners of it */
};

/* About microseconds. */
#define NETCTL_WORK_UNIT 60
#define NETCTL_WORK_DIFFERENCE 5
#define NETCTL_WORK_ITEM 1

/* A compile in its order. Each is done in parts. */
enum netctl_phase {
    NETCTL_C_IDLE,
    NETCTL_C_OBJECTS, /* which units read what has changed */
    NETCTL_C_NODES,
    NETCTL_C_NUMBERS,
    NETCTL_C_MAKE,
    NETCTL_C_ITEMS_GO, /* all that goes, then all that comes: an item may go to another fragment */
    NETCTL_C_SPANS_GO,
    NETCTL_C_MEMBERS_GO,
    NETCTL_C_ITEMS_COME,
    NETCTL_C_SPANS_COME,
    NETCTL_C_MEMBERS_COME,
};

struct netctl_compiler {
    uint64_t seed;
    enum netctl_phase phase;
    uint64_t work;               /* that was done, in NETCTL_WORK_*, … */
    uint64_t limit;              /* … and may be done now */
    char *at;                    /* where its phase is; KEY_ROOM bytes */
    char *inner;                 /* and where in one difference; "": not within one */
    bool begun;                  /* `source` is of a state */
    struct netctl_source source; /* that is compiled, or was last */
    struct netctl_source before; /* while it compiles: the one before */
    struct netctl_linked is;
    struct netctl_linked was;    /* while it compiles: as before */
    struct netctl_tree units;    /* name → where its struct netctl_unit is */
    struct netctl_tree readers;  /* key NETCTL_OF unit */
    struct netctl_tree dirty;    /* level, unit */
    struct netctl_tree changed;  /* nodes */
    struct netctl_tree pool;     /* items of tables */
    struct netctl_table *tables; /* by node */
    size_t count;
    size_t cap;
    size_t made; /* units, by the last compile */
    /* the unit that is being made */
    struct netctl_unit now;
};

static inline void netctl_compiler_at(struct netctl_compiler *c, const char *key)
{
    size_t len = strlen(key);
    ts_assert(len < NETCTL_KEY_ROOM);
    memcpy(c->at, key, len + 1);
}

/* data NULL: the key goes. */
static inline void netctl_compiler_set(struct netctl_tree *t, const char *key,
                                       struct ts_bytes value)
{
    if (value.data == NULL) {
        (void)netctl_tree_remove(t, key);
    } else {
        netctl_tree_put(t, key, value);
    }
}

/* Of compile_make.c: this unit is to be made anew; what stands for this key has changed; the unit
 * is made anew. */
void netctl_compiler_soil(struct netctl_compiler *c, const char *unit);
void netctl_compiler_notify(struct netctl_compiler *c, const char *key);
void netctl_compiler_make(struct netctl_compiler *c, const char *unit);
void netctl_compiler_free_units(struct netctl_compiler *c);

/* From what was and is linked: the tables. The next difference of this phase, behind c->at, which
 * moves there; false: there is none. */
bool netctl_compiler_link(struct netctl_compiler *c) TS_MUST_USE;
void netctl_compiler_linked(struct netctl_compiler *c);
void netctl_compiler_free_tables(struct netctl_compiler *c);

#endif

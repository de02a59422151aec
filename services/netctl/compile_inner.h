/* The compiler's own: what is kept between two compiles (compile.c), and how fragments become
 * tables (compile_link.c). */
#ifndef SERVICES_NETCTL_COMPILE_INNER_H
#define SERVICES_NETCTL_COMPILE_INNER_H

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

struct netctl_compiler {
    uint64_t seed;
    const struct netctl_state *state; /* while it compiles */
    /* The state's, as they were when it was compiled last. */
    bool begun;
    struct netctl_tree objects;
    struct netctl_tree nodes;
    struct netctl_tree numbers;
    struct netctl_linked is;
    struct netctl_linked was;    /* before this compile */
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

/* From what was and is linked: the tables. */
void netctl_compiler_link(struct netctl_compiler *c);
void netctl_compiler_free_tables(struct netctl_compiler *c);

#endif

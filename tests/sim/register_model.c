/* The config register, exhaustively in a small scope: every order of deliveries, losses,
 * repeats, writes, crashes, restarts and time-outs that the scope allows, with the shipped voter
 * and proposer. Then random walks in larger scopes. See register_check.c for the properties.
 *
 *     register_model [short | long]   the scopes, then the walks
 *     register_model mutants          each mutant of the world must be found out */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "tests/sim/register_state.h"

#define DEPTH_MAX 400
#define SEEN_BITS_MAX 26

static const char *const MUTANT_NAMES[] = {
#define MUTANT_NAME(sym, name) name,
    MODEL_MUTANT_LIST(MUTANT_NAME)
#undef MUTANT_NAME
};

struct frame {
    struct model_state state;
    size_t count;
    size_t next;
    struct model_action actions[MODEL_ACTIONS_MAX];
};

/* An open-addressed set of state hashes; 0 is an empty place. */
struct seen {
    uint64_t *slot;
    size_t mask;
    size_t count;
};

struct search {
    const struct model_scope *scope;
    struct seen seen;
    size_t depth;
    size_t depth_max;
    size_t steps;
    size_t ended;                /* states in which nothing can happen any more */
    unsigned won, lost, decided; /* the most of each in one history */
    struct frame *frames;        /* DEPTH_MAX */
};

static bool grow(struct seen *seen)
{
    size_t size = seen->mask == 0 ? (size_t)1 << 16 : (seen->mask + 1) * 2;
    uint64_t *slot = size <= (size_t)1 << SEEN_BITS_MAX ? calloc(size, sizeof(*slot)) : NULL;
    if (slot == NULL) {
        return false;
    }
    for (size_t i = 0; seen->mask != 0 && i <= seen->mask; i++) {
        size_t at = seen->slot[i] & (size - 1);
        while (seen->slot[i] != 0 && slot[at] != 0) {
            at = (at + 1) & (size - 1);
        }
        if (seen->slot[i] != 0) {
            slot[at] = seen->slot[i];
        }
    }
    free(seen->slot);
    seen->slot = slot;
    seen->mask = size - 1;
    return true;
}

/* Whether the hash is new; it is then added. Ends the program when memory is short, since an
 * incomplete search must not pass for a complete one. */
static bool add_seen(struct seen *seen, uint64_t hash)
{
    if ((seen->mask == 0 || seen->count * 4 > seen->mask * 3) && !grow(seen)) {
        fprintf(stderr, "register_model: the scope has too many states\n");
        exit(2);
    }
    hash += hash == 0;
    size_t at = hash & seen->mask;
    while (seen->slot[at] != 0) {
        if (seen->slot[at] == hash) {
            return false;
        }
        at = (at + 1) & seen->mask;
    }
    seen->slot[at] = hash;
    seen->count++;
    return true;
}

static void print_history(const struct search *se)
{
    for (size_t d = 0; d < se->depth; d++) {
        const struct frame *f = &se->frames[d];
        model_print_action(&f->state, f->actions[f->next - 1]);
    }
}

static void enter(struct search *se)
{
    struct frame *f = &se->frames[se->depth];
    f->count = model_actions(&f->state, se->scope, f->actions);
    f->next = 0;
    se->ended += f->count == 0;
    se->depth_max = se->depth > se->depth_max ? se->depth : se->depth_max;
    se->won = f->state.won > se->won ? f->state.won : se->won;
    se->lost = f->state.lost > se->lost ? f->state.lost : se->lost;
    se->decided = f->state.decided > se->decided ? f->state.decided : se->decided;
}

/* Depth first over all states; the violation found, or NULL. */
static const char *explore(struct search *se)
{
    model_init(&se->frames[0].state, se->scope);
    add_seen(&se->seen, model_hash(&se->frames[0].state));
    enter(se);
    for (;;) {
        struct frame *f = &se->frames[se->depth];
        if (f->next == f->count) {
            if (se->depth == 0) {
                return NULL;
            }
            se->depth--;
            continue;
        }
        struct model_action a = f->actions[f->next++];
        struct frame *g = &se->frames[se->depth + 1];
        g->state = f->state;
        model_apply(&g->state, se->scope, a);
        se->steps++;
        if (g->state.violation != NULL) {
            se->depth++;
            return g->state.violation;
        }
        if (!g->state.beyond && add_seen(&se->seen, model_hash(&g->state))) {
            se->depth++;
            if (se->depth + 1 == DEPTH_MAX) {
                return "the model's own depth is exceeded: raise DEPTH_MAX";
            }
            enter(se);
        }
    }
}

/* One history at random; deliveries, being many, are preferred by their number alone. */
static const char *walk(struct search *se, uint64_t seed)
{
    struct ts_prng prng = ts_prng_init(seed);
    se->depth = 0;
    model_init(&se->frames[0].state, se->scope);
    while (se->depth + 2 < DEPTH_MAX) {
        enter(se);
        struct frame *f = &se->frames[se->depth];
        if (f->count == 0) {
            return NULL;
        }
        size_t pick = ts_prng_below(&prng, f->count);
        struct frame *g = &se->frames[se->depth + 1];
        f->next = pick + 1;
        g->state = f->state;
        model_apply(&g->state, se->scope, f->actions[pick]);
        se->steps++;
        se->depth++;
        if (g->state.violation != NULL || g->state.beyond) {
            return g->state.violation;
        }
    }
    return NULL;
}

static struct search open_search(const struct model_scope *scope)
{
    struct search se = {.scope = scope, .frames = calloc(DEPTH_MAX, sizeof(struct frame))};
    if (se.frames == NULL) {
        fprintf(stderr, "register_model: out of memory\n");
        exit(2);
    }
    return se;
}

static void close_search(struct search *se)
{
    free(se->frames);
    free(se->seen.slot);
}

static bool run_scope(const struct model_scope *scope)
{
    struct search se = open_search(scope);
    const char *violation = explore(&se);
    printf("%-34s %9zu states %10zu steps, depth %zu, %zu ends; won %u lost %u read %u\n",
           scope->name, se.seen.count, se.steps, se.depth_max, se.ended, se.won, se.lost,
           se.decided);
    if (violation != NULL) {
        printf("VIOLATION: %s\n", violation);
        print_history(&se);
    }
    fflush(stdout);
    close_search(&se);
    return violation == NULL;
}

static bool run_walks(const struct model_scope *scope, uint64_t walks)
{
    struct search se = open_search(scope);
    const char *violation = NULL;
    uint64_t seed = 0;
    while (seed < walks && violation == NULL) {
        violation = walk(&se, ++seed);
    }
    printf("%-34s %9llu walks  %10zu steps, depth %zu; won %u lost %u read %u\n", scope->name,
           (unsigned long long)seed, se.steps, se.depth_max, se.won, se.lost, se.decided);
    if (violation != NULL) {
        printf("VIOLATION (seed %llu): %s\n", (unsigned long long)seed, violation);
        print_history(&se);
    }
    fflush(stdout);
    close_search(&se);
    return violation == NULL;
}

/* A second each, some more with assertions and sanitizers. */
static const struct model_scope SHORT_SCOPES[] = {
    {.name = "swap against swap, one round", .program = {"c", "c"}, .rounds = {1, 1}},
    {.name = "swap against swap, two and one", .program = {"c", "c"}, .rounds = {2, 1}},
    {.name = "takeover: prepare, then swap", .program = {"pc", "c"}, .rounds = {2, 1}},
    /* Both disks answer all the while; the link of who steps changes between them. */
    {.name = "a voter's disk joins",
     .program = {"v", "c"},
     .rounds = {1, 1},
     .replaces = true,
     .switches = {1, 0}},
};

/* Two seconds each: this is a part of every check. */
static const struct model_scope SCOPES[] = {
    {.name = "two steps, a swap above one",
     .program = {"vv", "c"},
     .rounds = {2, 1},
     .replaces = true,
     .begins_new = {true, false},
     .above = {0, 1}},
    {.name = "two voter crashes", .program = {"c", "c"}, .rounds = {1, 1}, .crashes = 2},
    {.name = "a time-out of one proposer",
     .program = {"cc", ""},
     .rounds = {3, 0},
     .ticks = {1, 0},
     .crashes = 1},
    {.name = "a repeat", .program = {"c", "c"}, .rounds = {1, 1}, .duplicates = 1},
    {.name = "proposer restart", .program = {"cc", "r"}, .rounds = {2, 1}, .restarts = 1},
    {.name = "abandoned, then read", .program = {"cr", "c"}, .rounds = {2, 1}, .abandons = 1},
};

/* Minutes in all. */
static const struct model_scope LONG_SCOPES[] = {
    {.name = "swap against swap", .program = {"c", "c"}, .rounds = {2, 2}},
    {.name = "swap twice against swap", .program = {"cc", "c"}, .rounds = {2, 2}},
    {.name = "time-outs of one proposer",
     .program = {"cc", ""},
     .rounds = {3, 0},
     .ticks = {2, 0},
     .crashes = 1},
    {.name = "a voter's disk joins, both links",
     .program = {"v", "c"},
     .rounds = {1, 1},
     .replaces = true,
     .switches = {1, 1}},
    /* All steps of one proposer, over a link to the new disk; another one's round, over a link to
     * the old disk, comes wherever its ballot may fall. */
    {.name = "all steps, a swap above none",
     .program = {"vvv", "c"},
     .rounds = {3, 1},
     .replaces = true,
     .begins_new = {true, false}},
    {.name = "all steps, a swap above one",
     .program = {"vvv", "c"},
     .rounds = {3, 1},
     .replaces = true,
     .begins_new = {true, false},
     .above = {0, 1}},
    {.name = "all steps, a swap above two",
     .program = {"vvv", "c"},
     .rounds = {3, 1},
     .replaces = true,
     .begins_new = {true, false},
     .above = {0, 2}},
    {.name = "all steps, a link changes",
     .program = {"vvv", "c"},
     .rounds = {3, 1},
     .replaces = true,
     .begins_new = {true, false},
     .switches = {0, 1},
     .above = {0, 1}},
    {.name = "voter crash, second round", .program = {"c", "c"}, .rounds = {2, 1}, .crashes = 1},
    {.name = "takeover, a repeat", .program = {"pc", "c"}, .rounds = {2, 1}, .duplicates = 1},
    {.name = "time-outs, one round", .program = {"c", "c"}, .rounds = {1, 1}, .ticks = {1, 0}},
    {.name = "time-outs, second round", .program = {"c", "c"}, .rounds = {2, 1}, .ticks = {1, 0}},
};

static const struct model_scope WALKS[] = {
    {.name = "walk: everything",
     .program = {"cpcrc", "pcccr"},
     .rounds = {40, 40},
     .ticks = {6, 6},
     .restarts = 2,
     .abandons = 2,
     .crashes = 4,
     .duplicates = 6},
    /* A value that the takeover's prepare showed is replaced by another of the same epoch. */
    {.name = "walk: takeover, restarts",
     .program = {"pc", "cc"},
     .rounds = {6, 6},
     .ticks = {1, 1},
     .restarts = 1},
    {.name = "walk: a voter is replaced",
     .program = {"vvvcc", "pcrcc"},
     .rounds = {40, 40},
     .ticks = {8, 8},
     .restarts = 1,
     .abandons = 1,
     .crashes = 3,
     .duplicates = 4,
     .replaces = true,
     .switches = {6, 6}},
    {.name = "walk: two replace it",
     .program = {"vvvcc", "vpvvc"},
     .rounds = {40, 40},
     .ticks = {8, 8},
     .restarts = 2,
     .abandons = 1,
     .crashes = 2,
     .duplicates = 2,
     .replaces = true,
     .switches = {6, 6}},
    {.name = "walk: no crashes",
     .program = {"ccccc", "ccccc"},
     .rounds = {40, 40},
     .ticks = {8, 8},
     .duplicates = 4},
};

static const struct model_scope MUTANT_SCOPE = {
    .name = "mutant",
    .program = {"cc", "cr"},
    .rounds = {40, 40},
    .ticks = {2, 2},
    .crashes = 2,
    .duplicates = 1,
};

/* Of the mutants that only a replacement shows. */
static const struct model_scope ALIKE_SCOPE = {
    .name = "mutant",
    .program = {"vvvc", "pvcr"},
    .rounds = {40, 40},
    .ticks = {2, 2},
    .replaces = true,
    .switches = {4, 4},
};

static const struct model_scope SHOWN_SCOPE = {
    .name = "mutant",
    .program = {"vpvpvc", "cc"},
    .rounds = {40, 40},
    .ticks = {2, 2},
    .abandons = 3,
    .replaces = true,
    .switches = {1, 1},
};

static bool run_mutants(void)
{
    bool ok = true;
    for (int m = MUTANT_NONE + 1; m < MODEL_MUTANTS; m++) {
        struct model_scope scope = m == MUTANT_DISKS_ALIKE       ? ALIKE_SCOPE
                                   : m == MUTANT_STEP_FROM_SHOWN ? SHOWN_SCOPE
                                                                 : MUTANT_SCOPE;
        scope.mutant = (enum model_mutant)m;
        struct search se = open_search(&scope);
        const char *violation = NULL;
        uint64_t seed = 0;
        while (seed < 300000 && violation == NULL) {
            violation = walk(&se, ++seed);
        }
        printf("mutant %-24s %s (seed %llu, %zu steps)\n", MUTANT_NAMES[m],
               violation != NULL ? violation : "NOT FOUND", (unsigned long long)seed, se.depth);
        ok = ok && violation != NULL;
        close_search(&se);
    }
    return ok;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool run_scopes(const struct model_scope *scopes, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        ok = run_scope(&scopes[i]) && ok;
    }
    return ok;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    bool known = *what == '\0' || strcmp(what, "short") == 0 || strcmp(what, "long") == 0 ||
                 strcmp(what, "mutants") == 0;
    if (argc > 2 || !known) {
        bool help = strcmp(what, "--help") == 0;
        fprintf(
            help ? stdout : stderr,
            "%sregister_model [short | long | mutants]\n"
            "  Searches every order of the messages of the config register in small scopes, and\n"
            "  walks at random in larger ones. short: a few seconds; long: a quarter of an hour;\n"
            "  mutants: each broken register must be caught.\n",
            help ? "usage: " : "register_model: wrong words; usage: ");
        return help ? 0 : 2;
    }
    if (strcmp(what, "mutants") == 0) {
        return run_mutants() ? 0 : 1;
    }
    bool longer = strcmp(what, "long") == 0;
    bool ok = run_scopes(SHORT_SCOPES, COUNT(SHORT_SCOPES));
    if (strcmp(what, "short") != 0) {
        ok = run_scopes(SCOPES, COUNT(SCOPES)) && ok;
    }
    if (longer) {
        ok = run_scopes(LONG_SCOPES, COUNT(LONG_SCOPES)) && ok;
    }
    for (size_t i = 0; i < COUNT(WALKS); i++) {
        ok = run_walks(&WALKS[i], longer ? 300000 : 10000) && ok;
    }
    return ok ? 0 : 1;
}

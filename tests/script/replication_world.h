/* The world of the replication scenarios: up to three replication cores, every message, disk
 * write and register operation held until the scenario lets it happen. perform.c is the real one.
 */
#ifndef TESTS_SCRIPT_REPLICATION_WORLD_H
#define TESTS_SCRIPT_REPLICATION_WORLD_H

#include "replicator/io/perform.h"
#include "tests/script/script.h"

#define WORLD_REPLICAS_MAX 3
#define WORLD_QUEUE_MAX 256
#define WORLD_LOG_MAX 512
/* A longer payload is named by its length in the trace. */
#define WORLD_SHOWN_MAX 80

struct world_message {
    uint8_t type;
    uint8_t *bytes; /* owned */
    size_t len;
};

struct world_queue {
    size_t count;
    struct world_message m[WORLD_QUEUE_MAX];
};

enum world_disk_kind { WORLD_APPEND, WORLD_CUT, WORLD_FLOOR };

struct world_disk_op {
    enum world_disk_kind kind;
    struct ts_seq last; /* of the batch, or the end that remains */
    struct ts_seq committed;
    struct ts_epoch floor;
    uint8_t *bytes; /* owned */
    size_t len;
};

struct world_replica {
    struct world *world;
    char name; /* 'A', 'B', 'C' = node 1, 2, 3 */
    uint16_t nic;
    struct repl *core; /* NULL = not running */
    struct perform perform;
    uint64_t instance;
    /* disk */
    uint64_t incarnation; /* of one that was put in later; 0: of the first one */
    uint64_t replaces;    /* it is for the place of that one; 0: of none */
    struct world_disk_op durable[WORLD_LOG_MAX];
    size_t durable_count;
    struct ts_epoch floor;
    struct world_disk_op pending[WORLD_QUEUE_MAX];
    size_t pending_count;
    /* register operation under way */
    bool reg_running;
    enum repl_effect_kind reg_kind;
    uint64_t reg_op;
    struct ts_epoch reg_expected;
    struct cfg_config reg_config;
    /* service: the hash of all that was applied */
    struct ts_hash state;
    uint64_t reads;
};

struct world {
    uint64_t ms;
    size_t count;
    struct world_replica r[WORLD_REPLICAS_MAX];
    struct world_queue to[WORLD_REPLICAS_MAX][WORLD_REPLICAS_MAX]; /* from, to */
    bool linked[WORLD_REPLICAS_MAX][WORLD_REPLICAS_MAX];
    struct cfg_config decided; /* the register */
    struct script_text *out;
};

/* Feeds one event and prints what follows. */
void world_feed(struct world *w, size_t i, struct repl_event *ev);
/* Of its disk. */
static inline uint64_t world_incarnation(const struct world *w, size_t i)
{
    return w->r[i].incarnation != 0 ? w->r[i].incarnation : 1000U + w->r[i].nic;
}
void world_boot(struct world *w, size_t i);
void world_crash(struct world *w, size_t i, size_t keep);
/* Everything that its disk held is gone; does not run. */
void world_blank(struct world *w, size_t i);
/* Lets the oldest thing happen; false when there is none. */
bool world_deliver(struct world *w, size_t from, size_t to, bool keep);
bool world_disk(struct world *w, size_t i);
/* Answers the register operation as CASPaxos would on the present decided value. */
bool world_register(struct world *w, size_t i, bool prepare_only);
void world_drop(struct world *w, size_t from, size_t to);
void world_free(struct world *w);

#endif

/* The state of the register's exhaustive model: three voters and two proposers (the shipped
 * cores), a disk each, and a network that loses, repeats and reorders. See register_model.c. */
#ifndef TESTS_SIM_REGISTER_STATE_H
#define TESTS_SIM_REGISTER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster-cfg/proposer.h"
#include "cluster-cfg/voter.h"

#define MODEL_VOTERS 3
/* Disks of voters: the last one is for the place of the one before it (adr/0029). Either may answer
 * for that voter: which one an actor's link leads to changes as often as the scope lets it. */
#define MODEL_DISKS 4
#define MODEL_OLD 2
#define MODEL_NEW 3
#define MODEL_NO_VALUE 255
#define MODEL_ACTORS 2
#define MODEL_NET_MAX 96
#define MODEL_PENDING_MAX 8
#define MODEL_VALUES_MAX 16
#define MODEL_CHOSEN_MAX 32
#define MODEL_CORE_BYTES 4096
#define MODEL_ACTIONS_MAX 256
#define MODEL_REG 1

/* Each breaks the world around the cores in one way: the model must notice every one. */
#define MODEL_MUTANT_LIST(X) \
    X(MUTANT_NONE, "none") \
    X(MUTANT_REPLY_BEFORE_PERSIST, "reply-before-persist") \
    X(MUTANT_RECORD_WITHOUT_VALUE, "record-without-value") \
    X(MUTANT_RECORD_WITHOUT_PROMISE, "record-without-promise") \
    X(MUTANT_NO_COMPARISON, "no-comparison") \
    X(MUTANT_REPLIES_UNMATCHED, "replies-unmatched") \
    X(MUTANT_DISKS_ALIKE, "disks-alike") \
    X(MUTANT_STEP_FROM_SHOWN, "step-from-shown")

enum model_mutant {
#define MODEL_MUTANT_ENUM(sym, name) sym,
    MODEL_MUTANT_LIST(MODEL_MUTANT_ENUM)
#undef MODEL_MUTANT_ENUM
        MODEL_MUTANTS
};

/* What may happen how often. Messages are lost by not being delivered. */
struct model_scope {
    const char *name;
    const char *program[MODEL_ACTORS]; /* operations in turn: p prepare, r read, c swap; v: a swap
                                        * that takes a step to replace the voter's disk */
    uint8_t rounds[MODEL_ACTORS];      /* ballots; a history that needs more is not followed */
    uint8_t ticks[MODEL_ACTORS];       /* time-outs: re-sends, and rounds after a back-off */
    uint8_t restarts;                  /* of a proposer, then with another instance */
    bool replaces;                     /* the new disk is there; otherwise no disk has a name */
    uint8_t switches[MODEL_ACTORS];    /* of the actor's link between the old disk and the new */
    bool begins_new[MODEL_ACTORS];     /* its link leads to the new one first */
    uint8_t above[MODEL_ACTORS];       /* its first ballot counts from here: one round may so fall
                                        * anywhere among those of the other */
    uint8_t abandons;
    uint8_t crashes;    /* of a voter: what is not durable is lost */
    uint8_t duplicates; /* deliveries that leave the message under way */
    enum model_mutant mutant;
};

/* Ballots and values of the model are small: a ballot is counter << 8 | actor + 1 << 4 | life + 1,
 * which keeps their order; a value is an index of `values`. */
struct model_msg {
    uint8_t type; /* enum reg_msg_type */
    uint8_t actor;
    uint8_t voter; /* its disk */
    uint8_t value;
    uint32_t ballot;
    uint32_t other; /* promise: accepted ballot; nack: promised ballot */
    uint32_t reason;
};

struct model_record {
    uint32_t promised;
    uint32_t accepted;
    uint8_t value;
};

struct model_write {
    uint64_t n;
    struct model_record rec;
};

/* A proposed value: which epoch, and from which value its proposer derived it. */
struct model_value {
    uint8_t epoch;
    uint8_t parent;
    uint8_t actor; /* and in which of its lives: together the instance */
    uint8_t life;
    uint8_t step; /* of the voter's replacement: 0, then 1 + enum cfg_voter_phase in their order */
};

/* Which voters ever stored this value durably at this ballot. */
struct model_chosen {
    uint32_t ballot;
    uint8_t value;
    uint8_t voters;
};

struct model_actor {
    struct proposer core;
    uint8_t pc;       /* next operation of the program */
    uint8_t life;     /* restarts so far */
    uint8_t ticks;    /* left */
    uint8_t rounds;   /* left */
    uint8_t base;     /* the newest value it knows to be decided */
    uint8_t shown;    /* of the PREPARE whose ballot is kept */
    uint8_t proposal; /* of the swap under way */
    uint8_t disk;     /* MODEL_OLD or MODEL_NEW: where its link to that voter leads */
    uint8_t switches; /* left */
};

struct model_state {
    struct model_actor actor[MODEL_ACTORS];
    struct model_record disk[MODEL_DISKS];
    uint8_t pending_count[MODEL_DISKS];
    struct model_write pending[MODEL_DISKS][MODEL_PENDING_MAX];
    uint8_t net_count;
    struct model_msg net[MODEL_NET_MAX];
    uint8_t value_count;
    struct model_value values[MODEL_VALUES_MAX];
    uint8_t chosen_count;
    struct model_chosen chosen[MODEL_CHOSEN_MAX];
    uint8_t restarts, abandons, crashes, duplicates; /* left */
    bool replaces;
    uint8_t won, lost, decided; /* results so far, for the statistics */
    bool beyond;                /* a ballot more than the scope has */
    const char *violation;      /* NULL while all is well */
    _Alignas(16) unsigned char core[MODEL_DISKS][MODEL_CORE_BYTES]; /* struct voter */
};

enum model_action_kind {
    ACTION_DELIVER,   /* net[index] */
    ACTION_DUPLICATE, /* net[index], which stays under way */
    ACTION_PERSIST,   /* the oldest pending write of voter `index` */
    ACTION_CRASH,     /* voter `index`, and it comes back at once */
    ACTION_OP,        /* actor `index` begins its next operation */
    ACTION_TICK,      /* actor `index`: its deadline is reached */
    ACTION_RESTART,   /* actor `index` */
    ACTION_ABANDON,   /* actor `index` */
    ACTION_SWITCH,    /* actor `index`: its link leads to the other disk */
};

struct model_action {
    enum model_action_kind kind;
    uint8_t index;
};

/* Begins a scope: everything formed, all links up. */
void model_init(struct model_state *s, const struct model_scope *scope);
/* All that can happen next; returns their number. */
size_t model_actions(const struct model_state *s, const struct model_scope *scope,
                     struct model_action out[MODEL_ACTIONS_MAX]);
/* Carries one out; sets s->violation when a property fails. */
void model_apply(struct model_state *s, const struct model_scope *scope, struct model_action a);
/* register_hash.c. Equal for states that differ only in the naming of voters and in what cannot
 * matter. */
uint64_t model_hash(const struct model_state *s);
void model_print_action(const struct model_state *s, struct model_action a);

/* register_check.c: the properties. */
/* Voter `voter` holds the record durably: note what is chosen by it, and check the chain. */
void model_note_durable(struct model_state *s, size_t voter, const struct model_record *rec);
bool model_by_majority(const struct model_state *s, const struct model_chosen *c);
/* Whether this disk counts by this value. */
bool model_counts(const struct model_state *s, uint8_t value, size_t disk);
bool model_is_chosen(const struct model_state *s, uint8_t value);
/* What the operation's end claims. `value` is the result's. */
void model_check_result(struct model_state *s, const struct model_actor *a,
                        enum proposer_outcome outcome, uint8_t value);

/* Small forms and back. */
uint32_t model_pack_ballot(struct reg_ballot b);
struct reg_ballot model_unpack_ballot(uint32_t packed);
struct model_record model_pack_record(const struct voter_register *r);
struct model_msg model_pack_msg(const struct reg_msg *m, uint8_t actor, uint8_t voter);
const struct voter *model_voter(const struct model_state *s, size_t voter);

#endif

/* Is a history of client operations on kv linearizable? Is there one order of all operations,
 * each taking effect at one moment between its begin and its end, in which the service, executing
 * them one by one, gives every answer that the clients were given?
 *
 * Pure: no clock, file, socket or thread, and one allocation, in lin_new. The simulator calls it
 * in process; tests/lincheck/io reads histories of real clusters and prints what was found.
 *
 *   lin_new → (lin_add …, lin_check, lin_explain, lin_clear) as often as wanted → lin_free
 *
 * What holds of an operation follows from its outcome:
 *   answered  took effect once, at a moment from its begin to its end, with this result
 *   unknown   takes effect at any moment from its begin on, once, or never
 *   failed    never takes effect
 * A precedes B when A ended before B began; equal instants are concurrent. Every key is absent at
 * the beginning. Keys that one command names (MSET, DEL a b, FLUSHALL) are judged together, all
 * others each by itself: a history is linearizable when it is so for every object alone.
 * Source: Herlihy & Wing, "Linearizability", TOPLAS 12(3), 1990, theorem 1 (locality).
 *
 * How a part of the history is judged:
 *   registers  SET of values written once, and GET: exact by zones (register.c)
 *   places     APPEND of different elements of one length, GET, STRLEN; or INCR by one, GET: the
 *              lengths and numbers that answers show fix the order (place.c)
 *   searched   everything else (search.c)
 * The same history gives the same verdict, report and number of steps on every machine. */
#ifndef TESTS_LINCHECK_LINCHECK_H
#define TESTS_LINCHECK_LINCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* ---- operations ---- */

/* X(symbol, name): INCR, DECR, DECRBY are LIN_INCRBY; FLUSHDB is LIN_FLUSHALL. */
#define LIN_COMMAND_LIST(X) \
    X(LIN_GET, "GET") \
    X(LIN_SET, "SET") \
    X(LIN_DEL, "DEL") \
    X(LIN_EXISTS, "EXISTS") \
    X(LIN_INCRBY, "INCRBY") \
    X(LIN_APPEND, "APPEND") \
    X(LIN_STRLEN, "STRLEN") \
    X(LIN_MGET, "MGET") \
    X(LIN_MSET, "MSET") \
    X(LIN_FLUSHALL, "FLUSHALL")

enum lin_command {
#define LIN_COMMAND_ENUM(sym, name) sym,
    LIN_COMMAND_LIST(LIN_COMMAND_ENUM)
#undef LIN_COMMAND_ENUM
};

const char *lin_command_name(enum lin_command command);

/* Options of SET. NX and XX exclude each other. */
enum lin_set_flag {
    LIN_SET_NX = 1,  /* only when the key is absent */
    LIN_SET_XX = 2,  /* only when it is there */
    LIN_SET_GET = 4, /* answers with the old value */
};

enum lin_outcome {
    LIN_ANSWERED = 0,
    LIN_UNKNOWN,
    LIN_FAILED,
};

enum lin_result_kind {
    LIN_RESULT_NONE = 0, /* of what was not answered */
    LIN_RESULT_OK,       /* SET, MSET, FLUSHALL */
    LIN_RESULT_NIL,      /* GET, SET */
    LIN_RESULT_BYTES,    /* GET, SET with GET */
    LIN_RESULT_INTEGER,  /* DEL, EXISTS, INCRBY, APPEND, STRLEN */
    LIN_RESULT_ARRAY,    /* MGET: one value a key, absent ones with data == NULL */
    LIN_RESULT_ERROR,    /* INCRBY: the value is no number, or the sum has no room */
};

struct lin_result {
    enum lin_result_kind kind;
    int64_t integer;
    struct ts_bytes bytes;
    const struct ts_bytes *array; /* as many as the operation has keys */
};

/* `end` of an operation whose end nobody saw. */
#define LIN_NEVER UINT64_MAX
/* The latest time that an operation may begin or end, in any unit. */
#define LIN_TIME_MAX ((uint64_t)INT64_MAX)

/* One operation. All it points to is borrowed for the call of lin_add. */
struct lin_op {
    uint64_t begin;
    uint64_t end;    /* >= begin; LIN_NEVER exactly when the outcome is unknown */
    uint32_t client; /* for people; clients may overlap themselves */
    uint32_t place;  /* the caller's own mark, given back in stories: a line number, an index */
    enum lin_command command;
    enum lin_outcome outcome;
    unsigned flags;                /* SET: enum lin_set_flag */
    int64_t by;                    /* INCRBY */
    size_t key_count;              /* 1; DEL, EXISTS, MGET, MSET: 1 or more; FLUSHALL: 0 */
    const struct ts_bytes *keys;   /* an empty one is a key like any other */
    const struct ts_bytes *values; /* SET, APPEND: one; MSET: one a key */
    struct lin_result result;
};

/* What is wrong with this operation, in a clause for people; NULL when nothing is. Static. */
const char *lin_op_wrong(const struct lin_op *op);

/* ---- the history ---- */

struct lin_limits {
    size_t memory_max;  /* bytes, for the history and the search in it; at least 64 KiB */
    uint64_t steps_max; /* configurations looked at by one lin_check, and by one lin_explain */
};

/* 64 MiB and 20 million steps: enough for a hundred thousand operations. */
struct lin_limits lin_limits_default(void);

struct lin;

/* Gives an empty history; NULL when the memory cannot be had, the only allocation there is. */
struct lin *lin_new(const struct lin_limits *limits);
/* NULL is allowed. */
void lin_free(struct lin *l);
/* Forgets all operations. Cheap; nothing is freed or allocated. */
void lin_clear(struct lin *l);

/* Adds an operation, in any order. Copies.
 * TS_ERR_MALFORMED: see lin_op_wrong. TS_ERR_FULL: no room within memory_max. */
enum ts_err lin_add(struct lin *l, const struct lin_op *op) TS_MUST_USE;

/* Operations added so far. */
size_t lin_count(const struct lin *l);
/* The operation added as number `index` (< lin_count), from 0 on. Borrowed until the next call of
 * another function than this one; every call borrows some more of memory_max. False when nothing of
 * that is left. */
bool lin_view(struct lin *l, size_t index, struct lin_op *out) TS_MUST_USE;

/* ---- the verdict ---- */

#define LIN_VERDICT_LIST(X) \
    X(LIN_LINEARIZABLE, "linearizable") \
    X(LIN_NOT_LINEARIZABLE, "not linearizable") \
    X(LIN_GAVE_UP, "gave up")

enum lin_verdict {
#define LIN_VERDICT_ENUM(sym, name) sym,
    LIN_VERDICT_LIST(LIN_VERDICT_ENUM)
#undef LIN_VERDICT_ENUM
};

const char *lin_verdict_name(enum lin_verdict v);

enum lin_method {
    LIN_BY_ZONES,  /* registers */
    LIN_BY_PLACES, /* lists and counters */
    LIN_BY_SEARCH,
    LIN_METHODS
};

#define LIN_STORY_MAX 64
#define LIN_WRITERS_MAX 16
#define LIN_HELD_MAX 8
#define LIN_NONE SIZE_MAX

struct lin_report {
    enum lin_verdict
        verdict; /* not linearizable, whatever else was given up, when one part is not */

    /* what was judged */
    size_t operations;
    size_t unknown;
    size_t failed;
    size_t keys;
    size_t parts;               /* keys, or sets of keys that commands join */
    size_t parts_wrong;         /* not linearizable */
    size_t parts_given_up;      /* neither proved nor refuted within the limits */
    size_t method[LIN_METHODS]; /* parts by how they were judged */

    /* what it took */
    uint64_t steps;
    size_t memory; /* bytes, at the most */
    bool out_of_steps;
    bool out_of_memory; /* the reason of a part that was given up */

    /* The first operation, by index, of the first part that is wrong; without one, of the first
     * that was given up; LIN_NONE without either. It names the part. */
    size_t part_op;
    size_t part_keys; /* how many keys that part has */
};

/* Judges all operations. */
void lin_check(struct lin *l, struct lin_report *report);

/* Why a part is not linearizable: a few of its operations that no order explains, whatever effect
 * all its others had. */
struct lin_story {
    size_t part_ops;     /* operations that were looked at, failed ones not counted */
    bool projected;      /* of a part of several keys, only what `key` saw: it is wrong by itself */
    struct ts_bytes key; /* with projected; borrowed as lin_view's */
    size_t count;        /* operations of the story, by their begin; LIN_STORY_MAX are kept */
    size_t op[LIN_STORY_MAX];
    size_t writer_count; /* operations that are not needed, but wrote what the story's ones read: */
    size_t writer[LIN_WRITERS_MAX]; /* for people */
    size_t left_out;                /* answered ones that do not matter to the story */
    size_t unknown;                 /* of unknown outcome, tried at every moment and not at all */
    bool minimal;                   /* no operation can be left out of this story */
    size_t last;    /* which of op[] ended last: the answer that has no explanation */
    size_t source;  /* with a last one that read a value: an operation that would have written it,
                       but failed, or began too late; LIN_NONE: there is none */
    bool unwritten; /* no operation at all writes the value that the last one read */

    /* What the only key may have held between the begin and the end of the last one, by the others
     * of the story alone. Given when held_known. */
    bool held_known;
    size_t held_count;
    struct ts_bytes held[LIN_HELD_MAX]; /* absent: data == NULL; borrowed as lin_view's */
};

/* Explains the part that contains operation `part_op`, which must be one that lin_check found
 * wrong. Within steps_max: what cannot be made smaller in time stays as it is. False, without a
 * story, when it could not be refuted once more. */
bool lin_explain(struct lin *l, size_t part_op, struct lin_story *story);

#endif

/* Identifiers, positions and times: one-field structs, so that the compiler
 * refuses to mix them up. All are plain values; zero means "none" for each
 * of them unless said otherwise. */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <stdbool.h>
#include <stdint.h>

/* A node (NIC or arbiter) of the cluster: 1..63, from the cluster file's order. */
struct ts_nic_id {
    uint16_t v;
};

/* A group (one replicated service): 1..63, from the cluster file's order. */
struct ts_group_id {
    uint16_t v;
};

/* The number of a group's configuration; a higher one fences all lower ones. */
struct ts_epoch {
    uint64_t v;
};

/* A position in a group's input log; the first entry is 1. */
struct ts_seq {
    uint64_t v;
};

/* Random id of a replica's or voter's disk, minted when it is formatted. */
struct ts_incarnation {
    uint64_t v;
};

/* Random id of one run of a process. */
struct ts_instance {
    uint64_t v;
};

/* Monotonic local time, nanoseconds. Comparable within one machine and boot only. */
struct ts_mono {
    uint64_t ns;
};

/* A group's logical clock (R2.2): nanoseconds since the Unix epoch as the log
 * tells it. Never goes back; equal on every replica at an equal seq. */
struct ts_ltime {
    uint64_t ns;
};

/* 128-bit chain hash or digest; all zero before the first entry. */
struct ts_hash {
    uint64_t lo;
    uint64_t hi;
};

#define TS_NODES_MAX 63
#define TS_GROUPS_MAX 63
#define TS_VOTERS_MAX 5
#define TS_MEMBERS_MAX 8
#define TS_PATHS_MAX 4

#define TS_NS_PER_US 1000ULL
#define TS_NS_PER_MS 1000000ULL
#define TS_NS_PER_S 1000000000ULL

static inline bool ts_nic_eq(struct ts_nic_id a, struct ts_nic_id b)
{
    return a.v == b.v;
}

static inline bool ts_epoch_eq(struct ts_epoch a, struct ts_epoch b)
{
    return a.v == b.v;
}

static inline bool ts_epoch_lt(struct ts_epoch a, struct ts_epoch b)
{
    return a.v < b.v;
}

static inline struct ts_epoch ts_epoch_next(struct ts_epoch e)
{
    return (struct ts_epoch){e.v + 1};
}

static inline bool ts_seq_eq(struct ts_seq a, struct ts_seq b)
{
    return a.v == b.v;
}

static inline bool ts_seq_lt(struct ts_seq a, struct ts_seq b)
{
    return a.v < b.v;
}

static inline struct ts_seq ts_seq_add(struct ts_seq s, uint64_t n)
{
    return (struct ts_seq){s.v + n};
}

static inline struct ts_seq ts_seq_min(struct ts_seq a, struct ts_seq b)
{
    return a.v < b.v ? a : b;
}

static inline struct ts_seq ts_seq_max(struct ts_seq a, struct ts_seq b)
{
    return a.v > b.v ? a : b;
}

static inline bool ts_incarnation_eq(struct ts_incarnation a, struct ts_incarnation b)
{
    return a.v == b.v;
}

static inline bool ts_instance_eq(struct ts_instance a, struct ts_instance b)
{
    return a.v == b.v;
}

static inline bool ts_hash_eq(struct ts_hash a, struct ts_hash b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

static inline bool ts_mono_lt(struct ts_mono a, struct ts_mono b)
{
    return a.ns < b.ns;
}

static inline struct ts_mono ts_mono_add(struct ts_mono t, uint64_t ns)
{
    return (struct ts_mono){t.ns + ns};
}

/* Nanoseconds from `from` to `to`; 0 when `to` is not later. */
static inline uint64_t ts_mono_since(struct ts_mono from, struct ts_mono to)
{
    return to.ns > from.ns ? to.ns - from.ns : 0;
}

#define TS_MONO_NEVER ((struct ts_mono){UINT64_MAX})

#endif

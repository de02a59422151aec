/* Inside kv: the state, and the context in which one command runs. */
#ifndef SERVICES_KV_STATE_H
#define SERVICES_KV_STATE_H

#include "services/kv/commands.h"
#include "services/kv/glob.h"
#include "services/kv/kv.h"
#include "services/kv/limits.h"
#include "services/kv/payload.h"
#include "services/kv/store.h"

struct kv_load;
struct kv_walk;

struct kv_state {
    /* config */
    struct kv_limits limits;
    /* owned */
    struct kv_load *load; /* while one is under way */
    struct kv_walk *walk; /* for the one that may be */
    /* replicated */
    struct kv_store store;
    struct ts_ltime time; /* of the last applied entry */
    uint64_t expired;
    /* within the entry being applied: the store's versions in which a lease was last granted to a
     * new holder, and in which one that was granted in the same version has ended */
    uint64_t lease_granted;
    uint64_t lease_ended;
    /* statistics, replicated too */
    uint64_t hits;
    uint64_t misses;
};

/* One command being carried out. */
struct kv_call {
    const struct kv_state *kv;
    struct kv_state *mut; /* the same state in apply; NULL in a read, which must not change it */
    const struct kv_command *command;
    bool within;           /* a transaction */
    struct ts_epoch epoch; /* of the entry, in apply */
    struct kv_payload payload;
    struct resp_writer reply;
    uint64_t now_ms;
    uint64_t steps; /* that its comparisons may still take, those of a transaction together */
    uint64_t bytes; /* that a transaction may still write beyond those it came with */
};

/* These take as long as KV_STEPS_MAX steps, about. */
#define KV_EXEC_BYTES_MAX (1U << 23)

#define KV_MS_PER_S 1000

/* The most of LCS' answer: of two values of 1,024 bytes every other byte is a match, of about 90
 * bytes as text. */
#define KV_LCS_REPLY (128U * 1024U)

/* A transaction's answers may have so many times the bytes of one command's. */
#define KV_EXEC_REPLIES 2

/* Carries one payload out; its answer has at most reply_max bytes. c->kv, mut and now_ms are set.
 */
void kv_run_payload(struct kv_call *c, struct ts_bytes payload, struct svc_out *out,
                    size_t reply_max);

/* The next word of the request; {NULL, 0} past the last one. */
struct ts_bytes kv_word(struct kv_call *c);
/* Words behind the name. */
uint32_t kv_words(const struct kv_call *c);

/* The live entry of this key; NULL when it is absent or its time has come. In apply an
 * expired one is removed. Counts a hit or a miss in apply. */
struct kv_entry *kv_lookup(struct kv_call *c, struct ts_bytes key);
void kv_delete(struct kv_call *c, struct kv_entry *e);

/* Whether key and value are within the limits; otherwise the error is written. */
bool kv_key_ok(struct kv_call *c, struct ts_bytes key);
bool kv_value_ok(struct kv_call *c, size_t len);
/* The value of `e`, which may be NULL. */
void kv_put_value(struct kv_call *c, const struct kv_entry *e);
/* Gives the key this value; `e` is its entry, or NULL: it is created. Its expiry stays. */
struct kv_entry *kv_set(struct kv_call *c, struct kv_entry *e, struct ts_bytes key,
                        struct ts_bytes value);
/* A number, or the error that Redis gives is written. */
bool kv_number(struct kv_call *c, struct ts_bytes word, int64_t *out);

/* The answer to what the front-end never sends: the log's bytes are not trusted. */
void kv_payload_error(struct kv_call *c, enum ts_err err);
/* "ERR syntax error" */
void kv_syntax_error(struct kv_call *c);
/* "ERR invalid expire time in 'set' command" */
void kv_expire_error(struct kv_call *c);

/* Removes up to `max` keys whose time has come, the earliest first. */
void kv_sweep(struct kv_state *kv, size_t max);

/* The families' handlers. */
void kv_run_get(struct kv_call *c);
void kv_run_set(struct kv_call *c);
void kv_run_mget(struct kv_call *c);
void kv_run_mset(struct kv_call *c);
void kv_run_append(struct kv_call *c);
void kv_run_strlen(struct kv_call *c);
void kv_run_getex(struct kv_call *c);
void kv_run_getdel(struct kv_call *c);
void kv_run_getset(struct kv_call *c);
void kv_run_setnx(struct kv_call *c);
void kv_run_setex(struct kv_call *c);
void kv_run_psetex(struct kv_call *c);
void kv_run_msetnx(struct kv_call *c);
void kv_run_getrange(struct kv_call *c);
void kv_run_setrange(struct kv_call *c);
void kv_run_incr(struct kv_call *c);
void kv_run_decr(struct kv_call *c);
void kv_run_incrby(struct kv_call *c);
void kv_run_decrby(struct kv_call *c);
void kv_run_del(struct kv_call *c);
void kv_run_exists(struct kv_call *c);
void kv_run_type(struct kv_call *c);
void kv_run_rename(struct kv_call *c);
void kv_run_renamenx(struct kv_call *c);
void kv_run_keys(struct kv_call *c);
void kv_run_scan(struct kv_call *c);
void kv_run_randomkey(struct kv_call *c);
void kv_run_expire(struct kv_call *c);
void kv_run_pexpire(struct kv_call *c);
void kv_run_expireat(struct kv_call *c);
void kv_run_pexpireat(struct kv_call *c);
void kv_run_expiretime(struct kv_call *c);
void kv_run_pexpiretime(struct kv_call *c);
void kv_run_ttl(struct kv_call *c);
void kv_run_pttl(struct kv_call *c);
void kv_run_persist(struct kv_call *c);
void kv_run_flush(struct kv_call *c);
void kv_run_dbsize(struct kv_call *c);
void kv_run_time(struct kv_call *c);
void kv_run_exec(struct kv_call *c);
void kv_run_watch(struct kv_call *c);
void kv_run_lease_grant(struct kv_call *c);
void kv_run_lease_keep(struct kv_call *c);
void kv_run_lease_release(struct kv_call *c);
void kv_run_lease_get(struct kv_call *c);
void kv_run_incrbyfloat(struct kv_call *c);
void kv_run_copy(struct kv_call *c);
void kv_run_setbit(struct kv_call *c);
void kv_run_getbit(struct kv_call *c);
void kv_run_lcs(struct kv_call *c);
void kv_run_object(struct kv_call *c);
void kv_run_literal(struct kv_call *c);

#endif

/* The one table of commands: what each is called, how many words it takes, how
 * the front-end treats it, who carries it out. COMMAND answers from it too. */
#ifndef SERVICES_KV_COMMANDS_H
#define SERVICES_KV_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* How a command is treated. Exactly one of LOCAL, READ, WRITE is set. */
enum kv_command_flag {
    KV_CMD_LOCAL = 1 << 0, /* touches no replicated state: the front-end answers at once */
    KV_CMD_READ = 1 << 1,  /* reads the state only */
    KV_CMD_WRITE = 1 << 2, /* may change the state: always a log entry */
    KV_CMD_TIMED = 1 << 3, /* its answer shows logical time: a log entry even when it reads only */
    KV_CMD_DENYOOM = 1 << 4, /* refused when logical memory is exhausted */
    KV_CMD_FAST = 1 << 5,    /* for COMMAND's answer */
    KV_CMD_ADMIN = 1 << 6,   /* for COMMAND's answer */
};

/* Ids stand in payloads on disk and wire: never renumber, never reuse. */
enum kv_command_id {
    KV_NONE = 0,
    KV_GET = 1,
    KV_SET = 2,
    KV_DEL = 3,
    KV_EXISTS = 4,
    KV_MGET = 5,
    KV_MSET = 6,
    KV_INCR = 7,
    KV_DECR = 8,
    KV_INCRBY = 9,
    KV_DECRBY = 10,
    KV_APPEND = 11,
    KV_STRLEN = 12,
    KV_EXPIRE = 13,
    KV_PEXPIRE = 14,
    KV_TTL = 15,
    KV_PTTL = 16,
    KV_PERSIST = 17,
    KV_FLUSHALL = 18,
    KV_FLUSHDB = 19,
    KV_DBSIZE = 20,
    KV_TIME = 21,
    KV_GETEX = 22,
    KV_GETDEL = 23,
    KV_GETSET = 24,
    KV_SETNX = 25,
    KV_SETEX = 26,
    KV_PSETEX = 27,
    KV_MSETNX = 28,
    KV_GETRANGE = 29,
    KV_SUBSTR = 30,
    KV_SETRANGE = 31,
    KV_UNLINK = 32,
    KV_TOUCH = 33,
    KV_TYPE = 34,
    KV_RENAME = 35,
    KV_RENAMENX = 36,
    KV_EXPIREAT = 37,
    KV_PEXPIREAT = 38,
    KV_EXPIRETIME = 39,
    KV_PEXPIRETIME = 40,
    KV_KEYS = 41,
    KV_SCAN = 42,
    KV_RANDOMKEY = 43,
    KV_EXEC = 44,  /* a transaction, composed by the front-end: see transaction.c */
    KV_WATCH = 45, /* answers with versions, for the front-end */
    KV_STATE_LAST = KV_WATCH,
    KV_LITERAL = 46, /* within a transaction: answers with its word */
    KV_LEASE_GRANT = 47,
    KV_LEASE_KEEP = 48,
    KV_LEASE_RELEASE = 49,
    KV_LEASE_GET = 50,
    KV_INCRBYFLOAT = 64,
    KV_COPY = 65,
    KV_SETBIT = 66,
    KV_GETBIT = 67,
    KV_LCS = 68,
    KV_OBJECT = 69,
    /* local commands: never in a payload */
    KV_PING = 128,
    KV_ECHO = 129,
    KV_HELLO = 130,
    KV_QUIT = 131,
    KV_SELECT = 132,
    KV_CLIENT = 133,
    KV_COMMAND = 134,
    KV_CONFIG = 135,
    KV_INFO = 136,
    KV_ROLE = 137,
    KV_MULTI = 138,
    KV_DISCARD = 139,
    KV_UNWATCH = 140,
    KV_SENTINEL = 141,
    KV_SUBSCRIBE = 142,
    KV_UNSUBSCRIBE = 143,
    KV_PSUBSCRIBE = 144,
    KV_PUNSUBSCRIBE = 145,
    KV_PUBLISH = 146,
    KV_PUBSUB = 147,
    KV_RESET = 148,
    KV_WAIT = 149,
    KV_AUTH = 150,
    KV_FUNCTION = 160,
    KV_SCRIPT = 161,
    KV_SESSION_OPEN = 151,
    KV_SESSION_RESUME = 152,
    KV_SESSION_ACK = 153,
    KV_SESSION_CLOSE = 154,
    KV_SESSION_NEXT = 155,
    KV_CLUSTER = 162,
    KV_READONLY = 163,
    KV_READWRITE = 164,
    KV_ACL = 165,
    KV_SESSION_CARRY = 166,
};

struct kv_call;

struct kv_command {
    const char *name; /* lower case */
    uint8_t id;       /* enum kv_command_id */
    int8_t arity;     /* words with the name; negative: at least that many */
    uint16_t flags;   /* enum kv_command_flag */
    int8_t first_key; /* for COMMAND: 0 = no keys */
    int8_t last_key;
    int8_t key_step;
    /* Carries it out; NULL for LOCAL. */
    void (*run)(struct kv_call *call);
    const char *summary;
};

/* The command of this name (any case), NULL when there is none. */
const struct kv_command *kv_command_find(struct ts_bytes name);
/* The command with this id, NULL when there is none. */
const struct kv_command *kv_command_by_id(uint8_t id);
/* Whether so many words, the name counted, are allowed. */
bool kv_command_arity_ok(const struct kv_command *c, size_t argc);
/* Whether it is OBJECT with words that it does not know, as which it is not taken into a
 * transaction: the error is in `text`. */
bool kv_object_refuses(const struct kv_command *c, const struct ts_bytes *args, size_t argc,
                       char *text, size_t cap);
/* The whole table, for COMMAND. */
const struct kv_command *kv_command_table(size_t *count);

#endif

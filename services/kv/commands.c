#include "services/kv/commands.h"

#include <string.h>

#include "services/kv/state.h"
#include "services/resp.h"

#define R KV_CMD_READ
#define W KV_CMD_WRITE
#define L KV_CMD_LOCAL
#define OOM KV_CMD_DENYOOM
#define FAST KV_CMD_FAST
#define TIMED KV_CMD_TIMED
#define ADMIN KV_CMD_ADMIN

/* name, id, arity, flags, first key, last key, step, handler, summary */
static const struct kv_command table[] = {
    {"get", KV_GET, 2, R | FAST, 1, 1, 1, kv_run_get, "Get the value of a key"},
    {"set", KV_SET, -3, W | OOM, 1, 1, 1, kv_run_set, "Set the string value of a key"},
    {"del", KV_DEL, -2, W, 1, -1, 1, kv_run_del, "Delete a key"},
    {"exists", KV_EXISTS, -2, R | FAST, 1, -1, 1, kv_run_exists, "Determine if a key exists"},
    {"mget", KV_MGET, -2, R | FAST, 1, -1, 1, kv_run_mget, "Get the values of all the given keys"},
    {"mset", KV_MSET, -3, W | OOM, 1, -1, 2, kv_run_mset, "Set multiple keys to multiple values"},
    {"incr", KV_INCR, 2, W | OOM | FAST, 1, 1, 1, kv_run_incr,
     "Increment the integer value of a key by one"},
    {"decr", KV_DECR, 2, W | OOM | FAST, 1, 1, 1, kv_run_decr,
     "Decrement the integer value of a key by one"},
    {"incrby", KV_INCRBY, 3, W | OOM | FAST, 1, 1, 1, kv_run_incrby,
     "Increment the integer value of a key by the given amount"},
    {"decrby", KV_DECRBY, 3, W | OOM | FAST, 1, 1, 1, kv_run_decrby,
     "Decrement the integer value of a key by the given number"},
    {"append", KV_APPEND, 3, W | OOM | FAST, 1, 1, 1, kv_run_append, "Append a value to a key"},
    {"strlen", KV_STRLEN, 2, R | FAST, 1, 1, 1, kv_run_strlen,
     "Get the length of the value stored in a key"},
    {"expire", KV_EXPIRE, -3, W | FAST, 1, 1, 1, kv_run_expire,
     "Set a key's time to live in seconds"},
    {"pexpire", KV_PEXPIRE, -3, W | FAST, 1, 1, 1, kv_run_pexpire,
     "Set a key's time to live in milliseconds"},
    {"ttl", KV_TTL, 2, R | TIMED | FAST, 1, 1, 1, kv_run_ttl,
     "Get the time to live for a key in seconds"},
    {"pttl", KV_PTTL, 2, R | TIMED | FAST, 1, 1, 1, kv_run_pttl,
     "Get the time to live for a key in milliseconds"},
    {"persist", KV_PERSIST, 2, W | FAST, 1, 1, 1, kv_run_persist,
     "Remove the expiration from a key"},
    {"flushall", KV_FLUSHALL, -1, W, 0, 0, 0, kv_run_flush, "Remove all keys"},
    {"flushdb", KV_FLUSHDB, -1, W, 0, 0, 0, kv_run_flush, "Remove all keys"},
    {"dbsize", KV_DBSIZE, 1, R | FAST, 0, 0, 0, kv_run_dbsize, "Return the number of keys"},
    {"time", KV_TIME, 1, R | TIMED | FAST, 0, 0, 0, kv_run_time, "Return the group's logical time"},
    {"getex", KV_GETEX, -2, W | FAST, 1, 1, 1, kv_run_getex,
     "Get the value of a key and set its expiration"},
    {"getdel", KV_GETDEL, 2, W | FAST, 1, 1, 1, kv_run_getdel,
     "Get the value of a key and delete the key"},
    {"getset", KV_GETSET, 3, W | OOM | FAST, 1, 1, 1, kv_run_getset,
     "Set the string value of a key and return its old value"},
    {"setnx", KV_SETNX, 3, W | OOM | FAST, 1, 1, 1, kv_run_setnx,
     "Set the value of a key, only if the key does not exist"},
    {"setex", KV_SETEX, 4, W | OOM, 1, 1, 1, kv_run_setex,
     "Set the value and expiration of a key, in seconds"},
    {"psetex", KV_PSETEX, 4, W | OOM, 1, 1, 1, kv_run_psetex,
     "Set the value and expiration of a key, in milliseconds"},
    {"msetnx", KV_MSETNX, -3, W | OOM, 1, -1, 2, kv_run_msetnx,
     "Set multiple keys to multiple values, only if none of the keys exist"},
    {"getrange", KV_GETRANGE, 4, R, 1, 1, 1, kv_run_getrange,
     "Get a substring of the string stored at a key"},
    {"substr", KV_SUBSTR, 4, R, 1, 1, 1, kv_run_getrange,
     "Get a substring of the string stored at a key"},
    {"setrange", KV_SETRANGE, 4, W | OOM, 1, 1, 1, kv_run_setrange,
     "Overwrite part of a string at key starting at the specified offset"},
    {"unlink", KV_UNLINK, -2, W | FAST, 1, -1, 1, kv_run_del, "Delete a key"},
    {"touch", KV_TOUCH, -2, R | FAST, 1, -1, 1, kv_run_exists, "Count the keys that exist"},
    {"type", KV_TYPE, 2, R | FAST, 1, 1, 1, kv_run_type, "Determine the type stored at key"},
    {"rename", KV_RENAME, 3, W, 1, 2, 1, kv_run_rename, "Rename a key"},
    {"renamenx", KV_RENAMENX, 3, W | FAST, 1, 2, 1, kv_run_renamenx,
     "Rename a key, only if the new key does not exist"},
    {"expireat", KV_EXPIREAT, -3, W | FAST, 1, 1, 1, kv_run_expireat,
     "Set the expiration for a key as a UNIX timestamp"},
    {"pexpireat", KV_PEXPIREAT, -3, W | FAST, 1, 1, 1, kv_run_pexpireat,
     "Set the expiration for a key as a UNIX timestamp specified in milliseconds"},
    {"expiretime", KV_EXPIRETIME, 2, R | FAST, 1, 1, 1, kv_run_expiretime,
     "Get the expiration Unix timestamp for a key"},
    {"pexpiretime", KV_PEXPIRETIME, 2, R | FAST, 1, 1, 1, kv_run_pexpiretime,
     "Get the expiration Unix timestamp for a key in milliseconds"},
    {"keys", KV_KEYS, 2, R, 0, 0, 0, kv_run_keys, "Find all keys matching the given pattern"},
    {"scan", KV_SCAN, -2, R, 0, 0, 0, kv_run_scan, "Incrementally iterate the keys"},
    {"randomkey", KV_RANDOMKEY, 1, R | TIMED, 0, 0, 0, kv_run_randomkey, "Return a random key"},
    {"exec", KV_EXEC, 1, W, 0, 0, 0, kv_run_exec, "Execute all commands in a transaction"},
    {"watch", KV_WATCH, -2, R | TIMED | FAST, 1, -1, 1, kv_run_watch,
     "Watch the given keys to determine the execution of a transaction"},
    {"lease.grant", KV_LEASE_GRANT, 4, W | OOM | FAST, 1, 1, 1, kv_run_lease_grant,
     "Give a lease to an owner for some milliseconds, with a fencing token"},
    {"lease.keep", KV_LEASE_KEEP, 4, W | FAST, 1, 1, 1, kv_run_lease_keep,
     "Keep a lease for some more milliseconds"},
    {"lease.release", KV_LEASE_RELEASE, 3, W | FAST, 1, 1, 1, kv_run_lease_release,
     "Give a lease back"},
    {"lease.get", KV_LEASE_GET, 2, R | TIMED | FAST, 1, 1, 1, kv_run_lease_get,
     "Get a lease's owner, its token and how long it lasts"},
    {"incrbyfloat", KV_INCRBYFLOAT, 3, W | OOM | FAST, 1, 1, 1, kv_run_incrbyfloat,
     "Increment the decimal value of a key by the given amount"},
    {"copy", KV_COPY, -3, W | OOM, 1, 2, 1, kv_run_copy, "Copy a key"},
    {"setbit", KV_SETBIT, 4, W | OOM, 1, 1, 1, kv_run_setbit,
     "Set or clear the bit at offset in the string value stored at key"},
    {"getbit", KV_GETBIT, 3, R | FAST, 1, 1, 1, kv_run_getbit,
     "Get the bit at offset in the string value stored at key"},
    {"lcs", KV_LCS, -3, R, 1, 2, 1, kv_run_lcs, "Find the longest common subsequence of two keys"},
    {"object", KV_OBJECT, -2, R, 2, 2, 1, kv_run_object, "Tell how a key is stored"},
    {"ping", KV_PING, -1, L | FAST, 0, 0, 0, NULL, "Ping the server"},
    {"echo", KV_ECHO, 2, L | FAST, 0, 0, 0, NULL, "Echo the given string"},
    {"hello", KV_HELLO, -1, L | FAST, 0, 0, 0, NULL, "Handshake with the server"},
    {"quit", KV_QUIT, -1, L | FAST, 0, 0, 0, NULL, "Close the connection"},
    {"select", KV_SELECT, 2, L | FAST, 0, 0, 0, NULL, "Change the selected database: 0 only"},
    {"client", KV_CLIENT, -2, L, 0, 0, 0, NULL, "A container for client connection commands"},
    {"command", KV_COMMAND, -1, L, 0, 0, 0, NULL, "Get details about the commands"},
    {"config", KV_CONFIG, -2, L | ADMIN, 0, 0, 0, NULL, "Get configuration parameters"},
    {"info", KV_INFO, -1, L, 0, 0, 0, NULL, "Get information about this replica and its group"},
    {"multi", KV_MULTI, 1, L | FAST, 0, 0, 0, NULL, "Mark the start of a transaction"},
    {"discard", KV_DISCARD, 1, L | FAST, 0, 0, 0, NULL, "Discard a transaction"},
    {"unwatch", KV_UNWATCH, 1, L | FAST, 0, 0, 0, NULL, "Forget about all watched keys"},
    {"role", KV_ROLE, 1, L | FAST, 0, 0, 0, NULL, "Return the role of this replica"},
    {"sentinel", KV_SENTINEL, -2, L | ADMIN, 0, 0, 0, NULL,
     "Tell the group's members as Redis' Sentinel does"},
    {"subscribe", KV_SUBSCRIBE, -2, L, 0, 0, 0, NULL, "Listen for messages to the given channels"},
    {"unsubscribe", KV_UNSUBSCRIBE, -1, L, 0, 0, 0, NULL, "Stop listening to the given channels"},
    {"psubscribe", KV_PSUBSCRIBE, -2, L, 0, 0, 0, NULL,
     "Listen for messages to channels that match the given patterns"},
    {"punsubscribe", KV_PUNSUBSCRIBE, -1, L, 0, 0, 0, NULL,
     "Stop listening to channels that match the given patterns"},
    {"publish", KV_PUBLISH, 3, L | FAST, 0, 0, 0, NULL,
     "Send a message to the subscribers of a channel on this NIC"},
    {"pubsub", KV_PUBSUB, -2, L, 0, 0, 0, NULL, "Tell about channels and their subscribers"},
    {"reset", KV_RESET, 1, L | FAST, 0, 0, 0, NULL, "Reset the connection"},
    {"session.open", KV_SESSION_OPEN, 2, L | FAST, 0, 0, 0, NULL,
     "Open a session, whose writes are executed exactly once"},
    {"session.resume", KV_SESSION_RESUME, 3, L, 0, 0, 0, NULL,
     "Go on with a session on this connection, and get the replies after a number"},
    {"session.ack", KV_SESSION_ACK, 2, L | FAST, 0, 0, 0, NULL,
     "Acknowledge the replies of the session up to a number"},
    {"session.next", KV_SESSION_NEXT, 2, L | FAST, 0, 0, 0, NULL,
     "Set the number of the next write of the session"},
    {"session.close", KV_SESSION_CLOSE, 1, L | FAST, 0, 0, 0, NULL, "End the session"},
    {"session.carry", KV_SESSION_CARRY, 4, L | FAST, 0, 0, 0, NULL,
     "Go on with a connection of a session that another NIC hands over"},
    {"auth", KV_AUTH, -2, L | FAST, 0, 0, 0, NULL, "Tell who the connection is"},
    {"function", KV_FUNCTION, -2, L, 0, 0, 0, NULL, "There are no functions"},
    {"script", KV_SCRIPT, -2, L, 0, 0, 0, NULL, "There are no scripts"},
    {"acl", KV_ACL, -2, L, 0, 0, 0, NULL, "A container for commands about users"},
    {"cluster", KV_CLUSTER, -2, L, 0, 0, 0, NULL, "There is no cluster of slots"},
    {"readonly", KV_READONLY, 1, L | FAST, 0, 0, 0, NULL, "There is no cluster of slots"},
    {"readwrite", KV_READWRITE, 1, L | FAST, 0, 0, 0, NULL, "There is no cluster of slots"},
    {"wait", KV_WAIT, 3, L, 0, 0, 0, NULL,
     "Wait until so many replicas are in sync besides the primary"},
};

#define TABLE_LEN (sizeof(table) / sizeof(table[0]))

/* No client's command: it has no name. */
static const struct kv_command literal = {"", KV_LITERAL, 2, R, 0, 0, 0, kv_run_literal, ""};

const struct kv_command *kv_command_find(struct ts_bytes name)
{
    if (name.len == 0) {
        return NULL;
    }
    /* The first letter sorts out nearly all of the table before a comparison is made. */
    char first = (char)(name.data[0] | 0x20);
    for (size_t i = 0; i < TABLE_LEN; i++) {
        if (table[i].name[0] == first && resp_word_is(name, table[i].name)) {
            return &table[i];
        }
    }
    return NULL;
}

const struct kv_command *kv_command_by_id(uint8_t id)
{
    /* State commands stand in the order of their ids, from 1 on (a unit test holds that). */
    if (id >= KV_GET && id <= KV_STATE_LAST) {
        return &table[id - KV_GET];
    }
    if (id == KV_LITERAL) {
        return &literal;
    }
    for (size_t i = KV_STATE_LAST; i < TABLE_LEN; i++) {
        if (table[i].id == id) {
            return &table[i];
        }
    }
    return NULL;
}

bool kv_command_arity_ok(const struct kv_command *c, size_t argc)
{
    if (c->arity >= 0) {
        return argc == (size_t)c->arity;
    }
    return argc >= (size_t)(-(int)c->arity);
}

const struct kv_command *kv_command_table(size_t *count)
{
    *count = TABLE_LEN;
    return table;
}

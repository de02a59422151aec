/* What a command is to COMMAND and ACL: Redis' flags and categories. Mostly they follow from the
 * table of commands; those that do not stand here (compared with a real redis-server by a test). */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"

#define WRITE RESP_SHOWN_WRITE
#define READ RESP_SHOWN_READONLY
#define PUB RESP_SHOWN_PUBSUB
#define NOS RESP_SHOWN_NOSCRIPT
#define ANY (RESP_SHOWN_LOADING | RESP_SHOWN_STALE) /* in whatever state a server is */
#define FAST RESP_SHOWN_FAST
#define FREE (RESP_SHOWN_NO_AUTH | RESP_SHOWN_ALLOW_BUSY)
#define GIVEN (1U << 31) /* these, instead of what the table of commands says */

#define C(name) (1U << RESP_CATEGORY_##name)

static const uint32_t given_flags[UINT8_MAX + 1] = {
    [KV_TIME] = GIVEN | ANY | FAST,
    [KV_EXEC] = GIVEN | NOS | ANY | RESP_SHOWN_SKIP_SLOWLOG,
    [KV_WATCH] = GIVEN | NOS | ANY | FAST | RESP_SHOWN_ALLOW_BUSY,
    [KV_MULTI] = GIVEN | NOS | ANY | FAST | RESP_SHOWN_ALLOW_BUSY,
    [KV_DISCARD] = GIVEN | NOS | ANY | FAST | RESP_SHOWN_ALLOW_BUSY,
    [KV_UNWATCH] = GIVEN | NOS | ANY | FAST | RESP_SHOWN_ALLOW_BUSY,
    [KV_ECHO] = GIVEN | ANY | FAST,
    [KV_SELECT] = GIVEN | ANY | FAST,
    [KV_READONLY] = GIVEN | ANY | FAST,
    [KV_READWRITE] = GIVEN | ANY | FAST,
    [KV_HELLO] = GIVEN | NOS | ANY | FAST | FREE,
    [KV_QUIT] = GIVEN | NOS | ANY | FAST | FREE,
    [KV_RESET] = GIVEN | NOS | ANY | FAST | FREE,
    [KV_AUTH] = GIVEN | NOS | ANY | FAST | FREE,
    [KV_ROLE] = GIVEN | NOS | ANY | FAST,
    [KV_COMMAND] = GIVEN | ANY,
    [KV_INFO] = GIVEN | ANY,
    [KV_WAIT] = GIVEN | NOS,
    [KV_SUBSCRIBE] = GIVEN | PUB | NOS | ANY,
    [KV_UNSUBSCRIBE] = GIVEN | PUB | NOS | ANY,
    [KV_PSUBSCRIBE] = GIVEN | PUB | NOS | ANY,
    [KV_PUNSUBSCRIBE] = GIVEN | PUB | NOS | ANY,
    [KV_PUBLISH] = GIVEN | PUB | ANY | FAST,
    /* what they hold has flags of its own */
    [KV_OBJECT] = GIVEN,
    [KV_ACL] = GIVEN,
    [KV_CLIENT] = GIVEN,
    [KV_CONFIG] = GIVEN,
    [KV_PUBSUB] = GIVEN,
    [KV_FUNCTION] = GIVEN,
    [KV_SCRIPT] = GIVEN,
    [KV_CLUSTER] = GIVEN,
    [KV_SENTINEL] = GIVEN,
};

/* Strings are what is not named here. */
static const uint32_t groups[UINT8_MAX + 1] = {
    [KV_DEL] = C(KEYSPACE),
    [KV_EXISTS] = C(KEYSPACE),
    [KV_EXPIRE] = C(KEYSPACE),
    [KV_PEXPIRE] = C(KEYSPACE),
    [KV_TTL] = C(KEYSPACE),
    [KV_PTTL] = C(KEYSPACE),
    [KV_PERSIST] = C(KEYSPACE),
    [KV_FLUSHALL] = C(KEYSPACE) | C(DANGEROUS),
    [KV_DBSIZE] = C(KEYSPACE),
    [KV_FLUSHDB] = C(KEYSPACE) | C(DANGEROUS),
    [KV_UNLINK] = C(KEYSPACE),
    [KV_TOUCH] = C(KEYSPACE),
    [KV_TYPE] = C(KEYSPACE),
    [KV_RENAME] = C(KEYSPACE),
    [KV_RENAMENX] = C(KEYSPACE),
    [KV_EXPIREAT] = C(KEYSPACE),
    [KV_PEXPIREAT] = C(KEYSPACE),
    [KV_EXPIRETIME] = C(KEYSPACE),
    [KV_SCAN] = C(KEYSPACE),
    [KV_PEXPIRETIME] = C(KEYSPACE),
    [KV_RANDOMKEY] = C(KEYSPACE),
    [KV_KEYS] = C(KEYSPACE) | C(DANGEROUS),
    [KV_COPY] = C(KEYSPACE),
    [KV_SETBIT] = C(BITMAP),
    [KV_GETBIT] = C(BITMAP),
    [KV_EXEC] = C(TRANSACTION),
    [KV_WATCH] = C(TRANSACTION),
    [KV_MULTI] = C(TRANSACTION),
    [KV_DISCARD] = C(TRANSACTION),
    [KV_UNWATCH] = C(TRANSACTION),
    [KV_PING] = C(CONNECTION),
    [KV_ECHO] = C(CONNECTION),
    [KV_HELLO] = C(CONNECTION),
    [KV_QUIT] = C(CONNECTION),
    [KV_SELECT] = C(CONNECTION),
    [KV_COMMAND] = C(CONNECTION),
    [KV_RESET] = C(CONNECTION),
    [KV_AUTH] = C(CONNECTION),
    [KV_READONLY] = C(CONNECTION),
    [KV_READWRITE] = C(CONNECTION),
    [KV_WAIT] = C(CONNECTION),
    [KV_INFO] = C(DANGEROUS),
    [KV_ROLE] = C(ADMIN) | C(DANGEROUS),
};

/* Of what these hold. */
static const uint32_t member_groups[UINT8_MAX + 1] = {
    [KV_CLIENT] = C(CONNECTION), [KV_COMMAND] = C(CONNECTION), [KV_FUNCTION] = C(SCRIPTING),
    [KV_SCRIPT] = C(SCRIPTING),  [KV_OBJECT] = C(KEYSPACE),
};

static const char *const category_names[RESP_CATEGORIES] = {
#define RESP_CATEGORY_NAME(symbol, name) name,
    RESP_CATEGORY_LIST(RESP_CATEGORY_NAME)
#undef RESP_CATEGORY_NAME
};

static const char *const flag_names[RESP_SHOWN_FLAGS] = {
    "write",   "readonly", "denyoom",      "admin", "pubsub",  "noscript",
    "loading", "stale",    "skip_slowlog", "fast",  "no_auth", "allow_busy"};

uint32_t resp_shown_flags(const struct kv_command *c)
{
    static const struct {
        uint16_t flag;
        uint32_t shown;
    } same[] = {
        {KV_CMD_WRITE, WRITE},
        {KV_CMD_READ, READ},
        {KV_CMD_DENYOOM, RESP_SHOWN_DENYOOM},
        {KV_CMD_ADMIN, RESP_SHOWN_ADMIN},
        {KV_CMD_FAST, FAST},
    };
    uint32_t flags = given_flags[c->id];
    if ((flags & GIVEN) != 0) {
        return flags & ~GIVEN;
    }
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        flags |= (c->flags & same[i].flag) != 0 ? same[i].shown : 0;
    }
    return flags;
}

uint32_t resp_shown_member_flags(const struct resp_container *container,
                                 const struct resp_subcommand *sub)
{
    uint32_t flags = NOS | ANY | (sub->admin ? RESP_SHOWN_ADMIN : 0);
    if (strcmp(strchr(sub->name, '|'), "|help") == 0) {
        return ANY;
    }
    return container->id == KV_PUBSUB ? flags | PUB : flags;
}

static uint32_t of_flags(uint32_t flags)
{
    uint32_t mask = (flags & FAST) != 0 ? C(FAST) : C(SLOW);
    mask |= (flags & WRITE) != 0 ? C(WRITE) : 0;
    mask |= (flags & READ) != 0 ? C(READ) : 0;
    mask |= (flags & PUB) != 0 ? C(PUBSUB) : 0;
    return mask | ((flags & RESP_SHOWN_ADMIN) != 0 ? C(ADMIN) | C(DANGEROUS) : 0);
}

static bool of_strings(const struct kv_command *c)
{
    bool lease = c->id >= KV_LEASE_GRANT && c->id <= KV_LEASE_GET;
    return (c->flags & KV_CMD_LOCAL) == 0 && groups[c->id] == 0 && !lease && c->id != KV_TIME &&
           c->id != KV_OBJECT;
}

uint32_t resp_categories(const struct kv_command *c)
{
    return of_flags(resp_shown_flags(c)) | groups[c->id] | (of_strings(c) ? C(STRING) : 0);
}

uint32_t resp_member_categories(const struct resp_container *container,
                                const struct resp_subcommand *sub)
{
    return of_flags(resp_shown_member_flags(container, sub)) | member_groups[container->id];
}

const char *resp_category_name(unsigned category)
{
    return category_names[category];
}

bool resp_category_find(struct ts_bytes name, unsigned *category)
{
    for (unsigned i = 0; i < RESP_CATEGORIES; i++) {
        if (resp_word_is(name, category_names[i])) {
            *category = i;
            return true;
        }
    }
    return false;
}

static size_t count_bits(uint32_t mask)
{
    size_t n = 0;
    for (; mask != 0; mask &= mask - 1) {
        n++;
    }
    return n;
}

void resp_put_shown_flags(struct resp_writer *w, uint32_t flags)
{
    resp_put_set(w, count_bits(flags));
    for (unsigned i = 0; i < RESP_SHOWN_FLAGS; i++) {
        if ((flags & 1U << i) != 0) {
            resp_put_simple(w, flag_names[i]);
        }
    }
}

void resp_put_categories(struct resp_writer *w, uint32_t categories)
{
    char text[32];
    resp_put_set(w, count_bits(categories));
    for (unsigned i = 0; i < RESP_CATEGORIES; i++) {
        if ((categories & 1U << i) != 0) {
            (void)snprintf(text, sizeof(text), "@%s", category_names[i]);
            resp_put_simple(w, text);
        }
    }
}

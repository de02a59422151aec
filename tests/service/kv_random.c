#include "tests/service/kv_random.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "services/kv/commands.h"
#include "services/kv/payload.h"

#define KEYS 600
#define COUNTERS 50
#define WORDS_MAX 16
#define TEXT_MAX 2048
#define LONG_MAX 60000
#define IN_ONE_MAX 6
/* Logical time moves about here; svc_check begins at this second. */
#define ABOUT_S 1700000000

/* Upper-case words and figures as they are; a lower-case letter stands for what is random:
 * k = key, c = counter, v = value, n = number, m = milliseconds, o = offset, s = moment in s,
 * t = moment in ms, p = pattern, l = lease, w = its owner, f = decimal number. */
static const char *const templates[] = {
    "SET k v",
    "SET k v",
    "SET k v",
    "SET k v PX m",
    "SET k v PX m GET",
    "SET k v NX KEEPTTL",
    "SET k v XX PXAT t",
    "SET k v EXAT s",
    "SETNX k v",
    "SETEX k 2 v",
    "PSETEX k m v",
    "GETSET k v",
    "GETDEL k",
    "GETEX k PX m",
    "GETEX k PERSIST",
    "APPEND k v",
    "SETRANGE k o v",
    "SETRANGE k 0 v",
    "GETRANGE k n n",
    "SUBSTR k 0 n",
    "STRLEN k",
    "MGET k k c",
    "MSET k v k v k v",
    "MSETNX k v k v",
    "INCR c",
    "DECR c",
    "INCRBY c n",
    "DECRBY c n",
    "INCR k",
    "INCRBYFLOAT c f",
    "INCRBYFLOAT k f",
    "INCRBYFLOAT c 1e60",
    "COPY k k",
    "COPY k c REPLACE",
    "SETBIT k o 1",
    "SETBIT k o 0",
    "GETBIT k o",
    "LCS k k",
    "LCS c k IDX WITHMATCHLEN",
    "OBJECT ENCODING k",
    "DEL k k",
    "UNLINK k",
    "EXISTS k k c",
    "TOUCH k k",
    "TYPE k",
    "RENAME k k",
    "RENAME k c",
    "RENAMENX k k",
    "EXPIRE k 1",
    "PEXPIRE k m",
    "PEXPIRE k m NX",
    "PEXPIRE k m GT",
    "PEXPIRE k n LT",
    "EXPIREAT k s",
    "PEXPIREAT k t XX",
    "EXPIRETIME k",
    "PEXPIRETIME k",
    "TTL k",
    "PTTL k",
    "PERSIST k",
    "DBSIZE",
    "TIME",
    "KEYS p",
    "SCAN n MATCH p COUNT 30",
    "RANDOMKEY",
    "WATCH k k c",
    "LEASE.GRANT l w m",
    "LEASE.GRANT l w m",
    "LEASE.GRANT k w m",
    "LEASE.KEEP l w m",
    "LEASE.RELEASE l w",
    "LEASE.GET l",
    "GET",
    "SET k v PX 0",
    "SETRANGE k 99999999999 v",
};
static const char *const queries[] = {
    "GET k",  "MGET k k c", "STRLEN k",  "EXISTS k k", "PTTL k",      "SCAN n",  "KEYS p",
    "DBSIZE", "RANDOMKEY",  "WATCH k c", "SET k v",    "LEASE.GET l", "LCS k k", "GETBIT k o",
};
#define LEN(list) (sizeof(list) / sizeof((list)[0]))

struct words {
    struct ts_bytes args[WORDS_MAX];
    size_t count;
    char text[TEXT_MAX];
    size_t used;
};

static uint8_t long_value[LONG_MAX];

__attribute__((format(printf, 2, 3))) static void add_text(struct words *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *at = w->text + w->used;
    int n = vsnprintf(at, TEXT_MAX - w->used, format, args);
    va_end(args);
    ts_assert(n >= 0 && (size_t)n < TEXT_MAX - w->used && w->count < WORDS_MAX);
    w->args[w->count++] = (struct ts_bytes){(const uint8_t *)at, (size_t)n};
    w->used += (size_t)n + 1;
}

static void add_value(struct words *w, struct ts_prng *p)
{
    uint64_t kind = ts_prng_below(p, 16);
    if (kind > 2) {
        int letters = (int)ts_prng_below(p, 40); /* not in one call: its order is the compiler's */
        uint64_t number = ts_prng_below(p, 1000);
        add_text(w, "%.*s%" PRIu64, letters, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
                 number);
        return;
    }
    size_t len = (size_t)ts_prng_below(p, kind <= 1 ? LONG_MAX : 3000);
    w->args[w->count++] = (struct ts_bytes){long_value, len};
}

static void add_word(struct words *w, struct ts_prng *p, char kind)
{
    switch (kind) {
    case 'k':
        add_text(w, "k%" PRIu64, ts_prng_below(p, KEYS));
        break;
    case 'c':
        add_text(w, "c%" PRIu64, ts_prng_below(p, COUNTERS));
        break;
    case 'v':
        add_value(w, p);
        break;
    case 'n':
        add_text(w, "%d", (int)ts_prng_below(p, 2000) - 300);
        break;
    case 'm':
        add_text(w, "%" PRIu64, 1 + ts_prng_below(p, 4000));
        break;
    case 'o':
        add_text(w, "%" PRIu64, ts_prng_below(p, 400));
        break;
    case 'l':
        add_text(w, "l%" PRIu64, ts_prng_below(p, 40));
        break;
    case 'w':
        add_text(w, "owner%" PRIu64, ts_prng_below(p, 3));
        break;
    case 'f': {
        uint64_t figures = ts_prng_below(p, 4000); /* in this order, as above */
        uint64_t exponent = ts_prng_below(p, 20);
        add_text(w, "%s%" PRIu64 ".5E-%" PRIu64, figures % 2 == 0 ? "" : "-", figures, exponent);
        break;
    }
    case 's':
        add_text(w, "%" PRIu64, ABOUT_S + ts_prng_below(p, 600));
        break;
    case 't':
        add_text(w, "%" PRIu64, ABOUT_S * UINT64_C(1000) + ts_prng_below(p, 600000));
        break;
    default:
        add_text(w, "?%" PRIu64 "*", ts_prng_below(p, 10));
        break;
    }
}

static size_t encode(struct ts_prng *p, const char *template, uint8_t *payload, size_t cap)
{
    struct words w = {.count = 0};
    for (const char *at = template; *at != '\0';) {
        size_t len = strcspn(at, " ");
        if (len == 1 && *at >= 'a' && *at <= 'z') {
            add_word(&w, p, *at);
        } else {
            add_text(&w, "%.*s", (int)len, at);
        }
        at += len;
        at += *at == ' ';
    }
    const struct kv_command *c = kv_command_find(w.args[0]);
    ts_assert(c != NULL);
    struct ts_writer out = ts_writer_init(payload, cap);
    enum resp_version version = ts_prng_below(p, 4) == 0 ? RESP_V3 : RESP_V2;
    kv_payload_encode(&out, version, c->id, w.args, w.count);
    ts_assert(ts_writer_status(&out) == TS_OK);
    return out.len;
}

/* What is watched: nothing mostly; else two keys, at versions that are seldom right. */
static size_t put_watched(struct ts_prng *p, uint8_t *bytes, size_t cap)
{
    struct ts_writer w = ts_writer_init(bytes, cap);
    for (uint64_t n = ts_prng_below(p, 3) == 0 ? 2 : 0; n > 0; n--) {
        char key[16];
        int len = snprintf(key, sizeof(key), "k%" PRIu64, ts_prng_below(p, KEYS));
        ts_put_u64(&w, ts_prng_below(p, 4));
        kv_payload_put_word(&w, (struct ts_bytes){(const uint8_t *)key, (size_t)len});
    }
    ts_assert(ts_writer_status(&w) == TS_OK);
    return w.len;
}

/* A transaction of some commands. */
static size_t transaction(struct ts_prng *p, uint8_t *payload, size_t cap)
{
    static const char name[] = "EXEC";
    uint8_t watched[64];
    static uint8_t inner[IN_ONE_MAX][KV_RANDOM_MAX / IN_ONE_MAX];
    struct ts_bytes args[2 + IN_ONE_MAX] = {
        {(const uint8_t *)name, sizeof(name) - 1},
        {watched, put_watched(p, watched, sizeof(watched))},
    };
    size_t count = 2;
    for (uint64_t n = 1 + ts_prng_below(p, IN_ONE_MAX); n > 0; n--) {
        const char *template = templates[ts_prng_below(p, LEN(templates))];
        size_t len = 0;
        do { /* one that fits */
            len = encode(p, template, payload, cap);
        } while (len > sizeof(inner[0]));
        memcpy(inner[count - 2], payload, len);
        args[count] = (struct ts_bytes){inner[count - 2], len};
        count++;
    }
    struct ts_writer out = ts_writer_init(payload, cap);
    kv_payload_encode(&out, RESP_V2, KV_EXEC, args, count);
    ts_assert(ts_writer_status(&out) == TS_OK);
    return out.len;
}

size_t kv_random_command(struct ts_prng *p, uint8_t *payload, size_t cap)
{
    ts_assert(cap >= KV_RANDOM_MAX);
    uint64_t kind = ts_prng_below(p, 3000);
    if (kind == 0) {
        return encode(p, "FLUSHALL", payload, cap);
    }
    if (kind < 180) {
        return transaction(p, payload, cap);
    }
    size_t len = encode(p, templates[ts_prng_below(p, LEN(templates))], payload, cap);
    if (kind < 210) { /* damaged: the log's bytes are not trusted */
        size_t at = (size_t)ts_prng_below(p, len);
        payload[at] ^= (uint8_t)(1U << ts_prng_below(p, 8));
    }
    return len;
}

size_t kv_random_query(struct ts_prng *p, uint8_t *payload, size_t cap)
{
    return encode(p, queries[ts_prng_below(p, LEN(queries))], payload, cap);
}

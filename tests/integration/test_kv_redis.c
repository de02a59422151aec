/* kv beside a real redis-server: the same pipelines of random requests, valid and not, cut at
 * random places, must give the same bytes from both. What shows time is compared coarsely; what
 * names the server is left out. */
#include "tests/integration/kv_process.h"

#include "base/prng.h"

#define ROUNDS 60
#define PIPELINES 40
#define PIPELINE_MAX 40
#define REQUEST_MAX 4096

static char address[32];

/* ---- random requests ---- */

struct request {
    char data[REQUEST_MAX];
    size_t len;
    bool coarse; /* the reply is a number that may differ a little */
};

static size_t put_word(char *out, const char *word, size_t len)
{
    size_t n = (size_t)snprintf(out, REQUEST_MAX, "$%zu\r\n", len);
    memcpy(out + n, word, len);
    memcpy(out + n + len, "\r\n", 2);
    return n + len + 2;
}

/* An array of the words of `line`; "\x01" in it stands for an empty word. */
static void put_array(struct request *r, const char *line)
{
    char words[REQUEST_MAX];
    size_t n = 0;
    size_t count = 0;
    for (const char *at = line; *at != '\0'; count++) {
        size_t len = strcspn(at, " ");
        n += put_word(words + n, at, len == 1 && *at == '\x01' ? 0 : len);
        at += len;
        at += *at == ' ';
    }
    r->len = (size_t)snprintf(r->data, REQUEST_MAX, "*%zu\r\n", count);
    assert_true(r->len + n < REQUEST_MAX);
    memcpy(r->data + r->len, words, n);
    r->len += n;
}

static const char *pick(struct ts_prng *p, const char *const *from)
{
    size_t n = 0;
    while (from[n] != NULL) {
        n++;
    }
    return from[ts_prng_below(p, n)];
}

static const char *const keys[] = {"a", "b", "c", "d", "e", "key:{1}", "\x01", NULL};
static const char *const values[] = {
    "1",   "0",    "-1",    "42",   "9223372036854775807", "-9223372036854775808",
    "007", "+1",   "1.5",   "x",    "hello-world",         "\x01",
    "-",   "1000", "abc\n", "\x7f", "9223372036854775808", NULL};
static const char *const set_options[] = {"NX",  "xx",   "GET",   "KEEPTTL", "EX", "px",
                                          "FOO", "EX 0", "PX -5", "EX x",    "PX", NULL};
static const char *const expire_options[] = {"NX", "xx", "GT", "lt", "FOO", NULL};
static const char *const oddities[] = {
    "FOO",
    "foo bar baz",
    "GET",
    "GET a b",
    "SET a",
    "MSET a",
    "INCRBY a",
    "PING",
    "PING x",
    "PING x y",
    "ECHO x",
    "ECHO",
    "SELECT 0",
    "SELECT 99",
    "SELECT x",
    "CLIENT",
    "CLIENT FOO",
    "CLIENT SETNAME",
    "CLIENT SETNAME me",
    "CLIENT GETNAME",
    "CLIENT NO-EVICT on",
    "CLIENT NO-EVICT x",
    "CLIENT LIST TYPE foo",
    "CLIENT LIST TYPE master",
    "CLIENT LIST ID",
    "CLIENT LIST ID x",
    "CLIENT KILL",
    "CLIENT KILL 1.2.3.4:5",
    "CLIENT KILL foo bar",
    "CLIENT KILL ADDR 1.2.3.4:5",
    "CLIENT KILL LADDR 1.2.3.4:5 TYPE normal",
    "CLIENT KILL ADDR 1.2.3.4:5 ID",
    "CLIENT KILL ID 99999999",
    "CLIENT KILL ID 0",
    "CLIENT KILL ID x",
    "CLIENT KILL TYPE foo",
    "CLIENT KILL TYPE master SKIPME no",
    "CLIENT KILL USER nosuch",
    "CLIENT KILL USER default SKIPME maybe",
    "CLIENT UNBLOCK 99999999",
    "CLIENT UNBLOCK 99999999 timeout",
    "CLIENT UNBLOCK 1 FOO",
    "CLIENT UNBLOCK 1 ERROR x",
    "CLIENT UNBLOCK x",
    "CLIENT UNPAUSE",
    "CLIENT UNPAUSE x",
    "CLIENT PAUSE",
    "CONFIG",
    "CONFIG FOO",
    "CONFIG GET",
    "CONFIG GET nosuch",
    "CONFIG SET a",
    "CONFIG SET nosuch 1",
    "CONFIG SET nosuch 1 2",
    "CONFIG SET maxmemory-policy noeviction",
    "CONFIG SET maxmemory-policy noeviction Maxmemory-Policy noeviction",
    "CONFIG SET databases 2",
    "CONFIG RESETSTAT",
    "CONFIG RESETSTAT x",
    "CONFIG REWRITE",
    "FUNCTION",
    "FUNCTION FOO",
    "FUNCTION FLUSH",
    "function flush async",
    "FUNCTION FLUSH x",
    "FUNCTION LIST",
    "FUNCTION LIST x",
    "FUNCTION LIST LIBRARYNAME x WITHCODE",
    "FUNCTION DELETE x",
    "FUNCTION KILL",
    "SCRIPT FOO",
    "SCRIPT FLUSH",
    "SCRIPT FLUSH x",
    "SCRIPT FLUSH SYNC",
    "SCRIPT EXISTS",
    "SCRIPT EXISTS a b",
    "SCRIPT KILL",
    "OBJECT FOO",
    "OBJECT ENCODING",
    "OBJECT ENCODING nosuch",
    "OBJECT REFCOUNT nosuch",
    "OBJECT FREQ nosuch",
    "OBJECT IDLETIME nosuch",
    "COMMAND FOO",
    "COMMAND COUNT x",
    "COMMAND INFO nosuch",
    "COMMAND DOCS nosuch",
    "HELLO 9",
    "HELLO x",
    "HELLO 2 FOO",
    "HELLO 2 AUTH me x",
    "AUTH x",
    "AUTH me x",
    "AUTH default x",
    "AUTH a b c",
    "AUTH",
    "DBSIZE x",
    "TIME x",
    "FLUSHALL FOO",
    "FLUSHALL ASYNC SYNC",
    "TTL",
    "PERSIST a b",
    "PUBLISH a x",
    "PUBLISH a",
    "PUBSUB",
    "PUBSUB FOO",
    "PUBSUB CHANNELS",
    "PUBSUB NUMSUB a",
    "PUBSUB NUMPAT x",
    "SUBSCRIBE",
    "UNSUBSCRIBE a",
    "PUNSUBSCRIBE",
    "RESET",
    "RESET x",
    "WAIT 1",
    "WAIT x 0",
    "WAIT 0 x",
    "WAIT 0 -1",
    "WAIT 9223372036854775808 0",
    ("verylongcommandname-verylongcommandname-verylongcommandname-verylongcommandname-"
     "verylongcommandname-verylongcommandname-verylongcommandname b cccccccccccccccccccccccccc "
     "cccccccccccccccccccccccccccccccccccccccccccccc ddddddddddddddddddddddddddddddddddddddddddd "
     "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee fffffffffffffffffffffffffff"),
    NULL};

/* Seconds that no other expiry of the run comes near: options compare moments. */
static unsigned unique_seconds(unsigned *counter)
{
    return 100 + 100 * (unsigned)((uint64_t)++ * counter * 7919 % 100003);
}

static void random_set(struct ts_prng *p, unsigned *counter, char *line)
{
    int n = snprintf(line, REQUEST_MAX, "SET %s %s", pick(p, keys), pick(p, values));
    for (uint64_t more = ts_prng_below(p, 4); more > 0; more--) {
        const char *option = pick(p, set_options);
        n += snprintf(line + n, 64, " %s", option);
        if (strcmp(option, "EX") == 0) {
            n += snprintf(line + n, 64, " %u", unique_seconds(counter));
        } else if (strcmp(option, "px") == 0) {
            n += snprintf(line + n, 64, " %u000", unique_seconds(counter));
        }
    }
}

static void random_expire(struct ts_prng *p, unsigned *counter, char *line)
{
    static const char *const odd_times[] = {
        "0", "-1", "x", "9223372036854775807", "-9223372036854775808", "9223372036854775", NULL};
    int n = 0;
    if (ts_prng_below(p, 5) == 0) {
        n = snprintf(line, REQUEST_MAX, "%s %s %s", ts_prng_below(p, 2) ? "EXPIRE" : "pexpire",
                     pick(p, keys), pick(p, odd_times));
    } else if (ts_prng_below(p, 2) == 0) {
        n = snprintf(line, REQUEST_MAX, "EXPIRE %s %u", pick(p, keys), unique_seconds(counter));
    } else {
        n = snprintf(line, REQUEST_MAX, "PEXPIRE %s %u000", pick(p, keys), unique_seconds(counter));
    }
    for (uint64_t more = ts_prng_below(p, 3); more > 0; more--) {
        n += snprintf(line + n, 64, " %s", pick(p, expire_options));
    }
}

/* Decimal counters; small enough for the binary figures of Redis to show nothing of themselves. */
static void random_float(struct ts_prng *p, char *line)
{
    static const char *const floats[] = {"f", "g", "h", NULL};
    static const char *const amounts[] = {
        "0.1", "-0.1", "1",    "-1", "2.25", "-2.25", "3e-2", ".5", "-1.E-1", "+2",  "-00", "1e-30",
        "inf", "nan",  "-Inf", "x",  "\x01", "1.2.3", "1e",   "-",  "0.5 ",   "1e1", NULL};
    if (ts_prng_below(p, 4) == 0) {
        snprintf(line, REQUEST_MAX, "SET %s %s", pick(p, floats), pick(p, amounts));
    } else {
        snprintf(line, REQUEST_MAX, "INCRBYFLOAT %s %s", pick(p, floats), pick(p, amounts));
    }
}

static void random_bit(struct ts_prng *p, char *line)
{
    static const char *const offsets[] = {"0",   "1",  "7", "8", "13",         "100",
                                          "799", "-1", "x", "",  "4294967296", NULL};
    static const char *const bits[] = {"0", "1", "1", "2", "-1", "x", NULL};
    if (ts_prng_below(p, 2) == 0) {
        snprintf(line, REQUEST_MAX, "SETBIT %s %s %s", pick(p, keys), pick(p, offsets),
                 pick(p, bits));
    } else {
        snprintf(line, REQUEST_MAX, "getbit %s %s", pick(p, keys), pick(p, offsets));
    }
}

static void random_two_keys(struct ts_prng *p, char *line)
{
    static const char *const copy_options[] = {
        "",     "",     "REPLACE", "replace DB 0", "DB x", "DB", "REPLACE DB 0", "FOO",
        "DB 0", "db 0", NULL};
    static const char *const lcs_options[] = {"",
                                              "LEN",
                                              "IDX",
                                              "IDX WITHMATCHLEN",
                                              "idx minmatchlen 2",
                                              "IDX MINMATCHLEN -1 WITHMATCHLEN",
                                              "LEN IDX",
                                              "MINMATCHLEN",
                                              "MINMATCHLEN x",
                                              "FOO",
                                              NULL};
    bool copy = ts_prng_below(p, 2) == 0;
    const char *option = copy ? pick(p, copy_options) : pick(p, lcs_options);
    snprintf(line, REQUEST_MAX, "%s %s %s%s%s", copy ? "COPY" : "LCS", pick(p, keys), pick(p, keys),
             option[0] != '\0' ? " " : "", option);
}

/* What is not drawn by the families above. */
static void random_other(struct ts_prng *p, unsigned *counter, char *line, bool *coarse)
{
    static const char *const one_key[] = {"GETDEL", "TYPE", "GETEX", "KEYS", NULL};
    static const char *const two_words[] = {"SETNX", "GETSET", "substr", NULL};
    static const char *const two_keys[] = {"RENAME", "RENAMENX", "UNLINK", "TOUCH", NULL};
    static const char *const getex_options[] = {"PERSIST", "EX",   "PX 0",    "EXAT 1",
                                                "KEEPTTL", "EX x", "PXAT -1", NULL};
    static const char *const ends[] = {"0", "1", "-1", "2", "-3", "100", "-100", "x", NULL};
    static const char *const offsets[] = {"0", "1", "5", "40", "-1", "x", NULL};
    switch (ts_prng_below(p, 12)) {
    case 9:
        random_float(p, line);
        break;
    case 10:
        random_bit(p, line);
        break;
    case 11:
        random_two_keys(p, line);
        break;
    case 0:
        snprintf(line, REQUEST_MAX, "%s %s", pick(p, one_key), pick(p, keys));
        break;
    case 1:
        snprintf(line, REQUEST_MAX, "%s %s %s", pick(p, two_words), pick(p, keys), pick(p, values));
        break;
    case 2:
        snprintf(line, REQUEST_MAX, "%s %s %s", pick(p, two_keys), pick(p, keys), pick(p, keys));
        break;
    case 3:
        snprintf(line, REQUEST_MAX, "MSETNX %s %s %s %s", pick(p, keys), pick(p, values),
                 pick(p, keys), pick(p, values));
        break;
    case 4:
        snprintf(line, REQUEST_MAX, "%s %s %s %s", ts_prng_below(p, 2) ? "GETRANGE" : "substr",
                 pick(p, keys), pick(p, ends), pick(p, ends));
        break;
    case 5:
        snprintf(line, REQUEST_MAX, "SETRANGE %s %s %s", pick(p, keys), pick(p, offsets),
                 pick(p, values));
        break;
    case 6:
        snprintf(line, REQUEST_MAX, "%s %s %u %s", ts_prng_below(p, 2) ? "SETEX" : "EXPIREAT",
                 pick(p, keys), unique_seconds(counter), pick(p, values));
        break;
    case 7:
        snprintf(line, REQUEST_MAX, "GETEX %s %s %u", pick(p, keys), pick(p, getex_options),
                 unique_seconds(counter));
        break;
    default:
        *coarse = true;
        snprintf(line, REQUEST_MAX, "%s %s", ts_prng_below(p, 2) ? "EXPIRETIME" : "pexpiretime",
                 pick(p, keys));
    }
}

static void random_line(struct ts_prng *p, unsigned *counter, char *line, bool *coarse)
{
    static const char *const one_key[] = {"GET", "get", "STRLEN", "INCR", "DECR", "PERSIST", NULL};
    static const char *const word_key[] = {"INCRBY", "DECRBY", "APPEND", NULL};
    static const char *const many_keys[] = {"MGET", "DEL", "EXISTS", NULL};
    uint64_t kind = ts_prng_below(p, 20);
    *coarse = false;
    if (kind < 4) {
        snprintf(line, REQUEST_MAX, "%s %s", pick(p, one_key), pick(p, keys));
    } else if (kind < 7) {
        random_set(p, counter, line);
    } else if (kind < 9) {
        snprintf(line, REQUEST_MAX, "%s %s %s", pick(p, word_key), pick(p, keys), pick(p, values));
    } else if (kind < 10) {
        snprintf(line, REQUEST_MAX, "%s %s %s %s", pick(p, many_keys), pick(p, keys), pick(p, keys),
                 pick(p, keys));
    } else if (kind < 11) {
        snprintf(line, REQUEST_MAX, "MSET %s %s %s %s", pick(p, keys), pick(p, values),
                 pick(p, keys), ts_prng_below(p, 4) == 0 ? "" : pick(p, values));
    } else if (kind < 13) {
        random_expire(p, counter, line);
    } else if (kind < 14) {
        *coarse = true;
        snprintf(line, REQUEST_MAX, "%s %s", ts_prng_below(p, 2) == 0 ? "TTL" : "pttl",
                 pick(p, keys));
    } else if (kind < 18) {
        random_other(p, counter, line, coarse);
    } else if (kind < 19) {
        snprintf(line, REQUEST_MAX, "%s", ts_prng_below(p, 20) == 0 ? "FLUSHALL" : "DBSIZE");
    } else {
        snprintf(line, REQUEST_MAX, "%s", pick(p, oddities));
    }
}

static bool in_transaction; /* of the present connections */

/* Begins, ends and disturbs transactions. */
static void random_transaction(struct ts_prng *p, char *line)
{
    static const char *const within[] = {"EXEC",  "EXEC",    "EXEC", "DISCARD",
                                         "MULTI", "UNWATCH", NULL};
    static const char *const outside[] = {"MULTI", "MULTI",   "MULTI", "UNWATCH",
                                          "EXEC",  "DISCARD", "WATCH", NULL};
    const char *word = pick(p, in_transaction ? within : outside);
    if (ts_prng_below(p, 3) == 0) {
        snprintf(line, REQUEST_MAX, "WATCH %s %s", pick(p, keys), pick(p, keys));
        return;
    }
    snprintf(line, REQUEST_MAX, "%s", word);
    if (strcmp(word, "MULTI") == 0) {
        in_transaction = true;
    } else if (strcmp(word, "EXEC") == 0 || strcmp(word, "DISCARD") == 0) {
        in_transaction = false;
    }
}

/* Within a transaction these are refused here, or only when they are carried out, or end it. */
static bool differs_within(const char *line)
{
    static const char *const words[] = {"HELLO", "AUTH", "RESET", "OBJECT"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(line, words[i], strlen(words[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* As an array, or, when the words allow it, sometimes as an inline request. */
static void random_request(struct ts_prng *p, unsigned *counter, struct request *r)
{
    char line[REQUEST_MAX];
    r->coarse = false;
    if (ts_prng_below(p, 8) == 0) {
        random_transaction(p, line);
    } else {
        do { /* what EXEC answers is compared exactly */
            random_line(p, counter, line, &r->coarse);
        } while (in_transaction && (r->coarse || differs_within(line)));
    }
    bool plain = strpbrk(line, "\x01\n\x7f") == NULL && line[0] != '\0';
    if (plain && ts_prng_below(p, 6) == 0) {
        r->len = (size_t)snprintf(r->data, REQUEST_MAX, "%s%s", line,
                                  ts_prng_below(p, 2) == 0 ? "\r\n" : "\n");
    } else {
        put_array(r, line);
    }
}

/* ---- the comparison ---- */

static void send_in_pieces(struct ts_prng *p, int fd, const char *data, size_t len)
{
    size_t at = 0;
    uint64_t style = ts_prng_below(p, 3);
    while (at < len) {
        size_t piece = len - at;
        if (style > 0) {
            size_t most = style == 1 ? 7 : 200;
            size_t n = 1 + (size_t)ts_prng_below(p, most);
            piece = n < piece ? n : piece;
        }
        kv_send(fd, data + at, piece);
        at += piece;
    }
}

static void compare(const struct request *requests, size_t n, struct kv_replies *r)
{
    size_t at[2] = {0, 0};
    for (size_t i = 0; i < n; i++) {
        size_t end[2] = {kv_reply_end(&r[0], at[0]), kv_reply_end(&r[1], at[1])};
        const char *text[2] = {r[0].data + at[0], r[1].data + at[1]};
        size_t len[2] = {end[0] - at[0], end[1] - at[1]};
        bool same = len[0] == len[1] && memcmp(text[0], text[1], len[0]) == 0;
        if (!same && requests[i].coarse && text[0][0] == ':' && text[1][0] == ':') {
            long a = strtol(text[0] + 1, NULL, 10);
            long b = strtol(text[1] + 1, NULL, 10);
            same = a > 0 && b > 0 && labs(a - b) < 60000;
        }
        if (!same) {
            fail_msg("request:\n%.*s\nredis:\n%.*s\nkv:\n%.*s", (int)requests[i].len,
                     requests[i].data, (int)len[0], text[0], (int)len[1], text[1]);
        }
        at[0] = end[0];
        at[1] = end[1];
    }
}

static void run_pipeline(struct ts_prng *p, unsigned *counter, const int fd[2])
{
    static struct request requests[PIPELINE_MAX];
    static char bytes[PIPELINE_MAX * REQUEST_MAX];
    size_t n = 1 + (size_t)ts_prng_below(p, PIPELINE_MAX);
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        random_request(p, counter, &requests[i]);
        memcpy(bytes + len, requests[i].data, requests[i].len);
        len += requests[i].len;
    }
    struct kv_replies r[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        send_in_pieces(p, fd[i], bytes, len);
        assert_true(kv_receive_replies(fd[i], &r[i], n));
    }
    compare(requests, n, r);
    free(r[0].data);
    free(r[1].data);
}

static void run_rounds(const char *const *options, uint64_t seed, int rounds)
{
    uint16_t port = 0;
    unsigned counter = 0;
    struct kv_process kv = kv_start_loopback(address, &port, options);
    struct ts_prng p = ts_prng_init(seed);
    for (int round = 0; round < rounds; round++) {
        int fd[2] = {kv_connect(address, KV_REDIS_PORT), kv_connect(address, port)};
        in_transaction = false;
        const char *hello = round % 2 == 0 ? "HELLO 2\r\nFLUSHALL\r\n" : "HELLO 3\r\nFLUSHALL\r\n";
        for (int i = 0; i < 2; i++) {
            struct kv_replies r = {0};
            kv_send(fd[i], hello, strlen(hello));
            assert_true(kv_receive_replies(fd[i], &r, 2));
            free(r.data);
        }
        for (int k = 0; k < PIPELINES; k++) {
            run_pipeline(&p, &counter, fd);
        }
        close(fd[0]);
        close(fd[1]);
    }
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: the same answers as Redis, in order, for whole turns at a time. */
static void test_random_pipelines_answer_as_redis(void **state)
{
    (void)state;
    run_rounds(NULL, 1, ROUNDS);
}

/* Goal: the same when answers, rounds, refused submissions and parsing interleave at random. */
static void test_random_pipelines_with_jitter_answer_as_redis(void **state)
{
    (void)state;
    run_rounds((const char *const[]){"--jitter", "5", NULL}, 2, ROUNDS);
}

/* Goal: the same when the front-end's own bounds pause connections all the time. */
static void test_random_pipelines_with_tight_bounds_answer_as_redis(void **state)
{
    (void)state;
    run_rounds((const char *const[]){"--jitter", "6", "--unanswered", "4", NULL}, 3, ROUNDS / 2);
}

/* Reads to the end of the stream. */
static void receive_all(int fd, struct kv_replies *r)
{
    while (kv_receive_replies(fd, r, SIZE_MAX)) {
    }
}

/* Goal: protocol errors are answered in the same words, then the connection is closed. */
static void test_protocol_errors_close_as_redis(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "*x\r\n",
        "PING\r\n*99999999999\r\n",
        "*1\r\nGET\r\n",
        "*1\r\n$x\r\n",
        "SET a 1\r\nGET a\r\n*1\r\n$-1\r\nPING\r\n",
        "*1\r\n$536870913\r\n",
        "set \"a\n",
        "set 'a'b\n",
        "SET a 5\r\nINCR a\r\nQUIT\r\nINCR a\r\n",
        "*0\r\n*-1\r\n\r\n\r\nQUIT x\r\n",
        "POST / HTTP/1.1\r\n\r\nSET a 6\r\nQUIT\r\n",
        "host: a\r\n\r\nSET a 6\r\nQUIT\r\n",
        "GET a\r\nQUIT\r\n",
    };
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd[2] = {kv_connect(address, KV_REDIS_PORT), kv_connect(address, port)};
        struct kv_replies r[2] = {{0}, {0}};
        for (int k = 0; k < 2; k++) {
            kv_send(fd[k], cases[i], strlen(cases[i]));
            receive_all(fd[k], &r[k]);
            close(fd[k]);
        }
        if (r[0].len != r[1].len || memcmp(r[0].data, r[1].data, r[0].len) != 0) {
            fail_msg("request:\n%s\nredis:\n%.*s\nkv:\n%.*s", cases[i], (int)r[0].len, r[0].data,
                     (int)r[1].len, r[1].data);
        }
        free(r[0].data);
        free(r[1].data);
    }
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: keys with a short life go, on their own and under each way to set one. */
static void test_short_lives_end_as_redis(void **state)
{
    (void)state;
    static const char request[] = "SET a 1 PX 20\r\nSET b 1\r\nPEXPIRE b 20\r\nSET c 1 EX 100\r\n"
                                  "PEXPIRE c 30\r\nSET d 1 PX 20\r\nPERSIST d\r\n";
    static const char ask[] = "EXISTS a b c d\r\n";
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    int fd[2] = {kv_connect(address, KV_REDIS_PORT), kv_connect(address, port)};
    for (int i = 0; i < 2; i++) {
        struct kv_replies r = {0};
        kv_send(fd[i], request, strlen(request));
        assert_true(kv_receive_replies(fd[i], &r, 7));
        free(r.data);
        bool gone = false;
        while (!gone) {
            struct kv_replies answer = {0};
            kv_send(fd[i], ask, strlen(ask));
            assert_true(kv_receive_replies(fd[i], &answer, 1));
            gone = strcmp(answer.data, ":1\r\n") == 0;
            free(answer.data);
        }
        assert_true(gone);
        kv_expect(fd[i], "GET d\r\nTTL d\r\nTTL a\r\n", "$1\r\n1\r\n:-1\r\n:-2\r\n");
        close(fd[i]);
    }
    assert_int_equal(kv_stop(&kv), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_pipelines_answer_as_redis),
        cmocka_unit_test(test_random_pipelines_with_jitter_answer_as_redis),
        cmocka_unit_test(test_random_pipelines_with_tight_bounds_answer_as_redis),
        cmocka_unit_test(test_protocol_errors_close_as_redis),
        cmocka_unit_test(test_short_lives_end_as_redis),
    };
    kv_address(address, 0);
    struct kv_process redis = kv_start_redis(address);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return kv_stop(&redis) == 0 ? failed : 1;
}

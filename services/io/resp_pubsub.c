/* Publish and subscribe within this NIC. A subscription is made when nothing is owed to its
 * connection, so that no message comes before an answer that stands before it; in RESP3 messages
 * may stand between two answers from then on.
 *
 * When another NIC becomes primary, this one's subscribers are closed. A Redis that becomes a
 * replica keeps its own, since a PUBLISH to the new primary is replicated to it; here it is not in
 * the log, and who went on to listen would hear nothing more, for ever. */
#include "services/io/resp_pubsub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "services/io/resp_conn.h"
#include "services/kv/glob.h"

#define BUCKETS 4096U /* a power of two */

bool resp_pubsub_open(struct resp_pubsub *p, uint64_t seed)
{
    p->seed = seed;
    p->buckets = calloc(BUCKETS, sizeof(*p->buckets));
    return p->buckets != NULL;
}

void resp_pubsub_close(struct resp_pubsub *p)
{
    ts_assert(p->subscriptions == 0);
    free(p->buckets);
}

uint32_t resp_pubsub_count(const struct resp_conn *c)
{
    return c->subscribed.count[RESP_CHANNEL] + c->subscribed.count[RESP_PATTERN];
}

/* ---- topics ---- */

static bool named(const struct resp_topic *t, struct ts_bytes name)
{
    return t->len == name.len && memcmp(t->name, name.data, name.len) == 0;
}

static struct resp_topic **bucket(struct resp_pubsub *p, uint64_t hash)
{
    return &p->buckets[hash & (BUCKETS - 1)];
}

static struct resp_topic *find_topic(struct resp_pubsub *p, enum resp_topic_kind kind,
                                     struct ts_bytes name)
{
    struct resp_topic *t = p->first[RESP_PATTERN];
    if (kind == RESP_PATTERN) {
        while (t != NULL && !named(t, name)) {
            t = t->next;
        }
        return t;
    }
    uint64_t hash = ts_hash_seeded(p->seed, name.data, name.len);
    t = *bucket(p, hash);
    while (t != NULL && (t->hash != hash || !named(t, name))) {
        t = t->in_bucket;
    }
    return t;
}

static struct resp_topic *add_topic(struct resp_pubsub *p, enum resp_topic_kind kind,
                                    struct ts_bytes name)
{
    struct resp_topic *t = calloc(1, sizeof(*t) + name.len);
    ts_must(t);
    memcpy(t->name, name.data, name.len);
    t->len = name.len;
    t->next = p->first[kind];
    if (t->next != NULL) {
        t->next->prev = t;
    }
    p->first[kind] = t;
    p->count[kind]++;
    p->bytes += name.len;
    if (kind == RESP_CHANNEL) {
        t->hash = ts_hash_seeded(p->seed, name.data, name.len);
        t->in_bucket = *bucket(p, t->hash);
        *bucket(p, t->hash) = t;
    }
    return t;
}

static void remove_topic(struct resp_pubsub *p, enum resp_topic_kind kind, struct resp_topic *t)
{
    *(t->prev != NULL ? &t->prev->next : &p->first[kind]) = t->next;
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
    if (kind == RESP_CHANNEL) {
        struct resp_topic **at = bucket(p, t->hash);
        while (*at != t) {
            at = &(*at)->in_bucket;
        }
        *at = t->in_bucket;
    }
    p->count[kind]--;
    p->bytes -= t->len;
    free(t);
}

/* ---- subscriptions ---- */

static struct resp_subscription *find_subscription(const struct resp_conn *c,
                                                   enum resp_topic_kind kind,
                                                   const struct resp_topic *t)
{
    struct resp_subscription *s = t == NULL ? NULL : c->subscribed.oldest[kind];
    while (s != NULL && s->topic != t) {
        s = s->newer;
    }
    return s;
}

static void subscribe(struct resp_conn *c, enum resp_topic_kind kind, struct ts_bytes name)
{
    struct resp_pubsub *p = &c->server->pubsub;
    struct resp_subscribed *mine = &c->subscribed;
    struct resp_topic *t = find_topic(p, kind, name);
    if (find_subscription(c, kind, t) != NULL) {
        return;
    }
    t = t != NULL ? t : add_topic(p, kind, name);
    struct resp_subscription *s = calloc(1, sizeof(*s));
    ts_must(s);
    *s = (struct resp_subscription){
        .conn = c, .topic = t, .next = t->first, .older = mine->newest[kind]};
    if (t->first != NULL) {
        t->first->prev = s;
    }
    t->first = s;
    t->count++;
    *(s->older != NULL ? &s->older->newer : &mine->oldest[kind]) = s;
    mine->newest[kind] = s;
    mine->count[kind]++;
    p->subscriptions++;
}

static void unsubscribe(struct resp_conn *c, enum resp_topic_kind kind, struct resp_subscription *s)
{
    struct resp_pubsub *p = &c->server->pubsub;
    struct resp_subscribed *mine = &c->subscribed;
    struct resp_topic *t = s->topic;
    *(s->prev != NULL ? &s->prev->next : &t->first) = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    *(s->older != NULL ? &s->older->newer : &mine->oldest[kind]) = s->newer;
    *(s->newer != NULL ? &s->newer->older : &mine->newest[kind]) = s->older;
    mine->count[kind]--;
    t->count--;
    p->subscriptions--;
    free(s);
    if (t->count == 0) {
        remove_topic(p, kind, t);
    }
}

void resp_pubsub_leave(struct resp_conn *c)
{
    for (unsigned kind = 0; kind < RESP_TOPIC_KINDS; kind++) {
        while (c->subscribed.oldest[kind] != NULL) {
            unsubscribe(c, (enum resp_topic_kind)kind, c->subscribed.oldest[kind]);
        }
    }
}

/* ---- publishing ---- */

/* Hands one message over: "message", or "pmessage" with its pattern. Returns its bytes. */
static size_t push(struct resp_conn *to, const struct resp_topic *pattern, struct ts_bytes channel,
                   struct ts_bytes message)
{
    struct resp_server *s = to->server;
    size_t n = channel.len + message.len + (pattern != NULL ? pattern->len : 0);
    if (to->node[RESP_LINK_DROPPED].in) {
        return 0;
    }
    if (to->bytes_total + n > RESP_PUSH_EACH || s->pubsub.unread + n > RESP_PUSH_ALL) {
        /* Closed when this turn's work on connections is done: it may be the publisher's own. */
        resp_list_add(to, RESP_LINK_DROPPED);
        return 0;
    }
    if (to->out.cap == 0) {
        to->out = resp_pool_take(s);
    }
    struct resp_writer w = resp_writer_init(&to->out, to->version, SIZE_MAX / 4);
    resp_put_push(&w, pattern != NULL ? 4 : 3);
    resp_put_bulk_text(&w, pattern != NULL ? "pmessage" : "message");
    if (pattern != NULL) {
        resp_put_bulk(&w, pattern->name, pattern->len);
    }
    resp_put_bulk(&w, channel.data, channel.len);
    resp_put_bulk(&w, message.data, message.len);
    ts_assert(resp_writer_finish(&w) == TS_OK);
    resp_conn_output_changed(to);
    return n;
}

/* Marks the patterns that this channel matches. False: to compare it with all of them would hold up
 * everybody, and some are not marked. */
static bool match_patterns(struct resp_server *s, struct ts_bytes channel)
{
    uint64_t steps = KV_STEPS_MAX;
    for (struct resp_topic *t = s->pubsub.first[RESP_PATTERN]; t != NULL; t = t->next) {
        struct ts_bytes pattern = {t->name, t->len};
        t->matches = steps > 0 && kv_glob_match_within(pattern, channel, &steps);
    }
    size_t took = (size_t)(KV_STEPS_MAX - steps) / (KV_STEPS_MAX / RESP_TURN_TAKE);
    s->take_left -= took < s->take_left ? took : s->take_left;
    return steps > 0;
}

/* Gives the number of subscriptions that it went to: all whose channel or marked pattern it is. */
static uint64_t publish(struct resp_server *s, struct ts_bytes channel, struct ts_bytes message)
{
    struct resp_pubsub *p = &s->pubsub;
    const struct resp_topic *t = find_topic(p, RESP_CHANNEL, channel);
    size_t bytes = 0;
    uint64_t count = 0;
    for (const struct resp_subscription *to = t != NULL ? t->first : NULL; to != NULL;
         to = to->next) {
        bytes += push(to->conn, NULL, channel, message);
        count++;
    }
    for (t = p->first[RESP_PATTERN]; t != NULL; t = t->next) {
        for (const struct resp_subscription *to = t->matches ? t->first : NULL; to != NULL;
             to = to->next) {
            bytes += push(to->conn, t, channel, message);
            count++;
        }
    }
    s->take_left -= bytes < s->take_left ? bytes : s->take_left;
    return count;
}

void resp_pubsub_drop(struct resp_server *s)
{
    struct resp_list *dropped = &s->lists[RESP_LINK_DROPPED];
    while (dropped->first != NULL) {
        s->stats.closed_slow++;
        resp_conn_close(dropped->first);
    }
}

static const char switch_channel[] = "+switch-master";

void resp_pubsub_primary_changed(struct resp_server *s, const char *old_primary)
{
    const struct front_status *st = &s->status;
    char text[sizeof(st->group) + 2 * FRONT_ADDR_MAX + 8];
    const char *old_port = NULL;
    const char *new_port = NULL;
    int old_len = resp_host_len(old_primary, &old_port);
    int new_len = resp_host_len(st->primary, &new_port);
    int n = snprintf(text, sizeof(text), "%s %.*s %s %.*s %s", st->group, old_len, old_primary,
                     old_port, new_len, st->primary, new_port);
    ts_assert(n > 0 && (size_t)n < sizeof(text));
    struct ts_bytes channel = {(const uint8_t *)switch_channel, sizeof(switch_channel) - 1};
    (void)match_patterns(s, channel); /* so short a channel is compared with all */
    (void)publish(s, channel, (struct ts_bytes){(const uint8_t *)text, (size_t)n});
}

/* Whether all that it listens to is what a Sentinel says ("+…", "-…"), word of a new primary among
 * it: this NIC goes on to say that. */
static bool awaits_primary_only(const struct resp_conn *c)
{
    const struct ts_bytes event = {(const uint8_t *)switch_channel, sizeof(switch_channel) - 1};
    bool told = false;
    for (unsigned kind = 0; kind < RESP_TOPIC_KINDS; kind++) {
        for (const struct resp_subscription *s = c->subscribed.oldest[kind]; s != NULL;
             s = s->newer) {
            const struct resp_topic *t = s->topic;
            if (t->len == 0 || (t->name[0] != '+' && t->name[0] != '-')) {
                return false;
            }
            told = told || (kind == RESP_CHANNEL
                                ? named(t, event)
                                : kv_glob_match((struct ts_bytes){t->name, t->len}, event));
        }
    }
    return told;
}

void resp_pubsub_moved(struct resp_server *s)
{
    for (uint32_t i = 0; i < s->config.clients_max; i++) {
        struct resp_conn *c = s->slots[i].conn;
        if (c == NULL || c->visitor || resp_pubsub_count(c) == 0 || awaits_primary_only(c)) {
            continue;
        }
        resp_pubsub_leave(c);
        c->finishing = true;
        s->stats.closed_subscribers++;
        resp_conn_set_reading(c);
        resp_conn_output_changed(c);
        if (!c->closing) {
            resp_conn_finish(c);
        }
    }
}

/* ---- commands ---- */

static const char *const words[RESP_TOPIC_KINDS][2] = {{"subscribe", "unsubscribe"},
                                                       {"psubscribe", "punsubscribe"}};

/* Confirms one subscription or its end; `name` may be NULL. */
static void put_confirmation(const struct resp_conn *c, struct resp_writer *w, const char *word,
                             const struct ts_bytes *name)
{
    resp_put_push(w, 3);
    resp_put_bulk_text(w, word);
    if (name != NULL) {
        resp_put_bulk(w, name->data, name->len);
    } else {
        resp_put_null(w);
    }
    resp_put_integer(w, resp_pubsub_count(c));
}

/* Whether all of the request's names may be subscribed to; otherwise the error is written. */
static bool may_subscribe(const struct resp_conn *c, enum resp_topic_kind kind,
                          const struct resp_request *req, struct resp_writer *w)
{
    const struct resp_pubsub *p = &c->server->pubsub;
    size_t n = req->argc - 1;
    size_t bytes = 0;
    char text[96];
    for (size_t i = 1; i < req->argc; i++) {
        if (req->args[i].len > RESP_CHANNEL_MAX) {
            (void)snprintf(text, sizeof(text), "ERR a channel's name may have %u bytes",
                           RESP_CHANNEL_MAX);
            resp_put_error(w, text);
            return false;
        }
        bytes += req->args[i].len;
    }
    if (resp_pubsub_count(c) + n > RESP_SUBSCRIPTIONS_EACH) {
        (void)snprintf(text, sizeof(text), "ERR a connection may have %u subscriptions",
                       RESP_SUBSCRIPTIONS_EACH);
        resp_put_error(w, text);
        return false;
    }
    if (p->subscriptions + n > RESP_SUBSCRIPTIONS_ALL || p->bytes + bytes > RESP_CHANNEL_BYTES ||
        (kind == RESP_PATTERN && p->count[kind] + n > RESP_PATTERNS_ALL)) {
        resp_put_error(w, "ERR max number of subscriptions reached");
        return false;
    }
    return true;
}

static void run_subscribe(struct resp_conn *c, enum resp_topic_kind kind,
                          const struct resp_request *req, struct resp_writer *w)
{
    if (!may_subscribe(c, kind, req, w)) {
        return;
    }
    for (size_t i = 1; i < req->argc; i++) {
        subscribe(c, kind, req->args[i]);
        put_confirmation(c, w, words[kind][0], &req->args[i]);
    }
}

static void run_unsubscribe(struct resp_conn *c, enum resp_topic_kind kind,
                            const struct resp_request *req, struct resp_writer *w)
{
    const char *word = words[kind][1];
    if (req->argc - 1 > RESP_SUBSCRIPTIONS_EACH) {
        resp_put_error(w, "ERR more channels than a connection may have");
        return;
    }
    for (size_t i = 1; i < req->argc; i++) {
        const struct resp_topic *t = find_topic(&c->server->pubsub, kind, req->args[i]);
        struct resp_subscription *s = find_subscription(c, kind, t);
        if (s != NULL) {
            unsubscribe(c, kind, s);
        }
        put_confirmation(c, w, word, &req->args[i]);
    }
    if (req->argc > 1) {
        return;
    }
    if (c->subscribed.count[kind] == 0) {
        put_confirmation(c, w, word, NULL);
    }
    while (c->subscribed.oldest[kind] != NULL) {
        struct resp_subscription *s = c->subscribed.oldest[kind];
        uint8_t name[RESP_CHANNEL_MAX];
        struct ts_bytes bytes = {name, s->topic->len};
        memcpy(name, s->topic->name, s->topic->len);
        unsubscribe(c, kind, s);
        ts_assert(c->subscribed.oldest[kind] != s);
        put_confirmation(c, w, word, &bytes);
    }
}

static void run_channels(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct resp_pubsub *p = &c->server->pubsub;
    size_t n = 0;
    uint64_t steps = KV_STEPS_MAX;
    if (req->argc > 3) {
        resp_local_words(w, "PUBSUB", req->args[1]);
        return;
    }
    if (req->argc == 3 && req->args[2].len > RESP_CHANNEL_MAX) {
        resp_put_array(w, 0); /* no name is that long: a pattern may be, but not for the loop */
        return;
    }
    for (struct resp_topic *t = p->first[RESP_CHANNEL]; t != NULL && steps > 0; t = t->next) {
        struct ts_bytes name = {t->name, t->len};
        t->matches = req->argc == 2 || kv_glob_match_within(req->args[2], name, &steps);
        n += t->matches;
    }
    if (steps == 0) {
        resp_put_error(w, "ERR comparing all channels with this pattern would hold up everybody: "
                          "use a shorter one");
        return;
    }
    resp_put_array(w, n);
    for (const struct resp_topic *t = p->first[RESP_CHANNEL]; t != NULL; t = t->next) {
        if (t->matches) {
            resp_put_bulk(w, t->name, t->len);
        }
    }
}

static void run_numsub(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    resp_put_array(w, 2 * (req->argc - 2));
    for (size_t i = 2; i < req->argc; i++) {
        const struct resp_topic *t = find_topic(&c->server->pubsub, RESP_CHANNEL, req->args[i]);
        resp_put_bulk(w, req->args[i].data, req->args[i].len);
        resp_put_integer(w, t != NULL ? (int64_t)t->count : 0);
    }
}

static void run_numpat(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)req;
    resp_put_integer(w, (int64_t)c->server->pubsub.count[RESP_PATTERN]);
}

static void run_help(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    static const char *const lines[] = {
        "PUBSUB <subcommand> [<arg> ...]. Subcommands are:",
        "CHANNELS [<pattern>]",
        "    Return the channels that somebody on this NIC listens to.",
        "NUMPAT",
        "    Return the number of patterns that somebody listens to.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers of each channel, without patterns.",
    };
    (void)c;
    (void)req;
    resp_put_lines(w, lines, sizeof(lines) / sizeof(lines[0]));
}

static const struct resp_subcommand members[] = {
    {"pubsub|channels", -2, false, run_channels, NULL},
    {"pubsub|numsub", -2, false, run_numsub, NULL},
    {"pubsub|numpat", 2, false, run_numpat, NULL},
    {"pubsub|help", 2, false, run_help, NULL},
};

const struct resp_container resp_pubsub_container = {KV_PUBSUB, "PUBSUB", members,
                                                     sizeof(members) / sizeof(members[0])};

void resp_pubsub_run(struct resp_conn *c, const struct kv_command *command,
                     const struct resp_request *req, struct resp_writer *w)
{
    switch ((unsigned)command->id) {
    case KV_SUBSCRIBE:
        run_subscribe(c, RESP_CHANNEL, req, w);
        break;
    case KV_PSUBSCRIBE:
        run_subscribe(c, RESP_PATTERN, req, w);
        break;
    case KV_UNSUBSCRIBE:
        run_unsubscribe(c, RESP_CHANNEL, req, w);
        break;
    case KV_PUNSUBSCRIBE:
        run_unsubscribe(c, RESP_PATTERN, req, w);
        break;
    default: /* PUBLISH */
        if (req->args[1].len > RESP_CHANNEL_MAX) {
            resp_put_integer(w, 0); /* nobody can listen to that */
        } else if (!match_patterns(c->server, req->args[1])) {
            resp_put_error(w, "ERR comparing this channel with all patterns that are listened to "
                              "would hold up everybody: use a shorter one");
        } else {
            resp_put_integer(w, (int64_t)publish(c->server, req->args[1], req->args[2]));
        }
        break;
    }
}

bool resp_pubsub_allows(const struct resp_conn *c, const struct kv_command *command)
{
    switch ((unsigned)command->id) {
    case KV_SUBSCRIBE:
    case KV_PSUBSCRIBE:
    case KV_UNSUBSCRIBE:
    case KV_PUNSUBSCRIBE:
    case KV_PING:
    case KV_QUIT:
    case KV_RESET:
        return true;
    default:
        return c->version == RESP_V3 || resp_pubsub_count(c) == 0;
    }
}

bool resp_pubsub_must_wait(struct resp_conn *c, const struct kv_command *command)
{
    switch ((unsigned)command->id) {
    case KV_SUBSCRIBE:
    case KV_PSUBSCRIBE:
    case KV_UNSUBSCRIBE:
    case KV_PUNSUBSCRIBE:
    case KV_RESET:
        return c->answered < c->ordered; /* goes on when those are answered */
    case KV_AUTH:
    case KV_HELLO:
        return c->session.state != RESP_SESSION_NONE && c->answered < c->ordered;
    case KV_PUBLISH:
        if (c->server->take_left == 0) {
            resp_list_add(c, RESP_LINK_RESUME); /* in the next turn */
            return true;
        }
        return false;
    default:
        return false;
    }
}

/* Inside the front-end: channels, and who listens to them. They are this NIC's alone: nothing of
 * them is in the log. Memory is bounded by the numbers below, and by what a subscriber may leave
 * unread. */
#ifndef SERVICES_IO_RESP_PUBSUB_H
#define SERVICES_IO_RESP_PUBSUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESP_CHANNEL_MAX 1024U         /* bytes of the name of a channel or pattern */
#define RESP_SUBSCRIPTIONS_EACH 1024U  /* of one connection */
#define RESP_SUBSCRIPTIONS_ALL 65536U  /* of all */
#define RESP_PATTERNS_ALL 1024U        /* different ones: each publication is compared with all */
#define RESP_CHANNEL_BYTES (16U << 20) /* of all names */
/* A subscriber that leaves more than this unread is closed, … */
#define RESP_PUSH_EACH (8U << 20)
/* … as is one that would leave any when all of them leave so much. */
#define RESP_PUSH_ALL (64U << 20)

struct resp_conn;

/* A channel or a pattern that somebody listens to. */
struct resp_topic {
    struct resp_topic *in_bucket; /* the next one; channels only */
    struct resp_topic *prev;      /* of its kind */
    struct resp_topic *next;
    struct resp_subscription *first;
    size_t count; /* of its subscriptions */
    uint64_t hash;
    size_t len;
    bool matches; /* what it was last compared with */
    uint8_t name[];
};

struct resp_subscription {
    struct resp_conn *conn;         /* borrowed */
    struct resp_topic *topic;       /* borrowed: it stays while it has one */
    struct resp_subscription *prev; /* of the topic */
    struct resp_subscription *next;
    struct resp_subscription *older; /* of the connection */
    struct resp_subscription *newer;
};

enum resp_topic_kind {
    RESP_CHANNEL = 0,
    RESP_PATTERN,
    RESP_TOPIC_KINDS,
};

/* A connection's subscriptions, the oldest first. */
struct resp_subscribed {
    struct resp_subscription *oldest[RESP_TOPIC_KINDS];
    struct resp_subscription *newest[RESP_TOPIC_KINDS];
    uint32_t count[RESP_TOPIC_KINDS];
};

struct resp_pubsub {
    struct resp_topic **buckets; /* of channels, owned */
    struct resp_topic *first[RESP_TOPIC_KINDS];
    size_t count[RESP_TOPIC_KINDS];
    size_t subscriptions;
    size_t bytes; /* of all names */
    uint64_t seed;
    size_t unread; /* bytes of output of all subscribers */
};

#endif

/* Places of rules: numbers of 64 bits whose order is that of evaluation. Each category has a part
 * of them, so that the next rule of one finds room however many others have. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/netctl/numbers.h"

#define CLASS_SHIFT 60
/* Between a place and the next one behind all others. */
#define STEP (UINT64_C(1) << 32)
/* What is left free between places that are moved, where there is so much. */
#define ROOMY (UINT64_C(1) << 20)
#define WINDOW_FIRST 32U

#define DEFAULT_POLICY "/infra/domains/default/security-policies/default-layer3-section"

static const char *const CATEGORIES[] = {"Emergency", "Infrastructure", "Environment",
                                         "Application"};
static const char *const GATEWAY_CATEGORIES[] = {"Emergency",        "SystemRules",
                                                 "SharedPreRules",   "LocalGatewayRules",
                                                 "AutoServiceRules", "Default"};
#define CLASS_DEFAULT 4U
#define CLASS_GATEWAY 5U

static json_t *object_of(const struct netctl_tree *objects, const char *path)
{
    struct ts_bytes text = netctl_tree_get(objects, path);
    return text.data == NULL ? NULL : json_loadb((const char *)text.data, text.len, 0, NULL);
}

/* Which of the parts; without a category the last one but the default rules. */
static unsigned class_of(const char *policy, const json_t *object)
{
    bool gateway = strstr(policy, "/gateway-policies/") != NULL;
    const char *const *names = gateway ? GATEWAY_CATEGORIES : CATEGORIES;
    size_t count = gateway ? 6 : 4;
    const char *category = json_string_value(json_object_get(object, "category"));
    if (strcmp(policy, DEFAULT_POLICY) == 0) {
        return CLASS_DEFAULT;
    }
    for (size_t i = 0; category != NULL && i < count; i++) {
        if (strcmp(names[i], category) == 0) {
            return (unsigned)(gateway ? CLASS_GATEWAY + i : i);
        }
    }
    return gateway ? CLASS_GATEWAY + 3 : 3;
}

static long long sequence_of(const json_t *object)
{
    return (long long)json_integer_value(json_object_get(object, "sequence_number"));
}

bool netctl_order_key(const struct netctl_tree *objects, const char *rule,
                      char out[NETCTL_ORDER_ROOM])
{
    char policy[NETCTL_PATH_ROOM];
    const char *end = strstr(rule, "/rules/");
    if (end == NULL) {
        return false;
    }
    (void)snprintf(policy, sizeof(policy), "%.*s", (int)(end - rule), rule);
    json_t *one = object_of(objects, rule);
    json_t *its = object_of(objects, policy);
    bool there = one != NULL && its != NULL;
    if (there) {
        int n = snprintf(out, NETCTL_ORDER_ROOM, "%c%06lld%s\x01%010lld%s",
                         (int)('a' + class_of(policy, its)), sequence_of(its), policy,
                         sequence_of(one), end + strlen("/rules/"));
        ts_assert(n > 0 && n < NETCTL_ORDER_ROOM);
    }
    json_decref(one);
    json_decref(its);
    return there;
}

/* The rule that has this key. */
static void rule_of(const char *key, char out[NETCTL_PATH_ROOM])
{
    const char *path = strchr(key, '/');
    const char *end = strchr(key, '\x01');
    ts_assert(path != NULL && end != NULL);
    int n = snprintf(out, NETCTL_PATH_ROOM, "%.*s/rules/%s", (int)(end - path), path, end + 11);
    ts_assert(n > 0 && n < NETCTL_PATH_ROOM);
}

static uint64_t place_in(struct ts_bytes value)
{
    char text[24];
    ts_assert(value.len < sizeof(text));
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    return strtoull(text, NULL, 10);
}

static uint64_t base_of(const char *key)
{
    return (uint64_t)(key[0] - 'a' + 1) << CLASS_SHIFT;
}

/* The neighbours' places, or where the part begins and ends. */
static void bounds(const struct netctl_numbers *n, const char *key, uint64_t *lo, uint64_t *hi)
{
    struct netctl_item prev = netctl_tree_seek_before(&n->order, key);
    struct netctl_item next = netctl_tree_seek(&n->order, key, true);
    uint64_t base = base_of(key);
    *lo = prev.key != NULL && prev.key[0] == key[0] ? place_in(prev.value) : base;
    *hi = next.key != NULL && next.key[0] == key[0] ? place_in(next.value)
                                                    : base + (UINT64_C(1) << CLASS_SHIFT);
}

void netctl_order_store(struct netctl_numbers *n, const char *rule, const char *key, uint64_t place)
{
    char text[48];
    int len = snprintf(text, sizeof(text), "%020" PRIu64, place);
    netctl_tree_put(&n->order, key, (struct ts_bytes){(const uint8_t *)text, (size_t)len});
    len = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, netctl_number_of(n, rule), place);
    netctl_tree_put(&n->given, rule, (struct ts_bytes){(const uint8_t *)text, (size_t)len});
}

bool netctl_order_fits(const struct netctl_numbers *n, const char *key, uint64_t place)
{
    uint64_t lo;
    uint64_t hi;
    bounds(n, key, &lo, &hi);
    return lo < place && place < hi;
}

/* The key so many places before or behind `key` in its part, or the last one there is. */
static void go(const struct netctl_numbers *n, const char *key, bool back, size_t count,
               char out[NETCTL_ORDER_ROOM])
{
    (void)snprintf(out, NETCTL_ORDER_ROOM, "%s", key);
    for (size_t i = 0; i < count; i++) {
        struct netctl_item item =
            back ? netctl_tree_seek_before(&n->order, out) : netctl_tree_seek(&n->order, out, true);
        if (item.key == NULL || item.key[0] != key[0]) {
            return;
        }
        (void)snprintf(out, NETCTL_ORDER_ROOM, "%s", item.key);
    }
}

static size_t count_to(const struct netctl_numbers *n, const char *first, const char *last)
{
    size_t count = 0;
    struct netctl_item item = netctl_tree_seek(&n->order, first, false);
    while (item.key != NULL && strcmp(item.key, last) <= 0) {
        count++;
        item = netctl_tree_seek(&n->order, item.key, true);
    }
    return count;
}

/* Gives those from `first` to `last` places that are `gap` apart, and leaves one for `key`. */
static void move(struct netctl_numbers *n, const char *key, const char *first, const char *last,
                 uint64_t place, uint64_t gap)
{
    char at[NETCTL_ORDER_ROOM];
    char rule[NETCTL_PATH_ROOM];
    bool passed = false;
    struct netctl_item item = netctl_tree_seek(&n->order, first, false);
    while (item.key != NULL && strcmp(item.key, last) <= 0) {
        bool is_behind = strcmp(item.key, key) > 0;
        place += is_behind && !passed ? 2 * gap : gap;
        passed = is_behind;
        (void)snprintf(at, sizeof(at), "%s", item.key);
        rule_of(at, rule);
        netctl_order_store(n, rule, at, place);
        item = netctl_tree_seek(&n->order, at, true);
    }
}

/* Moves those around `key`, which has no place yet, apart: as many as it takes to have room between
 * all of them. */
static void spread(struct netctl_numbers *n, const char *key)
{
    char first[NETCTL_ORDER_ROOM];
    char last[NETCTL_ORDER_ROOM];
    for (size_t window = WINDOW_FIRST;; window *= 2) {
        uint64_t lo;
        uint64_t hi;
        uint64_t ignored;
        go(n, key, true, window / 2, first);
        go(n, key, false, window / 2, last);
        bounds(n, first, &lo, &ignored);
        bounds(n, last, &ignored, &hi);
        uint64_t gap = (hi - lo) / (count_to(n, first, last) + 2);
        if (gap >= ROOMY || hi - lo == UINT64_C(1) << CLASS_SHIFT) {
            move(n, key, first, last, lo, gap);
            return;
        }
    }
}

void netctl_order_put(struct netctl_numbers *n, const char *rule, const char *key)
{
    uint64_t lo;
    uint64_t hi;
    bounds(n, key, &lo, &hi);
    if (hi - lo < 2) {
        spread(n, key);
        bounds(n, key, &lo, &hi);
    }
    ts_assert(hi - lo >= 2);
    uint64_t base = base_of(key);
    uint64_t half = (hi - lo) / 2;
    bool first = lo == base;
    bool last = hi == base + (UINT64_C(1) << CLASS_SHIFT);
    uint64_t step = half < STEP ? half : STEP;
    uint64_t place = first == last ? lo + half : last ? lo + step : hi - step;
    netctl_order_store(n, rule, key, place);
}

#include "services/netctl/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"

/* What is stored under a key; never changed. */
struct item {
    uint32_t refs;
    uint32_t value_len;
    uint64_t priority;
    struct ts_hash hash;
    size_t key_len;
    char bytes[]; /* the key, a NUL, the value */
};

struct netctl_node {
    uint32_t refs;
    struct item *item;
    struct netctl_node *left;
    struct netctl_node *right;
};

/* ---- items ---- */

static const char *key_of(const struct netctl_node *n)
{
    return n->item->bytes;
}

static struct ts_bytes value_of(const struct item *i)
{
    return (struct ts_bytes){(const uint8_t *)i->bytes + i->key_len + 1, i->value_len};
}

static size_t bytes_of(const struct item *i)
{
    return i->key_len + i->value_len;
}

static struct item *item_make(uint64_t seed, const char *key, struct ts_bytes value)
{
    size_t len = strlen(key);
    ts_assert(len > 0 && len <= NETCTL_KEY_MAX && value.len <= NETCTL_VALUE_MAX);
    struct item *i = malloc(sizeof(*i) + len + 1 + value.len);
    ts_must(i);
    i->refs = 1;
    i->value_len = (uint32_t)value.len;
    i->key_len = len;
    i->priority = ts_hash_seeded(seed, key, len);
    memcpy(i->bytes, key, len + 1);
    if (value.len > 0) {
        memcpy(i->bytes + len + 1, value.data, value.len);
    }
    i->hash = ts_hash_bytes(i->bytes, len + 1 + value.len);
    return i;
}

static void item_unref(struct item *i)
{
    if (--i->refs == 0) {
        free(i);
    }
}

/* Whether `a` belongs above `b`. */
static bool is_above(const struct item *a, const struct item *b)
{
    return a->priority != b->priority ? a->priority > b->priority : strcmp(a->bytes, b->bytes) < 0;
}

/* ---- nodes ---- */

static struct netctl_node *node_make(struct item *item, struct netctl_node *left,
                                     struct netctl_node *right)
{
    struct netctl_node *n = malloc(sizeof(*n));
    ts_must(n);
    *n = (struct netctl_node){1, item, left, right};
    return n;
}

static struct netctl_node *node_ref(struct netctl_node *n)
{
    if (n != NULL) {
        n->refs++;
    }
    return n;
}

static void node_unref(struct netctl_node *n)
{
    if (n != NULL && --n->refs == 0) {
        node_unref(n->left);
        node_unref(n->right);
        item_unref(n->item);
        free(n);
    }
}

/* A node that nobody else has, in place of this one. */
static struct netctl_node *node_own(struct netctl_node *n)
{
    if (n->refs == 1) {
        return n;
    }
    n->refs--;
    n->item->refs++;
    return node_make(n->item, node_ref(n->left), node_ref(n->right));
}

/* Takes `n` apart: what is before the key, and what is behind it. The key is not in it. */
static void split(struct netctl_node *n, const char *key, struct netctl_node **before,
                  struct netctl_node **behind)
{
    if (n == NULL) {
        *before = *behind = NULL;
        return;
    }
    n = node_own(n);
    if (strcmp(key_of(n), key) < 0) {
        split(n->right, key, &n->right, behind);
        *before = n;
    } else {
        split(n->left, key, before, &n->left);
        *behind = n;
    }
}

/* All of `a` is before all of `b`. */
static struct netctl_node *join(struct netctl_node *a, struct netctl_node *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (is_above(a->item, b->item)) {
        a = node_own(a);
        a->right = join(a->right, b);
        return a;
    }
    b = node_own(b);
    b->left = join(a, b->left);
    return b;
}

/* *was: the item that had the key, whose reference is the caller's now; NULL: there was none. */
static struct netctl_node *insert(struct netctl_node *n, struct item *item, struct item **was)
{
    if (n == NULL) {
        return node_make(item, NULL, NULL);
    }
    int order = strcmp(item->bytes, key_of(n));
    if (order != 0 && is_above(item, n->item)) {
        struct netctl_node *before;
        struct netctl_node *behind;
        split(n, item->bytes, &before, &behind);
        return node_make(item, before, behind);
    }
    n = node_own(n);
    if (order == 0) {
        *was = n->item;
        n->item = item;
    } else if (order < 0) {
        n->left = insert(n->left, item, was);
    } else {
        n->right = insert(n->right, item, was);
    }
    return n;
}

/* The key is in it. */
static struct netctl_node *take_out(struct netctl_node *n, const char *key, struct item **was)
{
    n = node_own(n);
    int order = strcmp(key, key_of(n));
    if (order == 0) {
        struct netctl_node *rest = join(n->left, n->right);
        *was = n->item;
        free(n);
        return rest;
    }
    if (order < 0) {
        n->left = take_out(n->left, key, was);
    } else {
        n->right = take_out(n->right, key, was);
    }
    return n;
}

static const struct netctl_node *find(const struct netctl_tree *t, const char *key)
{
    const struct netctl_node *n = t->root;
    int order = 1;
    while (n != NULL && order != 0) {
        order = strcmp(key, key_of(n));
        n = order == 0 ? n : order < 0 ? n->left : n->right;
    }
    return n;
}

/* ---- trees ---- */

struct netctl_tree netctl_tree_make(uint64_t seed)
{
    return (struct netctl_tree){.seed = seed};
}

struct netctl_tree netctl_tree_copy(const struct netctl_tree *t)
{
    struct netctl_tree copy = *t;
    copy.root = node_ref(t->root);
    return copy;
}

void netctl_tree_free(struct netctl_tree *t)
{
    node_unref(t->root);
    *t = netctl_tree_make(t->seed);
}

bool netctl_tree_free_some(struct netctl_tree *t, size_t most)
{
    for (size_t done = 0; t->root != NULL && done < most;) {
        struct netctl_node *n = t->root;
        struct netctl_node *left = n->left;
        if (n->refs > 1) {
            n->refs--;
            t->root = NULL;
        } else if (left == NULL) {
            t->root = n->right;
            item_unref(n->item);
            free(n);
            done++;
        } else if (left->refs > 1) {
            left->refs--;
            n->left = NULL;
        } else { /* turned until there is nothing on the left, each node once */
            n->left = left->right;
            left->right = n;
            t->root = left;
        }
    }
    bool more = t->root != NULL;
    if (!more) {
        *t = netctl_tree_make(t->seed);
    }
    return more;
}

static void count(struct netctl_tree *t, const struct item *i, bool comes)
{
    t->count = comes ? t->count + 1 : t->count - 1;
    t->bytes = comes ? t->bytes + bytes_of(i) : t->bytes - bytes_of(i);
    t->digest.lo = comes ? t->digest.lo + i->hash.lo : t->digest.lo - i->hash.lo;
    t->digest.hi = comes ? t->digest.hi + i->hash.hi : t->digest.hi - i->hash.hi;
}

struct ts_bytes netctl_tree_get(const struct netctl_tree *t, const char *key)
{
    const struct netctl_node *n = find(t, key);
    return n == NULL ? (struct ts_bytes){NULL, 0} : value_of(n->item);
}

static void put_item(struct netctl_tree *t, struct item *item)
{
    struct item *was = NULL;
    t->root = insert(t->root, item, &was);
    count(t, item, true);
    if (was != NULL) {
        count(t, was, false);
        item_unref(was);
    }
}

void netctl_tree_put(struct netctl_tree *t, const char *key, struct ts_bytes value)
{
    put_item(t, item_make(t->seed, key, value));
}

void netctl_tree_share(struct netctl_tree *t, const struct netctl_tree *from, const char *key)
{
    const struct netctl_node *n = find(from, key);
    ts_assert(n != NULL && t->seed == from->seed);
    n->item->refs++;
    put_item(t, n->item);
}

bool netctl_tree_is_shared(const struct netctl_tree *t, const char *key)
{
    const struct netctl_node *n = find(t, key);
    return n != NULL && n->item->refs > 1;
}

bool netctl_tree_remove(struct netctl_tree *t, const char *key)
{
    struct item *was = NULL;
    if (find(t, key) == NULL) {
        return false;
    }
    t->root = take_out(t->root, key, &was);
    count(t, was, false);
    item_unref(was);
    return true;
}

struct netctl_item netctl_tree_seek(const struct netctl_tree *t, const char *key, bool above)
{
    const struct netctl_node *found = NULL;
    for (const struct netctl_node *n = t->root; n != NULL;) {
        int order = strcmp(key, key_of(n));
        bool is_it = above ? order < 0 : order <= 0;
        found = is_it ? n : found;
        n = is_it ? n->left : n->right;
    }
    return found == NULL ? (struct netctl_item){NULL, {NULL, 0}}
                         : (struct netctl_item){key_of(found), value_of(found->item)};
}

struct netctl_item netctl_tree_seek_before(const struct netctl_tree *t, const char *key)
{
    const struct netctl_node *found = NULL;
    for (const struct netctl_node *n = t->root; n != NULL;) {
        bool is_it = strcmp(key_of(n), key) < 0;
        found = is_it ? n : found;
        n = is_it ? n->right : n->left;
    }
    return found == NULL ? (struct netctl_item){NULL, {NULL, 0}}
                         : (struct netctl_item){key_of(found), value_of(found->item)};
}

bool netctl_key_begins(const char *key, const char *prefix)
{
    return strncmp(key, prefix, strlen(prefix)) == 0;
}

bool netctl_tree_next(const struct netctl_tree *t, const char *prefix, struct netctl_item *item)
{
    bool first = item->key == NULL;
    *item = netctl_tree_seek(t, first ? prefix : item->key, !first);
    return item->key != NULL && netctl_key_begins(item->key, prefix);
}

/* ---- differences ---- */

struct range {
    const char *above; /* keys behind this one; NULL: all */
    const char *below;
};

/* The highest node of this part whose key is in the range. */
static const struct netctl_node *within(const struct netctl_node *n, struct range r)
{
    for (;;) {
        if (n != NULL && r.above != NULL && strcmp(key_of(n), r.above) <= 0) {
            n = n->right;
        } else if (n != NULL && r.below != NULL && strcmp(key_of(n), r.below) >= 0) {
            n = n->left;
        } else {
            return n;
        }
    }
}

struct difference {
    netctl_tree_differs *differs;
    void *arg;
    bool one; /* and no more */
};

/* False: the one was found. */
static bool diff(const struct netctl_node *a, const struct netctl_node *b, struct range r,
                 const struct difference *d)
{
    a = within(a, r);
    b = within(b, r);
    if (a == b) {
        return true; /* nothing here, or the same part of both */
    }
    bool of_b = a == NULL || (b != NULL && is_above(b->item, a->item));
    const char *key = key_of(of_b ? b : a);
    bool both = a != NULL && b != NULL && strcmp(key_of(a), key_of(b)) == 0;
    bool in_a = both || !of_b;
    bool in_b = both || of_b;
    if (!diff(in_a ? a->left : a, in_b ? b->left : b, (struct range){r.above, key}, d)) {
        return false;
    }
    struct ts_bytes was = in_a ? value_of(a->item) : (struct ts_bytes){NULL, 0};
    struct ts_bytes is = in_b ? value_of(b->item) : (struct ts_bytes){NULL, 0};
    if (!both || was.len != is.len || memcmp(was.data, is.data, was.len) != 0) {
        d->differs(d->arg, key, was, is);
        if (d->one) {
            return false;
        }
    }
    return diff(in_a ? a->right : a, in_b ? b->right : b, (struct range){key, r.below}, d);
}

void netctl_tree_diff(const struct netctl_tree *before, const struct netctl_tree *after,
                      netctl_tree_differs *differs, void *arg)
{
    const struct difference all = {differs, arg, false};
    ts_assert(before->seed == after->seed);
    (void)diff(before->root, after->root, (struct range){NULL, NULL}, &all);
}

bool netctl_tree_diff_next(const struct netctl_tree *before, const struct netctl_tree *after,
                           const char *key, netctl_tree_differs *differs, void *arg)
{
    const struct difference one = {differs, arg, true};
    ts_assert(before->seed == after->seed);
    return !diff(before->root, after->root, (struct range){key, NULL}, &one);
}

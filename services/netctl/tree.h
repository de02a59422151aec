/* An ordered map of texts to bytes, of which a copy costs nothing: what is stored is never changed
 * in place while two trees share it, the path to a change is copied. So a walk freezes the whole
 * state by keeping its root, and one request of many changes is taken back by putting back the root
 * of before.
 *
 * Its shape depends on the keys in it alone (a treap whose priorities are hashes of the keys), not
 * on how they came; the depth is that of a random tree, some 2 ln n, unless somebody knows the
 * seed. Its digest is that of its content: equal content, equal digest. */
#ifndef SERVICES_NETCTL_TREE_H
#define SERVICES_NETCTL_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ids.h"

/* Bytes of a key, and of a value. */
#define NETCTL_KEY_MAX 2048
#define NETCTL_VALUE_MAX (4U * 1024U * 1024U)

struct netctl_node;

struct netctl_tree {
    struct netctl_node *root; /* owned, perhaps together with other trees; NULL = empty */
    uint64_t seed;            /* of the priorities; the same in all copies */
    size_t count;
    uint64_t bytes;        /* of keys and values */
    struct ts_hash digest; /* sum of the items' hashes */
};

struct netctl_tree netctl_tree_make(uint64_t seed);
/* The same content, in a time that does not grow with it; netctl_tree_free it, too. */
struct netctl_tree netctl_tree_copy(const struct netctl_tree *t);
/* In a time that grows with what no other tree shares. Leaves an empty tree. */
void netctl_tree_free(struct netctl_tree *t);
/* The same in pieces: frees `most` nodes at the most. True: there is more to free. */
bool netctl_tree_free_some(struct netctl_tree *t, size_t most);

/* Puts what `from` has under this key, which is there, without its bytes being there twice; both
 * have one seed. */
void netctl_tree_share(struct netctl_tree *t, const struct netctl_tree *from, const char *key);
/* Whether other trees have what this one has under the key, or share a part of it. False, too, when
 * it has nothing there. */
bool netctl_tree_is_shared(const struct netctl_tree *t, const char *key);

/* Borrowed until the next change of this tree; data NULL: it is not there. */
struct ts_bytes netctl_tree_get(const struct netctl_tree *t, const char *key);
/* Copies both, in place of what was there. */
void netctl_tree_put(struct netctl_tree *t, const char *key, struct ts_bytes value);
/* False: it was not there. */
bool netctl_tree_remove(struct netctl_tree *t, const char *key);

/* One item, borrowed until the next change of the tree. key NULL: there is none. */
struct netctl_item {
    const char *key;
    struct ts_bytes value;
};

/* The first one whose key is not before `key`; `above`: whose key is behind it. */
struct netctl_item netctl_tree_seek(const struct netctl_tree *t, const char *key, bool above);
/* The last one whose key is before `key`. */
struct netctl_item netctl_tree_seek_before(const struct netctl_tree *t, const char *key);
/* The next one behind `item` whose key begins with `prefix`. To begin with, item->key is NULL. */
bool netctl_tree_next(const struct netctl_tree *t, const char *prefix, struct netctl_item *item);

/* What differs between two trees, in the order of the keys: `was` or `is` has data NULL when it is
 * only in the other. Parts that both share are not looked at: the cost is that of the changes. */
typedef void netctl_tree_differs(void *arg, const char *key, struct ts_bytes was,
                                 struct ts_bytes is);
void netctl_tree_diff(const struct netctl_tree *before, const struct netctl_tree *after,
                      netctl_tree_differs *differs, void *arg);
/* The same in parts: tells the first difference whose key is behind `key`, "" to begin with. False:
 * there is none. */
bool netctl_tree_diff_next(const struct netctl_tree *before, const struct netctl_tree *after,
                           const char *key, netctl_tree_differs *differs, void *arg);

/* Whether `key` begins with `prefix`. */
bool netctl_key_begins(const char *key, const char *prefix);

#endif

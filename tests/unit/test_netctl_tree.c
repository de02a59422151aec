/* The ordered map whose copies cost nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "services/netctl/tree.h"

#define KEYS 300

static struct ts_bytes text(const char *s)
{
    return (struct ts_bytes){(const uint8_t *)s, strlen(s)};
}

static bool has(const struct netctl_tree *t, const char *key, const char *value)
{
    struct ts_bytes got = netctl_tree_get(t, key);
    return value == NULL ? got.data == NULL
                         : got.data != NULL && got.len == strlen(value) &&
                               memcmp(got.data, value, got.len) == 0;
}

static void name(unsigned i, char out[16])
{
    snprintf(out, 16, "k%03u", i);
}

/* What a tree ought to hold: the number under each key, 0 = none. */
struct model {
    unsigned v[KEYS];
};

static void assert_holds(const struct netctl_tree *t, const struct model *m)
{
    size_t count = 0;
    struct netctl_item item = {NULL, {NULL, 0}};
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        char value[16];
        name(i, key);
        snprintf(value, sizeof value, "%u", m->v[i]);
        assert_true(has(t, key, m->v[i] == 0 ? NULL : value));
        if (m->v[i] != 0) {
            assert_true(netctl_tree_next(t, "k", &item)); /* in the order of the keys */
            assert_string_equal(item.key, key);
            count++;
        }
    }
    assert_false(netctl_tree_next(t, "k", &item));
    assert_int_equal(t->count, count);
}

static void change(struct netctl_tree *t, struct model *m, struct ts_prng *prng)
{
    unsigned i = (unsigned)ts_prng_below(prng, KEYS);
    unsigned v = (unsigned)ts_prng_below(prng, 4);
    char key[16];
    char value[16];
    name(i, key);
    snprintf(value, sizeof value, "%u", v);
    if (v == 0) {
        assert_int_equal(netctl_tree_remove(t, key), m->v[i] != 0);
    } else {
        netctl_tree_put(t, key, text(value));
    }
    m->v[i] = v;
}

/* Goal: it does what a plain table does, in order, and its digest is that of the content: the same
 * on another way to it, another one after any change. */
static void test_put_and_remove_hold_what_a_table_would(void **state)
{
    (void)state;
    struct ts_prng prng = ts_prng_init(1);
    struct netctl_tree t = netctl_tree_make(7);
    struct model m = {{0}};
    for (unsigned round = 0; round < 4000; round++) {
        change(&t, &m, &prng);
        if (round % 100 == 0) {
            assert_holds(&t, &m);
        }
    }
    struct netctl_tree other = netctl_tree_make(8);
    for (unsigned i = KEYS; i-- > 0;) {
        char key[16];
        char value[16];
        name(i, key);
        snprintf(value, sizeof value, "%u", m.v[i]);
        if (m.v[i] != 0) {
            netctl_tree_put(&other, key, text("before"));
            netctl_tree_put(&other, key, text(value));
        }
    }
    assert_true(ts_hash_eq(t.digest, other.digest));
    assert_int_equal(t.bytes, other.bytes);
    netctl_tree_put(&other, "more", text(""));
    assert_true(has(&other, "more", ""));
    assert_false(ts_hash_eq(t.digest, other.digest));
    netctl_tree_free(&other);
    netctl_tree_free(&t);
    assert_int_equal(t.count, 0);
    assert_null(t.root);
}

/* Goal: a copy stays what it was, whatever becomes of the other one, and may be freed in pieces. */
static void test_copy_is_frozen(void **state)
{
    (void)state;
    struct ts_prng prng = ts_prng_init(2);
    struct netctl_tree t = netctl_tree_make(7);
    struct model m = {{0}};
    struct netctl_tree kept[8];
    struct model kept_m[8];
    for (unsigned k = 0; k < 8; k++) {
        for (unsigned i = 0; i < 200; i++) {
            change(&t, &m, &prng);
        }
        kept[k] = netctl_tree_copy(&t);
        kept_m[k] = m;
    }
    for (unsigned k = 0; k < 8; k++) {
        assert_holds(&kept[k], &kept_m[k]);
    }
    for (unsigned k = 0; k < 8; k += 2) {
        size_t pieces = 1;
        while (netctl_tree_free_some(&kept[k], 5)) {
            pieces++;
            assert_true(pieces < KEYS);
        }
        assert_null(kept[k].root);
    }
    for (unsigned k = 1; k < 8; k += 2) {
        assert_holds(&kept[k], &kept_m[k]);
        netctl_tree_free(&kept[k]);
    }
    assert_holds(&t, &m);
    netctl_tree_free(&t);
}

struct seen {
    struct model m; /* the one before, changed as was told */
    size_t told;
    char last[16];
};

static void on_difference(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    struct seen *s = arg;
    unsigned i = (unsigned)strtoul(key + 1, NULL, 10);
    assert_true(strcmp(s->last, key) < 0);
    snprintf(s->last, sizeof s->last, "%s", key);
    assert_int_equal(was.data == NULL ? 0 : was.data[0] - '0', s->m.v[i]);
    s->m.v[i] = is.data == NULL ? 0 : (unsigned)(is.data[0] - '0');
    s->told++;
}

/* Goal: what differs is told in order, all of it and nothing else, also between trees that came
 * about on their own. */
static void test_diff_tells_all_in_order(void **state)
{
    (void)state;
    struct ts_prng prng = ts_prng_init(3);
    struct netctl_tree t = netctl_tree_make(7);
    struct netctl_tree own = netctl_tree_make(7);
    struct model m = {{0}};
    struct model own_m = {{0}};
    for (unsigned round = 0; round < 300; round++) {
        struct netctl_tree before = netctl_tree_copy(&t);
        struct seen s = {.m = m};
        struct seen s2 = {.m = own_m};
        unsigned changes = (unsigned)ts_prng_below(&prng, 20);
        for (unsigned i = 0; i < changes; i++) {
            change(&t, &m, &prng);
        }
        change(&own, &own_m, &prng);
        s2.m = own_m;
        netctl_tree_diff(&before, &t, on_difference, &s);
        assert_memory_equal(&s.m, &m, sizeof m);
        assert_true(s.told <= changes);
        netctl_tree_diff(&own, &t, on_difference, &s2);
        assert_memory_equal(&s2.m, &m, sizeof m);
        netctl_tree_free(&before);
    }
    netctl_tree_free(&t);
    netctl_tree_free(&own);
}

/* Goal: the first at or behind a key, and behind it. */
static void test_seek_finds_the_next(void **state)
{
    (void)state;
    struct netctl_tree t = netctl_tree_make(7);
    assert_null(netctl_tree_seek(&t, "", false).key);
    netctl_tree_put(&t, "b", text("1"));
    netctl_tree_put(&t, "b/c", text("2"));
    netctl_tree_put(&t, "d", text("3"));
    assert_string_equal(netctl_tree_seek(&t, "", false).key, "b");
    assert_string_equal(netctl_tree_seek(&t, "b", false).key, "b");
    assert_string_equal(netctl_tree_seek(&t, "b", true).key, "b/c");
    assert_string_equal(netctl_tree_seek(&t, "c", false).key, "d");
    assert_null(netctl_tree_seek(&t, "d", true).key);
    struct netctl_item item = {NULL, {NULL, 0}};
    assert_true(netctl_tree_next(&t, "b/", &item));
    assert_string_equal(item.key, "b/c");
    assert_false(netctl_tree_next(&t, "b/", &item));
    netctl_tree_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_and_remove_hold_what_a_table_would),
        cmocka_unit_test(test_copy_is_frozen),
        cmocka_unit_test(test_diff_tells_all_in_order),
        cmocka_unit_test(test_seek_finds_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What an agent keeps: the highest epoch and the last table, also when the files are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/agent/io/store.h"

struct fixture {
    char dir[64];
    char table_path[96];
    char epoch_path[96];
    struct agent_store *store;
    struct agent_stored found;
    struct agent_store_news news;
    struct netctl_tree table;
};

static void ok(enum ts_err err, const struct ts_why *why)
{
    if (err != TS_OK) {
        fail_msg("%s: %s", ts_err_text(err), why->text);
    }
}

static void open_store(struct fixture *f)
{
    struct ts_why why = {.text = ""};
    ok(agent_store_open(&f->store, f->dir, &f->found, &f->news, &why), &why);
}

static void close_store(struct fixture *f)
{
    agent_store_close(f->store);
    f->store = NULL;
    netctl_tree_free(&f->found.table);
}

static void open_again(struct fixture *f)
{
    close_store(f);
    open_store(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/twinstep-agent-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->table_path, sizeof(f->table_path), "%s/table", f->dir);
    (void)snprintf(f->epoch_path, sizeof(f->epoch_path), "%s/epoch", f->dir);
    f->table = netctl_tree_make(0);
    *state = f;
    open_store(f);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_store(f);
    netctl_tree_free(&f->table);
    assert_int_equal(ts_dir_remove(f->dir, NULL), TS_OK);
    free(f);
    return 0;
}

/* Stores the table with one item more. */
static void store_one(struct fixture *f, unsigned number, uint64_t epoch, uint64_t gen)
{
    char key[32];
    struct ts_why why = {.text = ""};
    struct netctl_tree was = netctl_tree_copy(&f->table);
    (void)snprintf(key, sizeof(key), "unknown/%u", number);
    netctl_tree_put(&f->table, key, (struct ts_bytes){(const uint8_t *)"true", 4});
    ok(agent_store_table(f->store, &was, &f->table, (struct ts_epoch){epoch}, (struct ts_seq){gen},
                         &why),
       &why);
    netctl_tree_free(&was);
}

static void store_epoch(struct fixture *f, uint64_t epoch)
{
    struct ts_why why = {.text = ""};
    ok(agent_store_epoch(f->store, (struct ts_epoch){epoch}, &why), &why);
}

static long size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (long)st.st_size;
}

static void spoil(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_not_equal(fputc(c ^ 0x20, f), EOF);
    assert_int_equal(fclose(f), 0);
}

/* A new directory has nothing, and says nothing. */
static void test_agent_store_open_new_has_nothing(void **state)
{
    const struct fixture *f = *state;
    assert_false(f->found.has_table);
    assert_false(f->found.epoch_lost);
    assert_int_equal(f->found.epoch.v, 0);
    assert_string_equal(f->news.epoch, "");
    assert_string_equal(f->news.table, "");
}

/* What was stored comes back: the whole table, and the changes behind it. */
static void test_agent_store_open_stored_comes_back(void **state)
{
    struct fixture *f = *state;
    store_epoch(f, 3);
    for (unsigned i = 0; i < 50; i++) {
        store_one(f, i, 3, 10 + i);
    }
    struct netctl_tree was = netctl_tree_copy(&f->table);
    struct ts_why why = {.text = ""};
    assert_true(netctl_tree_remove(&f->table, "unknown/7"));
    ok(agent_store_table(f->store, &was, &f->table, (struct ts_epoch){4}, (struct ts_seq){99},
                         &why),
       &why);
    netctl_tree_free(&was);
    store_epoch(f, 5);
    open_again(f);
    assert_true(f->found.has_table);
    assert_true(ts_hash_eq(f->found.table.digest, f->table.digest));
    assert_int_equal(f->found.table_epoch.v, 4);
    assert_int_equal(f->found.gen.v, 99);
    assert_int_equal(f->found.epoch.v, 5);
    assert_false(f->found.epoch_lost);
    assert_string_equal(f->news.table, "");
}

/* A store has one process at a time. */
static void test_agent_store_open_twice_is_refused(void **state)
{
    struct fixture *f = *state;
    struct agent_store *other = NULL;
    struct agent_stored found;
    struct agent_store_news news;
    struct ts_why why = {.text = ""};
    assert_int_equal(agent_store_open(&other, f->dir, &found, &news, &why), TS_ERR_BUSY);
    assert_non_null(strstr(why.text, f->dir));
}

/* Changes that were not written to their end are left out; the next ones come back again. */
static void test_agent_store_open_torn_end_gives_table_before(void **state)
{
    struct fixture *f = *state;
    store_one(f, 1, 3, 10);
    struct ts_hash before = f->table.digest;
    store_one(f, 2, 3, 11);
    assert_int_equal(truncate(f->table_path, size_of(f->table_path) - 3), 0);
    open_again(f);
    assert_true(f->found.has_table);
    assert_int_equal(f->found.gen.v, 10);
    assert_true(ts_hash_eq(f->found.table.digest, before));
    assert_non_null(strstr(f->news.table, f->table_path));
    store_one(f, 3, 3, 12);
    open_again(f);
    assert_int_equal(f->found.gen.v, 12);
    assert_true(ts_hash_eq(f->found.table.digest, f->table.digest));
    assert_string_equal(f->news.table, "");
}

/* Whichever byte of the table is damaged: an earlier table or none, never another one. */
static void test_agent_store_open_damaged_table_is_never_another(void **state)
{
    struct fixture *f = *state;
    struct ts_hash digest[3] = {{0, 0}};
    store_epoch(f, 3);
    for (unsigned i = 0; i < 3; i++) {
        store_one(f, i, 3, 10 + i);
        digest[i] = f->table.digest;
    }
    long size = size_of(f->table_path);
    for (long at = 0; at < size; at++) {
        spoil(f->table_path, at);
        open_again(f);
        bool is_known = !f->found.has_table;
        for (unsigned i = 0; i < 2; i++) {
            is_known = is_known ||
                       (f->found.gen.v == 10 + i && ts_hash_eq(f->found.table.digest, digest[i]));
        }
        assert_true(is_known);
        assert_string_not_equal(f->news.table, "");
        assert_int_equal(f->found.epoch.v, 3);
        spoil(f->table_path, at);
    }
    open_again(f);
    assert_int_equal(f->found.gen.v, 12);
}

/* A damaged epoch is not forgotten silently: it is at least the table's, and lost until one is
 * stored. */
static void test_agent_store_open_damaged_epoch_is_lost(void **state)
{
    struct fixture *f = *state;
    store_epoch(f, 7);
    store_one(f, 1, 6, 10);
    close_store(f);
    for (long at = 0; at < size_of(f->epoch_path); at += 4096) {
        for (long i = 0; i < 64; i++) {
            spoil(f->epoch_path, at + i);
        }
    }
    open_store(f);
    assert_true(f->found.epoch_lost);
    assert_int_equal(f->found.epoch.v, 6);
    assert_non_null(strstr(f->news.epoch, "6 or more"));
    open_again(f);
    assert_true(f->found.epoch_lost);
    store_epoch(f, 8);
    open_again(f);
    assert_false(f->found.epoch_lost);
    assert_int_equal(f->found.epoch.v, 8);
}

/* The same when its file is gone and there is a table. */
static void test_agent_store_open_missing_epoch_is_lost(void **state)
{
    struct fixture *f = *state;
    store_epoch(f, 7);
    store_one(f, 1, 6, 10);
    close_store(f);
    assert_int_equal(unlink(f->epoch_path), 0);
    open_store(f);
    assert_true(f->found.epoch_lost);
    assert_int_equal(f->found.epoch.v, 6);
    assert_string_not_equal(f->news.epoch, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_agent_store_open_new_has_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_agent_store_open_stored_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_agent_store_open_twice_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_agent_store_open_torn_end_gives_table_before, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_agent_store_open_damaged_table_is_never_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_agent_store_open_damaged_epoch_is_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_agent_store_open_missing_epoch_is_lost, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Goal: the file of users keeps names, roles and what passwords are checked by; nothing that is not
 * such a file is taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lab/scratch.h"
#include "net/users.h"

#define GOOD "0123456789abcdefghij"

static struct ts_bytes text(const char *s)
{
    return (struct ts_bytes){(const uint8_t *)s, strlen(s)};
}

static struct net_user user(const char *name, enum net_role role)
{
    struct net_user u = {.role = role};
    snprintf(u.name, sizeof(u.name), "%s", name);
    assert_int_equal(net_user_set_password(&u, text(GOOD)), TS_OK);
    return u;
}

static void test_user_check_takes_the_password_alone(void **state)
{
    (void)state;
    struct net_user a = user("a", NET_ROLE_READ);
    struct net_user b = user("b", NET_ROLE_READ);
    char long_one[NET_PASSWORD_MAX + 2];
    assert_true(net_user_check(&a, text(GOOD)));
    assert_false(net_user_check(&a, text(GOOD "k")));
    assert_false(net_user_check(&a, text("0123456789abcdefghi")));
    assert_false(net_user_check(&a, text("")));
    assert_memory_not_equal(a.salt, b.salt, NET_USER_SALT);
    assert_memory_not_equal(a.hash, b.hash, NET_USER_HASH);
    memset(long_one, 'x', sizeof(long_one));
    long_one[NET_PASSWORD_MAX + 1] = '\0';
    assert_false(net_user_check(&a, text(long_one)));
    assert_int_equal(net_user_set_password(&a, text(long_one)), TS_ERR_LIMIT);
    assert_int_equal(net_user_set_password(&a, text("short")), TS_ERR_LIMIT);
    assert_true(net_user_check(&a, text(GOOD)));
}

static void test_password_make_gives_new_ones(void **state)
{
    (void)state;
    char a[NET_PASSWORD_MADE];
    char b[NET_PASSWORD_MADE];
    struct net_user u = {.name = "a"};
    assert_int_equal(net_password_make(a), TS_OK);
    assert_int_equal(net_password_make(b), TS_OK);
    assert_string_not_equal(a, b);
    assert_int_equal(net_user_set_password(&u, text(a)), TS_OK);
    assert_true(net_user_check(&u, text(a)));
}

static void test_users_load_gives_what_was_saved(void **state)
{
    (void)state;
    char dir[LAB_SCRATCH_MAX];
    char path[LAB_SCRATCH_MAX + 8];
    struct ts_why why = {.text = ""};
    struct stat st;
    static struct net_users users;
    static struct net_users again;
    users.users[0] = user("default", NET_ROLE_ADMIN);
    users.users[1] = user("App_1.x-y", NET_ROLE_WRITE);
    users.count = 2;
    assert_int_equal(lab_scratch_make("users", dir), TS_OK);
    snprintf(path, sizeof(path), "%s/users", dir);
    assert_int_equal(net_users_load(path, &again, &why), TS_ERR_NOT_FOUND);
    assert_int_equal(again.count, 0);
    assert_int_equal(net_users_save(path, &users, &why), TS_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(net_users_load(path, &again, &why), TS_OK);
    assert_int_equal(again.count, 2);
    const struct net_user *found = net_users_find(&again, text("App_1.x-y"));
    assert_non_null(found);
    assert_int_equal(found->role, NET_ROLE_WRITE);
    assert_true(net_user_check(found, text(GOOD)));
    assert_null(net_users_find(&again, text("app_1.x-y")));
    lab_scratch_remove(dir);
}

/* Goal: the file stands beside the cluster file, and is named as an operator would. */
static void test_users_path_is_beside_the_cluster_file(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"/var/run/cluster.yaml", "/var/run/users"},
        {"run/cluster.yaml", "run/users"},
        {"cluster.yaml", "./users"},
        {"/cluster.yaml", "/users"},
    };
    char long_one[TS_PATH_MAX + 8] = {0};
    char path[TS_PATH_MAX];
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_int_equal(net_users_path(CASES[i][0], path, NULL), TS_OK);
        assert_string_equal(path, CASES[i][1]);
    }
    memset(long_one, 'd', sizeof(long_one) - 1);
    long_one[TS_PATH_MAX + 1] = '/';
    assert_int_equal(net_users_path(long_one, path, NULL), TS_ERR_LIMIT);
}

static void test_users_parse_refuses_what_is_none(void **state)
{
    (void)state;
#define SALT "00112233445566778899aabbccddeeff"
#define LINE " read " SALT " " SALT SALT "\n"
    static const struct {
        const char *text;
        enum ts_err err;
        const char *why;
    } cases[] = {
        {"", TS_ERR_VERSION, "empty"},
        {"twinstep-users 2\n", TS_ERR_VERSION, "first line"},
        {"twinstep-users 1\nuser a" LINE "user a" LINE, TS_ERR_MALFORMED, "line 3"},
        {"twinstep-users 1\nuser a/b" LINE, TS_ERR_MALFORMED, "line 2"},
        {"twinstep-users 1\nuser" LINE, TS_ERR_MALFORMED, "line 2"},
        {"twinstep-users 1\nuser a none " SALT " " SALT SALT, TS_ERR_MALFORMED, "line 2"},
        {"twinstep-users 1\nuser a read " SALT " " SALT, TS_ERR_MALFORMED, "line 2"},
        {"twinstep-users 1\nuser a read " SALT " " SALT SALT " \n", TS_ERR_MALFORMED, "line 2"},
        {"twinstep-users 1\n\n", TS_ERR_MALFORMED, "line 2"},
    };
    static struct net_users users;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ts_why why = {.text = ""};
        assert_int_equal(net_users_parse(text(cases[i].text), &users, &why), cases[i].err);
        assert_non_null(strstr(why.text, cases[i].why));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_check_takes_the_password_alone),
        cmocka_unit_test(test_password_make_gives_new_ones),
        cmocka_unit_test(test_users_load_gives_what_was_saved),
        cmocka_unit_test(test_users_path_is_beside_the_cluster_file),
        cmocka_unit_test(test_users_parse_refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

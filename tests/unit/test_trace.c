/* Trace events, error texts and the failing assertion: what people get to read. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/trace.h"

/* Goal: script tests and the recorder tell kinds apart by name, so each name is there once, and in
 * words that a parser can split at spaces and `=`. */
static void test_trace_name_every_kind_is_one_unique_word(void **state)
{
    (void)state;
    for (int k = 0; k < TS_TRACE_KINDS; k++) {
        const char *name = ts_trace_name((enum ts_trace_kind)k);
        assert_true(strlen(name) > 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
        for (int other = 0; other < k; other++) {
            assert_string_not_equal(name, ts_trace_name((enum ts_trace_kind)other));
        }
        for (int field = 0; field < 2; field++) {
            const char *meaning = ts_trace_meaning((enum ts_trace_kind)k, field);
            assert_int_equal(strspn(meaning, "abcdefghijklmnopqrstuvwxyz-"), strlen(meaning));
        }
    }
}

/* Goal: the line has the position, then both fields under their names. */
static void test_trace_format_all_fields_gives_named_values(void **state)
{
    (void)state;
    char text[128];
    struct ts_trace t = {
        .kind = TS_TRACE_TAIL_COMMITTED, .epoch = {3}, .seq = {UINT64_MAX}, .a = 7, .b = 0};
    size_t len = ts_trace_format(&t, text, sizeof(text));
    assert_string_equal(text,
                        "tail-committed epoch=3 seq=18446744073709551615 from-seq=7 entries=0");
    assert_int_equal(len, strlen(text));
}

/* Goal: what a kind does not use is left out, even with a value in it. */
static void test_trace_format_unused_fields_are_left_out(void **state)
{
    (void)state;
    char text[128];
    struct ts_trace t = {.kind = TS_TRACE_ACTIVE, .a = 5, .b = 6};
    (void)ts_trace_format(&t, text, sizeof(text));
    assert_string_equal(text, "active");
}

/* Goal: in a small buffer the text is cut and terminated, nothing behind it is touched, and the
 * result is the length that was needed. */
static void test_trace_format_small_buffer_is_cut_and_terminated(void **state)
{
    (void)state;
    struct ts_trace t = {.kind = TS_TRACE_SEALED, .epoch = {12}, .a = 34};
    char whole[128];
    size_t need = ts_trace_format(&t, whole, sizeof(whole));
    for (size_t cap = 1; cap <= need + 1; cap++) {
        char text[128];
        memset(text, '#', sizeof(text));
        assert_int_equal(ts_trace_format(&t, text, cap), need);
        assert_int_equal(strlen(text), cap - 1);
        assert_memory_equal(text, whole, cap - 1);
        assert_int_equal(text[cap], '#');
    }
}

/* Goal: every error has a text of its own, and an unknown one does not crash. */
static void test_err_text_every_error_is_unique_and_never_null(void **state)
{
    (void)state;
    static const enum ts_err errors[] = {
#define TEST_ERR(name, text) name,
        TS_ERR_LIST(TEST_ERR)
#undef TEST_ERR
    };
    const size_t count = sizeof(errors) / sizeof(errors[0]);
    assert_int_equal(TS_OK, 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(strlen(ts_err_text(errors[i])) > 0);
        for (size_t other = 0; other < i; other++) {
            assert_string_not_equal(ts_err_text(errors[i]), ts_err_text(errors[other]));
        }
    }
    assert_string_equal(ts_err_text((enum ts_err)count), "unknown error");
}

/* Runs `fn` in a child; gives its wait status and what it wrote to standard error. */
static int run_child(void (*fn)(void), char *text, size_t cap)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        (void)dup2(fds[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(fds[1]);
    size_t len = 0;
    ssize_t n;
    while (len < cap - 1 && (n = read(fds[0], text + len, cap - 1 - len)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void break_invariant(void)
{
    ts_assert(1 + 1 == 3);
}

static void keep_invariant(void)
{
    ts_assert(1 + 1 == 2);
}

/* Goal: a broken invariant stops the process in every build, and says which and where. */
static void test_assert_broken_aborts_and_says_where(void **state)
{
    (void)state;
    char text[512];
    int status = run_child(break_invariant, text, sizeof(text));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "invariant broken: 1 + 1 == 3"));
    assert_non_null(strstr(text, "test_trace.c:"));
    assert_non_null(strstr(text, "break_invariant"));
}

static void test_assert_kept_goes_on_silently(void **state)
{
    (void)state;
    char text[512];
    int status = run_child(keep_invariant, text, sizeof(text));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_name_every_kind_is_one_unique_word),
        cmocka_unit_test(test_trace_format_all_fields_gives_named_values),
        cmocka_unit_test(test_trace_format_unused_fields_are_left_out),
        cmocka_unit_test(test_trace_format_small_buffer_is_cut_and_terminated),
        cmocka_unit_test(test_err_text_every_error_is_unique_and_never_null),
        cmocka_unit_test(test_assert_broken_aborts_and_says_where),
        cmocka_unit_test(test_assert_kept_goes_on_silently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Memory that cannot be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/exit.h"
#include "base/memory.h"

/* Goal: a program without memory ends by itself, says why, and is started again: it is no crash. */
static void test_must_without_memory_ends_with_a_sentence(void **state)
{
    (void)state;
    int ends[2];
    char said[128] = "";
    int status = 0;
    ts_must(said);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        ts_must(NULL);
        _exit(TS_EXIT_OK);
    }
    (void)close(ends[1]);
    assert_true(read(ends[0], said, sizeof(said) - 1) > 0);
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == TS_EXIT_FAILURE);
    assert_non_null(strstr(said, "out of memory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_must_without_memory_ends_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

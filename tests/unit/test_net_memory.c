/* What becomes of a process that gets no memory. Not under sanitizers, which take a request that is
 * larger than all memory for the mistake that it would be elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/exit.h"
#include "net/link_internal.h"

/* Goal: who gets no memory for a link's bytes ends, so that another takes over. (It ended the link,
 * which was made again at once, for as long as memory was short: a primary served nobody.) */
static void test_net_link_without_memory_ends_the_process(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct link_bytes b = {0};
        link_bytes_reserve(&b, (size_t)1 << 50);
        _exit(TS_EXIT_OK);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == TS_EXIT_FAILURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_link_without_memory_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

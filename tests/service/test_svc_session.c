/* kv behind a table of sessions goes through the determinism check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/service/kv_random.h"
#include "tests/service/session_random.h"
#include "tests/service/svc_check.h"

#define LIMITS \
    " session-max=10 session-window=5 session-bytes=2000 session-total-bytes=9000 " \
    "session-idle-ms=400 session-yield-ms=100 session-piece-bytes=300"

static void run_seed(uint64_t seed, struct svc_check_result *all)
{
    struct svc_check check = {
        .svc = &session_random_service,
        .limits = {"hash-seed=1" LIMITS, "hash-seed=77" LIMITS, "hash-seed=9" LIMITS},
        .seed = seed,
        .entries = 10000,
        .walk_every = 100,
        .step_ns = 8 * TS_NS_PER_MS,
        .pieces_in_hundred = 10,
        .command = session_random_command,
        .query = kv_random_query,
    };
    struct svc_check_result r = svc_check_run(&check);
    if (!r.same) {
        fail_msg("%s", r.text);
    }
    if (seed == 1) {
        SVC_CHECK_DIGEST(r, UINT64_C(0x7992cfc18b6fcfd8), UINT64_C(0x98458ebf232731ea));
    }
    all->walks += r.walks;
    all->loads += r.loads;
    all->applied_under_walk += r.applied_under_walk;
    all->pieces += r.pieces;
}

/* Goal: seeds, addresses, batches, reads, walks and loads show in no answer, digest or walk. */
static void test_sessions_live_otherwise_same_bytes(void **state)
{
    (void)state;
    struct svc_check_result all = {.walks = 0};
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_seed(seed, &all);
    }
    print_message("walks %llu, pieces %llu, loads %llu, entries under walks %llu\n",
                  (unsigned long long)all.walks, (unsigned long long)all.pieces,
                  (unsigned long long)all.loads, (unsigned long long)all.applied_under_walk);
    assert_true(all.walks > 100 && all.pieces > 4 * all.walks);
    assert_true(all.loads > 50 && all.applied_under_walk > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_live_otherwise_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

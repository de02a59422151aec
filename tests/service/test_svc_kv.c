/* kv goes through the determinism check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "services/kv/kv.h"
#include "tests/service/kv_random.h"
#include "tests/service/svc_check.h"

static struct svc_check check_of(uint64_t seed)
{
    return (struct svc_check){
        .svc = &kv_service,
        .limits = {"hash-seed=1", "hash-seed=77", "hash-seed=18446744073709551615"},
        .seed = seed,
        .entries = 10000,
        .walk_every = 100,
        .step_ns = 8 * TS_NS_PER_MS,
        .pieces_in_hundred = 4,
        .command = kv_random_command,
        .query = kv_random_query,
    };
}

static void run_seed(uint64_t seed, struct svc_check_result *all)
{
    struct svc_check check = check_of(seed);
    struct svc_check_result r = svc_check_run(&check);
    if (!r.same) {
        fail_msg("%s", r.text);
    }
    if (seed == 1) {
        SVC_CHECK_DIGEST(r, UINT64_C(0xa20a0447df3b5fa8), UINT64_C(0x21a20000e987c810));
    }
    all->walks += r.walks;
    all->loads += r.loads;
    all->applied_under_walk += r.applied_under_walk;
    all->pieces += r.pieces;
}

/* Goal: seeds, addresses, batches, reads, walks and loads show in no answer, digest or walk. */
static void test_kv_lives_otherwise_same_bytes(void **state)
{
    (void)state;
    struct svc_check_result all = {.walks = 0};
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_seed(seed, &all);
    }
    print_message("walks %llu, pieces %llu, loads %llu, entries under walks %llu\n",
                  (unsigned long long)all.walks, (unsigned long long)all.pieces,
                  (unsigned long long)all.loads, (unsigned long long)all.applied_under_walk);
    assert_true(all.walks > 100 && all.pieces > 2 * all.walks);
    assert_true(all.loads > 50 && all.applied_under_walk > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kv_lives_otherwise_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

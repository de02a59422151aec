/* The example service of docs/SERVICES.md: what it answers, and the determinism check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "services/example/lock.h"
#include "tests/service/lock_random.h"
#include "tests/service/svc_check.h"

struct fixture {
    void *state;
    uint64_t seq;
    uint64_t ms;
    struct svc_out out;
};

struct reply {
    bool done;
    uint64_t owner, epoch, seq;
};

static void open_fixture(struct fixture *f)
{
    *f = (struct fixture){.state = lock_service.create(NULL), .ms = 1000, .out = {.max = 4096}};
    assert_non_null(f->state);
}

static void close_fixture(struct fixture *f)
{
    lock_service.destroy(f->state);
    svc_out_free(&f->out);
}

static struct reply reply_of(const struct svc_out *out)
{
    assert_int_equal(out->len, LOCK_ANSWER_BYTES);
    struct ts_reader r = ts_reader_init(out->data, out->len);
    struct reply reply = {.done = ts_get_bool(&r)};
    reply.owner = ts_get_u64(&r);
    reply.epoch = ts_get_u64(&r);
    reply.seq = ts_get_u64(&r);
    return reply;
}

static struct reply take(struct fixture *f, uint64_t epoch, uint8_t lock, uint64_t owner,
                         uint32_t ms)
{
    uint8_t payload[LOCK_REQUEST_BYTES];
    size_t len = lock_request(lock, owner, ms, payload, sizeof(payload));
    struct svc_entry e = {.epoch = {epoch},
                          .seq = {++f->seq},
                          .kind = SVC_ENTRY_COMMAND,
                          .time = {f->ms * TS_NS_PER_MS},
                          .payload = {payload, len}};
    f->out.len = 0;
    lock_service.apply(f->state, &e, &f->out);
    return reply_of(&f->out);
}

static struct reply look(struct fixture *f, uint8_t lock, uint64_t owner)
{
    uint8_t payload[LOCK_REQUEST_BYTES];
    size_t len = lock_request(lock, owner, 5, payload, sizeof(payload));
    f->out.len = 0;
    lock_service.read(f->state, (struct ts_bytes){payload, len}, &f->out);
    return reply_of(&f->out);
}

/* Goal: one holder at a time; its token stays while it keeps the lock, and rises with each grant.
 */
static void test_lock_take_keep_free_and_expire(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    struct reply r = take(&f, 3, 7, 100, 50);
    assert_true(r.done && r.owner == 100 && r.epoch == 3 && r.seq == 1);
    r = take(&f, 3, 7, 200, 50);
    assert_true(!r.done && r.owner == 100 && r.seq == 1);
    assert_true(!look(&f, 7, 200).done && look(&f, 7, 100).done);
    assert_true(lock_service.next_tick(f.state).ns == 1050 * TS_NS_PER_MS);
    f.ms += 40;
    r = take(&f, 4, 7, 100, 50); /* keeps it */
    assert_true(r.done && r.epoch == 3 && r.seq == 1);
    f.ms += 50; /* its time has come, though no tick did */
    r = take(&f, 4, 7, 200, 50);
    assert_true(r.done && r.owner == 200 && r.epoch == 4 && r.seq == f.seq);
    r = take(&f, 4, 7, 200, 0); /* gives it back */
    assert_true(r.done && r.owner == 0);
    assert_true(lock_service.next_tick(f.state).ns == UINT64_MAX);
    assert_true(look(&f, 7, 100).done && look(&f, 7, 100).owner == 0);
    assert_false(take(&f, 4, LOCK_COUNT, 100, 5).done);
    assert_false(take(&f, 4, 0, 0, 5).done);
    close_fixture(&f);
}

/* Goal: every truncation of a walk is refused, and what is too long. */
static void test_lock_load_of_parts_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct svc_out walk;
    size_t end = 0;
    open_fixture(&f);
    assert_true(take(&f, 1, 7, 100, 50).done);
    assert_int_equal(svc_check_walk(&lock_service, f.state, &walk, &end, 1), 1);
    static const uint8_t more = 0;
    assert_int_equal(svc_out_put(&walk, &more, 1), TS_OK);
    for (size_t len = 0; len <= walk.len; len++) {
        void *other = lock_service.create(NULL);
        enum ts_err err = svc_check_load(&lock_service, other, &walk, &len, 1);
        assert_true((err == TS_OK) == (len == end));
        lock_service.destroy(other);
    }
    void *other = lock_service.create(NULL);
    assert_int_equal(lock_service.load_end(other), TS_ERR_SHORT);
    walk.data[0]++;
    assert_int_equal(svc_check_load(&lock_service, other, &walk, &end, 1), TS_ERR_VERSION);
    lock_service.destroy(other);
    svc_out_free(&walk);
    close_fixture(&f);
}

/* Goal: seeds, addresses, batches, reads, walks and loads show nowhere, on no machine. */
static void test_lock_lives_otherwise_same_bytes(void **state)
{
    (void)state;
    struct svc_check check = {
        .svc = &lock_service,
        .limits = {NULL, "hash-seed=1", "hash-seed=2"}, /* as a replica gives them */
        .seed = 1,
        .entries = 20000,
        .walk_every = 50,
        .step_ns = 20 * TS_NS_PER_MS,
        .pieces_in_hundred = 10,
        .command = lock_random_request,
        .query = lock_random_request,
    };
    struct svc_check_result r = svc_check_run(&check);
    if (!r.same) {
        fail_msg("%s", r.text);
    }
    assert_true(r.walks > 100 && r.loads > 50 && r.applied_under_walk > 1000);
    SVC_CHECK_DIGEST(r, UINT64_C(0xfb9313f5401d1b36), UINT64_C(0xba2fb1a8179c7221));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_take_keep_free_and_expire),
        cmocka_unit_test(test_lock_load_of_parts_is_refused),
        cmocka_unit_test(test_lock_lives_otherwise_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The copy of the other voters' starts that a voter's new disk makes (adr/0029), in
 * voter_perform.c: over links and a disk that are as slow, and as unlike, as the test wants them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster-cfg/io/voter_perform.h"
#include "cluster-cfg/io/voter_store.h"

#define REG 1
#define VOTERS 5
#define SELF 4
#define OLD 24
#define NEW 34
#define DISKS 20 /* of voter n: DISKS + n */
#define STARTS 400

struct fixture {
    struct voter *core;
    struct voter_perform p;
    struct reg_msg asked[VOTERS]; /* the newest request to each; type 0: none is open */
    unsigned sessions;            /* copies that were begun */
    uint64_t session;
    size_t waiting; /* writes that are not durable */
    size_t waiting_max;
    bool failed;
    struct reg_msg replied;
};

static enum ts_err on_write(void *ctx, const struct voter_record *record, uint32_t id,
                            struct ts_bytes bytes)
{
    struct fixture *f = ctx;
    (void)record;
    (void)id;
    (void)bytes;
    if (f->waiting == VOTER_STORE_QUEUE_MAX) {
        return TS_ERR_FULL; /* as the store says */
    }
    f->waiting++;
    f->waiting_max = f->waiting > f->waiting_max ? f->waiting : f->waiting_max;
    return TS_OK;
}

static enum ts_err on_confirm(void *ctx)
{
    (void)ctx;
    return TS_OK;
}

static void on_reply(void *ctx, uint64_t handle, const struct reg_msg *msg)
{
    struct fixture *f = ctx;
    (void)handle;
    f->replied = *msg;
}

static void on_send(void *ctx, uint8_t voter, const struct reg_msg *msg)
{
    struct fixture *f = ctx;
    if (msg->type == REG_MSG_STARTS_ASK) {
        f->asked[voter] = *msg;
        f->sessions += msg->starts_ask.session != f->session;
        f->session = msg->starts_ask.session;
    }
}

static void on_refused(void *ctx, uint8_t by, uint64_t registered)
{
    (void)ctx;
    (void)by;
    (void)registered;
}

static void on_ready(void *ctx)
{
    (void)ctx;
}

static void on_failed(void *ctx, const char *text)
{
    struct fixture *f = ctx;
    (void)text;
    f->failed = true;
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    (void)ctx;
    (void)t;
}

static const struct voter_perform_ops OPS = {
    .write = on_write,
    .confirm_start = on_confirm,
    .reply = on_reply,
    .send = on_send,
    .refused = on_refused,
    .ready = on_ready,
    .failed = on_failed,
    .trace = on_trace,
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct voter_limits limits = {.self = {SELF + 1},
                                  .registers_max = 1,
                                  .starts_max = VOTER_STARTS_MAX,
                                  .held_max = VOTER_HELD_MAX};
    const struct start_config start = {
        .start = {{REG_OWNER_VOTER, {0}, {SELF + 1}}, {NEW}, 1, {9}},
        .voters = VOTERS,
        .self = SELF,
        .retry_ns = 1000000,
    };
    assert_non_null(f);
    f->core = voter_new(&limits);
    assert_non_null(f->core);
    voter_perform_open(&f->p, f->core, &OPS, f);
    assert_int_equal(voter_perform_list(&f->p, REG), TS_OK);
    voter_perform_set_disk(&f->p, (struct ts_incarnation){NEW}, &(struct reg_places){1, {{OLD}}});
    voter_perform_begin(&f->p, &start, (struct ts_mono){0});
    voter_perform_confirmed(&f->p, (struct ts_mono){0});
    for (uint8_t i = 0; i < SELF; i++) {
        voter_perform_voter(&f->p, i, true, (struct ts_incarnation){DISKS + i},
                            (struct ts_mono){0});
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    voter_free(f->core);
    free(f);
    return 0;
}

/* Voter 3's listed disk is `fourth`; this one is about to be counted. */
static void send_rewritten(struct fixture *f, uint64_t fourth)
{
    struct cfg_config c = {.epoch = {6}, .primary = {1}, .proposer = {100}, .nonce = 6};
    cfg_set_add(&c.members, (struct cfg_replica){{1}, {11}});
    c.in_sync = c.members;
    c.voters = (struct cfg_voters){5,
                                   {{{DISKS}, CFG_VOTER_VOTES},
                                    {{DISKS + 1}, CFG_VOTER_VOTES},
                                    {{DISKS + 2}, CFG_VOTER_VOTES},
                                    {{fourth}, CFG_VOTER_VOTES},
                                    {{NEW}, CFG_VOTER_REWRITTEN}}};
    struct reg_msg m = {.type = REG_MSG_ACCEPT, .accept = {REG, {5, {1}, {5}}, 1, {0}}};
    struct ts_writer w = ts_writer_init(m.accept.value.data, sizeof(m.accept.value.data));
    cfg_config_encode(&c, &w);
    m.accept.value.len = (uint16_t)w.len;
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(&m, &w);
    f->replied = (struct reg_msg){0};
    assert_int_equal(voter_perform_request(&f->p, (struct ts_nic_id){1}, 7, (uint8_t)m.type,
                                           (struct ts_bytes){bytes, w.len}, (struct ts_mono){1}),
                     TS_OK);
}

/* Answers the open request to this voter, which knows `count` starts; false: there is none. */
static bool tell(struct fixture *f, uint8_t voter, uint16_t count)
{
    struct reg_msg ask = f->asked[voter];
    if (ask.type == 0) {
        return false;
    }
    f->asked[voter].type = 0;
    struct reg_msg m = {.type = REG_MSG_STARTS_TELL};
    m.starts_tell.session = ask.starts_ask.session;
    m.starts_tell.index = ask.starts_ask.index;
    m.starts_tell.has = ask.starts_ask.index < count;
    m.starts_tell.start =
        (struct reg_start){{REG_OWNER_REPLICA, {REG}, {1}}, {1000U + ask.starts_ask.index}, 3, {5}};
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(&m, &w);
    assert_int_equal(voter_perform_frame(&f->p, voter, (uint8_t)m.type,
                                         (struct ts_bytes){bytes, w.len}, (struct ts_mono){2}),
                     TS_OK);
    return true;
}

/* Goal: the others tell faster than the disk writes; its queue, which is for proposers, too, does
 * not fill, and all is written. */
static void test_copy_waits_for_the_disk(void **state)
{
    struct fixture *f = *state;
    send_rewritten(f, DISKS + 3);
    for (unsigned turn = 0; turn < 100000 && voter_is_copying(f->core); turn++) {
        bool told = false;
        for (uint8_t i = 0; i < SELF; i++) {
            told = tell(f, i, STARTS) || told;
        }
        if (!told && f->waiting > 0) { /* only when nobody has anything to say */
            f->waiting--;
            voter_perform_persisted(&f->p, (struct ts_mono){3});
        }
        assert_false(f->failed);
        assert_true(told || f->waiting > 0 || !voter_is_copying(f->core));
    }
    assert_false(f->failed);
    assert_false(voter_is_copying(f->core));
    assert_in_range(f->waiting_max, 1, 16);
    assert_int_equal(f->p.starts_count, STARTS);
}

/* Goal: a disk that is not listed tells its starts, too, and sooner; the copy goes on until a
 * majority of those that count have told theirs, and does not begin again. */
static void test_copy_goes_on_until_those_that_count_have_told(void **state)
{
    struct fixture *f = *state;
    send_rewritten(f, 99); /* a former disk runs in that place */
    assert_int_equal(f->replied.type, REG_MSG_NACK);
    for (uint8_t i = 0; i < SELF; i++) {
        while (i != 2 && tell(f, i, 1)) {
        }
    }
    assert_true(voter_is_copying(f->core));
    assert_int_equal(f->sessions, 1);
    while (tell(f, 2, 1)) { /* the slow one */
    }
    assert_false(voter_is_copying(f->core));
    send_rewritten(f, 99);
    assert_int_equal(f->replied.type, 0); /* it is being written */
    assert_int_equal(f->sessions, 1);
}

/* Goal: a table has room for the disks of the largest cluster, each of which was replaced, and then
 * it fits the disk. */
static void test_starts_of_the_largest_cluster_have_room(void **state)
{
    (void)state;
    const size_t places = TS_GROUPS_MAX * TS_MEMBERS_MAX + TS_VOTERS_MAX;
    struct voter_limits limits = {
        .self = {1}, .registers_max = 1, .starts_max = VOTER_STARTS_MAX, .held_max = 1};
    struct voter *core = voter_new(&limits);
    struct reg_start *starts = calloc(VOTER_STARTS_MAX, sizeof(*starts));
    uint8_t *bytes = malloc(VOTER_STORE_STARTS_MAX);
    assert_true(core != NULL && starts != NULL && bytes != NULL);
    for (size_t i = 0; i < VOTER_STARTS_MAX; i++) {
        starts[i] = (struct reg_start){{REG_OWNER_REPLICA, {1}, {1}}, {i + 1}, 1, {1}};
    }
    for (size_t i = 0; i < 2 * places; i++) {
        struct voter_record rec = {.kind = VOTER_RECORD_START, .start = starts[i]};
        assert_int_equal(voter_restore(core, &rec), TS_OK);
    }
    struct ts_writer w = ts_writer_init(bytes, VOTER_STORE_STARTS_MAX);
    voter_starts_encode(starts, VOTER_STARTS_MAX, &w);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    free(bytes);
    free(starts);
    voter_free(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copy_waits_for_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_goes_on_until_those_that_count_have_told, setup,
                                        teardown),
        cmocka_unit_test(test_starts_of_the_largest_cluster_have_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A voter's blank disk in the place of a lost one (adr/0029): config, voter, proposer, start. The
 * whole is in tests/sim/register_model.c and in the simulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cluster-cfg/proposer.h"
#include "cluster-cfg/start.h"
#include "cluster-cfg/voter.h"

#define REG 1
#define OLDER 13
#define OLD 23
#define NEW 33

static struct cfg_config config(uint64_t epoch, uint64_t third, enum cfg_voter_phase phase)
{
    struct cfg_config c = {.epoch = {epoch}, .primary = {1}, .proposer = {100}, .nonce = epoch};
    cfg_set_add(&c.members, (struct cfg_replica){{1}, {11}});
    c.in_sync = c.members;
    c.voters = (struct cfg_voters){
        3, {{{21}, CFG_VOTER_VOTES}, {{22}, CFG_VOTER_VOTES}, {{third}, phase}}};
    return c;
}

static struct reg_value value(const struct cfg_config *c)
{
    struct reg_value v = {0};
    struct ts_writer w = ts_writer_init(v.data, sizeof(v.data));
    cfg_config_encode(c, &w);
    v.len = (uint16_t)w.len;
    return v;
}

/* ---- config --------------------------------------------------------------------------------- */

/* Goal: a disk takes a place in three steps, one voter at a time, and never in one. */
static void test_voters_follow_one_step_at_a_time(void **state)
{
    (void)state;
    struct cfg_voters votes = config(1, OLD, CFG_VOTER_VOTES).voters;
    struct cfg_voters joins = config(1, NEW, CFG_VOTER_JOINS).voters;
    struct cfg_voters rewritten = config(1, NEW, CFG_VOTER_REWRITTEN).voters;
    struct cfg_voters after = config(1, NEW, CFG_VOTER_VOTES).voters;
    assert_true(cfg_voters_follow(&votes, &votes));
    assert_true(cfg_voters_follow(&votes, &joins));
    assert_true(cfg_voters_follow(&joins, &rewritten));
    assert_true(cfg_voters_follow(&rewritten, &after));
    assert_false(cfg_voters_follow(&votes, &rewritten));
    assert_false(cfg_voters_follow(&votes, &after));
    assert_false(cfg_voters_follow(&joins, &after));
    assert_false(cfg_voters_follow(&joins, &votes)); /* the lost disk never comes back */
    assert_false(cfg_voters_follow(&after, &joins));
    struct cfg_voters other = joins;
    other.v[2].incarnation.v = 43; /* the disk that joins is lost, too */
    assert_true(cfg_voters_follow(&joins, &other));
    assert_true(cfg_voters_follow(&rewritten, &other));
    other = joins;
    other.v[1] = (struct cfg_voter){{44}, CFG_VOTER_JOINS};
    assert_false(cfg_voters_follow(&joins, &other));
    assert_false(cfg_voters_follow(&votes, &other));
    other = votes;
    other.count = 2;
    assert_false(cfg_voters_follow(&votes, &other));
}

/* Goal: who counts; and without a list everybody does. */
static void test_voters_count_by_disk_and_phase(void **state)
{
    (void)state;
    struct cfg_voters joins = config(1, NEW, CFG_VOTER_JOINS).voters;
    struct cfg_voters none = {0};
    assert_true(cfg_voters_count(&joins, 0, (struct ts_incarnation){21}));
    assert_false(cfg_voters_count(&joins, 0, (struct ts_incarnation){22}));
    assert_false(cfg_voters_count(&joins, 2, (struct ts_incarnation){NEW}));
    assert_false(cfg_voters_count(&joins, 3, (struct ts_incarnation){NEW}));
    assert_true(cfg_voters_count(&none, 4, (struct ts_incarnation){9}));
    assert_int_equal(cfg_voters_joining(&joins), 2);
}

/* Goal: the voters are part of the record, and only good ones are. */
static void test_config_with_voters_round_trip(void **state)
{
    (void)state;
    struct cfg_config c = config(7, NEW, CFG_VOTER_REWRITTEN);
    struct reg_value v = value(&c);
    struct cfg_config back;
    struct ts_reader r = ts_reader_init(v.data, v.len);
    cfg_config_decode(&back, &r);
    assert_int_equal(ts_reader_finish(&r), TS_OK);
    assert_true(cfg_config_eq(&c, &back));
    back.voters.v[2].phase = CFG_VOTER_VOTES;
    assert_false(cfg_config_eq(&c, &back));
    for (size_t len = 0; len < v.len; len++) {
        r = ts_reader_init(v.data, len);
        cfg_config_decode(&back, &r);
        assert_int_equal(ts_reader_status(&r), TS_ERR_SHORT);
    }
    c.voters.v[1].phase = CFG_VOTER_JOINS;
    assert_false(cfg_config_valid(&c)); /* two at a time */
    c = config(7, 21, CFG_VOTER_VOTES);
    assert_false(cfg_config_valid(&c)); /* one disk at two places */
    c = config(7, 0, CFG_VOTER_VOTES);
    assert_false(cfg_config_valid(&c));
    c = config(7, NEW, (enum cfg_voter_phase)3);
    assert_false(cfg_config_valid(&c));
    c.voters.count = TS_VOTERS_MAX + 1;
    assert_false(cfg_config_valid(&c));
}

/* ---- the blank voter ------------------------------------------------------------------------ */

struct fixture {
    struct voter *v;
    struct voter_effects fx;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct voter_limits limits = {.self = {3}, .registers_max = 2, .starts_max = 4, .held_max = 4};
    assert_non_null(f);
    f->v = voter_new(&limits);
    assert_non_null(f->v);
    assert_int_equal(voter_list_register(f->v, REG), TS_OK);
    voter_set_disk(f->v, (struct ts_incarnation){NEW}, &(struct reg_places){2, {{OLD}, {OLDER}}});
    struct reg_start own = {{REG_OWNER_VOTER, {0}, {3}}, {NEW}, 1, {9}};
    voter_step(f->v, &(struct voter_event){.kind = VOTER_READY, .own = &own}, &f->fx);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    voter_free(f->v);
    free(f);
    return 0;
}

static void message(struct fixture *f, const struct reg_msg *m)
{
    voter_step(f->v,
               &(struct voter_event){.kind = VOTER_MESSAGE, .from = {2}, .handle = 7, .msg = m},
               &f->fx);
    voter_check_invariants(f->v);
}

static void prepare(struct fixture *f, uint64_t counter)
{
    struct reg_msg m = {.type = REG_MSG_PREPARE, .prepare = {REG, {counter, {2}, {5}}}};
    message(f, &m);
}

static void accept(struct fixture *f, uint64_t counter, const struct cfg_config *c)
{
    struct reg_msg m = {.type = REG_MSG_ACCEPT, .accept = {REG, {counter, {2}, {5}}, 1, value(c)}};
    message(f, &m);
}

static void ask_start(struct fixture *f, uint64_t number)
{
    struct reg_msg m = {.type = REG_MSG_START,
                        .start = {{REG_OWNER_REPLICA, {REG}, {2}}, {12}, number, {5}}};
    message(f, &m);
}

static bool stored(const struct fixture *f)
{
    return f->fx.count > 0 && f->fx.e[0].kind == VOTER_PERSIST;
}

static bool replied(const struct fixture *f, enum reg_msg_type type)
{
    return f->fx.count > 0 && f->fx.e[0].kind == VOTER_REPLY && f->fx.e[0].reply.msg.type == type;
}

/* Goal: a blank register answers for nothing but its place, whatever is asked of it. */
static void test_voter_blank_says_whose_place_it_is_for(void **state)
{
    struct fixture *f = *state;
    struct cfg_config c = config(4, OLD, CFG_VOTER_VOTES);
    prepare(f, 3);
    assert_true(replied(f, REG_MSG_BLANK));
    assert_int_equal(f->fx.e[0].reply.msg.blank.disk.v, NEW);
    assert_int_equal(f->fx.e[0].reply.msg.blank.places.count, 2);
    assert_int_equal(f->fx.e[0].reply.msg.blank.places.v[0].v, OLD);
    accept(f, 3, &c);
    assert_true(replied(f, REG_MSG_BLANK));
    assert_null(voter_find(f->v, REG));
    ask_start(f, 1);
    assert_int_equal(f->fx.count, 0);
}

/* Goal: filled by the value that lists it; rewritten only behind the starts of a majority of those
 * who count; only then it confirms starts, and none below what it was told. */
static void test_voter_blank_joins_behind_the_starts(void **state)
{
    struct fixture *f = *state;
    struct cfg_config c = config(5, NEW, CFG_VOTER_JOINS);
    accept(f, 4, &c);
    assert_true(stored(f));
    voter_step(f->v, &(struct voter_event){.kind = VOTER_PERSISTED, .n = 1}, &f->fx);
    assert_true(replied(f, REG_MSG_ACCEPTED));
    assert_false(voter_wants_copy(f->v));
    c = config(6, NEW, CFG_VOTER_REWRITTEN);
    accept(f, 5, &c);
    assert_true(replied(f, REG_MSG_NACK));
    assert_true(voter_wants_copy(f->v));
    ask_start(f, 6);
    assert_int_equal(f->fx.count, 0);

    struct reg_start known = {{REG_OWNER_REPLICA, {REG}, {2}}, {12}, 5, {8}};
    struct ts_incarnation few[TS_VOTERS_MAX] = {{21}, {OLD}, {NEW}};
    struct ts_incarnation enough[TS_VOTERS_MAX] = {{21}, {22}};
    voter_step(f->v, &(struct voter_event){.kind = VOTER_COPY_BEGUN}, &f->fx);
    assert_false(voter_wants_copy(f->v));
    voter_step(f->v, &(struct voter_event){.kind = VOTER_COPIED, .disks = few}, &f->fx);
    assert_true(voter_is_copying(f->v));
    accept(f, 5, &c);
    assert_true(replied(f, REG_MSG_NACK));
    assert_false(voter_wants_copy(f->v)); /* it is under way */
    assert_true(voter_learn_start(f->v, &known, &f->fx));
    assert_true(stored(f));
    assert_true(voter_learn_start(f->v, &known, &f->fx)); /* the other one knows the same */
    assert_int_equal(f->fx.count, 0);
    struct reg_start false_owner = {{REG_OWNER_REPLICA, {REG}, {1}}, {12}, 9, {8}};
    assert_true(voter_learn_start(f->v, &false_owner, &f->fx));
    assert_int_equal(f->fx.count, 0);
    voter_step(f->v, &(struct voter_event){.kind = VOTER_COPIED, .disks = enough}, &f->fx);
    assert_false(voter_is_copying(f->v));

    accept(f, 5, &c);
    assert_true(stored(f));
    assert_int_equal(f->fx.e[0].persist.n, 3); /* behind the start */
    ask_start(f, 5);
    assert_true(replied(f, REG_MSG_START_REFUSED));
    ask_start(f, 6);
    assert_true(stored(f));
    prepare(f, 6);
    assert_true(stored(f));
}

/* Goal: who is asked tells its own start first, then its table, then that there is no more. */
static void test_voter_tells_its_starts(void **state)
{
    struct fixture *f = *state;
    struct cfg_config c = config(6, NEW, CFG_VOTER_REWRITTEN);
    struct ts_incarnation enough[TS_VOTERS_MAX] = {{21}, {22}};
    struct reg_start known = {{REG_OWNER_REPLICA, {REG}, {2}}, {12}, 5, {8}};
    struct reg_msg ask = {.type = REG_MSG_STARTS_ASK, .starts_ask = {.session = 4, .index = 0}};
    message(f, &ask);
    assert_int_equal(f->fx.count, 0); /* blank itself */
    accept(f, 5, &c);
    voter_step(f->v, &(struct voter_event){.kind = VOTER_COPY_BEGUN}, &f->fx);
    assert_true(voter_learn_start(f->v, &known, &f->fx));
    voter_step(f->v, &(struct voter_event){.kind = VOTER_COPIED, .disks = enough}, &f->fx);
    for (uint16_t i = 0; i < 3; i++) {
        ask.starts_ask.index = i;
        message(f, &ask);
        assert_true(replied(f, REG_MSG_STARTS_TELL));
        const struct reg_starts_tell *tell = &f->fx.e[0].reply.msg.starts_tell;
        assert_int_equal(tell->session, 4);
        assert_int_equal(tell->index, i);
        assert_int_equal(tell->has, i < 2);
        assert_int_equal(tell->start.incarnation.v, i == 0 ? NEW : i == 1 ? 12 : 0);
    }
}

/* Goal: after a restart a disk that had stored the rewritten value needs no copy. */
static void test_voter_restored_knows_how_far_it_was(void **state)
{
    (void)state;
    struct voter_limits limits = {.self = {3}, .registers_max = 2, .starts_max = 4, .held_max = 4};
    for (int rewritten = 0; rewritten < 2; rewritten++) {
        struct fixture f = {.v = voter_new(&limits)};
        struct cfg_config c = config(5, NEW, rewritten ? CFG_VOTER_REWRITTEN : CFG_VOTER_JOINS);
        struct reg_value stored_value = value(&c);
        struct voter_record rec = {.kind = VOTER_RECORD_REGISTER,
                                   .reg = voter_genesis(REG, &stored_value)};
        assert_non_null(f.v);
        assert_int_equal(voter_restore(f.v, &rec), TS_OK);
        voter_set_disk(f.v, (struct ts_incarnation){NEW}, &(struct reg_places){1, {{OLD}}});
        voter_step(f.v, &(struct voter_event){.kind = VOTER_READY}, &f.fx);
        ask_start(&f, 1);
        assert_int_equal(f.fx.count > 0, rewritten);
        c = config(6, NEW, CFG_VOTER_REWRITTEN);
        accept(&f, 5, &c);
        assert_int_equal(stored(&f), rewritten);
        voter_free(f.v);
    }
}

/* Goal: a blank disk knows when it is for another place than the one that is listed, and one that
 * was listed, or formed with the group, when another one has its place. */
static void test_voter_knows_that_its_place_is_not_its_own(void **state)
{
    struct fixture *f = *state;
    struct cfg_config c = config(5, 99, CFG_VOTER_VOTES);
    assert_true(voter_is_joining(f->v) && !voter_is_misplaced(f->v) && !voter_is_replaced(f->v));
    accept(f, 4, &c);
    assert_true(voter_is_misplaced(f->v));
    c = config(6, OLDER, CFG_VOTER_VOTES);
    accept(f, 5, &c);
    assert_false(voter_is_misplaced(f->v));
    c = config(7, NEW, CFG_VOTER_JOINS);
    accept(f, 6, &c);
    assert_true(voter_is_joining(f->v) && !voter_is_replaced(f->v));
    c = config(8, 99, CFG_VOTER_JOINS);
    accept(f, 7, &c);
    assert_true(!voter_is_joining(f->v) && voter_is_replaced(f->v));

    const struct reg_places none = {0};
    struct voter_limits limits = {.self = {3}, .registers_max = 1, .starts_max = 4, .held_max = 4};
    struct fixture old = {.v = voter_new(&limits)};
    assert_non_null(old.v);
    c = config(4, OLD, CFG_VOTER_VOTES);
    struct reg_value first = value(&c);
    struct voter_record rec = {.kind = VOTER_RECORD_REGISTER, .reg = voter_genesis(REG, &first)};
    assert_int_equal(voter_restore(old.v, &rec), TS_OK);
    voter_set_disk(old.v, (struct ts_incarnation){OLD}, &none);
    voter_step(old.v, &(struct voter_event){.kind = VOTER_READY}, &old.fx);
    assert_true(!voter_is_joining(old.v) && !voter_is_replaced(old.v));
    c = config(5, NEW, CFG_VOTER_JOINS);
    accept(&old, 4, &c);
    assert_true(!voter_is_joining(old.v) && voter_is_replaced(old.v));
    voter_free(old.v);
}

/* Goal: what filled it was never decided, and the register lists the lost disk still: it waits for
 * its place as before, says so, and can be taken in. */
static void test_voter_filled_in_vain_waits_again(void **state)
{
    struct fixture *f = *state;
    struct cfg_config joins = config(5, NEW, CFG_VOTER_JOINS);
    struct cfg_config old = config(5, OLD, CFG_VOTER_VOTES);
    accept(f, 4, &joins);
    assert_true(stored(f));
    accept(f, 5, &old);
    assert_true(stored(f)); /* that it was in vain, too */
    assert_true(voter_is_joining(f->v) && !voter_is_replaced(f->v));
    prepare(f, 6);
    assert_true(replied(f, REG_MSG_BLANK));
    old.epoch.v = 6;
    accept(f, 6, &old);
    assert_true(replied(f, REG_MSG_BLANK));
    joins.epoch.v = 7;
    accept(f, 7, &joins);
    assert_true(stored(f));
    prepare(f, 8);
    assert_true(stored(f));
    voter_step(f->v, &(struct voter_event){.kind = VOTER_PERSISTED, .n = 4}, &f->fx);
    joins = config(8, 99, CFG_VOTER_JOINS);
    accept(f, 8, &joins);
    assert_true(!voter_is_joining(f->v) && voter_is_replaced(f->v));
    prepare(f, 9);
    assert_true(stored(f)); /* it waits for nothing */
}

/* ---- the proposer --------------------------------------------------------------------------- */

struct proposing {
    struct proposer p;
    struct proposer_effects fx;
};

static void up(struct proposing *f, uint8_t voter, uint64_t disk)
{
    proposer_step(
        &f->p,
        &(struct proposer_event){.kind = PROPOSER_EVENT_VOTER_UP, .voter = voter, .disk = {disk}},
        &f->fx);
    proposer_check_invariants(&f->p);
}

static void down(struct proposing *f, uint8_t voter)
{
    proposer_step(
        &f->p, &(struct proposer_event){.kind = PROPOSER_EVENT_VOTER_DOWN, .voter = voter}, &f->fx);
    proposer_check_invariants(&f->p);
}

static void hear(struct proposing *f, uint8_t voter, const struct reg_msg *m)
{
    proposer_step(
        &f->p, &(struct proposer_event){.kind = PROPOSER_EVENT_MESSAGE, .voter = voter, .msg = m},
        &f->fx);
    proposer_check_invariants(&f->p);
}

static void promise(struct proposing *f, uint8_t voter, uint64_t at, const struct cfg_config *c)
{
    struct reg_msg m = {.type = REG_MSG_PROMISE,
                        .promise = {.reg = REG,
                                    .ballot = f->p.ballot,
                                    .accepted = {at, {at == 0 ? 0 : 1}, {at == 0 ? 0 : 100}},
                                    .value = value(c)}};
    hear(f, voter, &m);
}

static bool accepted(struct proposing *f, uint8_t voter, enum proposer_outcome outcome)
{
    struct reg_msg m = {.type = REG_MSG_ACCEPTED, .accepted = {REG, f->p.ballot}};
    hear(f, voter, &m);
    return f->fx.count > 0 && f->fx.e[0].kind == PROPOSER_EFFECT_DONE &&
           f->fx.e[0].result.outcome == outcome;
}

static void begin(struct proposing *f, enum proposer_op op, uint64_t expected,
                  const struct cfg_config *c)
{
    proposer_step(&f->p,
                  &(struct proposer_event){
                      .kind = PROPOSER_EVENT_OP, .op = op, .expected = {expected}, .config = c},
                  &f->fx);
}

static struct proposing *proposing(uint64_t third)
{
    struct proposing *f = calloc(1, sizeof(*f));
    struct proposer_config cfg = {.reg = REG,
                                  .self = {1},
                                  .instance = {100},
                                  .generation = 1,
                                  .voters = 3,
                                  .retry_ns = 1000,
                                  .seed = 3};
    assert_non_null(f);
    proposer_init(&f->p, &cfg);
    up(f, 0, 21);
    up(f, 1, 22);
    up(f, 2, third);
    return f;
}

/* Goal: a value that lists another disk takes its word back from the one that had promised. */
static void test_proposer_counts_by_the_newest_value(void **state)
{
    (void)state;
    struct proposing *f = proposing(OLD);
    struct cfg_config old = config(4, OLD, CFG_VOTER_VOTES);
    struct cfg_config joins = config(5, NEW, CFG_VOTER_JOINS);
    begin(f, PROPOSER_OP_READ, 0, NULL);
    promise(f, 2, 0, &old);
    promise(f, 0, 3, &joins);
    assert_int_equal(f->p.phase, PROPOSER_PREPARING);
    promise(f, 1, 0, &old);
    assert_int_equal(f->p.phase, PROPOSER_ACCEPTING);
    assert_false(accepted(f, 0, PROPOSER_DECIDED));
    assert_false(accepted(f, 2, PROPOSER_DECIDED));
    assert_true(accepted(f, 1, PROPOSER_DECIDED));
    free(f);
}

/* Goal: what the former disk granted is not the new one's word. */
static void test_proposer_other_disk_has_granted_nothing(void **state)
{
    (void)state;
    struct proposing *f = proposing(OLD);
    struct cfg_config after = config(6, NEW, CFG_VOTER_VOTES);
    begin(f, PROPOSER_OP_READ, 0, NULL);
    promise(f, 2, 0, &after);
    up(f, 2, NEW);
    promise(f, 0, 0, &after);
    assert_int_equal(f->p.phase, PROPOSER_PREPARING);
    promise(f, 2, 0, &after);
    assert_int_equal(f->p.phase, PROPOSER_ACCEPTING);
    free(f);
}

/* Goal: a step is taken from a decided value, not from one that a PREPARE showed, and no two at
 * once. */
static void test_proposer_steps_from_a_decided_value_only(void **state)
{
    (void)state;
    struct cfg_config old = config(4, OLD, CFG_VOTER_VOTES);
    struct cfg_config joins = config(5, NEW, CFG_VOTER_JOINS);
    struct cfg_config votes = config(5, NEW, CFG_VOTER_VOTES);
    for (int way = 0; way < 3; way++) {
        struct proposing *f = proposing(NEW);
        if (way == 0) {
            begin(f, PROPOSER_OP_PREPARE, 0, NULL);
            promise(f, 0, 0, &old);
            promise(f, 1, 0, &old);
        }
        begin(f, PROPOSER_OP_CAS, 4, way == 1 ? &votes : &joins);
        if (way != 0) {
            promise(f, 0, 0, &old);
            promise(f, 1, 0, &old);
        }
        enum proposer_outcome outcome = way == 2 ? PROPOSER_WON : PROPOSER_LOST;
        assert_false(accepted(f, 0, outcome));
        assert_false(accepted(f, 2, outcome));
        assert_true(accepted(f, 1, outcome));
        free(f);
    }
}

/* Goal: the steps in turn, each when the disk is known to be so far. */
static void test_proposer_next_voters_in_turn(void **state)
{
    (void)state;
    struct proposing *f = proposing(NEW);
    struct cfg_config c = config(4, OLD, CFG_VOTER_VOTES);
    struct cfg_voters next;
    bool ask;
    struct reg_msg blank = {.type = REG_MSG_BLANK,
                            .blank = {REG, {1, {1}, {100}}, {NEW}, {1, {{OLD + 1}}}}};
    begin(f, PROPOSER_OP_READ, 0, NULL);
    promise(f, 0, 0, &c);
    promise(f, 1, 0, &c);
    assert_false(accepted(f, 0, PROPOSER_DECIDED));
    assert_true(accepted(f, 1, PROPOSER_DECIDED));
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_true(ask);
    hear(f, 2, &blank);
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask)); /* for the place of another one */
    assert_false(ask);
    blank.blank.places = (struct reg_places){2, {{OLD + 1}, {OLD}}};
    hear(f, 2, &blank);
    assert_true(proposer_next_voters(&f->p, &c, &next, &ask));
    for (int phase = CFG_VOTER_JOINS; phase <= CFG_VOTER_REWRITTEN; phase++) {
        uint64_t epoch = 4U + (uint64_t)phase;
        c = config(epoch, NEW, (enum cfg_voter_phase)phase);
        assert_true(cfg_voters_eq(&next, &c.voters));
        assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
        assert_true(ask);
        begin(f, PROPOSER_OP_READ, 0, NULL);
        promise(f, 0, epoch, &c);
        promise(f, 1, epoch, &c);
        assert_false(accepted(f, 0, PROPOSER_DECIDED));
        assert_true(accepted(f, 1, PROPOSER_DECIDED));
        assert_false(accepted(f, 2, PROPOSER_DECIDED)); /* late, and known nevertheless */
        assert_true(proposer_next_voters(&f->p, &c, &next, &ask));
    }
    c = config(9, NEW, CFG_VOTER_VOTES);
    assert_true(cfg_voters_eq(&next, &c.voters));
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_true(ask); /* who stored the one before is to hear of this */
    free(f);
}

/* Goal: a voter that says of its disk that it is blank, and bears the name of one that has a place,
 * is not taken in: that would be no config. */
static void test_proposer_disk_with_a_place_takes_no_other(void **state)
{
    (void)state;
    struct proposing *f = proposing(21);
    struct cfg_config c = config(4, OLD, CFG_VOTER_VOTES);
    struct cfg_voters next;
    bool ask;
    struct reg_msg blank = {.type = REG_MSG_BLANK,
                            .blank = {REG, {1, {1}, {100}}, {21}, {1, {{OLD}}}}};
    hear(f, 2, &blank);
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_true(cfg_voters_eq(&next, &c.voters));
    free(f);
}

/* Goal: the register is not read again and again for a disk that was replaced and is back, nor for
 * one that votes and missed what was decided last. */
static void test_proposer_asks_only_for_what_it_may_learn(void **state)
{
    (void)state;
    struct proposing *f = proposing(OLD);
    struct cfg_config c = config(4, NEW, CFG_VOTER_VOTES);
    struct cfg_voters next;
    bool ask;
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_true(ask);
    begin(f, PROPOSER_OP_READ, 0, NULL);
    promise(f, 2, 0, &c);
    promise(f, 0, 0, &c);
    promise(f, 1, 0, &c);
    assert_false(accepted(f, 0, PROPOSER_DECIDED));
    assert_true(accepted(f, 1, PROPOSER_DECIDED));
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_false(ask);
    c = config(5, NEW, CFG_VOTER_VOTES);
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_false(ask);
    free(f);
}

/* Goal: whose link is down when it becomes one that votes is told so by the next primary, too, once
 * it can be reached; who has no value at all would not be told by asking. */
static void test_proposer_tells_who_was_away_that_it_votes(void **state)
{
    (void)state;
    struct proposing *f = proposing(NEW);
    struct cfg_config c = config(6, NEW, CFG_VOTER_VOTES);
    struct cfg_voters next;
    bool ask;
    struct reg_msg empty = {.type = REG_MSG_NACK, .nack = {.reg = REG, .reason = REG_NACK_EMPTY}};
    down(f, 2);
    begin(f, PROPOSER_OP_READ, 0, NULL);
    promise(f, 0, 0, &c);
    promise(f, 1, 0, &c);
    assert_false(accepted(f, 0, PROPOSER_DECIDED));
    assert_true(accepted(f, 1, PROPOSER_DECIDED));
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_false(ask);
    up(f, 2, NEW);
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_true(ask);
    begin(f, PROPOSER_OP_READ, 0, NULL);
    empty.nack.ballot = f->p.ballot;
    hear(f, 2, &empty);
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_false(ask);
    down(f, 2);
    up(f, 2, NEW);
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_true(ask);
    promise(f, 0, 1, &c);
    promise(f, 1, 1, &c);
    assert_false(accepted(f, 0, PROPOSER_DECIDED));
    assert_true(accepted(f, 1, PROPOSER_DECIDED));
    assert_false(accepted(f, 2, PROPOSER_DECIDED));
    assert_false(proposer_next_voters(&f->p, &c, &next, &ask));
    assert_false(ask);
    free(f);
}

/* Goal: a disk that has stored a value in vain answers as if it were none that waits for a place:
 * it is asked once more, and says so then. */
static void test_proposer_asks_who_was_filled_in_vain(void **state)
{
    (void)state;
    struct proposing *f = proposing(NEW);
    struct cfg_config joins = config(5, NEW, CFG_VOTER_JOINS);
    struct cfg_config old = config(5, OLD, CFG_VOTER_VOTES);
    struct cfg_voters next;
    struct reg_msg blank = {.type = REG_MSG_BLANK,
                            .blank = {REG, {1, {1}, {100}}, {NEW}, {1, {{OLD}}}}};
    bool ask;
    begin(f, PROPOSER_OP_READ, 0, NULL);
    promise(f, 2, 3, &joins);
    promise(f, 0, 4, &old);
    promise(f, 1, 4, &old);
    assert_false(accepted(f, 0, PROPOSER_DECIDED));
    assert_false(accepted(f, 2, PROPOSER_DECIDED));
    assert_true(accepted(f, 1, PROPOSER_DECIDED));
    assert_false(proposer_next_voters(&f->p, &old, &next, &ask));
    assert_true(ask);
    hear(f, 2, &blank);
    assert_true(proposer_next_voters(&f->p, &old, &next, &ask));
    assert_true(cfg_voters_eq(&next, &joins.voters));
    free(f);
}

/* ---- the start ------------------------------------------------------------------------------ */

/* Goal: a confirmation ends with its disk, and counts by what the register says. */
static void test_start_other_disk_is_asked_anew(void **state)
{
    (void)state;
    struct start s;
    struct start_effects fx;
    struct start_config cfg = {.start = {{REG_OWNER_REPLICA, {REG}, {1}}, {11}, 4, {7}},
                               .voters = 3,
                               .self = START_NO_SELF,
                               .retry_ns = 1000};
    struct reg_msg ok = {.type = REG_MSG_START_OK, .start_ok = cfg.start};
    struct cfg_voters old = config(1, OLD, CFG_VOTER_VOTES).voters;
    struct cfg_voters joins = config(1, NEW, CFG_VOTER_JOINS).voters;
    start_init(&s, &cfg);
    start_step(&s, &(struct start_event){.kind = START_EVENT_BEGIN}, &fx);
    for (uint8_t v = 0; v < 3; v += 2) {
        start_step(&s,
                   &(struct start_event){
                       .kind = START_EVENT_VOTER_UP, .voter = v, .disk = {v == 0 ? 21 : OLD}},
                   &fx);
        start_step(&s, &(struct start_event){.kind = START_EVENT_MESSAGE, .voter = v, .msg = &ok},
                   &fx);
    }
    assert_int_equal(s.state, START_REGISTERED);
    assert_true(start_counts(&s, &old));
    assert_false(start_counts(&s, &joins));
    start_step(&s, &(struct start_event){.kind = START_EVENT_VOTER_UP, .voter = 2, .disk = {NEW}},
               &fx);
    assert_int_equal(fx.count, 1); /* asked */
    assert_int_equal(start_confirmed(&s), 1);
    start_check_invariants(&s);
}

int main(void)
{
#define WITH_VOTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_voters_follow_one_step_at_a_time),
        cmocka_unit_test(test_voters_count_by_disk_and_phase),
        cmocka_unit_test(test_config_with_voters_round_trip),
        WITH_VOTER(test_voter_blank_says_whose_place_it_is_for),
        WITH_VOTER(test_voter_blank_joins_behind_the_starts),
        WITH_VOTER(test_voter_tells_its_starts),
        cmocka_unit_test(test_voter_restored_knows_how_far_it_was),
        WITH_VOTER(test_voter_knows_that_its_place_is_not_its_own),
        WITH_VOTER(test_voter_filled_in_vain_waits_again),
        cmocka_unit_test(test_proposer_counts_by_the_newest_value),
        cmocka_unit_test(test_proposer_other_disk_has_granted_nothing),
        cmocka_unit_test(test_proposer_steps_from_a_decided_value_only),
        cmocka_unit_test(test_proposer_next_voters_in_turn),
        cmocka_unit_test(test_proposer_tells_who_was_away_that_it_votes),
        cmocka_unit_test(test_proposer_asks_who_was_filled_in_vain),
        cmocka_unit_test(test_proposer_disk_with_a_place_takes_no_other),
        cmocka_unit_test(test_proposer_asks_only_for_what_it_may_learn),
        cmocka_unit_test(test_start_other_disk_is_asked_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Runs the scenarios of the config register (rules R1.x). Commands:
 *
 *   world voters=N [blank=v3] [not-ready]   voters v1..vN, each with the genesis value of epoch 1
 *   proposer A node=1 instance=100 [keep]   a (new) process with links to all voters; `keep`: what
 *                                           was under way to an earlier process comes to it
 *   starter S node=1 [group=1 | voter] incarnation=9 start=1 instance=5
 *   prepare A | read A | abandon A
 *   cas A expect=1 epoch=2 primary=1 in-sync=1,2 nonce=7
 *   send A v1 prepare|accept counter=1 [epoch=2 nonce=7] [node=2]   a message by hand
 *   deliver A v1 | deliver v1 A             the oldest message of that direction
 *   drop A v1 | drop v1 A | repeat A v1 | repeat v1 A
 *   persist v1 [through=N] | fail-disk v1 | crash v1 | restart v1 | ready v1
 *   up A v1 | down A v1                     the link
 *   tick A [ms=N]                           time moves to A's deadline, or by N
 *   settle [without=v3,B]                   deliver and persist until nothing moves
 *   show v1 | show A */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/register_world.h"

static bool complain(struct world *w, const char *what)
{
    script_printf(w->out, "error: %s\n", what);
    return false;
}

static bool find_voter(const struct world *w, const char *word, size_t *voter)
{
    if (word == NULL || word[0] != 'v' || word[1] < '1' || word[1] > '9' || word[2] != '\0') {
        return false;
    }
    *voter = (size_t)(word[1] - '1');
    return *voter < w->voter_count;
}

static bool find_actor(const struct world *w, const char *word, size_t *actor)
{
    for (size_t i = 0; word != NULL && i < w->actor_count; i++) {
        if (strcmp(w->actor[i].name, word) == 0) {
            *actor = i;
            return true;
        }
    }
    return false;
}

/* A list such as "v3,B" as bits. */
static void find_masks(const struct world *w, const char *list, unsigned *voters, unsigned *actors)
{
    *voters = 0;
    *actors = 0;
    char copy[64];
    (void)snprintf(copy, sizeof(copy), "%s", list != NULL ? list : "");
    char *save = NULL;
    for (char *p = strtok_r(copy, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        size_t i;
        if (find_voter(w, p, &i)) {
            *voters |= 1U << i;
        } else if (find_actor(w, p, &i)) {
            *actors |= 1U << i;
        }
    }
}

static const char *word(const struct script_command *cmd, int i)
{
    return i < cmd->count ? cmd->words[i] : NULL;
}

static bool cmd_world(struct world *w, const struct script_command *cmd)
{
    uint64_t voters = script_arg_u64(cmd, "voters", 3);
    if (voters < 1 || voters > TS_VOTERS_MAX || w->voter_count > 0) {
        return complain(w, "world: once, with voters=1..5");
    }
    w->voter_count = (size_t)voters;
    unsigned blank;
    unsigned none;
    find_masks(w, script_arg(cmd, "blank"), &blank, &none);
    world_make(w, (size_t)voters, blank, !script_flag(cmd, "not-ready"));
    return true;
}

/* The slot of a new process of this name: a restarted one loses its links. */
static bool new_actor(struct world *w, const struct script_command *cmd, size_t *actor)
{
    const char *name = word(cmd, 1);
    if (name == NULL || strlen(name) >= sizeof(w->actor[0].name)) {
        return complain(w, "a name is missing or too long");
    }
    if (!find_actor(w, name, actor)) {
        if (w->actor_count == WORLD_ACTORS_MAX) {
            return complain(w, "too many processes");
        }
        *actor = w->actor_count++;
    }
    for (size_t v = 0; v < w->voter_count; v++) {
        w->connection[*actor][v] = 0;
        w->to_voter[*actor][v].count = 0;
        if (!script_flag(cmd, "keep")) {
            w->to_actor[*actor][v].count = 0;
        }
    }
    struct world_actor *a = &w->actor[*actor];
    *a = (struct world_actor){.node = {(uint16_t)script_arg_u64(cmd, "node", 1)}};
    (void)snprintf(a->name, sizeof(a->name), "%s", name);
    return true;
}

static bool cmd_proposer(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    if (!new_actor(w, cmd, &actor)) {
        return false;
    }
    struct world_actor *a = &w->actor[actor];
    a->kind = WORLD_PROPOSER;
    struct proposer_config cfg = {
        .reg = WORLD_REG,
        .self = a->node,
        .instance = {script_arg_u64(cmd, "instance", 100)},
        .generation = 1,
        .voters = (uint8_t)w->voter_count,
        .retry_ns = WORLD_RETRY_MS * TS_NS_PER_MS,
        .seed = 1,
    };
    proposer_init(&a->proposer, &cfg);
    for (size_t v = 0; v < w->voter_count; v++) {
        world_connect(w, actor, v);
    }
    return true;
}

static bool cmd_starter(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    if (!new_actor(w, cmd, &actor)) {
        return false;
    }
    struct world_actor *a = &w->actor[actor];
    a->kind = WORLD_STARTER;
    bool voter = script_flag(cmd, "voter");
    struct start_config cfg = {
        .start = {.owner = {.kind = voter ? REG_OWNER_VOTER : REG_OWNER_REPLICA,
                            .group = {voter ? 0 : 1},
                            .node = a->node},
                  .incarnation = {script_arg_u64(cmd, "incarnation", 9)},
                  .start = script_arg_u64(cmd, "start", 1),
                  .instance = {script_arg_u64(cmd, "instance", 5)}},
        .voters = (uint8_t)w->voter_count,
        .self = voter ? (uint8_t)(a->node.v - 1) : START_NO_SELF,
        .retry_ns = WORLD_RETRY_MS * TS_NS_PER_MS,
    };
    start_init(&a->starter, &cfg);
    struct start_event ev = {.kind = START_EVENT_BEGIN, .now = w->now};
    world_step_starter(w, actor, &ev);
    for (size_t v = 0; v < w->voter_count; v++) {
        world_connect(w, actor, v);
    }
    return true;
}

/* A config from arguments, over the world's three enrolled replicas. */
static struct cfg_config config_from(const struct script_command *cmd, struct ts_instance instance)
{
    struct cfg_config c = {
        .epoch = {script_arg_u64(cmd, "epoch", 2)},
        .primary = {(uint16_t)script_arg_u64(cmd, "primary", 1)},
        .proposer = instance,
        .nonce = script_arg_u64(cmd, "nonce", 1),
    };
    for (uint16_t n = 1; n <= 3; n++) {
        cfg_set_add(&c.members, (struct cfg_replica){{n}, {10ULL + n}});
    }
    const char *list = script_arg(cmd, "in-sync");
    for (const char *p = list != NULL ? list : "1,2"; *p != '\0'; p++) {
        if (*p >= '1' && *p <= '3') {
            uint16_t n = (uint16_t)(*p - '0');
            cfg_set_add(&c.in_sync, (struct cfg_replica){{n}, {10ULL + n}});
        }
    }
    return c;
}

static bool cmd_op(struct world *w, const struct script_command *cmd, enum proposer_op op)
{
    size_t actor;
    if (!find_actor(w, word(cmd, 1), &actor) || w->actor[actor].kind != WORLD_PROPOSER) {
        return complain(w, "no such proposer");
    }
    struct proposer *p = &w->actor[actor].proposer;
    struct cfg_config c = config_from(cmd, p->cfg.instance);
    struct proposer_event ev = {
        .kind = PROPOSER_EVENT_OP,
        .now = w->now,
        .op = op,
        .expected = {script_arg_u64(cmd, "expect", 1)},
        .config = &c,
    };
    if (proposer_is_busy(p) || !cfg_config_valid(&c) || c.epoch.v <= ev.expected.v) {
        return complain(w, "the proposer is busy, or the config is not valid");
    }
    world_step_actor(w, actor, &ev);
    return true;
}

static bool cmd_prepare(struct world *w, const struct script_command *cmd)
{
    return cmd_op(w, cmd, PROPOSER_OP_PREPARE);
}

static bool cmd_read(struct world *w, const struct script_command *cmd)
{
    return cmd_op(w, cmd, PROPOSER_OP_READ);
}

static bool cmd_cas(struct world *w, const struct script_command *cmd)
{
    return cmd_op(w, cmd, PROPOSER_OP_CAS);
}

static bool cmd_abandon(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    if (!find_actor(w, word(cmd, 1), &actor)) {
        return complain(w, "no such proposer");
    }
    proposer_abandon(&w->actor[actor].proposer);
    proposer_check_invariants(&w->actor[actor].proposer);
    return true;
}

static bool cmd_send(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    size_t voter;
    if (!find_actor(w, word(cmd, 1), &actor) || !find_voter(w, word(cmd, 2), &voter)) {
        return complain(w, "send A v1 prepare|accept …");
    }
    const struct proposer_config *cfg = &w->actor[actor].proposer.cfg;
    uint16_t node = (uint16_t)script_arg_u64(cmd, "node", cfg->self.v);
    struct reg_ballot ballot = {script_arg_u64(cmd, "counter", 1), {node}, cfg->instance};
    uint32_t reg = (uint32_t)script_arg_u64(cmd, "reg", WORLD_REG);
    struct reg_msg msg = {.type = REG_MSG_PREPARE, .prepare = {.reg = reg, .ballot = ballot}};
    if (script_flag(cmd, "accept")) {
        struct cfg_config c = config_from(cmd, cfg->instance);
        msg = (struct reg_msg){.type = REG_MSG_ACCEPT, .accept = {.reg = reg, .ballot = ballot}};
        msg.accept.generation = script_arg_u64(cmd, "generation", 1);
        struct ts_writer wr = ts_writer_init(msg.accept.value.data, REG_VALUE_MAX);
        cfg_config_encode(&c, &wr);
        msg.accept.value.len = (uint16_t)wr.len;
    }
    world_send(w, actor, voter, &msg);
    return true;
}

/* The queue between two named ends; NULL when there is none. */
static struct world_queue *find_queue(struct world *w, const struct script_command *cmd,
                                      size_t *actor, size_t *voter, bool *to_voter)
{
    *to_voter = find_actor(w, word(cmd, 1), actor) && find_voter(w, word(cmd, 2), voter);
    if (*to_voter) {
        return &w->to_voter[*actor][*voter];
    }
    if (find_voter(w, word(cmd, 1), voter) && find_actor(w, word(cmd, 2), actor)) {
        return &w->to_actor[*actor][*voter];
    }
    return NULL;
}

static bool cmd_deliver(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    size_t voter;
    bool to_voter;
    struct world_queue *q = find_queue(w, cmd, &actor, &voter, &to_voter);
    if (q == NULL || q->count == 0) {
        return complain(w, "nothing is under way there");
    }
    return to_voter ? world_deliver_to_voter(w, actor, voter)
                    : world_deliver_to_actor(w, actor, voter);
}

static bool cmd_drop(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    size_t voter;
    bool to_voter;
    struct world_queue *q = find_queue(w, cmd, &actor, &voter, &to_voter);
    if (q == NULL || q->count == 0) {
        return complain(w, "nothing is under way there");
    }
    q->count--;
    memmove(&q->p[0], &q->p[1], q->count * sizeof(q->p[0]));
    return true;
}

static bool cmd_repeat(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    size_t voter;
    bool to_voter;
    struct world_queue *q = find_queue(w, cmd, &actor, &voter, &to_voter);
    if (q == NULL || q->count == 0 || q->count == WORLD_QUEUE_MAX) {
        return complain(w, "nothing is under way there");
    }
    q->p[q->count] = q->p[0];
    q->count++;
    return true;
}

static bool cmd_persist(struct world *w, const struct script_command *cmd)
{
    size_t voter;
    if (!find_voter(w, word(cmd, 1), &voter) || w->voter[voter].core == NULL) {
        return complain(w, "no such voter is up");
    }
    if (!world_persist(w, voter, script_arg_u64(cmd, "through", UINT64_MAX))) {
        script_printf(w->out, "nothing to persist\n");
    }
    return true;
}

static bool cmd_fail_disk(struct world *w, const struct script_command *cmd)
{
    size_t voter;
    if (!find_voter(w, word(cmd, 1), &voter) || w->voter[voter].core == NULL) {
        return complain(w, "no such voter is up");
    }
    w->voter[voter].pending_count = 0;
    struct voter_event ev = {.kind = VOTER_PERSIST_FAILED, .now = w->now};
    world_step_voter(w, voter, &ev);
    return true;
}

static bool cmd_crash(struct world *w, const struct script_command *cmd)
{
    size_t voter;
    if (!find_voter(w, word(cmd, 1), &voter) || w->voter[voter].core == NULL) {
        return complain(w, "no such voter is up");
    }
    world_crash(w, voter);
    return true;
}

static bool cmd_restart(struct world *w, const struct script_command *cmd)
{
    size_t voter;
    if (!find_voter(w, word(cmd, 1), &voter) || w->voter[voter].core != NULL) {
        return complain(w, "no such voter is down");
    }
    world_restart(w, voter);
    return true;
}

static bool cmd_ready(struct world *w, const struct script_command *cmd)
{
    size_t voter;
    if (!find_voter(w, word(cmd, 1), &voter) || w->voter[voter].core == NULL) {
        return complain(w, "no such voter is up");
    }
    struct voter_event ev = {.kind = VOTER_READY, .now = w->now};
    world_step_voter(w, voter, &ev);
    return true;
}

static bool cmd_up(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    size_t voter;
    if (!find_actor(w, word(cmd, 1), &actor) || !find_voter(w, word(cmd, 2), &voter)) {
        return complain(w, "up A v1");
    }
    world_connect(w, actor, voter);
    return true;
}

static bool cmd_down(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    size_t voter;
    if (!find_actor(w, word(cmd, 1), &actor) || !find_voter(w, word(cmd, 2), &voter)) {
        return complain(w, "down A v1");
    }
    world_disconnect(w, actor, voter);
    return true;
}

static bool cmd_tick(struct world *w, const struct script_command *cmd)
{
    size_t actor;
    if (!find_actor(w, word(cmd, 1), &actor)) {
        return complain(w, "no such process");
    }
    const struct world_actor *a = &w->actor[actor];
    struct ts_mono due =
        a->kind == WORLD_PROPOSER ? proposer_deadline(&a->proposer) : start_deadline(&a->starter);
    uint64_t ms = script_arg_u64(cmd, "ms", UINT64_MAX);
    if (ms != UINT64_MAX) {
        w->now = ts_mono_add(w->now, ms * TS_NS_PER_MS);
    } else if (due.ns == UINT64_MAX) {
        script_printf(w->out, "no deadline\n");
        return true;
    } else if (ts_mono_lt(w->now, due)) {
        w->now = due;
    }
    world_tick(w, actor);
    return true;
}

static bool cmd_settle(struct world *w, const struct script_command *cmd)
{
    unsigned voters;
    unsigned actors;
    find_masks(w, script_arg(cmd, "without"), &voters, &actors);
    world_settle(w, voters, actors);
    return true;
}

static void show_voter(struct world *w, size_t voter)
{
    const struct world_voter *v = &w->voter[voter];
    for (size_t i = 0; i < v->disk_count; i++) {
        script_printf(w->out, "v%zu disk:", voter + 1);
        const struct voter_register *r = &v->disk[i].reg;
        if (v->disk[i].kind == VOTER_RECORD_START) {
            script_printf(w->out, " start %" PRIu64 "\n", v->disk[i].start.start);
            continue;
        }
        script_printf(w->out, " promised ");
        world_print_ballot(w->out, r->promised);
        script_printf(w->out, " accepted ");
        world_print_ballot(w->out, r->accepted);
        script_printf(w->out, " generation %" PRIu64 " ", r->generation);
        world_print_value(w->out, &r->value);
        script_printf(w->out, "\n");
    }
    if (v->core == NULL) {
        script_printf(w->out, "v%zu is down\n", voter + 1);
        return;
    }
    script_printf(w->out, "v%zu: ready %d failed %d empty registers %zu\n", voter + 1,
                  voter_is_ready(v->core), voter_has_failed(v->core),
                  voter_empty_registers(v->core));
}

static bool cmd_show(struct world *w, const struct script_command *cmd)
{
    size_t i;
    if (find_voter(w, word(cmd, 1), &i)) {
        show_voter(w, i);
        return true;
    }
    if (!find_actor(w, word(cmd, 1), &i) || w->actor[i].kind != WORLD_PROPOSER) {
        return complain(w, "show v1 | show A");
    }
    const struct proposer *p = &w->actor[i].proposer;
    script_printf(w->out, "%s: %s, ballot ", w->actor[i].name, proposer_op_name(p->op));
    world_print_ballot(w->out, p->ballot);
    script_printf(w->out, " kept %d, connected %u, answering %u of %u\n", proposer_is_prepared(p),
                  proposer_connected(p), proposer_answering(p, w->now), p->cfg.voters);
    return true;
}

struct entry {
    const char *name;
    bool (*run)(struct world *w, const struct script_command *cmd);
};

static const struct entry COMMANDS[] = {
    {"world", cmd_world},     {"proposer", cmd_proposer},
    {"starter", cmd_starter}, {"prepare", cmd_prepare},
    {"read", cmd_read},       {"cas", cmd_cas},
    {"abandon", cmd_abandon}, {"send", cmd_send},
    {"deliver", cmd_deliver}, {"drop", cmd_drop},
    {"repeat", cmd_repeat},   {"persist", cmd_persist},
    {"crash", cmd_crash},     {"fail-disk", cmd_fail_disk},
    {"restart", cmd_restart}, {"ready", cmd_ready},
    {"up", cmd_up},           {"down", cmd_down},
    {"tick", cmd_tick},       {"settle", cmd_settle},
    {"show", cmd_show},
};

static void *open_world(void)
{
    struct world *w = calloc(1, sizeof(*w));
    if (w != NULL) {
        w->now.ns = TS_NS_PER_S;
    }
    return w;
}

static void close_world(void *state)
{
    world_free(state);
    free(state);
}

static bool run_command(void *state, const struct script_command *cmd, struct script_text *out)
{
    struct world *w = state;
    w->out = out;
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        if (strcmp(cmd->words[0], COMMANDS[i].name) == 0) {
            return COMMANDS[i].run(w, cmd);
        }
    }
    return complain(w, "no such command");
}

int main(int argc, char **argv)
{
    const struct script_runner runner = {
        .name = "register_runner", .open = open_world, .close = close_world, .run = run_command};
    return script_main(&runner, argc, argv);
}

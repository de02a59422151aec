#include "tests/south/world.h"

#define CHANGE_NS (400 * TS_NS_PER_MS)
#define FAULT_NS (900 * TS_NS_PER_MS)

uint64_t below(struct world *w, uint64_t bound)
{
    return ts_prng_below(&w->prng, bound);
}

bool chance(struct world *w, unsigned of_1000)
{
    return below(w, 1000) < of_1000;
}

const char *node_name(unsigned agent)
{
    return agent == 0 ? "node-a" : "node-b";
}

/* ---- the queue ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at.ns != b->at.ns ? a->at.ns < b->at.ns : a->order < b->order;
}

void later(struct world *w, uint64_t ns, enum event_kind kind, unsigned who, unsigned way,
           uint64_t id)
{
    ts_assert(w->queued < EVENTS_MAX);
    size_t at = w->queued++;
    struct event e = {ts_mono_add(w->now, ns), ++w->order, kind, who, way, id};
    for (; at > 0 && is_before(&e, &w->queue[(at - 1) / 2]); at = (at - 1) / 2) {
        w->queue[at] = w->queue[(at - 1) / 2];
    }
    w->queue[at] = e;
}

static struct event take_first(struct world *w)
{
    struct event first = w->queue[0];
    struct event e = w->queue[--w->queued];
    size_t at = 0;
    for (size_t child = 1; child < w->queued; child = 2 * at + 1) {
        child += child + 1 < w->queued && is_before(&w->queue[child + 1], &w->queue[child]);
        if (!is_before(&w->queue[child], &e)) {
            break;
        }
        w->queue[at] = w->queue[child];
        at = child;
    }
    w->queue[at] = e;
    return first;
}

/* ---- the group and its tables ---- */

const struct commit *newest_of(const struct world *w, unsigned node)
{
    for (size_t i = w->commits; i > 0; i--) {
        if (w->commit[i - 1].node == node) {
            return &w->commit[i - 1];
        }
    }
    return NULL;
}

static void put(struct world *w, struct netctl_tree *t, const char *key, size_t len)
{
    char value[16384];
    size_t n = (size_t)snprintf(value, sizeof(value), "%s", len == 0 ? "true" : "");
    for (; n < len && n < sizeof(value); n++) {
        value[n] = (char)('a' + below(w, 26));
    }
    netctl_tree_put(t, key, (struct ts_bytes){(const uint8_t *)value, n});
}

static void change_table(struct world *w, struct netctl_tree *t)
{
    for (uint64_t n = 1 + below(w, 6); n > 0; n--) {
        char key[64];
        unsigned i = (unsigned)below(w, SECRET_KEYS);
        if (chance(w, 200)) { /* no driver knows these: they are told as errors */
            (void)snprintf(key, sizeof(key), "unknown/%u", i);
        } else if (chance(w, 500)) {
            (void)snprintf(key, sizeof(key), "set/web/10.0.0.%u/32", i);
        } else {
            (void)snprintf(key, sizeof(key), "flood/%u/192.0.2.%u", 5001 + i % 3, 1 + i);
        }
        if (chance(w, 400) && t->count > 3) {
            (void)netctl_tree_remove(t, key);
        } else {
            put(w, t, key, key[0] != 'u' ? 0 : w->big ? 1 + below(w, 16000) : 1 + below(w, 50));
        }
    }
}

/* Commits a change of one node's table, which the primary has applied at once. */
static void change(struct world *w)
{
    struct controller *p = &w->controller[w->primary];
    unsigned node = (unsigned)below(w, w->agents);
    bool can = p->south != NULL && p->serves && ts_epoch_eq(p->epoch, w->epoch) &&
               p->frozen.ns <= w->now.ns && w->commits < COMMITTED_MAX;
    if (can) {
        const struct commit *last = newest_of(w, node);
        struct commit *c = &w->commit[w->commits];
        c->table = last == NULL ? netctl_tree_make(0) : netctl_tree_copy(&last->table);
        change_table(w, &c->table);
        if (w->big && last == NULL) {
            for (unsigned i = 0; i < 30; i++) {
                char key[64];
                (void)snprintf(key, sizeof(key), "unknown/%u", i);
                put(w, &c->table, key, 8000);
            }
        }
        c->node = node;
        c->gen = w->seq = ts_seq_add(w->seq, 1 + below(w, 3));
        w->commits++;
        for (unsigned i = 0; i < w->controllers; i++) {
            later(w, i == w->primary ? 0 : below(w, 3 * TS_NS_PER_S), EV_CATCH_UP, i, 0, 0);
        }
    }
    if (!w->quiet) {
        later(w, below(w, CHANGE_NS), EV_CHANGE, 0, 0, 0);
    }
}

static void say_role(struct world *w, unsigned i)
{
    const struct controller *c = &w->controller[i];
    char primary[2] = {(char)('0' + w->primary), '\0'};
    south_do(w, i,
             &(struct south_event){.kind = SOUTH_E_ROLE,
                                   .epoch = c->epoch,
                                   .serves = c->serves,
                                   .primary = c->serves ? NULL : primary});
}

static void catch_up(struct world *w, unsigned i)
{
    struct controller *c = &w->controller[i];
    while (c->south != NULL && c->applied < w->commits) {
        const struct commit *one = &w->commit[c->applied++];
        south_do(w, i,
                 &(struct south_event){.kind = SOUTH_E_TABLE,
                                       .name = node_name(one->node),
                                       .table = &one->table,
                                       .gen = one->gen});
    }
    if (c->south != NULL && chance(w, 100)) {
        say_role(w, i); /* a word that is repeated */
    }
}

static void fail_over(struct world *w)
{
    unsigned next = (unsigned)below(w, w->controllers);
    struct controller *c = &w->controller[next];
    if (c->south == NULL || c->frozen.ns > w->now.ns) {
        return;
    }
    w->failovers++;
    w->epoch = ts_epoch_next(w->epoch);
    for (unsigned i = 0; i < w->controllers; i++) { /* some learn of it very late */
        later(w, chance(w, 500) ? below(w, TS_NS_PER_S) : below(w, 40 * TS_NS_PER_S), EV_DEPOSED, i,
              0, w->epoch.v);
    }
    w->primary = next;
    c->epoch = w->epoch;
    c->serves = true;
    catch_up(w, next);
    say_role(w, next);
}

static void deposed(struct world *w, const struct event *e)
{
    struct controller *c = &w->controller[e->who];
    if (c->south != NULL && c->frozen.ns > w->now.ns) {
        later(w, c->frozen.ns - w->now.ns, EV_DEPOSED, e->who, 0, e->id);
    } else if (c->south != NULL && c->epoch.v < e->id) {
        c->epoch.v = e->id;
        c->serves = false;
        say_role(w, e->who);
    }
}

/* ---- controllers ---- */

static void south_effect(struct world *w, unsigned i, const struct south_effects *all,
                         const struct south_effect *e)
{
    const struct controller *c = &w->controller[i];
    if (e->kind == SOUTH_SEND) {
        struct ts_bytes frame = south_effect_bytes(all, e);
        net_send(w, e->connection, 1, frame);
    } else if (e->kind == SOUTH_CLOSE) {
        if (w->verbose) {
            printf("%8lu controller %u closes: %s\n", ms_of(w), i, e->text);
        }
        net_close(w, e->connection, 1);
    } else if (e->kind == SOUTH_ACKED && ts_epoch_eq(c->epoch, w->epoch)) {
        check_acked(w, strcmp(e->name, node_name(0)) == 0 ? 0 : 1, e->gen, e->digest);
    }
}

void south_do(struct world *w, unsigned i, const struct south_event *event)
{
    struct south_event e = *event;
    struct south_effects out = {0};
    e.now = w->now;
    south_step(w->controller[i].south, &e, &out);
    south_check_invariants(w->controller[i].south);
    for (size_t n = 0; n < out.count; n++) {
        south_effect(w, i, &out, &out.effect[n]);
    }
    south_effects_free(&out);
}

void controller_stop(struct world *w, unsigned i)
{
    struct controller *c = &w->controller[i];
    for (uint32_t n = 0; n < LINKS_MAX; n++) {
        if (w->link[n].used && w->link[n].slot == i && w->link[n].end[0]) {
            net_close(w, n, 1);
        }
    }
    south_free(c->south);
    c->south = NULL;
    c->serves = false;
    later(w, below(w, 5 * TS_NS_PER_S), EV_CONTROLLER_START, i, 0, 0);
}

static void controller_start(struct world *w, unsigned i)
{
    struct controller *c = &w->controller[i];
    const struct south_limits limits = {LINKS_MAX, 8};
    c->south = south_new(&limits);
    ts_assert(c->south != NULL);
    c->started++;
    c->applied = 0;
    c->epoch = w->epoch;
    c->serves = false;
    c->frozen = w->now;
    if (w->primary == i) { /* no process acts in an epoch that was decided before it began */
        w->epoch = c->epoch = ts_epoch_next(w->epoch);
        c->serves = true;
    }
    catch_up(w, i);
    say_role(w, i);
}

/* ---- faults ---- */

static void fault(struct world *w)
{
    unsigned a = (unsigned)below(w, w->agents);
    unsigned c = (unsigned)below(w, w->controllers);
    unsigned way = (unsigned)below(w, 2);
    switch (below(w, 8)) {
    case 0:
        fail_over(w);
        break;
    case 1:
        if (w->controller[c].south != NULL && chance(w, 400)) {
            controller_stop(w, c);
        }
        break;
    case 2:
        w->controller[c].frozen = ts_mono_add(w->now, below(w, 30 * TS_NS_PER_S));
        break;
    case 3:
        w->cut[a][c][way] = true;
        break;
    case 4:
    case 5:
        memset(w->cut, 0, sizeof(w->cut));
        break;
    case 6:
        w->slow[a][c][way] = chance(w, 500) ? TS_NS_PER_MS : below(w, 2 * TS_NS_PER_S);
        break;
    default:
        if (chance(w, 300)) {
            agent_crash(w, a);
        }
        break;
    }
    later(w, below(w, FAULT_NS), EV_FAULT, 0, 0, 0);
}

/* ---- running ---- */

static void run_event(struct world *w, const struct event *e)
{
    switch (e->kind) {
    case EV_AGENT_TIME:
    case EV_AGENT_START:
    case EV_EPOCH_STORED:
    case EV_TABLE_STORED:
    case EV_DRIVE:
    case EV_DRIVEN:
    case EV_COUNTED:
        agent_event_runs(w, e);
        break;
    case EV_DELIVER:
    case EV_OPENED:
    case EV_BROKEN:
        net_event(w, e);
        break;
    case EV_CONTROLLER_TIME:
        if (w->controller[e->who].south != NULL && w->controller[e->who].frozen.ns <= w->now.ns) {
            net_thaw(w, e->who);
            south_do(w, e->who, &(struct south_event){.kind = SOUTH_E_TIME});
        }
        later(w, SOUTH_TICK_NS, EV_CONTROLLER_TIME, e->who, 0, 0);
        break;
    case EV_CATCH_UP:
        if (w->controller[e->who].frozen.ns > w->now.ns) {
            later(w, w->controller[e->who].frozen.ns - w->now.ns, EV_CATCH_UP, e->who, 0, 0);
        } else {
            catch_up(w, e->who);
        }
        break;
    case EV_DEPOSED:
        deposed(w, e);
        break;
    case EV_CONTROLLER_START:
        controller_start(w, e->who);
        break;
    case EV_CHANGE:
        change(w);
        break;
    case EV_FAULT:
        if (!w->quiet) {
            fault(w);
        }
        break;
    }
}

bool run_one(struct world *w, struct ts_mono until)
{
    if (w->queued == 0 || w->queue[0].at.ns > until.ns) {
        return false;
    }
    struct event e = take_first(w);
    w->now = e.at;
    if (w->nested && e.kind == EV_DRIVE) { /* one driver is called at a time */
        later(w, TS_NS_PER_MS, e.kind, e.who, e.way, e.id);
    } else {
        run_event(w, &e);
    }
    return true;
}

static void run_for(struct world *w, uint64_t ns)
{
    struct ts_mono until = ts_mono_add(w->now, ns);
    while (run_one(w, until)) {
    }
    w->now = until;
}

static void heal(struct world *w)
{
    w->quiet = true;
    w->lossy = false;
    memset(w->cut, 0, sizeof(w->cut));
    memset(w->slow, 0, sizeof(w->slow));
    for (unsigned i = 0; i < w->controllers; i++) {
        w->controller[i].frozen = w->now;
    }
    run_for(w, 60 * TS_NS_PER_S); /* all that was slow has come, who is old knows it */
    if (w->controller[w->primary].south != NULL && !w->controller[w->primary].serves) {
        fail_over(w);
    }
    later(w, 0, EV_CHANGE, 0, 0, 0);
    run_for(w, 120 * TS_NS_PER_S);
}

static void run_seed(uint64_t seed, bool verbose, uint64_t totals[4])
{
    struct world *w = calloc(1, sizeof(*w));
    ts_must(w);
    w->queue = calloc(EVENTS_MAX, sizeof(*w->queue));
    ts_must(w->queue);
    w->seed = seed;
    w->verbose = verbose;
    w->prng = ts_prng_init(seed);
    w->now.ns = TS_NS_PER_S;
    w->big = chance(w, 300);
    w->lossy = chance(w, 300);
    w->controllers = 2 + (unsigned)below(w, CONTROLLERS_MAX - 1);
    w->agents = 1 + (unsigned)below(w, AGENTS_MAX);
    w->epoch.v = 1;
    for (unsigned i = 0; i < w->controllers; i++) {
        controller_start(w, i);
        later(w, below(w, SOUTH_TICK_NS), EV_CONTROLLER_TIME, i, 0, 0);
    }
    for (unsigned i = 0; i < w->agents; i++) {
        agent_start(w, i);
    }
    later(w, 0, EV_CHANGE, 0, 0, 0);
    later(w, below(w, FAULT_NS), EV_FAULT, 0, 0, 0);
    run_for(w, (20 + below(w, 60)) * TS_NS_PER_S);
    heal(w);
    check_quiet(w);
    totals[0] += w->acks;
    totals[1] += w->failovers;
    totals[2] += w->crashes;
    totals[3] += w->refused_commits;
    for (unsigned i = 0; i < w->controllers; i++) {
        south_free(w->controller[i].south);
    }
    net_free(w);
    for (unsigned i = 0; i < w->agents; i++) {
        agent_core_free(w->agent[i].core);
        agent_close(w->agent[i].kernel);
        netctl_tree_free(&w->agent[i].disk.table);
        netctl_tree_free(&w->agent[i].results);
    }
    for (size_t i = 0; i < w->commits; i++) {
        netctl_tree_free(&w->commit[i].table);
    }
    free(w->queue);
    free(w);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    bool verbose = argc > 3;
    uint64_t totals[4] = {0};
    if (argc < 2) {
        (void)fprintf(stderr, "usage: south_sim FIRST_SEED [COUNT [verbose]]\n");
        return 2;
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        run_seed(seed, verbose, totals);
    }
    printf("%lu seeds, %lu acknowledgements, %lu failovers, %lu crashes, %lu refused commits\n",
           count, totals[0], totals[1], totals[2], totals[3]);
    return 0;
}

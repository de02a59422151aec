#include <stdarg.h>

#include "tests/south/world.h"

void fail(const struct world *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("seed %lu, %lu ms: ", w->seed, ms_of(w));
    (void)vprintf(format, args);
    printf("\n");
    va_end(args);
    (void)fflush(stdout);
    exit(1);
}

static const struct commit *commit_at(const struct world *w, unsigned node, struct ts_seq gen)
{
    for (size_t i = w->commits; i > 0; i--) {
        const struct commit *c = &w->commit[i - 1];
        if (c->node == node && ts_seq_eq(c->gen, gen)) {
            return c;
        }
    }
    return NULL;
}

void check_committed(const struct world *w, unsigned node, struct ts_seq gen,
                     const struct netctl_tree *table, const char *what)
{
    const struct commit *c = commit_at(w, node, gen);
    if (c == NULL || !ts_hash_eq(c->table.digest, table->digest)) {
        fail(w, "%s of %s is not the controllers' table of generation %lu", what, node_name(node),
             gen.v);
    }
}

/* What the driver shall make true is what the disk has, or is on its way from there; and no table
 * of a former primary's comes behind one of a later one's. */
void check_call(struct world *w, unsigned i)
{
    struct agent *a = &w->agent[i];
    const struct agent_effect *d = &a->drive;
    if (!a->disk.has_table || !ts_seq_eq(a->disk.gen, d->gen) ||
        !ts_epoch_eq(a->disk.table_epoch, d->epoch)) {
        fail(w, "%s gives its driver another table than it has stored", node_name(i));
    }
    if (ts_epoch_lt(d->epoch, a->applied_epoch)) {
        fail(w, "%s goes back from epoch %lu to a table of epoch %lu", node_name(i),
             a->applied_epoch.v, d->epoch.v);
    }
    if (d->kind == AGENT_RECONCILE) {
        check_committed(w, i, d->gen, d->is, "the table that is made true");
    }
}

/* The fence: nothing is changed by an order of a lower epoch than the disk has. */
void check_commit(struct world *w, unsigned i)
{
    struct agent *a = &w->agent[i];
    struct ts_epoch order = a->drive.order;
    if (order.v != 0 && ts_epoch_lt(order, a->disk.epoch)) {
        fail(w, "%s applies an item of epoch %lu, and has stored epoch %lu", node_name(i), order.v,
             a->disk.epoch.v);
    }
    if (ts_epoch_lt(a->disk.epoch, order)) {
        fail(w, "%s applies an item of epoch %lu, which it has not stored", node_name(i), order.v);
    }
    a->applied_epoch = a->drive.epoch;
}

struct call {
    const struct world *w;
    unsigned agent;
    const struct netctl_tree *wanted;
};

static void on_differs(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    const struct call *c = arg;
    if (was.data != NULL && is.data == NULL && netctl_tree_get(c->wanted, key).data != NULL) {
        fail(c->w, "%s loses %s, which the controllers' table has", node_name(c->agent), key);
    }
}

/* Nothing went that the table has of which all has come; when all is well the kernel has it all. */
void check_called(struct world *w, unsigned i, const struct netctl_tree *was)
{
    struct agent *a = &w->agent[i];
    const struct netctl_tree *is = agent_model_table(a->kernel);
    const struct commit *c = commit_at(w, i, a->drive.gen);
    if (c == NULL) {
        fail(w, "%s has a table of no generation", node_name(i));
    }
    struct call lost = {w, i, &c->table};
    netctl_tree_diff(was, is, on_differs, &lost);
    bool all = a->drive.kind == AGENT_APPLY || a->drive.delete_orphans;
    if (a->result == TS_OK && !a->crashes && all && !ts_hash_eq(is->digest, c->table.digest)) {
        fail(w, "%s does something else than the table of generation %lu", node_name(i), c->gen.v);
    }
}

void check_said(struct world *w, unsigned i, struct ts_bytes frame)
{
    struct south_msg m;
    struct ts_bytes body;
    size_t used;
    if (south_frame_next(frame, &body, &used) != TS_OK || south_msg_decode(&m, body) != TS_OK) {
        fail(w, "%s says what cannot be read", node_name(i));
    }
    if (m.type != SOUTH_ACK || !m.applied) {
        return;
    }
    check_committed(w, i, m.gen, agent_model_table(w->agent[i].kernel), "what is acknowledged");
    if (!ts_hash_eq(m.digest, agent_model_table(w->agent[i].kernel)->digest)) {
        fail(w, "%s acknowledges another digest than it has", node_name(i));
    }
}

void check_acked(struct world *w, unsigned node, struct ts_seq gen, struct ts_hash digest)
{
    const struct commit *c = commit_at(w, node, gen);
    w->acks++;
    if (c == NULL || !ts_hash_eq(c->table.digest, digest)) {
        fail(w, "a digest was taken that is not that of %s at generation %lu", node_name(node),
             gen.v);
    }
}

void check_quiet(struct world *w)
{
    for (unsigned i = 0; i < w->agents; i++) {
        const struct agent *a = &w->agent[i];
        const struct commit *c = newest_of(w, i);
        struct south_node_state s;
        if (c == NULL) {
            continue;
        }
        const struct controller *p = &w->controller[w->primary];
        if (a->core == NULL || p->south == NULL || !p->serves) {
            fail(w, "the world is not quiet");
        }
        if (!ts_hash_eq(agent_model_table(a->kernel)->digest, c->table.digest)) {
            const struct agent_core_state k = agent_core_state(a->core);
            bool is_known = south_node(p->south, node_name(i), &s);
            fail(
                w,
                "%s does not do the newest table, %lu: it follows %d, epoch %lu of %lu, generation "
                "%lu, applied %d, busy %d; known %d, connected %d, generation %lu, under way %d",
                node_name(i), c->gen.v, k.follows, k.stored.v, k.epoch.v, k.gen.v, k.applied,
                k.busy, is_known, s.connected, s.gen.v, s.under_way);
        }
        if (!south_node(p->south, node_name(i), &s) || !ts_seq_eq(s.acked, s.gen) ||
            !ts_hash_eq(s.acked_digest, c->table.digest)) {
            fail(w, "the primary does not know that %s does the newest table", node_name(i));
        }
        struct netctl_item item = {NULL, {NULL, 0}};
        size_t errors = 0;
        while (netctl_tree_next(&c->table, "unknown/", &item)) {
            errors += south_error(p->south, node_name(i), item.key).data != NULL;
        }
        if (errors != s.errors || errors != agent_core_errors(a->core)->count) {
            fail(w, "the primary knows %zu errors, %zu of %zu are of the table", s.errors, errors,
                 agent_core_errors(a->core)->count);
        }
    }
}

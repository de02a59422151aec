#include "tests/south/world.h"

static void drop_packets(struct link *l, unsigned way)
{
    while (l->first[way] != NULL) {
        struct packet *p = l->first[way];
        l->first[way] = p->next;
        free(p->bytes);
        free(p);
    }
    l->last[way] = NULL;
}

static void forget_if_over(struct link *l)
{
    if (l->used && !l->end[0] && !l->end[1]) {
        drop_packets(l, 0);
        drop_packets(l, 1);
        l->used = false;
    }
}

static uint64_t delay(struct world *w, const struct link *l, unsigned way)
{
    uint64_t slow = w->slow[l->agent][l->slot][way];
    return 50 * TS_NS_PER_US + below(w, TS_NS_PER_MS) + (slow > 0 ? below(w, slow) : 0);
}

void net_dial(struct world *w, unsigned agent, unsigned slot)
{
    uint32_t i = 0;
    while (i < LINKS_MAX && w->link[i].used) {
        i++;
    }
    ts_assert(i < LINKS_MAX);
    struct link *l = &w->link[i];
    *l = (struct link){.used = true, .agent = agent, .life = w->agent[agent].life, .slot = slot};
    l->number = ++w->order;
    l->end[1] = true;
    w->agent[agent].link[slot] = i;
    later(w, delay(w, l, 0), EV_OPENED, i, 0, l->number);
}

void net_send(struct world *w, uint32_t link, unsigned way, struct ts_bytes frame)
{
    struct link *l = &w->link[link];
    struct packet *p = calloc(1, sizeof(*p));
    ts_must(p);
    ts_assert(l->used);
    p->bytes = malloc(frame.len);
    ts_must(p->bytes);
    memcpy(p->bytes, frame.data, frame.len);
    p->len = frame.len;
    if (l->last[way] == NULL) {
        l->first[way] = p;
    } else {
        l->last[way]->next = p;
    }
    l->last[way] = p;
    /* In order: nothing arrives before what was said before it. */
    uint64_t at = w->now.ns + delay(w, l, way);
    at = at < l->arrives[way].ns ? l->arrives[way].ns : at;
    l->arrives[way].ns = at;
    later(w, at - w->now.ns, EV_DELIVER, link, way, l->number);
}

void net_close(struct world *w, uint32_t link, unsigned way)
{
    struct link *l = &w->link[link];
    unsigned own = way == 0 ? 1 : 0;
    ts_assert(l->used && l->end[own]);
    l->end[own] = false;
    drop_packets(l, way == 0 ? 1 : 0); /* what was on its way here */
    later(w, delay(w, l, way), EV_BROKEN, link, way, l->number);
    forget_if_over(l);
}

/* Takes an item out of a table on its way, or all of the frame. */
static bool spoil(struct world *w, struct ts_bytes body, uint8_t *room, size_t cap,
                  struct ts_bytes *out)
{
    struct south_msg m;
    bool is_table = south_msg_decode(&m, body) == TS_OK && m.items > 0 &&
                    (m.type == SOUTH_SYNC_PART || m.type == SOUTH_DELTA);
    if (!is_table || !w->lossy || !chance(w, 30)) {
        return false;
    }
    *out = (struct ts_bytes){room, 0};
    if (m.last || chance(w, 500)) { /* behind a last one nothing shows that it is missing */
        struct ts_reader r = ts_reader_init(m.item.data, m.item.len);
        (void)south_item_get(&r);
        m.items--;
        m.item = (struct ts_bytes){m.item.data + r.pos, m.item.len - r.pos};
        struct ts_writer t = ts_writer_init(room, cap);
        south_msg_encode(&t, &m);
        ts_assert(!t.failed);
        *out = (struct ts_bytes){room + SOUTH_FRAME_HEADER, t.len - SOUTH_FRAME_HEADER};
    }
    return true;
}

static void deliver_to_agent(struct world *w, const struct link *l, struct ts_bytes body)
{
    struct agent *a = &w->agent[l->agent];
    uint8_t *room = malloc(SOUTH_FRAME_MAX);
    ts_must(room);
    if (a->core != NULL && a->life == l->life) {
        struct ts_bytes other = body;
        bool spoiled = spoil(w, body, room, SOUTH_FRAME_MAX, &other);
        if (!spoiled || other.len > 0) {
            agent_do(
                w, l->agent,
                &(struct agent_event){.kind = AGENT_E_MESSAGE, .slot = l->slot, .body = other});
        }
    }
    free(room);
}

static void tell_sent(struct world *w, uint32_t i)
{
    struct link *l = &w->link[i];
    size_t bytes = l->owed;
    l->owed = 0;
    south_do(w, l->slot,
             &(struct south_event){.kind = SOUTH_E_SENT, .connection = i, .bytes = bytes});
}

void net_thaw(struct world *w, unsigned controller)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        const struct link *l = &w->link[i];
        if (l->used && l->end[0] && l->slot == controller && l->owed > 0) {
            tell_sent(w, i);
        }
    }
}

static void deliver(struct world *w, const struct event *e)
{
    struct link *l = &w->link[e->who];
    struct controller *c = &w->controller[l->slot];
    struct packet *p = l->first[e->way];
    if (!l->used || p == NULL) {
        return;
    }
    bool frozen = c->frozen.ns > w->now.ns;
    if (w->cut[l->agent][l->slot][e->way] || (e->way == 0 && frozen)) {
        later(w, 20 * TS_NS_PER_MS, EV_DELIVER, e->who, e->way, e->id);
        return;
    }
    l->first[e->way] = p->next;
    l->last[e->way] = p->next == NULL ? NULL : l->last[e->way];
    struct ts_bytes body;
    size_t used;
    ts_assert(south_frame_next((struct ts_bytes){p->bytes, p->len}, &body, &used) == TS_OK);
    if (e->way == 1 && l->end[0]) {
        l->owed += p->len;
        if (!frozen) {
            tell_sent(w, e->who);
        }
    }
    if (e->way == 0 && l->end[0]) {
        south_do(
            w, l->slot,
            &(struct south_event){.kind = SOUTH_E_MESSAGE, .connection = e->who, .body = body});
    } else if (e->way == 1 && l->end[1]) {
        deliver_to_agent(w, l, body);
    }
    free(p->bytes);
    free(p);
}

/* The connection reaches the controller, or not; the agent hears of it. */
static void opened(struct world *w, uint32_t i)
{
    struct link *l = &w->link[i];
    struct agent *a = &w->agent[l->agent];
    const struct controller *c = &w->controller[l->slot];
    bool cut = w->cut[l->agent][l->slot][0] || w->cut[l->agent][l->slot][1];
    if (!l->used || !l->end[1]) {
        forget_if_over(l);
        return;
    }
    if (c->south == NULL || cut || c->frozen.ns > w->now.ns) {
        l->end[1] = false;
        forget_if_over(l);
        agent_do(w, l->agent, &(struct agent_event){.kind = AGENT_E_DOWN, .slot = l->slot});
        return;
    }
    l->end[0] = true;
    south_do(w, l->slot,
             &(struct south_event){
                 .kind = SOUTH_E_OPENED, .connection = i, .name = node_name(l->agent)});
    if (a->core != NULL && a->life == l->life) {
        agent_do(w, l->agent, &(struct agent_event){.kind = AGENT_E_UP, .slot = l->slot});
    }
}

static void broken(struct world *w, const struct event *e)
{
    struct link *l = &w->link[e->who];
    unsigned other = e->way == 0 ? 0 : 1;
    if (!l->used || !l->end[other] || l->end[1 - other]) {
        return;
    }
    if (w->cut[l->agent][l->slot][e->way] ||
        (other == 0 && w->controller[l->slot].frozen.ns > w->now.ns)) {
        later(w, 50 * TS_NS_PER_MS, EV_BROKEN, e->who, e->way, e->id);
        return;
    }
    l->end[other] = false;
    uint32_t link = e->who;
    unsigned agent = l->agent;
    unsigned slot = l->slot;
    bool same_life = w->agent[agent].core != NULL && w->agent[agent].life == l->life &&
                     w->agent[agent].link[slot] == link;
    forget_if_over(l);
    if (other == 0 && w->controller[slot].south != NULL) {
        south_do(w, slot, &(struct south_event){.kind = SOUTH_E_CLOSED, .connection = link});
    } else if (other == 1 && same_life) {
        agent_do(w, agent, &(struct agent_event){.kind = AGENT_E_DOWN, .slot = slot});
    }
}

void net_event(struct world *w, const struct event *e)
{
    if (!w->link[e->who].used || w->link[e->who].number != e->id) {
        return;
    }
    if (e->kind == EV_DELIVER) {
        deliver(w, e);
    } else if (e->kind == EV_OPENED) {
        opened(w, e->who);
    } else {
        broken(w, e);
    }
}

void net_free(struct world *w)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        drop_packets(&w->link[i], 0);
        drop_packets(&w->link[i], 1);
    }
}

#include "lab/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/ids.h"
#include "base/prng.h"

#define ETHERNET_BYTES 14
#define FLIPS_MAX 4
/* Frames of the past, for a replay. One of four replaces a random one, so some are much older. */
#define KEPT_FRAMES 64
#define KEEP_ONE_OF 4
/* A replay comes up to so long after the frame that it follows. */
#define REPLAY_NS (5 * TS_NS_PER_MS)

struct kept {
    size_t count;
    uint16_t len[KEPT_FRAMES];
    uint8_t frame[KEPT_FRAMES][LAB_WIRE_FRAME_MAX];
};

/* One direction between two ports. */
struct pair {
    bool set;
    struct lab_wire_rule rule;
    struct ts_prng prng;
    uint64_t since_ns;      /* the rule was set */
    uint64_t free_ns;       /* when the rate lets the next one begin */
    uint64_t last_due_ns;   /* of those that keep their order */
    uint64_t number;        /* of the last frame that came in */
    uint64_t passed_number; /* the highest of those that went out */
    struct kept *kept;      /* NULL unless the rule replays */
    struct lab_wire_counters counters;
};

/* A frame that waits. */
struct waiting {
    uint64_t due_ns;
    uint64_t order; /* among those that are due at the same time */
    uint64_t came_ns;
    uint64_t number; /* 0: a replay, which is nowhere in the order */
    size_t pair;
    uint16_t slot;
    uint16_t len;
};

struct lab_wire {
    size_t ports;
    uint64_t orders;
    struct pair *pairs; /* from × ports + to */
    size_t *rules_of;   /* of each port */
    bool *on;
    uint8_t (*macs)[LAB_WIRE_MAC];

    size_t count; /* a heap: the next one first */
    struct waiting *heap;
    size_t free_count;
    uint16_t *free_slots;
    uint8_t (*slots)[LAB_WIRE_FRAME_MAX];
    bool lent; /* the slot that lab_wire_take gave last */
    uint16_t lent_slot;
};

/* ---- life ------------------------------------------------------------------------------------ */

enum ts_err lab_wire_open(struct lab_wire **out, size_t ports, const uint8_t (*macs)[LAB_WIRE_MAC])
{
    struct lab_wire *w = calloc(1, sizeof(*w));
    ts_assert(ports > 0);
    if (w == NULL) {
        return TS_ERR_NOMEM;
    }
    w->ports = ports;
    w->pairs = calloc(ports * ports, sizeof(*w->pairs));
    w->rules_of = calloc(ports, sizeof(*w->rules_of));
    w->on = calloc(ports, sizeof(*w->on));
    w->macs = calloc(ports, sizeof(*w->macs));
    w->heap = calloc(LAB_WIRE_FRAMES_MAX, sizeof(*w->heap));
    w->free_slots = calloc(LAB_WIRE_FRAMES_MAX, sizeof(*w->free_slots));
    w->slots = calloc(LAB_WIRE_FRAMES_MAX, sizeof(*w->slots));
    if (w->pairs == NULL || w->rules_of == NULL || w->on == NULL || w->macs == NULL ||
        w->heap == NULL || w->free_slots == NULL || w->slots == NULL) {
        lab_wire_close(w);
        return TS_ERR_NOMEM;
    }
    memcpy(w->macs, macs, ports * sizeof(*w->macs));
    for (size_t i = 0; i < LAB_WIRE_FRAMES_MAX; i++) {
        w->free_slots[i] = (uint16_t)(LAB_WIRE_FRAMES_MAX - 1 - i);
    }
    w->free_count = LAB_WIRE_FRAMES_MAX;
    *out = w;
    return TS_OK;
}

void lab_wire_close(struct lab_wire *w)
{
    if (w == NULL) {
        return;
    }
    for (size_t i = 0; w->pairs != NULL && i < w->ports * w->ports; i++) {
        free(w->pairs[i].kept);
    }
    free(w->pairs);
    free(w->rules_of);
    free(w->on);
    free(w->macs);
    free(w->heap);
    free(w->free_slots);
    free(w->slots);
    free(w);
}

enum ts_err lab_wire_set(struct lab_wire *w, size_t from, size_t to,
                         const struct lab_wire_rule *rule, uint64_t now_ns)
{
    size_t index = from * w->ports + to;
    ts_assert(from < w->ports && to < w->ports && from != to);
    struct pair *p = &w->pairs[index];
    struct kept *kept = NULL;
    if (rule != NULL && rule->replay_ppm > 0) {
        kept = p->kept != NULL ? p->kept : calloc(1, sizeof(*kept));
        if (kept == NULL) {
            return TS_ERR_NOMEM;
        }
    }
    if (p->kept != kept) {
        free(p->kept);
        p->kept = kept;
    }
    bool was = p->set;
    p->set = rule != NULL;
    p->rule = rule != NULL ? *rule : (struct lab_wire_rule){0};
    /* Each direction has chance of its own: what passes in others does not change it. */
    p->prng = ts_prng_init(p->rule.seed ^ ((uint64_t)(index + 1) << 32));
    p->since_ns = now_ns;
    p->free_ns = now_ns;
    if (p->set && !was) {
        w->rules_of[from]++;
        w->rules_of[to]++;
    } else if (!p->set && was) {
        w->rules_of[from]--;
        w->rules_of[to]--;
    }
    return TS_OK;
}

/* ---- the frames that wait -------------------------------------------------------------------- */

static bool is_before(const struct waiting *a, const struct waiting *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_push(struct lab_wire *w, struct waiting item)
{
    size_t at = w->count++;
    while (at > 0 && is_before(&item, &w->heap[(at - 1) / 2])) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = item;
}

static struct waiting heap_pop(struct lab_wire *w)
{
    struct waiting top = w->heap[0];
    struct waiting last = w->heap[--w->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= w->count) {
            break;
        }
        if (child + 1 < w->count && is_before(&w->heap[child + 1], &w->heap[child])) {
            child++;
        }
        if (is_before(&last, &w->heap[child])) {
            break;
        }
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return top;
}

static void give_back(struct lab_wire *w)
{
    if (w->lent) {
        w->free_slots[w->free_count++] = w->lent_slot;
        w->lent = false;
    }
}

/* Has a copy of the frame wait, in item->slot. False: there is no room, which was counted. */
static bool hold(struct lab_wire *w, struct waiting *item, const uint8_t *frame)
{
    if (w->free_count == 0) {
        w->pairs[item->pair].counters.no_room++;
        return false;
    }
    item->slot = w->free_slots[--w->free_count];
    item->order = w->orders++;
    memcpy(w->slots[item->slot], frame, item->len);
    heap_push(w, *item);
    return true;
}

bool lab_wire_take(struct lab_wire *w, uint64_t now_ns, struct lab_wire_out *out)
{
    give_back(w);
    if (w->count == 0 || w->heap[0].due_ns > now_ns) {
        return false;
    }
    struct waiting item = heap_pop(w);
    struct pair *p = &w->pairs[item.pair];
    p->counters.passed++;
    if (item.due_ns > item.came_ns && now_ns != LAB_WIRE_NEVER) {
        p->counters.delayed++;
        p->counters.waited_us += (now_ns - item.came_ns) / TS_NS_PER_US;
    }
    if (item.number != 0 && item.number < p->passed_number) {
        p->counters.reordered++;
    } else if (item.number != 0) {
        p->passed_number = item.number;
    }
    w->lent = true;
    w->lent_slot = item.slot;
    *out = (struct lab_wire_out){
        .port = item.pair % w->ports, .frame = w->slots[item.slot], .len = item.len};
    return true;
}

void lab_wire_attach(struct lab_wire *w, size_t port, bool on)
{
    ts_assert(port < w->ports);
    w->on[port] = on;
}

void lab_wire_hurry(struct lab_wire *w, size_t port, uint64_t now_ns)
{
    size_t count = w->count;
    w->count = 0;
    for (size_t i = 0; i < count; i++) { /* in its own place: the heap is never longer than i */
        struct waiting item = w->heap[i];
        size_t from = item.pair / w->ports;
        size_t to = item.pair % w->ports;
        if ((from == port || to == port) && item.due_ns > now_ns) {
            item.due_ns = now_ns;
        }
        heap_push(w, item);
    }
}

/* ---- what a frame meets ---------------------------------------------------------------------- */

static bool chance(struct pair *p, uint64_t ppm)
{
    return ppm > 0 && ts_prng_below(&p->prng, LAB_WIRE_PPM) < ppm;
}

static bool is_down(const struct pair *p, uint64_t now_ns)
{
    uint64_t up = p->rule.flap_up_us * TS_NS_PER_US;
    uint64_t down = p->rule.flap_down_us * TS_NS_PER_US;
    return down > 0 && (now_ns - p->since_ns) % (up + down) >= up;
}

/* Whether the rate's queue takes it; tells when its last byte has left that. */
static bool pass_rate(struct pair *p, size_t len, uint64_t now_ns, uint64_t *left_ns)
{
    *left_ns = now_ns;
    if (p->rule.rate == 0) {
        return true;
    }
    uint64_t queue = p->rule.queue > 0 ? p->rule.queue : LAB_WIRE_QUEUE_DEFAULT;
    uint64_t begin = p->free_ns > now_ns ? p->free_ns : now_ns;
    /* Both products fit: at most 10^8 bytes wait, and a frame is short. */
    if (begin - now_ns > queue * TS_NS_PER_S / p->rule.rate) {
        return false;
    }
    p->free_ns = begin + (uint64_t)len * TS_NS_PER_S / p->rule.rate;
    *left_ns = p->free_ns;
    return true;
}

/* Others have no checksum that would show it: a wrong ARP answer is another fault than a bad cable.
 */
static bool is_ip(const uint8_t *frame, size_t len)
{
    unsigned type = len > ETHERNET_BYTES ? (unsigned)frame[12] << 8 | frame[13] : 0;
    return type == 0x0800 || type == 0x86dd;
}

/* Different ones: two flips of one bit would be none. */
static void flip_bits(struct pair *p, uint8_t *frame, size_t len)
{
    uint64_t bits[FLIPS_MAX];
    uint64_t flips = 1 + ts_prng_below(&p->prng, FLIPS_MAX);
    for (uint64_t i = 0; i < flips; i++) {
        bool again = false;
        bits[i] = ts_prng_below(&p->prng, (len - ETHERNET_BYTES) * 8);
        for (uint64_t k = 0; k < i; k++) {
            again = again || bits[k] == bits[i];
        }
        if (!again) {
            frame[ETHERNET_BYTES + bits[i] / 8] ^= (uint8_t)(1U << bits[i] % 8);
        }
    }
    p->counters.corrupted++;
}

static void keep_for_replay(struct pair *p, const uint8_t *frame, size_t len)
{
    struct kept *k = p->kept;
    size_t at = k->count;
    if (at == KEPT_FRAMES) {
        if (ts_prng_below(&p->prng, KEEP_ONE_OF) != 0) {
            return;
        }
        at = ts_prng_below(&p->prng, KEPT_FRAMES);
    } else {
        k->count++;
    }
    k->len[at] = (uint16_t)len;
    memcpy(k->frame[at], frame, len);
}

/* An old frame, after this one. */
static void replay(struct lab_wire *w, size_t index, uint64_t now_ns)
{
    struct pair *p = &w->pairs[index];
    if (p->kept->count == 0 || !chance(p, p->rule.replay_ppm)) {
        return;
    }
    size_t which = ts_prng_below(&p->prng, p->kept->count);
    struct waiting item = {.due_ns = now_ns + 1 + ts_prng_below(&p->prng, REPLAY_NS),
                           .came_ns = now_ns,
                           .pair = index,
                           .len = p->kept->len[which]};
    item.came_ns = item.due_ns; /* its wait says nothing of the delay */
    if (hold(w, &item, p->kept->frame[which])) {
        p->counters.replayed++;
    }
}

static bool is_dropped(struct pair *p, size_t len, uint64_t now_ns, uint64_t *left_ns)
{
    if (p->rule.cut) {
        p->counters.cut++;
    } else if (is_down(p, now_ns)) {
        p->counters.flapped++;
    } else if (chance(p, p->rule.loss_ppm)) {
        p->counters.lost++;
    } else if (!pass_rate(p, len, now_ns, left_ns)) {
        p->counters.overrun++;
    } else {
        return false;
    }
    return true;
}

/* When a frame that has left the rate's queue is due. One that is to be overtaken does not keep
 * back those behind it. */
static uint64_t due_of(struct pair *p, uint64_t left_ns)
{
    const struct lab_wire_rule *r = &p->rule;
    uint64_t due = left_ns + r->delay_us * TS_NS_PER_US;
    due += r->jitter_us > 0 ? ts_prng_below(&p->prng, r->jitter_us * TS_NS_PER_US + 1) : 0;
    due = due < p->last_due_ns ? p->last_due_ns : due;
    if (chance(p, r->reorder_ppm)) {
        return due + (r->reorder_us > 0 ? r->reorder_us : LAB_WIRE_REORDER_US) * TS_NS_PER_US;
    }
    p->last_due_ns = due;
    return due;
}

static void carry(struct lab_wire *w, size_t index, const uint8_t *frame, size_t len,
                  uint64_t now_ns)
{
    struct pair *p = &w->pairs[index];
    struct waiting item = {
        .came_ns = now_ns, .number = ++p->number, .pair = index, .len = (uint16_t)len};
    uint64_t left_ns = now_ns;
    p->counters.frames++;
    p->counters.bytes += len;
    if (is_dropped(p, len, now_ns, &left_ns)) {
        return;
    }
    item.due_ns = due_of(p, left_ns);
    if (hold(w, &item, frame)) {
        uint8_t *held = w->slots[item.slot];
        if (is_ip(frame, len) && chance(p, p->rule.corrupt_ppm)) {
            flip_bits(p, held, len);
        }
        if (chance(p, p->rule.duplicate_ppm) && hold(w, &item, held)) {
            p->counters.duplicated++;
        }
    }
    if (p->kept != NULL) {
        replay(w, index, now_ns);
        keep_for_replay(p, frame, len);
    }
}

void lab_wire_put(struct lab_wire *w, size_t port, const uint8_t *frame, size_t len,
                  uint64_t now_ns)
{
    ts_assert(port < w->ports);
    if (len < ETHERNET_BYTES || !w->on[port]) {
        return;
    }
    size_t only = w->ports;
    for (size_t i = 0; i < w->ports && (frame[0] & 1) == 0; i++) {
        only = memcmp(w->macs[i], frame, LAB_WIRE_MAC) == 0 ? i : only;
    }
    for (size_t to = 0; to < w->ports; to++) {
        size_t index = port * w->ports + to;
        if (to == port || !w->on[to] || (only != w->ports && only != to)) {
            continue;
        }
        if (len > LAB_WIRE_FRAME_MAX) {
            w->pairs[index].counters.frames++;
            w->pairs[index].counters.oversize++;
            continue;
        }
        carry(w, index, frame, len, now_ns);
    }
}

/* ---- queries --------------------------------------------------------------------------------- */

uint64_t lab_wire_due(const struct lab_wire *w)
{
    return w->count > 0 ? w->heap[0].due_ns : LAB_WIRE_NEVER;
}

bool lab_wire_wants(const struct lab_wire *w, size_t port)
{
    return w->rules_of[port] > 0;
}

bool lab_wire_is_on(const struct lab_wire *w, size_t port)
{
    return w->on[port];
}

const struct lab_wire_rule *lab_wire_rule(const struct lab_wire *w, size_t from, size_t to)
{
    const struct pair *p = &w->pairs[from * w->ports + to];
    return p->set ? &p->rule : NULL;
}

const struct lab_wire_counters *lab_wire_counters(const struct lab_wire *w, size_t from, size_t to)
{
    return &w->pairs[from * w->ports + to].counters;
}

void lab_wire_check_invariants(const struct lab_wire *w)
{
    size_t rules = 0;
    size_t ends = 0;
    ts_assert(w->count + w->free_count + (w->lent ? 1 : 0) == LAB_WIRE_FRAMES_MAX);
    for (size_t i = 1; i < w->count; i++) {
        ts_assert(!is_before(&w->heap[i], &w->heap[(i - 1) / 2]));
    }
    for (size_t i = 0; i < w->ports * w->ports; i++) {
        const struct lab_wire_counters *c = &w->pairs[i].counters;
        uint64_t dropped = c->cut + c->flapped + c->lost + c->overrun + c->oversize;
        rules += w->pairs[i].set ? 1 : 0;
        ts_assert(dropped <= c->frames);
        ts_assert(c->passed <= c->frames - dropped + c->duplicated + c->replayed);
    }
    for (size_t i = 0; i < w->ports; i++) {
        ends += w->rules_of[i];
    }
    ts_assert(ends == 2 * rules);
}

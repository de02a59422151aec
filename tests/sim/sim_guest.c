#include "tests/sim/sim_guest.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "services/example/lock.h"
#include "services/kv/kv.h"
#include "services/session.h"
#include "tests/service/kv_random.h"
#include "tests/service/lock_random.h"

#define REQUEST_MAX KV_RANDOM_MAX
#define PREFIX "guest="

/* Writes where its state lies: what a service must not do. */
static void apply_broken(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    lock_service.apply(state, entry, out);
    (void)!svc_out_put(out, &state, sizeof(state));
}

struct guest {
    const char *name;
    const struct svc *svc;
    void (*apply)(void *state, const struct svc_entry *entry, struct svc_out *out);
    size_t (*request)(struct ts_prng *p, uint8_t *payload, size_t cap);
    bool takes_limits; /* those of kv */
};

static const struct guest guests[] = {
    {"lock", &lock_service, NULL, lock_random_request, false},
    {"kv", &kv_service, NULL, kv_random_command, true}, /* all of its commands */
    {"broken", &lock_service, apply_broken, lock_random_request, false},
};

/* Who a piece is of. */
enum owner { OWNER_KV = 0, OWNER_GUEST = 1 };

struct both {
    const struct guest *guest;
    void *kv;
    void *state; /* the guest's */
    struct svc_out sink;
    uint8_t request[REQUEST_MAX];
    struct ts_hash answers; /* of the guest */
    bool loaded;            /* `answers` came with a piece */
    /* a walk */
    struct svc_walk *kv_walk;
    struct svc_walk *walk;
    struct ts_hash frozen;
    enum owner next;
};

static const struct guest *guest_of(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
        if (strlen(guests[i].name) == len && memcmp(guests[i].name, name, len) == 0) {
            return &guests[i];
        }
    }
    return NULL;
}

bool sim_guest_known(const char *name)
{
    return guest_of(name, strlen(name)) != NULL;
}

const char *sim_guest_names(void)
{
    return "lock, kv or broken";
}

static void destroy(void *state)
{
    struct both *b = state;
    if (b->kv != NULL) {
        kv_service.destroy(b->kv);
    }
    if (b->state != NULL) {
        b->guest->svc->destroy(b->state);
    }
    svc_out_free(&b->sink);
    free(b);
}

static void *create_both(const char *limits)
{
    size_t prefix = strlen(PREFIX);
    size_t name = limits != NULL ? strcspn(limits, " ") : 0;
    if (name < prefix || memcmp(limits, PREFIX, prefix) != 0) {
        return NULL;
    }
    struct both *b = calloc(1, sizeof(*b));
    ts_assert(b != NULL);
    b->sink.max = SIZE_MAX;
    b->guest = guest_of(limits + prefix, name - prefix);
    b->kv = kv_service.create(limits + name);
    b->state = b->guest == NULL
                   ? NULL
                   : b->guest->svc->create(b->guest->takes_limits ? limits + name : "hash-seed=1");
    if (b->kv == NULL || b->state == NULL) {
        destroy(b);
        return NULL;
    }
    return b;
}

static void apply(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    struct both *b = state;
    kv_service.apply(b->kv, entry, out);
    struct svc_entry e = *entry;
    if (entry->kind == SVC_ENTRY_COMMAND) {
        struct ts_prng dice =
            ts_prng_init(ts_hash_seeded(entry->seq.v, entry->payload.data, entry->payload.len));
        e.payload =
            (struct ts_bytes){b->request, b->guest->request(&dice, b->request, REQUEST_MAX)};
    }
    b->sink.len = 0;
    (b->guest->apply != NULL ? b->guest->apply : b->guest->svc->apply)(b->state, &e, &b->sink);
    if (b->sink.len > 0) {
        b->answers = ts_hash_chain(b->answers, b->sink.data, b->sink.len);
    }
    if (entry->kind != SVC_ENTRY_COMMAND) {
        (void)!svc_out_put(out, &b->answers, sizeof(b->answers));
    }
}

static void read_kv(const void *state, struct ts_bytes command, struct svc_out *out)
{
    kv_service.read(((const struct both *)state)->kv, command, out);
}

static struct ts_ltime next_tick(const void *state)
{
    const struct both *b = state;
    struct ts_ltime kv = kv_service.next_tick(b->kv);
    struct ts_ltime guest = b->guest->svc->next_tick(b->state);
    return kv.ns < guest.ns ? kv : guest;
}

/* ---- the walk: kv's pieces, then the guest's, each behind a byte that says whose it is ---- */

static struct svc_walk *walk_begin(void *state)
{
    struct both *b = state;
    b->kv_walk = kv_service.walk_begin(b->kv);
    b->walk = b->guest->svc->walk_begin(b->state);
    ts_assert(b->kv_walk != NULL && b->walk != NULL);
    b->frozen = b->answers;
    b->next = OWNER_KV;
    return (struct svc_walk *)b;
}

static bool walk_next(struct svc_walk *walk, struct svc_out *out)
{
    struct both *b = (struct both *)walk;
    uint8_t owner = (uint8_t)b->next;
    (void)!svc_out_put(out, &owner, 1);
    if (b->next == OWNER_KV) {
        b->next = kv_service.walk_next(b->kv_walk, out) ? OWNER_KV : OWNER_GUEST;
        return true;
    }
    (void)!svc_out_put(out, &b->frozen, sizeof(b->frozen));
    return b->guest->svc->walk_next(b->walk, out);
}

static void walk_end(struct svc_walk *walk)
{
    struct both *b = (struct both *)walk;
    kv_service.walk_end(b->kv_walk);
    b->guest->svc->walk_end(b->walk);
}

static enum ts_err load_piece(void *state, struct ts_bytes piece)
{
    struct both *b = state;
    struct ts_reader r = ts_reader_init(piece.data, piece.len);
    uint8_t owner = ts_get_u8(&r);
    if (owner == OWNER_GUEST) {
        b->answers = ts_get_hash(&r);
        b->loaded = true;
    }
    if (ts_reader_status(&r) != TS_OK || owner > OWNER_GUEST) {
        return TS_ERR_MALFORMED;
    }
    struct ts_bytes rest = ts_get_bytes(&r, ts_reader_left(&r));
    return owner == OWNER_KV ? kv_service.load_piece(b->kv, rest)
                             : b->guest->svc->load_piece(b->state, rest);
}

static enum ts_err load_end(void *state)
{
    struct both *b = state;
    enum ts_err err = kv_service.load_end(b->kv);
    err = err == TS_OK && !b->loaded ? TS_ERR_SHORT : err;
    return err != TS_OK ? err : b->guest->svc->load_end(b->state);
}

static const struct svc both_service = {
    .name = "kv and a guest",
    .create = create_both,
    .destroy = destroy,
    .apply = apply,
    .read = read_kv,
    .next_tick = next_tick,
    .walk_begin = walk_begin,
    .walk_next = walk_next,
    .walk_end = walk_end,
    .load_piece = load_piece,
    .load_end = load_end,
};

static void *create(const char *limits)
{
    return session_create(&both_service, limits);
}

const struct svc sim_guest_service = SESSION_SERVICE("kv and a guest, with sessions", create);

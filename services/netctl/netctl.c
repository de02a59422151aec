#include "services/netctl/netctl.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/limit_words.h"
#include "services/netctl/intent.h"
#include "services/netctl/request.h"
#include "services/netctl/walk.h"

/* Nodes of trees that nobody needs any more, freed with each entry: more than one entry lets go of
 * by itself, or it would never end. */
#define FREE_PER_ENTRY 256
#define BYTES_MAX_LOW 1024ULL
#define BYTES_MAX_HIGH (64ULL << 30)

struct netctl_limits {
    uint64_t bytes_max;
    uint64_t hash_seed;
};

static const struct limit_word WORDS[] = {
    {"bytes-max", offsetof(struct netctl_limits, bytes_max), BYTES_MAX_LOW, BYTES_MAX_HIGH},
    {"hash-seed", offsetof(struct netctl_limits, hash_seed), 0, UINT64_MAX},
};

static bool read_limits(const char *text, struct netctl_limits *out)
{
    *out = (struct netctl_limits){.bytes_max = NETCTL_INTENT_BYTES_USUAL};
    bool good = true;
    while (text != NULL && *text != '\0' && good) {
        text += strspn(text, LIMIT_BLANKS);
        size_t len = strcspn(text, LIMIT_BLANKS);
        good = len == 0 || limit_word_take(WORDS, sizeof(WORDS) / sizeof(WORDS[0]), text, len,
                                           out) == LIMIT_TAKEN;
        text += len;
    }
    return good;
}

/* ---- answers ---- */

static void put_answer(struct svc_out *out, int status, const char *body)
{
    uint8_t head[2];
    struct ts_writer w = ts_writer_init(head, sizeof(head));
    ts_put_u16(&w, (uint16_t)status);
    enum ts_err err = svc_out_put(out, head, sizeof(head));
    err = err != TS_OK ? err : svc_out_put(out, body, strlen(body));
    ts_assert(err == TS_OK); /* there is room for SVC_ANSWER_MAX, and it was looked at */
}

static const char *status_name(int status)
{
    switch (status) {
    case 400:
        return "BAD_REQUEST";
    case 404:
        return "NOT_FOUND";
    case 412:
        return "PRECONDITION_FAILED";
    case 507:
        return "INSUFFICIENT_STORAGE";
    default:
        return "INTERNAL_SERVER_ERROR";
    }
}

static void answer_error(struct svc_out *out, const struct netctl_error *e)
{
    json_t *object = json_pack("{ss,si,ss,ss}", "httpStatus", status_name(e->status), "error_code",
                               e->code, "module_name", "policy", "error_message", e->message);
    ts_must(object);
    char *text = json_dumps(object, JSON_COMPACT);
    ts_must(text);
    put_answer(out, e->status, text);
    free(text);
    json_decref(object);
}

static void answer(struct svc_out *out, const json_t *object, struct netctl_error *e)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    if (object != NULL) {
        ts_must(text);
    }
    if (text != NULL && strlen(text) > SVC_ANSWER_MAX - 2) {
        (void)netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                               "the answer would have %zu bytes; ask for a smaller page_size",
                               strlen(text));
    }
    if (e->status != 0) {
        answer_error(out, e);
    } else {
        put_answer(out, 200, text == NULL ? "" : text);
    }
    free(text);
}

/* ---- requests ---- */

static void get(const struct netctl_state *s, const struct netctl_request *r, struct svc_out *out)
{
    struct netctl_error e = {0};
    bool is_list = netctl_path_is_valid(r->path) && netctl_resource_of(r->path) == NULL &&
                   netctl_resource_in(r->path) != NULL;
    size_t page = r->page == 0 || r->page > NETCTL_PAGE_MAX ? NETCTL_PAGE_USUAL : r->page;
    json_t *object = is_list ? netctl_intent_list(&s->intent, r->path, r->cursor, page, &e)
                             : netctl_intent_get(&s->intent, r->path, &e);
    answer(out, object, &e);
    json_decref(object);
}

static bool change(struct netctl_state *s, const struct netctl_request *r, json_t *body,
                   struct netctl_error *e)
{
    struct netctl_author author = {r->user, s->time.ns / TS_NS_PER_MS, r->rules};
    switch (r->method) {
    case NETCTL_PUT:
        return netctl_intent_put(&s->intent, r->path, body, &author, e);
    case NETCTL_PATCH:
        return strcmp(r->path, "/infra") == 0
                   ? netctl_intent_patch_tree(&s->intent, body, r->revisions, &author, e)
                   : netctl_intent_patch(&s->intent, r->path, body, &author, e);
    case NETCTL_DELETE:
        return netctl_intent_delete(&s->intent, r->path, e);
    case NETCTL_NODE:
        return netctl_inventory_tell(&s->inventory, &s->intent.objects, r->path, body, e);
    case NETCTL_GET:
        break;
    }
    ts_unreachable();
}

static void run(struct netctl_state *s, const struct netctl_request *r, struct svc_out *out)
{
    struct netctl_error e = {0};
    json_error_t where;
    json_t *body = NULL;
    if (r->method != NETCTL_DELETE) {
        body = json_loadb((const char *)r->body.data, r->body.len, JSON_REJECT_DUPLICATES, &where);
        if (body == NULL) {
            (void)netctl_error_set(&e, 400, NETCTL_CODE_BODY,
                                   "the body is no JSON: line %d, column %d: %s", where.line,
                                   where.column, where.text);
        }
    }
    struct netctl_tree before = netctl_tree_copy(&s->intent.objects);
    bool good = e.status == 0 && change(s, r, body, &e);
    netctl_inventory_follow(&s->inventory, &before, &s->intent.objects);
    netctl_tree_free(&before);
    json_decref(body);
    if (good && r->method == NETCTL_PUT) {
        get(s, r, out);
    } else {
        answer(out, NULL, &e);
    }
}

static void malformed(struct svc_out *out)
{
    struct netctl_error e = {0};
    (void)netctl_error_set(&e, 400, NETCTL_CODE_BODY, "the request is malformed");
    answer_error(out, &e);
}

/* ---- the service ---- */

static void *netctl_create(const char *limits)
{
    struct netctl_limits l;
    struct netctl_state *s = read_limits(limits, &l) ? calloc(1, sizeof(*s)) : NULL;
    if (s != NULL) {
        s->intent = netctl_intent_make(l.hash_seed, l.bytes_max);
        netctl_intent_seed(&s->intent);
        s->inventory = netctl_inventory_make(l.hash_seed);
    }
    return s;
}

static void netctl_destroy(void *state)
{
    struct netctl_state *s = state;
    netctl_intent_free(&s->intent);
    netctl_inventory_free(&s->inventory);
    while (netctl_walk_tidy(s, SIZE_MAX)) {
    }
    free(s);
}

static void put_digest(const struct netctl_state *s, struct svc_out *out)
{
    uint8_t bytes[88];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_hash(&w, s->intent.objects.digest);
    ts_put_hash(&w, s->intent.refs.digest);
    ts_put_hash(&w, s->inventory.nodes.digest);
    ts_put_hash(&w, s->intent.numbers.given.digest);
    ts_put_u64(&w, s->inventory.told);
    ts_put_u32(&w, s->intent.numbers.last_rule);
    ts_put_u32(&w, s->intent.numbers.last_nat);
    ts_put_u64(&w, s->time.ns);
    enum ts_err err = svc_out_put(out, bytes, w.len);
    ts_assert(err == TS_OK && ts_writer_status(&w) == TS_OK);
}

static bool netctl_knows(const void *state, struct ts_bytes command)
{
    struct netctl_request r;
    (void)state;
    return netctl_request_decode(&r, command) != TS_ERR_VERSION;
}

static void netctl_apply(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    struct netctl_state *s = state;
    struct netctl_request r;
    s->time = entry->time;
    (void)netctl_walk_tidy(s, FREE_PER_ENTRY);
    switch (entry->kind) {
    case SVC_ENTRY_NOOP:
    case SVC_ENTRY_TICK:
        return;
    case SVC_ENTRY_CHECKPOINT:
        put_digest(s, out);
        return;
    case SVC_ENTRY_COMMAND:
        if (netctl_request_decode(&r, entry->payload) != TS_OK) {
            malformed(out);
        } else if (r.method == NETCTL_GET) {
            get(s, &r, out);
        } else {
            run(s, &r, out);
        }
        return;
    }
    ts_unreachable();
}

static void netctl_read(const void *state, struct ts_bytes command, struct svc_out *out)
{
    struct netctl_request r;
    if (netctl_request_decode(&r, command) == TS_OK && r.method == NETCTL_GET) {
        get(state, &r, out);
    } else {
        malformed(out);
    }
}

static struct ts_ltime netctl_next_tick(const void *state)
{
    (void)state;
    return (struct ts_ltime){UINT64_MAX};
}

const struct svc netctl_service = {
    .name = "netctl",
    .create = netctl_create,
    .destroy = netctl_destroy,
    .knows = netctl_knows,
    .apply = netctl_apply,
    .read = netctl_read,
    .next_tick = netctl_next_tick,
    .walk_begin = netctl_walk_begin,
    .walk_next = netctl_walk_next,
    .walk_end = netctl_walk_end,
    .load_piece = netctl_load_piece,
    .load_end = netctl_load_end,
};

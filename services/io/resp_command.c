/* COMMAND: the table of commands, as clients ask for it. */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"
#include "services/kv/glob.h"

#define NAME_MAX_BYTES 64 /* of a command's name with its container's */

/* A command, or one that it holds. */
struct named {
    const struct kv_command *command;
    const struct resp_container *container; /* not NULL: `sub` is meant */
    const struct resp_subcommand *sub;
};

/* "get", "client|kill". False: there is none. */
static bool find(struct ts_bytes name, struct named *out)
{
    const uint8_t *bar = name.len == 0 ? NULL : memchr(name.data, '|', name.len);
    size_t n = bar == NULL ? name.len : (size_t)(bar - name.data);
    *out = (struct named){.command = kv_command_find((struct ts_bytes){name.data, n})};
    if (out->command == NULL || bar == NULL) {
        return out->command != NULL;
    }
    out->container = resp_container_find(out->command);
    if (out->container == NULL) {
        return false;
    }
    out->sub = resp_container_member(out->container, (struct ts_bytes){bar + 1, name.len - n - 1});
    return out->sub != NULL;
}

void resp_command_each(void (*see)(void *ctx, const char *name, uint32_t categories), void *ctx)
{
    size_t count = 0;
    const struct kv_command *table = kv_command_table(&count);
    for (size_t i = 0; i < count; i++) {
        const struct resp_container *container = resp_container_find(&table[i]);
        see(ctx, table[i].name, resp_categories(&table[i]));
        for (size_t k = 0; container != NULL && k < container->count; k++) {
            const struct resp_subcommand *sub = &container->members[k];
            see(ctx, sub->name, resp_member_categories(container, sub));
        }
    }
}

/* ---- COMMAND, COMMAND INFO ---- */

static void put_end(struct resp_writer *w)
{
    resp_put_set(w, 0); /* tips */
    resp_put_set(w, 0); /* key specifications */
}

static void put_member(const struct resp_container *container, const struct resp_subcommand *sub,
                       struct resp_writer *w)
{
    resp_put_array(w, 10);
    resp_put_bulk_text(w, sub->name);
    resp_put_integer(w, sub->arity);
    resp_put_shown_flags(w, resp_shown_member_flags(container, sub));
    for (int i = 0; i < 3; i++) {
        resp_put_integer(w, 0); /* no keys */
    }
    resp_put_categories(w, resp_member_categories(container, sub));
    put_end(w);
    resp_put_set(w, 0);
}

static void put_info(const struct kv_command *c, struct resp_writer *w)
{
    const struct resp_container *container = resp_container_find(c);
    bool keys = c->id != KV_OBJECT; /* whose key is that of what it holds */
    resp_put_array(w, 10);
    resp_put_bulk_text(w, c->name);
    resp_put_integer(w, c->arity);
    resp_put_shown_flags(w, resp_shown_flags(c));
    resp_put_integer(w, keys ? c->first_key : 0);
    resp_put_integer(w, keys ? c->last_key : 0);
    resp_put_integer(w, keys ? c->key_step : 0);
    resp_put_categories(w, resp_categories(c));
    put_end(w);
    resp_put_set(w, container != NULL ? container->count : 0);
    for (size_t i = 0; container != NULL && i < container->count; i++) {
        put_member(container, &container->members[i], w);
    }
}

void resp_local_command(struct resp_writer *w)
{
    size_t count = 0;
    const struct kv_command *table = kv_command_table(&count);
    resp_put_array(w, count);
    for (size_t i = 0; i < count; i++) {
        put_info(&table[i], w);
    }
}

static void run_info(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    if (req->argc == 2) {
        resp_local_command(w);
        return;
    }
    resp_put_array(w, req->argc - 2);
    for (size_t i = 2; i < req->argc; i++) {
        struct named n;
        if (!find(req->args[i], &n)) {
            resp_put_null(w);
        } else if (n.sub != NULL) {
            put_member(n.container, n.sub, w);
        } else {
            put_info(n.command, w);
        }
    }
}

static void run_count(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    size_t count = 0;
    (void)c;
    (void)req;
    (void)kv_command_table(&count);
    resp_put_integer(w, (int64_t)count);
}

/* ---- COMMAND DOCS ---- */

/* Under which heading Redis' documentation has it. */
static const char *group_of(const struct kv_command *c)
{
    static const struct {
        unsigned category;
        const char *group;
    } names[] = {
        {RESP_CATEGORY_STRING, "string"},         {RESP_CATEGORY_BITMAP, "bitmap"},
        {RESP_CATEGORY_PUBSUB, "pubsub"},         {RESP_CATEGORY_TRANSACTION, "transactions"},
        {RESP_CATEGORY_CONNECTION, "connection"}, {RESP_CATEGORY_KEYSPACE, "generic"},
    };
    switch ((unsigned)c->id) {
    case KV_FLUSHALL:
    case KV_FLUSHDB:
    case KV_DBSIZE:
    case KV_TIME:
    case KV_COMMAND:
        return "server";
    case KV_WAIT:
    case KV_OBJECT:
        return "generic";
    case KV_CLIENT:
        return "connection";
    case KV_PUBSUB:
        return "pubsub";
    case KV_FUNCTION:
    case KV_SCRIPT:
        return "scripting";
    case KV_CLUSTER:
    case KV_READONLY:
    case KV_READWRITE:
        return "cluster";
    default:
        break;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((resp_categories(c) & 1U << names[i].category) != 0) {
            return names[i].group;
        }
    }
    return (c->flags & KV_CMD_LOCAL) != 0 ? "server" : "generic";
}

static void put_docs(const char *name, const struct kv_command *c, struct resp_writer *w)
{
    resp_put_bulk_text(w, name);
    resp_put_map(w, 4);
    resp_put_bulk_text(w, "summary");
    resp_put_bulk_text(w, c->summary);
    resp_put_bulk_text(w, "since");
    resp_put_bulk_text(w, "1.0.0");
    resp_put_bulk_text(w, "group");
    resp_put_bulk_text(w, group_of(c));
    resp_put_bulk_text(w, "complexity");
    resp_put_bulk_text(w, c->last_key < 0 ? "O(N)" : "O(1)");
}

static void run_docs(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    size_t count = 0;
    size_t known = 0;
    struct named n;
    const struct kv_command *table = kv_command_table(&count);
    (void)c;
    if (req->argc == 2) {
        resp_put_map(w, count);
        for (size_t i = 0; i < count; i++) {
            put_docs(table[i].name, &table[i], w);
        }
        return;
    }
    for (size_t i = 2; i < req->argc; i++) {
        known += find(req->args[i], &n);
    }
    resp_put_map(w, known);
    for (size_t i = 2; i < req->argc; i++) {
        if (find(req->args[i], &n)) {
            put_docs(n.sub != NULL ? n.sub->name : n.command->name, n.command, w);
        }
    }
}

/* ---- COMMAND LIST ---- */

struct list {
    struct resp_writer *w; /* NULL: they are counted */
    size_t count;
    struct ts_bytes pattern; /* of length 0: any */
    uint32_t categories;     /* one of these; 0: any */
    bool none;               /* what is asked for does not exist */
};

static void list_one(void *ctx, const char *name, uint32_t categories)
{
    struct list *l = ctx;
    struct ts_bytes bytes = {(const uint8_t *)name, strlen(name)};
    bool in = !l->none && (l->categories == 0 || (l->categories & categories) != 0) &&
              (l->pattern.len == 0 || kv_glob_match(l->pattern, bytes));
    l->count += in;
    if (in && l->w != NULL) {
        resp_put_bulk_text(l->w, name);
    }
}

static void run_list(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct list l = {.w = NULL};
    unsigned category = 0;
    bool filtered = req->argc == 5 && resp_word_is(req->args[2], "filterby");
    (void)c;
    if (filtered && resp_word_is(req->args[3], "aclcat")) {
        l.none = !resp_category_find(req->args[4], &category);
        l.categories = 1U << category;
    } else if (filtered && resp_word_is(req->args[3], "pattern")) {
        /* No name is that long: a pattern may be, but not for the loop. */
        l.none = req->args[4].len == 0 || req->args[4].len > NAME_MAX_BYTES;
        l.pattern = req->args[4];
    } else if (filtered && resp_word_is(req->args[3], "module")) {
        l.none = true;
    } else if (req->argc != 2) {
        resp_put_error(w, "ERR syntax error");
        return;
    }
    resp_command_each(list_one, &l);
    resp_put_array(w, l.count);
    l.w = w;
    resp_command_each(list_one, &l);
}

/* ---- COMMAND GETKEYS ---- */

static void run_getkeys(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    const struct kv_command *command = kv_command_find(req->args[2]);
    const struct resp_container *container = command == NULL ? NULL : resp_container_find(command);
    size_t argc = req->argc - 2;
    (void)c;
    if (command == NULL ||
        (container != NULL && resp_container_member(container, req->args[3]) == NULL)) {
        resp_put_error(w, "ERR Invalid command specified");
    } else if (command->first_key == 0) {
        resp_put_error(w, "ERR The command has no key arguments");
    } else if (!kv_command_arity_ok(command, argc) || argc <= (size_t)command->first_key) {
        resp_put_error(w, "ERR Invalid number of arguments specified for command");
    } else {
        size_t first = (size_t)command->first_key;
        size_t step = (size_t)command->key_step;
        size_t last = command->last_key < 0 ? argc - 1 : (size_t)command->last_key;
        resp_put_array(w, (last - first) / step + 1);
        for (size_t i = first; i <= last; i += step) {
            resp_put_bulk(w, req->args[2 + i].data, req->args[2 + i].len);
        }
    }
}

static void run_help(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    static const char *const lines[] = {
        "COMMAND <subcommand> [<arg> ...]. Subcommands are:",
        "(no subcommand), INFO [<command> ...]",
        "    Return what the commands are: words, flags, keys, categories.",
        "COUNT",
        "    Return how many there are.",
        "DOCS [<command> ...]",
        "    Return what they do.",
        "GETKEYS <command with its words>",
        "    Return the keys in it.",
        "LIST [FILTERBY (ACLCAT <category> | PATTERN <pattern>)]",
        "    Return their names.",
    };
    (void)c;
    (void)req;
    resp_put_lines(w, lines, sizeof(lines) / sizeof(lines[0]));
}

static const struct resp_subcommand members[] = {
    {"command|count", 2, false, run_count, NULL}, {"command|docs", -2, false, run_docs, NULL},
    {"command|info", -2, false, run_info, NULL},  {"command|list", -2, false, run_list, NULL},
    {"command|help", 2, false, run_help, NULL},   {"command|getkeys", -4, false, run_getkeys, NULL},
};

const struct resp_container resp_command_container = {KV_COMMAND, "COMMAND", members,
                                                      sizeof(members) / sizeof(members[0])};

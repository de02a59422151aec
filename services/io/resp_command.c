/* COMMAND: the table of commands, as clients ask for it. */
#include <string.h>

#include "services/io/resp_conn.h"

static void put_info(const struct kv_command *c, struct resp_writer *w)
{
    static const struct {
        uint16_t flag;
        const char *text;
    } names[] = {
        {KV_CMD_READ, "readonly"}, {KV_CMD_WRITE, "write"}, {KV_CMD_DENYOOM, "denyoom"},
        {KV_CMD_ADMIN, "admin"},   {KV_CMD_FAST, "fast"},
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        count += (c->flags & names[i].flag) != 0;
    }
    resp_put_array(w, 10);
    resp_put_bulk_text(w, c->name);
    resp_put_integer(w, c->arity);
    resp_put_set(w, count);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((c->flags & names[i].flag) != 0) {
            resp_put_simple(w, names[i].text);
        }
    }
    resp_put_integer(w, c->first_key);
    resp_put_integer(w, c->last_key);
    resp_put_integer(w, c->key_step);
    resp_put_set(w, 0);   /* access categories */
    resp_put_array(w, 0); /* tips */
    resp_put_array(w, 0); /* key specifications */
    resp_put_array(w, 0); /* subcommands */
}

static void put_docs(const struct kv_command *c, struct resp_writer *w)
{
    bool local = (c->flags & KV_CMD_LOCAL) != 0;
    resp_put_bulk_text(w, c->name);
    resp_put_map(w, 4);
    resp_put_bulk_text(w, "summary");
    resp_put_bulk_text(w, c->summary);
    resp_put_bulk_text(w, "since");
    resp_put_bulk_text(w, "1.0.0");
    resp_put_bulk_text(w, "group");
    resp_put_bulk_text(w, local ? "connection" : c->first_key > 0 ? "string" : "server");
    resp_put_bulk_text(w, "complexity");
    resp_put_bulk_text(w, c->last_key < 0 ? "O(N)" : "O(1)");
}

static void run_all(struct resp_writer *w)
{
    size_t count = 0;
    const struct kv_command *table = kv_command_table(&count);
    resp_put_array(w, count);
    for (size_t i = 0; i < count; i++) {
        put_info(&table[i], w);
    }
}

static void run_info(const struct resp_request *req, struct resp_writer *w)
{
    if (req->argc == 2) {
        run_all(w);
        return;
    }
    resp_put_array(w, req->argc - 2);
    for (size_t i = 2; i < req->argc; i++) {
        const struct kv_command *c = kv_command_find(req->args[i]);
        if (c != NULL) {
            put_info(c, w);
        } else {
            resp_put_null(w);
        }
    }
}

static void run_docs(const struct resp_request *req, struct resp_writer *w)
{
    size_t count = 0;
    const struct kv_command *table = kv_command_table(&count);
    if (req->argc == 2) {
        resp_put_map(w, count);
        for (size_t i = 0; i < count; i++) {
            put_docs(&table[i], w);
        }
        return;
    }
    size_t known = 0;
    for (size_t i = 2; i < req->argc; i++) {
        known += kv_command_find(req->args[i]) != NULL;
    }
    resp_put_map(w, known);
    for (size_t i = 2; i < req->argc; i++) {
        const struct kv_command *c = kv_command_find(req->args[i]);
        if (c != NULL) {
            put_docs(c, w);
        }
    }
}

static void run_list(const struct resp_request *req, struct resp_writer *w)
{
    size_t count = 0;
    const struct kv_command *table = kv_command_table(&count);
    if (req->argc != 2) {
        resp_put_error(w, "ERR syntax error");
        return;
    }
    resp_put_array(w, count);
    for (size_t i = 0; i < count; i++) {
        resp_put_bulk_text(w, table[i].name);
    }
}

void resp_local_command(const struct resp_request *req, struct resp_writer *w)
{
    size_t count = 0;
    (void)kv_command_table(&count);
    if (req->argc == 1) {
        run_all(w);
    } else if (resp_word_is(req->args[1], "count")) {
        if (req->argc != 2) {
            resp_local_arity(w, "command|count");
        } else {
            resp_put_integer(w, (int64_t)count);
        }
    } else if (resp_word_is(req->args[1], "info")) {
        run_info(req, w);
    } else if (resp_word_is(req->args[1], "docs")) {
        run_docs(req, w);
    } else if (resp_word_is(req->args[1], "list")) {
        run_list(req, w);
    } else {
        resp_local_unknown(w, "COMMAND", req->args[1]);
    }
}

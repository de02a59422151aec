/* CONFIG: what it is, and which part of it may be changed: nothing that replicas decide by, since
 * they would have to do it at the same place of the log. */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"

#define SHOWN_MAX 128 /* bytes of a parameter's name in an error */

struct parameter {
    const char *name;
    char value[32];
};

#define PARAMETERS 9 /* of them, each is what it is from the start to the end of the process */

static void parameters(const struct resp_server *s, struct parameter out[PARAMETERS])
{
    struct kv_stats stats;
    kv_stats(s->state, &stats);
    static const struct parameter fixed[PARAMETERS] = {
        {"appendonly", "yes"},      {"bind", ""},      {"databases", "1"},
        {"maxclients", ""},         {"maxmemory", ""}, {"maxmemory-policy", "noeviction"},
        {"proto-max-bulk-len", ""}, {"save", ""},      {"timeout", "0"},
    };
    memcpy(out, fixed, sizeof(fixed));
    snprintf(out[3].value, sizeof(out[3].value), "%u", s->config.clients_max);
    snprintf(out[4].value, sizeof(out[4].value), "%llu", (unsigned long long)stats.memory_max);
    /* A longer word is read, and refused by the command that would store it. */
    snprintf(out[6].value, sizeof(out[6].value), "%llu", (unsigned long long)stats.value_max);
}

/* ---- CONFIG GET ---- */

static void run_get(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct parameter all[PARAMETERS];
    bool wanted[PARAMETERS] = {false};
    size_t count = 0;
    parameters(c->server, all);
    for (size_t i = 0; i < PARAMETERS; i++) {
        for (size_t a = 2; a < req->argc && !wanted[i]; a++) {
            wanted[i] = resp_local_fits(req->args[a], all[i].name);
        }
        count += wanted[i];
    }
    resp_put_map(w, count);
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (wanted[i]) {
            resp_put_bulk_text(w, all[i].name);
            resp_put_bulk_text(w, all[i].value);
        }
    }
}

/* ---- CONFIG SET ---- */

static int shown(struct ts_bytes word)
{
    return (int)strnlen((const char *)word.data, word.len < SHOWN_MAX ? word.len : SHOWN_MAX);
}

static void put_failed(struct resp_writer *w, struct ts_bytes name, const char *why)
{
    char text[SHOWN_MAX + 128];
    (void)snprintf(text, sizeof(text),
                   "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s", shown(name),
                   (const char *)name.data, why);
    resp_put_error(w, text);
}

static const struct parameter *find_parameter(const struct parameter all[PARAMETERS],
                                              struct ts_bytes name)
{
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (resp_word_is(name, all[i].name)) {
            return &all[i];
        }
    }
    return NULL;
}

/* Takes what is so already: a client that makes sure of a setting goes on. */
static void run_set(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    struct parameter all[PARAMETERS];
    bool given[PARAMETERS] = {false};
    parameters(c->server, all);
    if (req->argc % 2 != 0) {
        resp_put_error(w, "ERR syntax error");
        return;
    }
    for (size_t i = 2; i < req->argc; i += 2) {
        const struct parameter *p = find_parameter(all, req->args[i]);
        if (p == NULL) {
            char text[SHOWN_MAX + 128];
            (void)snprintf(text, sizeof(text),
                           "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                           shown(req->args[i]), (const char *)req->args[i].data);
            resp_put_error(w, text);
            return;
        }
        if (given[p - all]) {
            put_failed(w, req->args[i], "duplicate parameter");
            return;
        }
        given[p - all] = true;
    }
    for (size_t i = 2; i < req->argc; i += 2) {
        const struct parameter *p = find_parameter(all, req->args[i]);
        if (!resp_word_is(req->args[i + 1], p->value)) {
            put_failed(w, req->args[i], "can't set immutable config");
            return;
        }
    }
    resp_put_simple(w, "OK");
}

/* ---- the others ---- */

/* INFO counts from now on; what is told to the operator goes on. */
static void run_resetstat(struct resp_conn *c, const struct resp_request *req,
                          struct resp_writer *w)
{
    struct resp_server *s = c->server;
    (void)req;
    s->stats_before = s->stats;
    kv_stats(s->state, &s->kv_before);
    resp_put_simple(w, "OK");
}

static void run_rewrite(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    (void)req;
    resp_put_error(w, "ERR The server is running without a config file");
}

static void run_help(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    static const char *const lines[] = {
        "CONFIG <subcommand> [<arg> ...]. Subcommands are:",
        "GET <pattern> [<pattern> ...]",
        "    Return parameters that fit a pattern and their values.",
        "SET <parameter> <value> [<parameter> <value> ...]",
        "    Accepted for the value that a parameter has: none can be changed here.",
        "RESETSTAT",
        "    Let the counters of INFO begin at zero.",
        "REWRITE",
        "    Refused: there is no such file.",
    };
    (void)c;
    (void)req;
    resp_put_lines(w, lines, sizeof(lines) / sizeof(lines[0]));
}

static const struct resp_subcommand members[] = {
    {"config|get", -3, true, run_get, NULL},
    {"config|set", -4, true, run_set, NULL},
    {"config|resetstat", 2, true, run_resetstat, NULL},
    {"config|rewrite", 2, true, run_rewrite, NULL},
    {"config|help", 2, true, run_help, NULL},
};

const struct resp_container resp_config_container = {KV_CONFIG, "CONFIG", members,
                                                     sizeof(members) / sizeof(members[0])};

/* A controller's southbound part alone, told what to say by lines on its standard input:
 *
 *     role EPOCH 0|1              it serves, or not
 *     table NODE GENERATION FILE  FILE: a JSON object {key: value}
 *     ask NODE NUMBER             counters
 *
 * It prints what it hears, a line each. `south_controller --issue CA NAME OUT` issues a certificate
 * of an authority that it makes at first; with --issue-agent it is an agent's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/memory.h"
#include "net/ca.h"
#include "net/link.h"
#include "services/netctl/io/south_server.h"

#define LINE_MAX_BYTES 1024

struct program {
    uv_loop_t loop;
    uv_pipe_t in;
    struct south_server *server;
    char line[LINE_MAX_BYTES];
    size_t len;
    char read[LINE_MAX_BYTES];
};

static void on_effect(void *arg, const struct south_effects *all, const struct south_effect *e)
{
    static const char *const NAMES[] = {
        [SOUTH_TELLS] = "tells",       [SOUTH_ACKED] = "acked",     [SOUTH_COUNTS] = "counts",
        [SOUTH_OUTDATED] = "outdated", [SOUTH_LOST_EPOCH] = "lost",
    };
    struct program *p = arg;
    struct south_msg m = {.items = 0};
    struct south_node_state s = {.errors = 0};
    if (e->kind == SOUTH_TELLS || e->kind == SOUTH_COUNTS) {
        ts_assert(south_msg_decode(&m, south_effect_bytes(all, e)) == TS_OK);
    }
    (void)south_node(south_server_core(p->server), e->name, &s);
    printf("%s %s %llu vifs %u rules %u errors %zu\n", NAMES[e->kind], e->name,
           (unsigned long long)e->gen.v, m.inventory.vifs, m.rules, s.errors);
    (void)fflush(stdout);
}

static void give_table(struct program *p, const char *node, uint64_t gen, const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    struct netctl_tree table = netctl_tree_make(1);
    ts_assert(json_is_object(json));
    for (void *i = json_object_iter(json); i != NULL; i = json_object_iter_next(json, i)) {
        char *value =
            json_dumps(json_object_iter_value(i), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        ts_must(value);
        netctl_tree_put(&table, json_object_iter_key(i),
                        (struct ts_bytes){(const uint8_t *)value, strlen(value)});
        free(value);
    }
    json_decref(json);
    south_server_step(
        p->server,
        &(struct south_event){.kind = SOUTH_E_TABLE, .name = node, .table = &table, .gen = {gen}});
    netctl_tree_free(&table);
}

static void on_line(struct program *p, char *line)
{
    char *word[4] = {NULL};
    char *rest = line;
    for (size_t i = 0; i < 4; i++) {
        word[i] = strsep(&rest, " ");
    }
    ts_assert(word[1] != NULL && word[2] != NULL);
    uint64_t number = strtoull(word[2], NULL, 10);
    if (strcmp(word[0], "role") == 0) {
        south_server_step(p->server, &(struct south_event){.kind = SOUTH_E_ROLE,
                                                           .epoch = {strtoull(word[1], NULL, 10)},
                                                           .serves = number == 1});
    } else if (strcmp(word[0], "ask") == 0) {
        south_server_step(p->server, &(struct south_event){
                                         .kind = SOUTH_E_ASK, .name = word[1], .number = number});
    } else {
        ts_assert(word[3] != NULL);
        give_table(p, word[1], number, word[3]);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct program *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->read, sizeof(p->read));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct program *p = stream->data;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, NULL);
        south_server_close(p->server);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        ts_assert(p->len < sizeof(p->line));
        p->line[p->len++] = buf->base[i];
        if (buf->base[i] == '\n') {
            p->line[p->len - 1] = '\0';
            p->len = 0;
            on_line(p, p->line);
        }
    }
}

static int issue(bool agent, const char *ca, const char *name, const char *out)
{
    struct ts_why why = {.text = ""};
    enum ts_err err = ca_init(ca, "netctl", &why);
    if (err == TS_OK || err == TS_ERR_EXISTS) {
        err = agent ? ca_issue_agent(ca, name, out, ca_validity_days(1), &why)
                    : ca_issue(ca, name, out, NULL, ca_validity_days(1), &why);
    }
    if (err != TS_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
    }
    return err == TS_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct program *p = calloc(1, sizeof(*p));
    struct ts_why why = {.text = ""};
    ts_must(p);
    bool agent = argc == 5 && strcmp(argv[1], "--issue-agent") == 0;
    if (agent || (argc == 5 && strcmp(argv[1], "--issue") == 0)) {
        free(p);
        return issue(agent, argv[2], argv[3], argv[4]);
    }
    if (argc != 4) {
        (void)fprintf(stderr, "usage: south_controller DIRECTORY ADDRESS PORT\n");
        free(p);
        return 2;
    }
    (void)uv_loop_init(&p->loop);
    struct south_server_config c = {
        .loop = &p->loop, .dir = argv[1], .limits = {64, 64}, .on_effect = on_effect, .arg = p};
    uint16_t port = (uint16_t)strtoul(argv[3], NULL, 10);
    struct sockaddr_storage at;
    enum ts_err err = net_address(argv[2], port, &at);
    err = err == TS_OK ? south_server_open(&p->server, &c, &why) : err;
    err = err == TS_OK ? south_server_listen(p->server, &at, &why) : err;
    if (err != TS_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    (void)uv_pipe_init(&p->loop, &p->in, 0);
    p->in.data = p;
    ts_assert(uv_pipe_open(&p->in, 0) == 0);
    (void)uv_read_start((uv_stream_t *)&p->in, on_alloc, on_read);
    printf("listens\n");
    (void)fflush(stdout);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&p->loop);
    free(p);
    return 0;
}

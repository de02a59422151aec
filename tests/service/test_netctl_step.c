/* The tables that the compiler makes step by step are those that it makes at once, whatever
 * changed, and agents take each item of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/agent/item.h"
#include "services/netctl/compile.h"
#include "services/netctl/netctl.h"
#include "tests/service/netctl_random.h"
#include "tests/service/netctl_random_net.h"

struct world {
    struct netctl_state *state;
    struct netctl_compiler *compiler;
    struct svc_out out;
    uint64_t seq;
    size_t done; /* requests that were not refused */
    size_t kinds[AGENT_KIND_COUNT];
    struct agent_item *item;
};

static void begin(struct world *w)
{
    *w = (struct world){.state = netctl_service.create("hash-seed=3"),
                        .compiler = netctl_compiler_new(3),
                        .out = {.max = SVC_ANSWER_MAX},
                        .item = malloc(sizeof(struct agent_item))};
    assert_non_null(w->state);
    assert_non_null(w->item);
}

static void end(struct world *w)
{
    netctl_compiler_free(w->compiler);
    netctl_service.destroy(w->state);
    svc_out_free(&w->out);
    free(w->item);
}

static void apply(struct world *w, const uint8_t *payload, size_t len)
{
    const struct svc_entry e = {.epoch = {1},
                                .seq = {++w->seq},
                                .kind = SVC_ENTRY_COMMAND,
                                .time = {1000 * TS_NS_PER_MS},
                                .payload = {payload, len}};
    w->out.len = 0;
    netctl_service.apply(w->state, &e, &w->out);
    w->done += (w->out.data[0] | w->out.data[1] << 8) == 200;
}

static void apply_random(struct world *w, struct ts_prng *p)
{
    char body[NETCTL_RANDOM_BODY];
    uint8_t payload[2 * NETCTL_RANDOM_BODY];
    struct netctl_request r = {.user = "ann"};
    if (ts_prng_below(p, 20) == 0) {
        apply(w, payload, netctl_random_request(p, payload, sizeof payload));
        return;
    }
    netctl_random_net(p, &r, body);
    struct ts_writer out = ts_writer_init(payload, sizeof payload);
    assert_int_equal(netctl_request_encode(&r, &out), TS_OK);
    apply(w, payload, out.len);
}

/* What is only in one of two tables, for people. */
static void on_difference(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    (void)arg;
    print_error("%s: step by step %.*s, at once %.*s\n", key, was.data == NULL ? 1 : (int)was.len,
                was.data == NULL ? "-" : (const char *)was.data, is.data == NULL ? 1 : (int)is.len,
                is.data == NULL ? "-" : (const char *)is.data);
}

static void check_same(struct world *w)
{
    struct netctl_compiler *full = netctl_compiler_new(3);
    netctl_compile(full, w->state);
    const char *a = netctl_compiler_next(w->compiler, NULL);
    const char *b = netctl_compiler_next(full, NULL);
    while (a != NULL || b != NULL) {
        assert_non_null(a);
        assert_non_null(b);
        assert_string_equal(a, b);
        const struct netctl_tree *x = netctl_compiler_table(w->compiler, a);
        const struct netctl_tree *y = netctl_compiler_table(full, b);
        if (!ts_hash_eq(x->digest, y->digest)) {
            netctl_tree_diff(x, y, on_difference, NULL);
            fail_msg("after %llu requests the tables of %s differ", (unsigned long long)w->seq, a);
        }
        a = netctl_compiler_next(w->compiler, a);
        b = netctl_compiler_next(full, b);
    }
    netctl_compiler_free(full);
}

static void check_items(struct world *w)
{
    for (const char *node = netctl_compiler_next(w->compiler, NULL); node != NULL;
         node = netctl_compiler_next(w->compiler, node)) {
        const struct netctl_tree *table = netctl_compiler_table(w->compiler, node);
        struct netctl_item i = {NULL, {NULL, 0}};
        while (table != NULL && netctl_tree_next(table, "", &i)) {
            struct agent_error error = {""};
            enum ts_err err = agent_item_decode(w->item, i.key, i.value, &error);
            bool undone = err == TS_ERR_VERSION &&
                          (strstr(error.text, "is not realized by this agent") != NULL ||
                           strstr(error.text, "does not know DHCP") != NULL);
            if (err != TS_OK && !undone) {
                fail_msg("%s %s %.*s: %s", node, i.key, (int)i.value.len,
                         (const char *)i.value.data, error.text);
            }
            w->kinds[agent_kind_of(i.key)]++;
        }
    }
}

/* Goal: after any changes what is compiled step by step is what is compiled at once, and is taken
 * by agents as it is. */
static void test_compile_incremental_equals_full(void **unused)
{
    (void)unused;
    struct world w;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        begin(&w);
        struct ts_prng p = ts_prng_init(seed);
        while (w.seq < 8000) {
            for (uint64_t n = 1 + ts_prng_below(&p, 3); n > 0; n--) {
                apply_random(&w, &p);
            }
            netctl_compile_begin(w.compiler, w.state);
            while (!netctl_compile_some(w.compiler, 1 + ts_prng_below(&p, 2000))) {
                if (ts_prng_below(&p, 4) == 0) {
                    apply_random(&w, &p); /* it is for the next one */
                }
            }
            if (ts_prng_below(&p, 20) == 0) {
                netctl_compile(w.compiler, w.state);
                check_same(&w);
                check_items(&w);
            }
        }
        netctl_compile(w.compiler, w.state);
        check_same(&w);
        assert_true(w.done > 3000);
        for (size_t kind = 0; kind < AGENT_KIND_COUNT; kind++) {
            if (w.kinds[kind] == 0) {
                fail_msg("seed %llu: no item of kind %zu", (unsigned long long)seed, kind);
            }
        }
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compile_incremental_equals_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

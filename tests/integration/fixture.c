#include "tests/integration/fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lab/netns.h"

#define WAIT_MS 60000
#define FAILURE_TIMEOUT_MS 100

int fixture_set_up(void **unused)
{
    struct fixture *f = &fixture;
    struct ts_why why = {{0}};
    struct lab_pair_config config = {.net = 77, .failure_timeout_ms = FAILURE_TIMEOUT_MS};
    struct lab_state state;
    char text[1024];
    (void)unused;
    config.client_tls = f->tls;
    if (f->calm) {
        config.failure_timeout_ms = FIXTURE_CALM_MS;
    }
    f->own_network = lab_netns_enter(&why) == TS_OK;
    if (!f->own_network) {
        print_message("%s\n", why.text);
        config.net = lab_pair_free_net(120);
    }
    assert_int_equal(lab_scratch_make(f->name, f->run), TS_OK);
    snprintf(config.run, sizeof config.run, "%s", f->run);
    assert_int_equal(lab_guard_begin(&f->guard, f->run, lab_pair_nodes, &why), TS_OK);
    f->started = true;
    if (lab_pair_up(&f->pair, &config, &why) != TS_OK) {
        print_error("the pair did not start: %s\n", why.text);
        fail();
    }
    if (!lab_pair_wait_redundant(&f->pair, WAIT_MS, &state)) {
        lab_state_text(&f->pair, &state, text, sizeof text);
        print_error("the pair never got in sync: %s\n", text);
        fail();
    }
    return 0;
}

int fixture_finish(int failed)
{
    struct fixture *f = &fixture;
    struct ts_why why = {{0}};
    struct lab_state state;
    if (!f->started) {
        return 1;
    }
    lab_pair_state(&f->pair, &state);
    enum ts_err err = lab_pair_down(&f->pair, &why);
    lab_guard_end(&f->guard);
    bool good = failed == 0 && err == TS_OK && state.crash[0] == '\0';
    if (good && getenv("TS_KEEP_DATA") == NULL) {
        lab_scratch_remove(f->run);
    } else {
        fprintf(stderr, "data and logs: %s %s %s\n", f->run, why.text, state.crash);
    }
    return good ? 0 : 1;
}

unsigned fixture_primary(const struct fixture *f)
{
    struct lab_state state;
    assert_true(lab_pair_wait_redundant(&f->pair, WAIT_MS, &state));
    return (unsigned)lab_state_primary(&state);
}

void fixture_kill_node(unsigned index)
{
    const char *name = lab_pair_node(&fixture.pair, index);
    assert_true(nodes_signal_all(&fixture.pair.run, name, SIGKILL) > 0);
    assert_true(nodes_wait_gone(&fixture.pair.run, name, WAIT_MS));
}

void fixture_start_node(unsigned index)
{
    struct ts_why why = {{0}};
    if (nodes_start(&fixture.pair.run, lab_pair_node(&fixture.pair, index), NULL, &why) != TS_OK) {
        print_error("%s\n", why.text);
        fail();
    }
}

struct lab_load *fixture_load(const struct fixture *f, const char *tag)
{
    struct lab_load_config config = lab_load_defaults();
    struct lab_load *load;
    config.addrs = lab_pair_addrs(&f->pair);
    config.clients = 4;
    snprintf(config.tag, sizeof config.tag, "%s", tag);
    assert_int_equal(lab_load_start(&load, &config), TS_OK);
    assert_true(lab_load_wait_acks(load, 50, WAIT_MS));
    return load;
}

void fixture_judge(struct lab_load *load)
{
    struct lab_verdict v;
    char text[400];
    lab_load_stop(load);
    assert_int_equal(lab_load_reconcile(load, WAIT_MS, &v), TS_OK);
    lab_verdict_text(&v, text, sizeof text);
    print_message("%s\n", text);
    for (size_t i = 0; i < v.finding_count; i++) {
        print_error("%s\n", v.findings[i]);
    }
    assert_true(lab_verdict_ok(&v));
    lab_load_free(load);
}

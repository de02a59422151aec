/* What cluster-cfgd keeps of nodes that something keeps from being heard, and the alarms of it. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cli_fixture.h"

#include "cluster-cfg/io/admin.h"
#include "cluster-cfg/io/cluster_yaml.h"

static struct ts_mono at_ms(uint64_t ms)
{
    return (struct ts_mono){100 * TS_NS_PER_S + ms * TS_NS_PER_MS};
}

/* State of nic1, with nic2 silent. */
static struct admin_state *state_new(struct cfg_cluster *c)
{
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_bytes text = {(const uint8_t *)CLUSTER, sizeof(CLUSTER) - 1};
    struct admin_state *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    assert_int_equal(cluster_yaml_parse("c", text, c, error), TS_OK);
    s->cluster = c;
    s->self = &c->nodes[0];
    s->has_peers = true;
    s->peers.count = 1;
    s->peers.p[0].nic.v = 2;
    return s;
}

/* Whether an alarm of this code has these words in its text. */
static bool has_alarm(struct admin_state *s, const char *code, const char *words,
                      struct ts_mono now)
{
    s->peers_at = now;
    json_t *alarms = admin_alarms_json(s, now, 0);
    size_t i;
    json_t *a;
    bool found = false;
    json_array_foreach(alarms, i, a)
    {
        found = found || (strcmp(cli_string(a, "code", ""), code) == 0 &&
                          strstr(cli_string(a, "text", ""), words) != NULL);
    }
    json_decref(alarms);
    return found;
}

/* Goal: links that fail for a certificate, for a second or more, are one event and an alarm that
 * names the node, until a link is up or nobody tries any more. */
static void test_refused_links_become_an_alarm(void **state)
{
    (void)state;
    struct cfg_cluster c;
    struct admin_state *s = state_new(&c);
    const struct ts_nic_id nic2 = {2};
    static const char WORDS[] = "no link to nic2: TLS refused: its?certificate; if it or this node";
    uint64_t ms = 0;
    for (; ms < 1000; ms += 200) {
        assert_false(admin_refused_note(s, nic2, "TLS refused", "its\033certificate", at_ms(ms)));
        assert_false(has_alarm(s, "certificate", "", at_ms(ms)));
    }
    assert_true(admin_refused_note(s, nic2, "TLS refused", "its\033certificate", at_ms(ms)));
    assert_false(admin_refused_note(s, nic2, "TLS refused", "its\033certificate", at_ms(ms + 1)));
    assert_true(has_alarm(s, "certificate", WORDS, at_ms(ms + 100)));
    admin_refused_end(s, nic2);
    assert_false(has_alarm(s, "certificate", "", at_ms(ms + 200)));
    /* Once more, and then nothing answers there: that is told otherwise. */
    assert_false(admin_refused_note(s, nic2, "TLS refused", "", at_ms(ms + 400)));
    assert_true(admin_refused_note(s, nic2, "TLS refused", "", at_ms(ms + 1400)));
    assert_true(has_alarm(s, "certificate", "TLS refused; if", at_ms(ms + 4400)));
    assert_false(has_alarm(s, "certificate", "", at_ms(ms + 4401)));
    /* Nodes that are none, and this one. */
    assert_false(admin_refused_note(s, (struct ts_nic_id){0}, "x", "", at_ms(ms)));
    assert_false(admin_refused_note(s, (struct ts_nic_id){60000}, "x", "", at_ms(ms)));
    assert_false(admin_refused_note(s, (struct ts_nic_id){1}, "x", "", at_ms(ms)));
    free(s);
}

/* Goal: a silent node whose heartbeats come with a wrong key is told of as that; what anybody may
 * send with a node's address is no alarm of its own, and one event as long as it goes on. */
static void test_wrong_key_is_told_with_the_silent_node(void **state)
{
    (void)state;
    struct cfg_cluster c;
    struct admin_state *s = state_new(&c);
    const struct ts_nic_id nic2 = {2};
    static const char WORDS[] = "nic2 is not heard on any path: heartbeats that come from its "
                                "addresses are refused, since they are of another cluster or";
    assert_true(has_alarm(s, "node-silent", "nic2 is not heard on any path", at_ms(0)));
    assert_false(has_alarm(s, "node-silent", "refused", at_ms(0)));
    assert_true(admin_wrong_key_note(s, nic2, at_ms(0)));
    for (uint64_t ms = 1000; ms <= 5000; ms += 1000) {
        assert_false(admin_wrong_key_note(s, nic2, at_ms(ms)));
    }
    assert_true(has_alarm(s, "node-silent", WORDS, at_ms(5000)));
    s->peers.p[0].alive = true;
    s->peers.p[0].path_up_mask = 3;
    assert_false(has_alarm(s, "node-silent", "", at_ms(5000)));
    s->peers.p[0].alive = false;
    assert_false(has_alarm(s, "node-silent", "refused", at_ms(8001)));
    assert_true(admin_wrong_key_note(s, nic2, at_ms(8001)));
    assert_false(admin_wrong_key_note(s, (struct ts_nic_id){0}, at_ms(0)));
    assert_false(admin_wrong_key_note(s, (struct ts_nic_id){1}, at_ms(0)));
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_links_become_an_alarm),
        cmocka_unit_test(test_wrong_key_is_told_with_the_silent_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

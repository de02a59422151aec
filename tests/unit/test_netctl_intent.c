/* What operators declare: objects, revisions, references, requests of many objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "services/netctl/request.h"
#include "services/netctl/store.h"

#define POINT "/infra/sites/default/enforcement-points/default"

static struct netctl_intent t;
static struct netctl_error e;
static struct netctl_author author;

static int setup(void **state)
{
    (void)state;
    t = netctl_intent_make(7, 1 << 20);
    netctl_intent_seed(&t);
    author = (struct netctl_author){"ann", 1000, NETCTL_RULES};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    netctl_intent_free(&t);
    return 0;
}

static json_t *json(const char *text)
{
    json_t *v = json_loads(text, 0, NULL);
    assert_non_null(v);
    return v;
}

/* Each gives the status that a client would get. */
static int put(const char *path, const char *body)
{
    json_t *v = json(body);
    e = (struct netctl_error){0};
    bool good = netctl_intent_put(&t, path, v, &author, &e);
    json_decref(v);
    assert_int_equal(good, e.status == 0);
    return good ? 200 : e.status;
}

static int patch(const char *path, const char *body)
{
    json_t *v = json(body);
    e = (struct netctl_error){0};
    bool good = netctl_intent_patch(&t, path, v, &author, &e);
    json_decref(v);
    assert_int_equal(good, e.status == 0);
    return good ? 200 : e.status;
}

static int patch_tree(const char *body, bool revisions)
{
    json_t *v = json(body);
    e = (struct netctl_error){0};
    bool good = netctl_intent_patch_tree(&t, v, revisions, &author, &e);
    json_decref(v);
    assert_int_equal(good, e.status == 0);
    return good ? 200 : e.status;
}

static int delete (const char *path)
{
    e = (struct netctl_error){0};
    return netctl_intent_delete(&t, path, &e) ? 200 : e.status;
}

static bool is_there(const char *path)
{
    e = (struct netctl_error){0};
    json_t *v = netctl_intent_get(&t, path, &e);
    assert_true(v != NULL || e.status == 404);
    json_decref(v);
    return v != NULL;
}

static void assert_object(const char *path, const char *want)
{
    e = (struct netctl_error){0};
    json_t *is = netctl_intent_get(&t, path, &e);
    json_t *should = json(want);
    char *text = json_dumps(is, JSON_COMPACT | JSON_SORT_KEYS);
    char *other = json_dumps(should, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, other);
    free(text);
    free(other);
    json_decref(is);
    json_decref(should);
}

static long revision(const char *path)
{
    json_t *is = netctl_intent_get(&t, path, &e);
    assert_non_null(is);
    long n = (long)json_integer_value(json_object_get(is, "_revision"));
    json_decref(is);
    return n;
}

/* Goal: an object is given back as it was declared, with what follows from its path and who made
 * it when. */
static void test_put_gives_an_object_that_get_shows(void **state)
{
    (void)state;
    assert_int_equal(put("/infra/segments/web",
                         "{\"id\": \"web\", \"resource_type\": \"Segment\","
                         "\"subnets\": [{\"gateway_address\": \"10.0.1.1/24\"}],"
                         "\"description\": null, \"_create_user\": \"eve\"}"),
                     200);
    assert_object("/infra/segments/web",
                  "{\"id\":\"web\",\"display_name\":\"web\",\"path\":\"/infra/segments/web\","
                  "\"relative_path\":\"web\",\"parent_path\":\"/infra\","
                  "\"resource_type\":\"Segment\",\"_revision\":0,\"_create_time\":1000,"
                  "\"_create_user\":\"ann\",\"_last_modified_time\":1000,"
                  "\"_last_modified_user\":\"ann\","
                  "\"subnets\":[{\"gateway_address\":\"10.0.1.1/24\"}]}");
    assert_false(is_there("/infra/segments/other"));
    assert_false(is_there("/infra/segments"));
    assert_false(is_there("/nowhere"));
}

/* Goal: _revision moves with what an object says and with nothing else; whoever replaces an object
 * has seen its present form. */
static void test_revision_moves_with_changes_only(void **state)
{
    (void)state;
    assert_int_equal(patch("/infra/segments/web", "{\"description\": \"a\"}"), 200);
    author = (struct netctl_author){"bob", 2000, NETCTL_RULES};
    assert_int_equal(patch("/infra/segments/web", "{\"description\": \"a\"}"), 200);
    assert_int_equal(revision("/infra/segments/web"), 0);
    assert_int_equal(patch("/infra/segments/web", "{\"domain_name\": \"x\"}"), 200);
    assert_int_equal(revision("/infra/segments/web"), 1);
    assert_object("/infra/segments/web",
                  "{\"id\":\"web\",\"display_name\":\"web\",\"path\":\"/infra/segments/web\","
                  "\"relative_path\":\"web\",\"parent_path\":\"/infra\","
                  "\"resource_type\":\"Segment\",\"_revision\":1,\"_create_time\":1000,"
                  "\"_create_user\":\"ann\",\"_last_modified_time\":2000,"
                  "\"_last_modified_user\":\"bob\",\"description\":\"a\",\"domain_name\":\"x\"}");
    assert_int_equal(put("/infra/segments/web", "{\"domain_name\": \"y\"}"), 412);
    assert_non_null(strstr(e.message, "_revision is missing"));
    assert_int_equal(put("/infra/segments/web", "{\"domain_name\": \"y\", \"_revision\": 0}"), 412);
    assert_int_equal(put("/infra/segments/web", "{\"domain_name\": \"y\", \"_revision\": 1}"), 200);
    assert_int_equal(revision("/infra/segments/web"), 2);
    assert_int_equal(put("/infra/segments/web", "{\"domain_name\": \"y\", \"_revision\": 2}"), 200);
    assert_int_equal(revision("/infra/segments/web"), 2);
}

/* Goal: PATCH takes a field away that is null, and leaves what the body has not; what an object
 * needs it has afterwards, whoever said it. */
static void test_patch_with_null_takes_a_field_away(void **state)
{
    (void)state;
    const char *web = "/infra/segments/web";
    const char *route = "/infra/tier-0s/t0/static-routes/r";
    assert_int_equal(patch("/infra/tier-1s/t1", "{}"), 200);
    assert_int_equal(patch(web, "{\"connectivity_path\": \"/infra/tier-1s/t1\","
                                "\"display_name\": \"x\", \"description\": \"a\"}"),
                     200);
    assert_int_equal(delete ("/infra/tier-1s/t1"), 400);
    assert_int_equal(patch(web, "{\"connectivity_path\": null, \"display_name\": null,"
                                "\"overlay_id\": null, \"path\": null, \"_revision\": null}"),
                     200);
    assert_object(web, "{\"id\":\"web\",\"display_name\":\"web\",\"path\":\"/infra/segments/web\","
                       "\"relative_path\":\"web\",\"parent_path\":\"/infra\","
                       "\"resource_type\":\"Segment\",\"_revision\":1,\"_create_time\":1000,"
                       "\"_create_user\":\"ann\",\"_last_modified_time\":1000,"
                       "\"_last_modified_user\":\"ann\",\"description\":\"a\"}");
    assert_int_equal(delete ("/infra/tier-1s/t1"), 200);
    assert_int_equal(patch(web, "{\"connectivity_path\": null}"), 200);
    assert_int_equal(revision(web), 1); /* it was gone already */

    assert_int_equal(patch("/infra/tier-0s/t0", "{}"), 200);
    assert_int_equal(patch(route, "{\"description\": \"a\"}"), 400);
    assert_non_null(strstr(e.message, "network is missing"));
    assert_int_equal(patch(route, "{\"network\": \"10.7.0.0/16\"}"), 200);
    assert_int_equal(patch(route, "{\"description\": \"a\"}"), 200);
    assert_int_equal(revision(route), 1);
    assert_int_equal(patch(route, "{\"network\": null}"), 400);
    assert_non_null(strstr(e.message, "network is missing"));
    assert_int_equal(put(route, "{\"description\": \"b\", \"_revision\": 1}"), 400);

    assert_int_equal(patch_tree("{\"resource_type\": \"Infra\", \"children\": ["
                                "{\"resource_type\": \"ChildSegment\", \"Segment\":"
                                "{\"id\": \"web\", \"description\": null, \"children\": null}}]}",
                                false),
                     200);
    assert_int_equal(revision(web), 2);
}

/* Goal: the rules of a policy are objects of their own: null says nothing of them. */
static void test_patch_with_null_for_rules_leaves_them(void **state)
{
    (void)state;
    const char *p = "/infra/domains/default/security-policies/p";
    assert_int_equal(patch(p, "{\"rules\": [{\"id\": \"r\", \"notes\": \"a\"}]}"), 200);
    assert_int_equal(patch(p, "{\"rules\": null, \"comments\": \"x\"}"), 200);
    assert_true(is_there("/infra/domains/default/security-policies/p/rules/r"));
    assert_int_equal(patch(p, "{\"rules\": [{\"id\": \"r\", \"notes\": null}]}"), 200);
    assert_int_equal(revision("/infra/domains/default/security-policies/p/rules/r"), 1);
    assert_int_equal(put(p, "{\"rules\": null, \"_revision\": 2}"), 200);
    assert_false(is_there("/infra/domains/default/security-policies/p/rules/r"));
}

/* Goal: what is wrong is named by its field, and nothing is changed by it. */
static void test_patch_refuses_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *body;
        int status;
        const char *word;
    } WRONG[] = {
        {"/infra/segments/web", "{\"colour\": \"red\"}", 400, "colour is not known"},
        {"/infra/segments/web", "{\"subnets\": [{}]}", 400,
         "subnets[0].gateway_address is missing"},
        {"/infra/segments/web", "{\"subnets\": [{\"gateway_address\": \"10.0.0.1\"}]}", 400,
         "subnets[0].gateway_address is no address with"},
        {"/infra/segments/web", "{\"subnets\": 3}", 400, "subnets is no list"},
        {"/infra/segments/web", "{\"admin_state\": \"LEFT\"}", 400, "there are: UP, DOWN"},
        {"/infra/segments/web", "{\"overlay_id\": 0}", 400, "overlay_id is no whole number"},
        {"/infra/segments/web", "{\"overlay_id\": 1.5}", 400, "overlay_id is no whole number"},
        {"/infra/segments/web", "{\"id\": \"other\"}", 400, "id is \"other\""},
        {"/infra/segments/web", "{\"resource_type\": \"Tier1\"}", 400, "resource_type is"},
        {"/infra/segments/web", "{\"connectivity_path\": \"/infra/tier-1s/no\"}", 400,
         "/infra/tier-1s/no, which does not exist"},
        {"/infra/segments/web", "{\"connectivity_path\": \"no\"}", 400, "no path"},
        {"/infra/segments/web", "{\"connectivity_path\": \"/infra/segments/web\"}", 400,
         "is a Segment; there it is to be a Tier1"},
        {"/infra/domains/default/security-policies/p",
         "{\"rules\": [{\"id\": \"r\", \"source_groups\": [\"10.0.0.0/8\", \"web\"]}]}", 400,
         "source_groups[1] is no path"},
        {"/infra/segments/web", "[]", 400, "no JSON object"},
        {"/infra/segments/no/ports/p", "{}", 404, "there is no object /infra/segments/no"},
        {"/infra/segments/a b", "{}", 404, "no objects like"},
        {"/infra/sites/default", "{}", 400, "cannot be changed"},
        {"/infra/segments/web/ports/p", "{\"address_bindings\": [{\"mac_address\": \"02\"}]}", 400,
         "address_bindings[0].mac_address is no MAC"},
        {"/infra/services/s",
         "{\"service_entries\": [{\"destination_ports\": [\"80\", \"99999\"]}]}", 400,
         "service_entries[0].destination_ports[1] is no port"},
    };
    assert_int_equal(patch("/infra/segments/web", "{}"), 200);
    struct ts_hash before = t.objects.digest;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        assert_int_equal(patch(WRONG[i].path, WRONG[i].body), WRONG[i].status);
        if (strstr(e.message, WRONG[i].word) == NULL) {
            fail_msg("%zu: \"%s\" has no \"%s\"", i, e.message, WRONG[i].word);
        }
        assert_true(ts_hash_eq(before, t.objects.digest));
    }
}

/* Goal: who is referred to, or has something in it, stays. */
static void test_delete_refuses_what_is_needed(void **state)
{
    (void)state;
    assert_int_equal(patch("/infra/tier-1s/t1", "{}"), 200);
    assert_int_equal(patch("/infra/segments/web", "{\"connectivity_path\": \"/infra/tier-1s/t1\"}"),
                     200);
    assert_int_equal(patch("/infra/segments/web/ports/p", "{}"), 200);
    assert_int_equal(delete ("/infra/tier-1s/t1"), 400);
    assert_non_null(strstr(e.message, "/infra/segments/web refers to it"));
    assert_int_equal(delete ("/infra/segments/web"), 400);
    assert_non_null(strstr(e.message, "/infra/segments/web/ports/p is in it"));
    assert_int_equal(delete ("/infra/segments/web/ports/p"), 200);
    assert_int_equal(delete ("/infra/segments/web"), 200);
    assert_int_equal(delete ("/infra/tier-1s/t1"), 200);
    assert_int_equal(delete ("/infra/tier-1s/t1"), 404);
    assert_int_equal(delete ("/infra/domains/default/groups/none"), 404);
    assert_int_equal(t.refs.count, 0);
}

#define POLICY "/infra/domains/default/security-policies/p"

/* Goal: a policy's rules are objects of their own and a list in it; PATCH changes those it names,
 * PUT replaces all, DELETE takes them along. */
static void test_policy_carries_its_rules(void **state)
{
    (void)state;
    assert_int_equal(patch(POLICY, "{\"category\": \"Application\", \"rules\": ["
                                   "{\"id\": \"r1\", \"action\": \"ALLOW\"},"
                                   "{\"id\": \"r2\", \"action\": \"DROP\"}]}"),
                     200);
    assert_true(is_there(POLICY "/rules/r1"));
    assert_int_equal(revision(POLICY), 0);
    assert_int_equal(patch(POLICY, "{\"rules\": [{\"id\": \"r2\", \"action\": \"ALLOW\"}]}"), 200);
    assert_true(is_there(POLICY "/rules/r1"));
    assert_int_equal(revision(POLICY), 1);
    assert_int_equal(revision(POLICY "/rules/r2"), 1);
    assert_int_equal(patch(POLICY, "{\"rules\": [{\"id\": \"r2\", \"action\": \"ALLOW\"}]}"), 200);
    assert_int_equal(revision(POLICY), 1);
    assert_int_equal(patch(POLICY, "{\"rules\": [{\"id\": \"r3\"}, {\"id\": \"r3\"}]}"), 400);
    assert_int_equal(patch(POLICY, "{\"rules\": [{\"action\": \"ALLOW\"}]}"), 400);
    json_t *got = netctl_intent_get(&t, POLICY, &e);
    json_t *rules = json_object_get(got, "rules");
    assert_int_equal(json_array_size(rules), 2);
    /* What a client was given it may send back. */
    json_object_set_new(json_array_get(rules, 0), "action", json_string("DROP"));
    char *text = json_dumps(got, 0);
    assert_int_equal(put(POLICY, text), 200);
    free(text);
    json_decref(got);
    assert_int_equal(revision(POLICY "/rules/r1"), 1);
    assert_int_equal(revision(POLICY "/rules/r2"), 1);
    assert_int_equal(put(POLICY, "{\"_revision\": 2}"), 200);
    assert_false(is_there(POLICY "/rules/r1"));
    assert_int_equal(patch(POLICY "/rules/r9", "{\"action\": \"DROP\"}"), 200);
    assert_int_equal(delete (POLICY), 200);
    assert_false(is_there(POLICY "/rules/r9"));
}

/* Goal: a request of many objects may have them in any order, and is done whole or not at all. */
static void test_patch_tree_is_whole_or_not_at_all(void **state)
{
    (void)state;
    static const char GOOD[] =
        "{\"resource_type\": \"Infra\", \"children\": ["
        "{\"resource_type\": \"ChildSegment\", \"Segment\": {\"id\": \"web\","
        "  \"resource_type\": \"Segment\", \"connectivity_path\": \"/infra/tier-1s/t1\","
        "  \"children\": [{\"resource_type\": \"ChildSegmentPort\","
        "    \"SegmentPort\": {\"id\": \"p\"}}]}},"
        "{\"resource_type\": \"ChildTier1\", \"Tier1\": {\"id\": \"t1\"}},"
        "{\"resource_type\": \"ChildResourceReference\", \"id\": \"default\","
        "  \"target_type\": \"Domain\", \"children\": [{\"resource_type\": \"ChildGroup\","
        "    \"Group\": {\"id\": \"g\"}}]}]}";
    assert_int_equal(patch_tree(GOOD, false), 200);
    assert_true(is_there("/infra/segments/web/ports/p"));
    assert_true(is_there("/infra/domains/default/groups/g"));
    struct ts_hash before = t.objects.digest;
    assert_int_equal(patch_tree(GOOD, false), 200);
    assert_true(ts_hash_eq(before, t.objects.digest));
    assert_int_equal(patch_tree(GOOD, true), 412);
    /* The second child is wrong: the first one is not done. */
    assert_int_equal(patch_tree("{\"resource_type\": \"Infra\", \"children\": ["
                                "{\"resource_type\": \"ChildTier1\", \"Tier1\": {\"id\": \"t2\"}},"
                                "{\"resource_type\": \"ChildTier1\", \"Tier1\": {\"id\": \"/\"}}]}",
                                false),
                     400);
    assert_false(is_there("/infra/tier-1s/t2"));
    assert_int_equal(patch_tree("{\"resource_type\": \"Infra\", \"children\": [{\"resource_type\":"
                                "\"ChildTier1\", \"marked_for_delete\": true,"
                                "\"Tier1\": {\"id\": \"t1\"}}]}",
                                false),
                     400);
    assert_true(is_there("/infra/tier-1s/t1"));
    assert_int_equal(
        patch_tree("{\"resource_type\": \"Infra\", \"children\": ["
                   "{\"resource_type\": \"ChildTier1\", \"marked_for_delete\": true,"
                   "  \"Tier1\": {\"id\": \"t1\"}},"
                   "{\"resource_type\": \"ChildSegment\", \"marked_for_delete\": true,"
                   "  \"Segment\": {\"id\": \"web\", \"children\": [{\"resource_type\":"
                   "  \"ChildSegmentPort\", \"marked_for_delete\": true,"
                   "  \"SegmentPort\": {\"id\": \"p\"}}]}}]}",
                   false),
        200);
    assert_false(is_there("/infra/segments/web"));
    assert_int_equal(patch_tree("{\"resource_type\": \"Tier1\"}", false), 400);
    assert_int_equal(patch_tree("{\"resource_type\": \"Infra\", \"children\": [3]}", false), 400);
}

/* Goal: a collection comes in pages, each beginning behind the one before; what is in an object is
 * not in its collection. */
static void test_list_comes_in_pages(void **state)
{
    (void)state;
    static const char *const IDS[] = {"a", "a-b", "a0", "b", "c.d"};
    char path[64];
    size_t seen = 0;
    char cursor[64] = "";
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "/infra/segments/%s", IDS[i]);
        assert_int_equal(patch(path, "{}"), 200);
        snprintf(path, sizeof path, "/infra/segments/%s/ports/x", IDS[i]);
        assert_int_equal(patch(path, "{}"), 200);
    }
    for (size_t page = 0; page < 3; page++) {
        json_t *list = netctl_intent_list(&t, "/infra/segments", cursor, 2, &e);
        const json_t *results = json_object_get(list, "results");
        assert_int_equal(json_array_size(results), page < 2 ? 2 : 1);
        for (size_t i = 0; i < json_array_size(results); i++) {
            assert_string_equal(
                json_string_value(json_object_get(json_array_get(results, i), "id")), IDS[seen++]);
        }
        const char *next = json_string_value(json_object_get(list, "cursor"));
        assert_int_equal(next != NULL, page < 2);
        assert_true(next == NULL || strncmp(next, NETCTL_CURSOR, strlen(NETCTL_CURSOR)) == 0);
        snprintf(cursor, sizeof cursor, "%s", next == NULL ? "" : next + strlen(NETCTL_CURSOR));
        const json_t *all = json_object_get(list, "result_count");
        assert_int_equal(all != NULL, page == 0);
        assert_int_equal(json_integer_value(all), page == 0 ? 5 : 0);
        json_decref(list);
    }
    assert_int_equal(netctl_store_count(&t, "/infra/segments/a-b/ports"), 1);
    assert_int_equal(delete ("/infra/segments/a-b/ports/x"), 200);
    assert_int_equal(netctl_store_count(&t, "/infra/segments/a-b/ports"), 0);
    assert_int_equal(delete ("/infra/segments/a-b"), 200);
    assert_int_equal(delete ("/infra/segments/a"), 400);
    assert_int_equal(patch("/infra/segments/z", "{\"connectivity_path\": \"/infra/tier-1s/no\"}"),
                     400);
    assert_int_equal(patch("/infra/segments/b", "{\"description\": \"again\"}"), 200);
    assert_int_equal(netctl_store_count(&t, "/infra/segments"), 4);
    assert_null(netctl_intent_list(&t, "/infra/segments/no/ports", "", 10, &e));
    assert_int_equal(e.status, 404);
    e = (struct netctl_error){0};
    assert_null(netctl_intent_list(&t, "/infra/colours", "", 10, &e));
    e = (struct netctl_error){0};
    assert_null(netctl_intent_list(&t, "/infra/segments", "a/b", 10, &e));
    assert_int_equal(e.status, 400);
}

/* Goal: a full tree takes nothing more, and lets go of what it has. */
static void test_full_tree_takes_nothing_more(void **state)
{
    (void)state;
    char path[64];
    int status = 200;
    for (unsigned i = 0; i < 10000 && status == 200; i++) {
        snprintf(path, sizeof path, "/infra/segments/s%u", i);
        status = patch(path, "{}");
    }
    assert_int_equal(status, 507);
    assert_false(is_there(path));
    assert_int_equal(delete ("/infra/segments/s0"), 200);
}

/* Goal: a load takes what was kept, and refuses what is not that, and what lacks something. */
static void test_load_takes_what_was_kept(void **state)
{
    (void)state;
    struct netctl_intent other = netctl_intent_make(9, 1 << 20);
    struct netctl_item item = {NULL, {NULL, 0}};
    assert_int_equal(patch("/infra/tier-1s/t1", "{}"), 200);
    assert_int_equal(patch("/infra/segments/web", "{\"connectivity_path\": \"/infra/tier-1s/t1\"}"),
                     200);
    while (netctl_tree_next(&t.objects, "", &item)) {
        assert_true(netctl_intent_load(&other, item.key, item.value));
        assert_int_equal(netctl_intent_loaded(&other),
                         strcmp(item.key, "/infra/segments/web") < 0 ||
                             strcmp(item.key, "/infra/tier-1s/t1") >= 0);
    }
    assert_true(ts_hash_eq(other.sizes.digest, t.sizes.digest));
    assert_true(ts_hash_eq(t.objects.digest, other.objects.digest));
    assert_true(ts_hash_eq(t.refs.digest, other.refs.digest));
    static const char *const WRONG[] = {"", "{", "[]", "{}", "{\"_revision\":0}"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        assert_false(
            netctl_intent_load(&other, "/infra/segments/x",
                               (struct ts_bytes){(const uint8_t *)WRONG[i], strlen(WRONG[i])}));
    }
    assert_false(netctl_intent_load(&other, "/nowhere", netctl_tree_get(&t.objects, "/infra")));
    netctl_intent_free(&other);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Goal: what came with later rules is unknown to a request by earlier ones, at every depth, and
 * neither it nor what it needs is looked for. */
static void test_fields_of_later_rules_are_unknown(void **state)
{
    (void)state;
    static const struct netctl_field INNER[] = {{.name = "old", .kind = NETCTL_BOOL},
                                                {.name = "new", .kind = NETCTL_BOOL, .since = 3},
                                                {0}};
    static const struct netctl_field FIELDS[] = {
        {.name = "inner", .kind = NETCTL_OBJECT, .fields = INNER},
        {.name = "needed", .kind = NETCTL_BOOL, .needed = true, .since = 2},
        {0}};
    static const struct {
        const char *body;
        uint8_t from; /* by rules lower than these it is refused; 0: by all */
        uint8_t to;   /* … and higher than these */
    } CASES[] = {{"{}", 1, 1},
                 {"{\"needed\":true}", 2, 9},
                 {"{\"inner\":{\"old\":true}}", 1, 1},
                 {"{\"needed\":true,\"inner\":{\"new\":true}}", 3, 9},
                 {"{\"inner\":{\"new\":true}}", 10, 9}};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        for (uint8_t rules = 1; rules < 5; rules++) {
            e = (struct netctl_error){0};
            json_t *body = json_loads(CASES[i].body, 0, NULL);
            assert_non_null(body);
            assert_int_equal(netctl_schema_check(FIELDS, body, rules, "", &e),
                             rules >= CASES[i].from && rules <= CASES[i].to);
            json_decref(body);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_put_gives_an_object_that_get_shows),
        T(test_revision_moves_with_changes_only),
        T(test_patch_with_null_takes_a_field_away),
        T(test_patch_with_null_for_rules_leaves_them),
        T(test_patch_refuses_what_is_wrong),
        T(test_delete_refuses_what_is_needed),
        T(test_policy_carries_its_rules),
        T(test_patch_tree_is_whole_or_not_at_all),
        T(test_list_comes_in_pages),
        T(test_full_tree_takes_nothing_more),
        T(test_load_takes_what_was_kept),
        T(test_fields_of_later_rules_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Intent, and requests to it in a line each. */
#ifndef TESTS_UNIT_NETCTL_FIXTURE_H
#define TESTS_UNIT_NETCTL_FIXTURE_H

#include <string.h>

#include "services/netctl/request.h"
#include "services/netctl/walk.h"

#define POINT "/infra/sites/default/enforcement-points/default"
#define DOMAIN "/infra/domains/default"

static struct netctl_state state;
static struct netctl_error error;

static int fixture_setup(void **unused)
{
    (void)unused;
    state = (struct netctl_state){.intent = netctl_intent_make(7, 64 << 20),
                                  .inventory = netctl_inventory_make(7)};
    netctl_intent_seed(&state.intent);
    return 0;
}

static int fixture_teardown(void **unused)
{
    (void)unused;
    netctl_intent_free(&state.intent);
    netctl_inventory_free(&state.inventory);
    return 0;
}

/* Each gives the status that a client would get; 'single quotes' stand for double ones. */
static json_t *fixture_json(const char *text)
{
    char copy[16384];
    assert_true(strlen(text) < sizeof copy);
    memcpy(copy, text, strlen(text) + 1);
    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    json_t *v = json_loads(copy, 0, NULL);
    assert_non_null(v);
    return v;
}

static int patch(const char *path, const char *body)
{
    const struct netctl_author author = {"ann", 1000, NETCTL_RULES};
    json_t *v = fixture_json(body);
    error = (struct netctl_error){0};
    bool good = netctl_intent_patch(&state.intent, path, v, &author, &error);
    json_decref(v);
    return good ? 200 : error.status;
}

static inline int patch_tree(const char *body)
{
    const struct netctl_author author = {"ann", 1000, NETCTL_RULES};
    json_t *v = fixture_json(body);
    error = (struct netctl_error){0};
    bool good = netctl_intent_patch_tree(&state.intent, v, false, &author, &error);
    json_decref(v);
    return good ? 200 : error.status;
}

static inline int delete (const char *path)
{
    error = (struct netctl_error){0};
    struct netctl_tree before = netctl_tree_copy(&state.intent.objects);
    bool good = netctl_intent_delete(&state.intent, path, &error);
    netctl_inventory_follow(&state.inventory, &before, &state.intent.objects);
    netctl_tree_free(&before);
    return good ? 200 : error.status;
}

static inline int tell(const char *node, const char *body)
{
    json_t *v = fixture_json(body);
    error = (struct netctl_error){0};
    bool good = netctl_inventory_tell(&state.inventory, &state.intent.objects, node, v, &error);
    json_decref(v);
    return good ? 200 : error.status;
}

static inline void must(const char *path, const char *body)
{
    if (patch(path, body) != 200) {
        fail_msg("%s: %s", path, error.message);
    }
}

/* That it is refused, with a sentence that has all of these words in it. */
static inline void refused(const char *path, const char *body, const char *a, const char *b)
{
    int status = patch(path, body);
    if (status != 400 || strstr(error.message, a) == NULL || strstr(error.message, b) == NULL) {
        fail_msg("%s %s: %d \"%s\" lacks \"%s\" or \"%s\"", path, body, status, error.message, a,
                 b);
    }
}

#endif

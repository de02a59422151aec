#include "services/agent/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

void agent_objects_free(struct agent_objects *o)
{
    free(o->object);
    *o = (struct agent_objects){0};
}

void agent_objects_add(struct agent_objects *o, const struct agent_object *one)
{
    if (o->count == o->room) {
        o->room = o->room == 0 ? 64 : 2 * o->room;
        o->object = realloc(o->object, o->room * sizeof(*o->object));
        ts_must(o->object);
    }
    o->object[o->count++] = *one;
}

void agent_device_name(char out[AGENT_NAME_MAX], char letter, uint32_t vni)
{
    memset(out, 0, AGENT_NAME_MAX);
    (void)snprintf(out, AGENT_NAME_MAX, "tw%c%u", letter, vni);
}

const struct agent_interface *agent_place_find(const struct agent_place *p, const char *prefix,
                                               const char *alias)
{
    size_t len = strlen(prefix);
    for (size_t i = 0; i < p->interfaces; i++) {
        const char *has = p->interface[i].alias;
        if (strncmp(has, prefix, len) == 0 && strcmp(has + len, alias) == 0) {
            return &p->interface[i];
        }
    }
    return NULL;
}

const struct agent_interface *agent_place_named(const struct agent_place *p, const char *name)
{
    for (size_t i = 0; i < p->interfaces; i++) {
        if (strcmp(p->interface[i].name, name) == 0) {
            return &p->interface[i];
        }
    }
    return NULL;
}

/* ---- differences ---- */

static int by_key(const void *a, const void *b)
{
    const struct agent_object *x = a;
    const struct agent_object *y = b;
    if (x->key.kind != y->key.kind) {
        return x->key.kind < y->key.kind ? -1 : 1;
    }
    int order = memcmp(&x->key, &y->key, sizeof(x->key));
    /* One that is wanted twice goes to the item whose key is first, in every run. */
    bool same = order != 0 || x->item == NULL || y->item == NULL;
    return same ? order : strcmp(x->item, y->item);
}

static bool same_key(const struct agent_object *a, const struct agent_object *b)
{
    return memcmp(&a->key, &b->key, sizeof(a->key)) == 0;
}

static bool same_value(const struct agent_object *a, const struct agent_object *b)
{
    return memcmp(&a->value, &b->value, sizeof(a->value)) == 0;
}

void agent_objects_sort(struct agent_objects *o, agent_told *told, void *arg)
{
    size_t kept = 0;
    if (o->count == 0) {
        return;
    }
    qsort(o->object, o->count, sizeof(*o->object), by_key);
    for (size_t i = 1; i < o->count; i++) {
        const struct agent_object *last = &o->object[kept];
        const struct agent_object *one = &o->object[i];
        if (!same_key(last, one)) {
            o->object[++kept] = *one;
        } else if (told != NULL && one->item != NULL && !same_value(last, one)) {
            char text[AGENT_OBJECT_TEXT];
            struct agent_error error;
            (void)snprintf(error.text, sizeof(error.text), "%.200s is what %.120s wants, too",
                           agent_object_text(one, text), last->item);
            told(arg, one->item, error.text);
        }
    }
    o->count = kept + 1;
}

static int key_order(const struct agent_objects *a, size_t i, const struct agent_objects *b,
                     size_t j)
{
    if (i == a->count || j == b->count) {
        return i == a->count ? 1 : -1;
    }
    const struct agent_object *x = &a->object[i];
    const struct agent_object *y = &b->object[j];
    if (x->key.kind != y->key.kind) {
        return x->key.kind < y->key.kind ? -1 : 1;
    }
    return memcmp(&x->key, &y->key, sizeof(x->key));
}

struct agent_op *agent_objects_plan(const struct agent_objects *was, const struct agent_objects *is,
                                    size_t *count)
{
    size_t made = 0;
    size_t gone = 0;
    size_t all = was->count + is->count;
    struct agent_op *ops = calloc(all + 1, sizeof(*ops));
    ts_must(ops);
    for (size_t i = 0, j = 0; i < was->count || j < is->count;) {
        int order = key_order(was, i, is, j);
        const struct agent_object *a = order <= 0 ? &was->object[i] : NULL;
        const struct agent_object *b = order >= 0 ? &is->object[j] : NULL;
        i += order <= 0;
        j += order >= 0;
        if (a == NULL) {
            ops[made++] = (struct agent_op){AGENT_ADD, NULL, b};
        } else if (b == NULL) {
            ops[all - 1 - gone++] = (struct agent_op){AGENT_REMOVE, a, NULL};
        } else if (!same_value(a, b)) {
            ops[made++] = (struct agent_op){AGENT_CHANGE, a, b};
        }
    }
    /* What goes stands at the end in the opposite order already. */
    memmove(ops + made, ops + all - gone, gone * sizeof(*ops));
    *count = made + gone;
    return ops;
}

/* ---- for people ---- */

static const char *const KINDS[] = {
#define KIND_TEXT(name, text) text,
    AGENT_OBJECT_LIST(KIND_TEXT)
#undef KIND_TEXT
};

static void say(char text[AGENT_OBJECT_TEXT], const char *word, const char *value)
{
    size_t len = strlen(text);
    (void)snprintf(text + len, AGENT_OBJECT_TEXT - len, " %s %s", word, value);
}

static void say_number(char text[AGENT_OBJECT_TEXT], const char *word, uint32_t n)
{
    char value[16];
    (void)snprintf(value, sizeof(value), "%u", n);
    if (n != 0) {
        say(text, word, value);
    }
}

static void say_address(char text[AGENT_OBJECT_TEXT], const char *word,
                        const struct agent_address *a)
{
    char value[AGENT_ADDRESS_TEXT];
    if (a->family != 0) {
        say(text, word, agent_address_text(a, true, value));
    }
}

static void say_mac(char text[AGENT_OBJECT_TEXT], const struct agent_mac *m)
{
    static const struct agent_mac none;
    char value[AGENT_MAC_TEXT];
    if (memcmp(m, &none, sizeof(none)) != 0) {
        say(text, "mac", agent_mac_text(m, value));
    }
}

const char *agent_object_text(const struct agent_object *o, char text[AGENT_OBJECT_TEXT])
{
    const struct agent_object_key *k = &o->key;
    const struct agent_object_value *v = &o->value;
    (void)snprintf(text, AGENT_OBJECT_TEXT, "%s", KINDS[k->kind]);
    if (k->device[0] != '\0') {
        say(text, k->kind == AGENT_O_RULE ? "iif" : "dev", k->device);
    }
    say_address(text, k->kind == AGENT_O_RULE ? "from" : "to", &k->address);
    say_mac(text, &k->mac);
    say_number(text, k->kind == AGENT_O_ROUTE ? "metric" : "mark", k->mark);
    say_number(text, "table", k->table);
    say_number(text, k->kind == AGENT_O_MEMBER ? "of segment" : "vni", v->vni);
    say_number(text, "mtu", v->mtu);
    say_address(text, k->kind == AGENT_O_VXLAN ? "local" : "via", &v->address);
    say_mac(text, &v->mac);
    if (v->device[0] != '\0') {
        say(text, "dev", v->device);
    }
    return text;
}

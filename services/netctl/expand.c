#include "services/netctl/expand.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define TCP 6
#define UDP 17
#define ICMP 1
#define ICMP6 58

static void append(json_t *list, json_t *value)
{
    int failed = json_array_append_new(list, value);
    ts_assert(failed == 0);
}

static void copy(json_t *to, const char *name, const json_t *from, const char *field)
{
    json_t *value = json_object_get(from, field);
    bool empty = json_is_array(value) && json_array_size(value) == 0;
    if (value != NULL && !empty) {
        int failed = json_object_set(to, name, value);
        ts_assert(failed == 0);
    }
}

static json_t *begin(json_int_t protocol)
{
    json_t *one = json_pack("{sI}", "protocol", protocol);
    ts_must(one);
    return one;
}

json_t *netctl_expand_entry(const json_t *entry)
{
    const char *l4 = json_string_value(json_object_get(entry, "l4_protocol"));
    const char *icmp = json_string_value(json_object_get(entry, "protocol"));
    const json_t *number = json_object_get(entry, "protocol_number");
    if (l4 != NULL) {
        json_t *one = begin(strcmp(l4, "TCP") == 0 ? TCP : UDP);
        copy(one, "source", entry, "source_ports");
        copy(one, "destination", entry, "destination_ports");
        return one;
    }
    if (icmp != NULL) {
        json_t *one = begin(strcmp(icmp, "ICMPv4") == 0 ? ICMP : ICMP6);
        copy(one, "type", entry, "icmp_type");
        copy(one, "code", entry, "icmp_code");
        return one;
    }
    return number == NULL ? NULL : begin(json_integer_value(number));
}

static bool has(const json_t *list, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), value) == 1) {
            return true;
        }
    }
    return false;
}

json_t *netctl_expand_services(const json_t *paths, netctl_expand_get *get, void *arg, bool *more)
{
    json_t *todo = json_array(); /* grows at its end while it is gone through */
    json_t *seen = json_object();
    json_t *list = json_array();
    ts_must(todo);
    ts_must(seen);
    ts_must(list);
    int failed = json_array_extend(todo, (json_t *)paths);
    ts_assert(failed == 0);
    *more = false;
    for (size_t i = 0; i < json_array_size(todo) && !*more; i++) {
        const char *path = json_string_value(json_array_get(todo, i));
        if (json_object_get(seen, path) != NULL) {
            continue;
        }
        failed = json_object_set_new(seen, path, json_true());
        ts_assert(failed == 0);
        json_t *service = get(arg, path);
        const json_t *entries = json_object_get(service, "service_entries");
        for (size_t n = 0; n < json_array_size(entries) && !*more; n++) {
            const json_t *entry = json_array_get(entries, n);
            json_t *nested = json_object_get(entry, "nested_service_path");
            json_t *one = nested == NULL ? netctl_expand_entry(entry) : NULL;
            if (nested != NULL) {
                append(todo, json_incref(nested));
            } else if (one != NULL && !has(list, one)) {
                *more = json_array_size(list) == NETCTL_SERVICES_MAX;
                append(list, json_incref(one));
            }
            json_decref(one);
        }
        json_decref(service);
    }
    json_decref(todo);
    json_decref(seen);
    return list;
}

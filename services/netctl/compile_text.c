/* Texts and lists that several units make. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/compile_unit.h"
#include "services/netctl/marks.h"

#define CLEAN_MAX 255

const char *netctl_unit_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

void netctl_unit_set(json_t *object, const char *name, json_t *value)
{
    ts_must(value);
    int failed = json_object_set_new(object, name, value);
    ts_assert(failed == 0);
}

void netctl_unit_append(json_t *list, json_t *value)
{
    ts_must(value);
    int failed = json_array_append_new(list, value);
    ts_assert(failed == 0);
}

json_t *netctl_unit_list(void)
{
    json_t *list = json_array();
    ts_must(list);
    return list;
}

json_t *netctl_unit_clean(const char *text)
{
    char copy[CLEAN_MAX + 1];
    (void)snprintf(copy, sizeof(copy), "%s", text);
    for (char *c = copy; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '_' : *c;
    }
    json_t *value = json_string(copy); /* NULL: a letter of UTF-8 was cut */
    return value != NULL ? value : json_string("");
}

/* ---- prefixes ---- */

static unsigned width_of(const struct netctl_address *a)
{
    return a->v6 ? 128 : 32;
}

/* How many of the last bits are zero. */
static unsigned zeros(const struct netctl_address *a)
{
    unsigned n = 0;
    unsigned width = width_of(a);
    while (n < width && (a->bytes[(width - 1 - n) / 8] & (1U << n % 8)) == 0) {
        n++;
    }
    return n;
}

/* The last address of the prefix of `a` that has this many bits. */
static struct netctl_address last_of(const struct netctl_address *a, unsigned bits)
{
    struct netctl_address last = *a;
    for (unsigned bit = bits; bit < width_of(a); bit++) {
        last.bytes[bit / 8] = (uint8_t)(last.bytes[bit / 8] | 0x80U >> bit % 8);
    }
    return last;
}

/* The address behind it; false: it was the last one. */
static bool next_of(struct netctl_address *a)
{
    for (size_t i = width_of(a) / 8; i-- > 0;) {
        if (++a->bytes[i] != 0) {
            return true;
        }
    }
    return false;
}

static void tell(const struct netctl_address *a, unsigned bits, netctl_unit_prefix *tells,
                 void *arg)
{
    char text[NETCTL_ADDRESS_TEXT_MAX];
    struct netctl_address prefix = *a;
    prefix.bits = (uint8_t)bits;
    prefix = netctl_address_network(&prefix);
    netctl_address_write(&prefix, true, text);
    tells(arg, text);
}

void netctl_unit_prefixes(const char *element, netctl_unit_prefix *tells, void *arg)
{
    struct netctl_address a;
    struct netctl_address end;
    char first[NETCTL_ADDRESS_TEXT_MAX];
    const char *dash = strchr(element, '-');
    if (dash == NULL) {
        if (netctl_address_read(element, &a) || netctl_prefix_read(element, &a)) {
            tell(&a, a.bits, tells, arg);
        }
        return;
    }
    (void)snprintf(first, sizeof(first), "%.*s", (int)(dash - element), element);
    if (!netctl_address_read(first, &a) || !netctl_address_read(dash + 1, &end)) {
        return;
    }
    /* The largest prefix that begins here and does not end behind the end, and so on. */
    bool more = true;
    while (more && netctl_address_compare(&a, &end) <= 0) {
        unsigned bits = width_of(&a) - zeros(&a);
        struct netctl_address last = last_of(&a, bits);
        while (netctl_address_compare(&last, &end) > 0) {
            last = last_of(&a, ++bits);
        }
        tell(&a, bits, tells, arg);
        a = last;
        more = next_of(&a);
    }
}

/* An item of a node's table, as a controller says it: KEY, a newline, the value. Whatever is taken
 * makes objects and rules, and a word of an nft rule is never more than one. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/agent/object.h"
#include "services/agent/ruleset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_all(const struct agent_item *item, const char *key)
{
    const struct agent_interface here = {"eth0", 7, AGENT_ALIAS_VIF "vm1"};
    const struct agent_place place = {{4, 32, {192, 0, 2, 1}}, 4789, &here, 1, NULL, false, 0};
    struct agent_objects objects = {0};
    struct agent_text lines = {0};
    struct agent_error error = {""};
    (void)!agent_objects_of_item(&objects, item, key, &place, &error);
    agent_objects_sort(&objects, NULL, NULL);
    for (size_t i = 0; i < objects.count; i++) {
        char text[AGENT_OBJECT_TEXT];
        ts_assert(strlen(agent_object_text(&objects.object[i], text)) < sizeof(text));
    }
    error.text[0] = '\0';
    if (item->kind == AGENT_RULE || item->kind == AGENT_GATEWAY_RULE) {
        enum ts_err err = agent_rule_lines(&item->rule, true, &lines, &error);
        ts_assert((err == TS_OK) == (error.text[0] == '\0'));
        ts_assert(lines.len == 0 || strpbrk(lines.data, ";#\\`") == NULL ||
                  item->rule.logged); /* a log's text is within quotes */
    }
    const char *word = item->kind == AGENT_DHCP      ? item->dhcp.domain
                       : item->kind == AGENT_BINDING ? item->binding.host
                                                     : "";
    ts_assert(strpbrk(word, " ,#\"\\\n:") == NULL); /* a line of dnsmasq's has it as it is */
    agent_text_free(&lines);
    agent_objects_free(&objects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
    char key[256];
    struct agent_error error = {""};
    size_t len = end == NULL ? size : (size_t)(end - data);
    if (len == 0 || len >= sizeof(key) || memchr(data, 0, len) != NULL) {
        return 0;
    }
    memcpy(key, data, len);
    key[len] = '\0';
    struct agent_item *item = malloc(sizeof(*item));
    ts_assert(item != NULL);
    struct ts_bytes value = {data + len, size - len};
    enum ts_err err = agent_item_decode(item, key, value, &error);
    ts_assert((err == TS_OK) == (error.text[0] == '\0'));
    if (err == TS_OK) {
        make_all(item, key);
    }
    free(item);
    return 0;
}

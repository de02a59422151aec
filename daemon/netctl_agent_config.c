#include "daemon/netctl_agent_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster-cfg/io/yaml_doc.h"

#define FILE_MAX 65536U

static const char *const KEYS[] = {
    "node",        "vtep",        "vxlan-port",       "state",  "ca",           "key",
    "certificate", "controllers", "controller-names", "driver", "detect-group", NULL};

static void read_text(struct yaml_doc *y, const yaml_node_t *map, const char *key, char *out,
                      size_t cap)
{
    const yaml_node_t *node = yaml_doc_need(y, map, "the file", key);
    const char *text = yaml_doc_text(y, node, key);
    size_t len = strlen(text);
    if (!y->failed && (len == 0 || len >= cap)) {
        yaml_doc_fail(y, node, "%s has %zu bytes; give it 1 to %zu", key, len, cap - 1);
    }
    if (!y->failed) {
        memcpy(out, text, len + 1);
    }
}

static void read_node(struct yaml_doc *y, const yaml_node_t *map, struct agent_config *a)
{
    read_text(y, map, "node", a->node, sizeof(a->node));
    struct ts_bytes name = {(const uint8_t *)a->node, strlen(a->node)};
    if (!y->failed && !south_node_is_valid(name)) {
        yaml_doc_fail(y, yaml_doc_get(y, map, "node"),
                      "node is \"%.63s\"; write the name in the node's certificate: letters, "
                      "digits, - _ . : ~ @",
                      a->node);
    }
}

static void read_vtep(struct yaml_doc *y, const yaml_node_t *map, struct netctl_agent_config *c)
{
    read_text(y, map, "vtep", c->agent.vtep, sizeof(c->agent.vtep));
    if (!y->failed && (agent_address_parse(&c->vtep, c->agent.vtep, AGENT_ADDRESS_ALONE) != TS_OK ||
                       !agent_address_is_host(&c->vtep))) {
        yaml_doc_fail(y, yaml_doc_get(y, map, "vtep"),
                      "vtep is \"%.60s\"; write an address of this node, like 192.0.2.1",
                      c->agent.vtep);
    }
    const yaml_node_t *port = yaml_doc_get(y, map, "vxlan-port");
    c->vxlan_port = port == NULL ? 0 : (uint16_t)yaml_doc_number(y, port, "vxlan-port", 1, 65535);
}

static void read_controllers(struct yaml_doc *y, const yaml_node_t *map, struct agent_config *a)
{
    const yaml_node_t *list = yaml_doc_need(y, map, "the file", "controllers");
    size_t n = yaml_doc_count(y, list, "controllers");
    if (!y->failed && (n == 0 || n > AGENT_SLOTS_MAX)) {
        yaml_doc_fail(y, list, "there are %zu controllers; give 1 to %d addresses", n,
                      AGENT_SLOTS_MAX);
    }
    for (size_t i = 0; i < n && !y->failed; i++) {
        const yaml_node_t *node = yaml_doc_item(y, list, i);
        const char *text = yaml_doc_text(y, node, "a controller");
        if (!y->failed &&
            (strlen(text) > SOUTH_ADDRESS_MAX || agent_address_of(text, &a->to[i]) != TS_OK)) {
            yaml_doc_fail(y, node,
                          "\"%.60s\" is not ADDRESS:PORT; write one like 10.0.0.1:7500 or "
                          "[fd00::1]:7500",
                          text);
        }
        (void)snprintf(a->address[i], sizeof(a->address[i]), "%s", y->failed ? "" : text);
    }
    a->controllers = (unsigned)n;
}

static void read_names(struct yaml_doc *y, const yaml_node_t *map, struct agent_config *a)
{
    const yaml_node_t *list = yaml_doc_need(y, map, "the file", "controller-names");
    size_t n = yaml_doc_count(y, list, "controller-names");
    if (!y->failed && (n == 0 || n > AGENT_NAMES_MAX)) {
        yaml_doc_fail(y, list, "there are %zu names of controllers; give 1 to %d", n,
                      AGENT_NAMES_MAX);
    }
    for (size_t i = 0; i < n && !y->failed; i++) {
        const yaml_node_t *node = yaml_doc_item(y, list, i);
        const char *text = yaml_doc_text(y, node, "a controller's name");
        if (!y->failed && (text[0] == '\0' || strlen(text) >= sizeof(a->name[i]))) {
            yaml_doc_fail(y, node, "write the name in a controller's certificate");
        }
        (void)snprintf(a->name[i], sizeof(a->name[i]), "%s", y->failed ? "" : text);
    }
    a->names = (unsigned)n;
}

static void read_detect(struct yaml_doc *y, const yaml_node_t *map, struct netctl_agent_config *c)
{
    const yaml_node_t *node = yaml_doc_get(y, map, "detect-group");
    c->detects = node != NULL;
    c->detect_group =
        node == NULL ? 0 : (uint16_t)yaml_doc_number(y, node, "detect-group", 0, UINT16_MAX);
}

static bool read_driver(struct yaml_doc *y, const yaml_node_t *map)
{
    const yaml_node_t *node = yaml_doc_get(y, map, "driver");
    const char *text = node == NULL ? "kernel" : yaml_doc_text(y, node, "driver");
    bool model = strcmp(text, "model") == 0;
    if (!y->failed && !model && strcmp(text, "kernel") != 0) {
        yaml_doc_fail(y, node,
                      "driver is \"%.40s\"; write kernel, or model (which changes nothing)", text);
    }
    return model;
}

enum ts_err netctl_agent_config_read(const char *path, struct netctl_agent_config *out,
                                     struct ts_why *why)
{
    uint8_t *data = NULL;
    size_t len = 0;
    struct yaml_doc y;
    char error[TS_WHY_MAX] = "";
    enum ts_err err = ts_file_read(path, FILE_MAX, &data, &len, why);
    if (err != TS_OK) {
        return err;
    }
    *out = (struct netctl_agent_config){.model = false};
    struct agent_config *a = &out->agent;
    yaml_doc_open(&y, path, (struct ts_bytes){data, len}, error, sizeof(error));
    const yaml_node_t *map = yaml_doc_root(&y);
    yaml_doc_check_map(&y, map, "the file", KEYS);
    read_node(&y, map, a);
    read_vtep(&y, map, out);
    read_text(&y, map, "state", a->state, sizeof(a->state));
    read_text(&y, map, "ca", a->ca, sizeof(a->ca));
    read_text(&y, map, "certificate", a->certificate, sizeof(a->certificate));
    read_text(&y, map, "key", a->key, sizeof(a->key));
    read_controllers(&y, map, a);
    read_names(&y, map, a);
    read_detect(&y, map, out);
    out->model = read_driver(&y, map);
    a->watches = !out->model;
    if (y.failed) {
        err = ts_why(why, TS_ERR_CONFIG, "%s", error);
    }
    yaml_doc_close(&y);
    free(data);
    return err;
}

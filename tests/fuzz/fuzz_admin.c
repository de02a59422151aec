/* Admin requests: any bytes get a JSON object of this version for an answer; and event lines of the
 * recorder's files, which a crash may have damaged, are read or refused. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/io/admin.h"
#include "cluster-cfg/io/cluster_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char CLUSTER[] = "cluster: demo\n"
                              "nics:\n"
                              "  - {name: nic1, paths: [10.0.0.1]}\n"
                              "groups:\n"
                              "  - {name: kv, service: kv, port: 6379}\n";

static void check_event_line(struct ts_bytes b)
{
    struct recorder_event e;
    struct recorder_event again;
    json_t *json = json_loadb((const char *)b.data, b.len, 0, NULL);
    if (recorder_event_parse(&e, json) == TS_OK) {
        json_t *written = recorder_event_json(&e);
        ts_assert(recorder_event_parse(&again, written) == TS_OK);
        json_t *rewritten = recorder_event_json(&again);
        ts_assert(json_equal(written, rewritten) == 1);
        json_decref(rewritten);
        json_decref(written);
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cfg_cluster cluster;
    static struct admin_state state;
    static struct recorder *recorder;
    static uv_loop_t loop;
    static char dir[] = "/tmp/ts-fuzz-admin-XXXXXX";
    if (recorder == NULL) {
        char error[CLUSTER_YAML_ERROR_MAX];
        struct ts_bytes text = {(const uint8_t *)CLUSTER, sizeof(CLUSTER) - 1};
        ts_assert(cluster_yaml_parse("c", text, &cluster, error) == TS_OK);
        ts_assert(uv_loop_init(&loop) == 0 && mkdtemp(dir) != NULL);
        ts_assert(recorder_open(&recorder, &loop, dir, NULL, NULL) == TS_OK);
        ts_assert(ts_dir_remove(dir, NULL) == TS_OK); /* the open file lives on without a name */
        state = (struct admin_state){.cluster = &cluster,
                                     .self = &cluster.nodes[0],
                                     .release = "fuzz",
                                     .recorder = recorder};
    }
    struct ts_bytes b = {data, size};
    char *text = admin_answer(&state, b, (struct ts_mono){1}, 2);
    json_t *reply = json_loads(text, 0, NULL);
    ts_assert(json_is_object(reply));
    ts_assert(json_integer_value(json_object_get(reply, "version")) == ADMIN_VERSION);
    json_decref(reply);
    free(text);
    check_event_line(b);
    return 0;
}

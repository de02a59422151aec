#include "lab/phases.h"

#include <string.h>

#include <jansson.h>

#include "cluster-cfg/io/admin_client.h"

#define ASK_MS 1000

/* X(event that ends the phase, name of the phase), in their order. */
#define PHASE_LIST(X) \
    X("evidence", "noticed") \
    X("register-prepared", "register read") \
    X("sealed", "seal") \
    X("register-cas-done", "register changed") \
    X("tail-committed", "log tail") \
    X("active", "start")

static const struct {
    const char *event;
    const char *name;
} phases[] = {
#define PHASE_ROW(event, name) {event, name},
    PHASE_LIST(PHASE_ROW)
#undef PHASE_ROW
};

#define PHASE_COUNT (sizeof phases / sizeof phases[0])
_Static_assert(PHASE_COUNT <= LAB_PHASES_MAX, "phases must fit");

/* Time of the first event of each kind at or after the fault, up to the first "active". */
static bool find_times(const json_t *events, uint64_t at_ns, uint64_t times[PHASE_COUNT])
{
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        uint64_t mono = (uint64_t)json_integer_value(json_object_get(event, "mono_ns"));
        const char *kind = json_string_value(json_object_get(event, "kind"));
        const char *program = json_string_value(json_object_get(event, "program"));
        if (kind == NULL || program == NULL || mono < at_ns || strcmp(program, "replica") != 0) {
            continue;
        }
        for (size_t p = 0; p < PHASE_COUNT; p++) {
            if (times[p] == 0 && strcmp(kind, phases[p].event) == 0) {
                times[p] = mono;
            }
        }
        if (times[PHASE_COUNT - 1] != 0) {
            return true;
        }
    }
    return false;
}

static json_t *ask_events(const struct nodes_run *run, const char *node)
{
    char dir[TS_PATH_MAX];
    json_t *reply = NULL;
    uint64_t newest = 0;
    if (ts_path(dir, NULL, run->run, "%s", node) != TS_OK ||
        admin_client_get(dir, "status", ASK_MS, &reply, NULL) != TS_OK) {
        return NULL;
    }
    newest =
        (uint64_t)json_integer_value(json_object_get(json_object_get(reply, "events"), "newest"));
    json_decref(reply);
    json_t *request = json_pack("{s:s,s:I}", "cmd", "events", "since",
                                (json_int_t)(newest > 900 ? newest - 900 : 0));
    enum ts_err err = admin_client_ask(dir, request, ASK_MS, &reply, NULL);
    json_decref(request);
    return err == TS_OK ? reply : NULL;
}

void lab_phases_read(const struct nodes_run *run, const char *node, uint64_t since_ns,
                     struct lab_phases *out)
{
    uint64_t times[PHASE_COUNT] = {0};
    uint64_t before = since_ns;
    json_t *reply = ask_events(run, node);
    *out = (struct lab_phases){0};
    if (reply != NULL && find_times(json_object_get(reply, "events"), since_ns, times)) {
        for (size_t p = 0; p < PHASE_COUNT; p++) {
            if (times[p] < before) {
                continue; /* not told, or out of this order: its time is in the next phase */
            }
            out->p[out->count++] =
                (struct lab_phase){phases[p].name, (double)(times[p] - before) / 1e6, times[p]};
            before = times[p];
        }
    }
    json_decref(reply);
}

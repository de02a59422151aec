/* Histories: any text gives operations or one line with a place; whatever they are, they are judged
 * within the limits, the same way twice, and what is wrong with them can be told. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "tests/lincheck/io/json.h"
#include "tests/lincheck/io/story.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_findings(struct lin *l, FILE *nowhere)
{
    struct lin_findings f;
    struct lin_report again;
    lin_check(l, &again);
    lin_find(l, "f", &f);
    ts_assert(again.verdict == f.report.verdict && again.steps == f.report.steps);
    ts_assert(f.report.steps <= 20000 && f.report.memory <= 256 * 1024);
    ts_assert((f.report.verdict == LIN_NOT_LINEARIZABLE) == (f.report.parts_wrong > 0));
    if (f.explained) {
        ts_assert(f.story.count > 0 && f.story.last < f.story.count);
        for (size_t i = 0; i < f.story.count; i++) {
            ts_assert(f.story.op[i] < lin_count(l));
        }
    }
    lin_story_print(l, &f, nowhere);
    json_t *json = lin_story_json(l, &f);
    ts_assert(json != NULL);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lin_limits limits = {.memory_max = 256 * 1024, .steps_max = 20000};
    char error[LIN_JSON_ERROR_MAX];
    struct lin *l = lin_new(&limits);
    FILE *nowhere = fopen("/dev/null", "we");
    ts_assert(l != NULL && nowhere != NULL);
    enum ts_err err = lin_json_text(l, "f", (struct ts_bytes){data, size}, error);
    ts_assert((err == TS_OK) == (error[0] == '\0'));
    ts_assert(err == TS_OK || (strncmp(error, "f:", 2) == 0 && strchr(error, '\n') == NULL));
    check_findings(l, nowhere); /* the lines before an error, too */
    ts_assert(fclose(nowhere) == 0);
    lin_free(l);
    return 0;
}

/* twinstep backup: from whom. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cli_fixture.h"

#include "cli/backup.h"

/* Two replicas that both are in sync, with a role each, behind a primary or without. */
#define SOURCES(primary, one, two, alarms) \
    "{\"groups\": [{\"group\": \"kv\", \"primary\": " primary \
    ", \"in_sync\": [\"nic1\", \"nic2\"], \"replicas\": [" \
    "{\"node\": \"nic1\", \"role\": \"" one "\", \"committed\": 9, \"applied\": 9}," \
    "{\"node\": \"nic2\", \"role\": \"" two "\", \"committed\": 8, \"applied\": 7}]}]," \
    "\"alarms\": [" alarms "]}"
#define DIFFER "{\"code\": \"divergence\", \"text\": \"x\", \"group\": \"kv\"}"

/* Goal: a backup is of who is sure to have all of it; else of nobody but one that was named, with a
 * warning. */
static void test_backup_choose_takes_nobody_in_doubt(void **state)
{
    (void)state;
    static const struct {
        const char *merged;
        const char *nic;
        int status;
        const char *from;
        uint64_t committed;
        const char *says;
    } CASES[] = {
        {SOURCES("\"nic1\"", "primary", "secondary", ""), NULL, CLI_OK, "nic2", 9, NULL},
        {SOURCES("\"nic1\"", "primary", "secondary", ""), "nic1", CLI_OK, "nic1", 9, NULL},
        {SOURCES("\"nic1\"", "primary", "learner", ""), NULL, CLI_OK, "nic1", 9, NULL},
        {SOURCES("\"nic3\"", "taking over", "learner", ""), NULL, CLI_FAILED, NULL, 0, "in sync"},
        {SOURCES("\"nic3\"", "halted", "starting", ""), NULL, CLI_FAILED, NULL, 0, "in sync"},
        {SOURCES("null", "secondary", "secondary", ""), NULL, CLI_FAILED, NULL, 0, "no primary"},
        {SOURCES("null", "halted", "halted", ""), "nic2", CLI_OK, "nic2", 7, "no primary"},
        {SOURCES("null", "down", "secondary", ""), "nic1", CLI_FAILED, NULL, 0, "no replica"},
        {SOURCES("null", "secondary", "secondary", DIFFER), NULL, CLI_FAILED, NULL, 0, "differ"},
        {SOURCES("\"nic1\"", "primary", "secondary", DIFFER), NULL, CLI_FAILED, NULL, 0, "differ"},
        {SOURCES("\"nic1\"", "primary", "secondary", DIFFER), "nic2", CLI_OK, "nic2", 7, "differ"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct sheet s = {0};
        struct backup_source from;
        json_t *merged = json_loads(CASES[i].merged, 0, NULL);
        assert_non_null(merged);
        sheet_begin(&s);
        assert_int_equal(backup_choose(&s.cli, merged, "kv", CASES[i].nic, &from), CASES[i].status);
        assert_int_equal(fclose(s.cli.out), 0);
        if (CASES[i].status == CLI_OK) {
            assert_string_equal(from.nic, CASES[i].from);
            assert_true(from.committed == CASES[i].committed);
        }
        if (CASES[i].says == NULL) {
            assert_string_equal(s.text, "");
        } else if (strstr(s.text, CASES[i].says) == NULL) {
            fail_msg("case %zu: %s", i, s.text);
        }
        free(s.text);
        json_decref(merged);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backup_choose_takes_nobody_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

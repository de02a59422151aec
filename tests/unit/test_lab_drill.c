/* Drill files: what they say is what is done, and what is wrong with one is told by its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lab/drill.h"
#include "lab/drill_run.h"
#include "lab/shipped.h"

static struct lab_drill d;
static struct ts_why why;

static enum ts_err parse(const char *text, uint64_t seed)
{
    why.text[0] = '\0';
    return lab_drill_parse("folder/d.yaml", (struct ts_bytes){(const uint8_t *)text, strlen(text)},
                           seed, &d, &why);
}

#define HEAD "drill: one\nabout: It is one.\n"

static void refused(const char *rest, const char *expected)
{
    char text[1024];
    snprintf(text, sizeof(text), HEAD "%s", rest);
    assert_int_equal(parse(text, 0), TS_ERR_CONFIG);
    if (strstr(why.text, expected) == NULL) {
        fail_msg("%s: \"%s\" is not in \"%s\"", rest, expected, why.text);
    }
}

/* Goal: steps stand in their order, repeats are written out, what is not said has its usual value.
 */
static void test_steps_stand_in_their_order(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "timeline:\n"
                                "  - wait: 1500ms\n"
                                "  - {fault: kill, on: primary}\n"
                                "  - {until: redundant, within: 30s}\n"
                                "  - repeat: 2\n"
                                "    timeline:\n"
                                "      - {fault: freeze, on: nic1, whole: true, for: 2s}\n"
                                "      - heal: all\n"
                                "expect: {outage: 500ms, takeovers: 1, alarms: [node-silent]}\n",
                           0),
                     TS_OK);
    assert_string_equal(d.name, "one");
    assert_string_equal(d.topology, "pair");
    assert_int_equal(d.clients, 16);
    assert_int_equal(d.step_count, 7);
    assert_int_equal(d.steps[0].kind, LAB_STEP_WAIT);
    assert_int_equal(d.steps[0].ms, 1500);
    assert_int_equal(d.steps[1].kind, LAB_STEP_FAULT);
    assert_int_equal(d.steps[1].fault, LAB_DRILL_KILL);
    assert_string_equal(d.steps[1].on, "primary");
    assert_string_equal(d.steps[1].program, "replica");
    assert_int_equal(d.steps[1].ms, 0);
    assert_int_equal(d.steps[1].line, 5);
    assert_int_equal(d.steps[2].kind, LAB_STEP_UNTIL);
    assert_int_equal(d.steps[2].goal, LAB_GOAL_REDUNDANT);
    assert_int_equal(d.steps[2].ms, 30000);
    for (size_t i = 3; i < 7; i += 2) {
        assert_int_equal(d.steps[i].fault, LAB_DRILL_FREEZE);
        assert_string_equal(d.steps[i].program, "");
        assert_int_equal(d.steps[i].ms, 2000);
        assert_int_equal(d.steps[i + 1].kind, LAB_STEP_HEAL);
    }
    assert_int_equal(d.outage_ms, 500);
    assert_true(d.counts_takeovers && d.takeovers == 1);
    assert_int_equal(d.alarm_count, 1);
    assert_string_equal(d.alarms[0], "node-silent");
}

#define RANDOM \
    HEAD "timeline:\n" \
         "  - random: 40\n" \
         "    of:\n" \
         "      - {fault: kill, on: primary}\n" \
         "      - {fault: kill, on: secondary, whole: true, for: 1s}\n" \
         "      - {fault: freeze, on: arbiter, whole: true, for: 1s}\n" \
         "    until: redundant\n" \
         "    within: 30s\n"

/* Goal: the same seed draws the same faults, another one others, and all kinds are met. */
static void test_random_steps_are_the_seeds(void **state)
{
    (void)state;
    static struct lab_drill first;
    unsigned met = 0;
    assert_int_equal(parse(RANDOM, 0), TS_OK);
    assert_int_equal(d.seed, 1);
    assert_int_equal(d.step_count, 80);
    first = d;
    assert_int_equal(parse(RANDOM, 1), TS_OK);
    assert_memory_equal(&first, &d, sizeof(d));
    assert_int_equal(parse(RANDOM, 2), TS_OK);
    assert_memory_not_equal(first.steps, d.steps, sizeof(d.steps));
    for (size_t i = 0; i < d.step_count; i += 2) {
        assert_int_equal(d.steps[i].kind, LAB_STEP_FAULT);
        assert_int_equal(d.steps[i + 1].kind, LAB_STEP_UNTIL);
        met |= strcmp(d.steps[i].on, "primary") == 0     ? 1U
               : strcmp(d.steps[i].on, "secondary") == 0 ? 2U
                                                         : 4U;
    }
    assert_int_equal(met, 7);
}

/* Goal: what a fault of a disk or of the wire needs is asked for, and nothing else is taken. */
static void test_faults_have_what_they_need(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD
                           "disks: lossy\n"
                           "timeline:\n"
                           "  - {fault: wire, on: nic1, to: secondary, network: a, both: true,\n"
                           "     rule: {loss: 30%, delay: 5ms, drop: true, flap: 2ms/3ms}}\n"
                           "  - {fault: disk-slow, on: nic1, by: 5ms, for: 1s}\n"
                           "  - {say: handoff kv nic2, on: nic1}\n",
                           0),
                     TS_OK);
    assert_true(d.lossy);
    const struct lab_step *s = d.steps;
    assert_int_equal(s[0].fault, LAB_DRILL_WIRE);
    assert_string_equal(s[0].to, "secondary");
    assert_string_equal(s[0].network, "a");
    assert_true(s[0].both && s[0].rule.cut);
    assert_int_equal(s[0].rule.loss_ppm, 300000);
    assert_int_equal(s[0].rule.delay_us, 5000);
    assert_int_equal(s[0].rule.flap_down_us, 3000);
    assert_int_equal(s[1].by_ms, 5);
    assert_int_equal(s[2].kind, LAB_STEP_SAY);
    assert_string_equal(s[2].words, "handoff kv nic2");
    refused("timeline: [{fault: wire, on: nic1}]\n", "needs a rule");
    refused("timeline: [{fault: wire, on: nic1, rule: {loss: x}}]\n",
            "loss is \"x\"; write a share, like 30% or 0.1%");
    refused("timeline: [{fault: wire, on: nic1, rule: {los: 1%}}]\n", "los");
    refused("timeline: [{fault: kill, on: nic1, to: nic2}]\n", "are of the fault wire");
    refused("timeline: [{fault: disk-slow, on: nic1}]\n", "`by` is how much slower");
    refused("timeline: [{fault: disk-full, on: nic1, by: 2ms}]\n", "`by` is how much slower");
    refused("timeline: [{fault: disk-full, on: nic1, whole: true}]\n", "leave program and whole");
    refused("timeline: [{say: handoff}]\n", "on");
    refused("disks: good\ntimeline: []\n", "disks: lossy is what there is");
}

/* Goal: faults of the machine under a node have their own words, and no others'. */
static void test_faults_of_the_machine_have_what_they_need(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "timeline:\n"
                                "  - {fault: clock-forward, on: primary, by: 400d, for: 2s}\n"
                                "  - {fault: clock-back, on: nic1, by: 90min}\n"
                                "  - {fault: clock-drift, on: nic1, share: 10%}\n"
                                "  - {fault: starve, on: nic1, whole: true, share: 34%}\n"
                                "  - {fault: starve, on: nic1, program: heartbeatd, share: 5%, "
                                "period: 2s}\n"
                                "  - {fault: memory-full, on: nic1}\n"
                                "  - {fault: certificate-expired, on: secondary}\n"
                                "  - {fault: wrong-key, on: arbiter}\n",
                           0),
                     TS_OK);
    const struct lab_step *s = d.steps;
    assert_int_equal(s[0].jump_ms, 400ULL * 24 * 3600 * 1000);
    assert_int_equal(s[1].jump_ms, 90 * 60 * 1000);
    assert_int_equal(s[2].share_percent, 10);
    assert_int_equal(s[3].share_percent, 34);
    assert_int_equal(s[3].period_ms, 100);
    assert_string_equal(s[3].program, "");
    assert_int_equal(s[4].period_ms, 2000);
    assert_string_equal(s[4].program, "heartbeatd");
    assert_string_equal(s[5].program, "replica");
    assert_int_equal(s[7].fault, LAB_DRILL_WRONG_KEY);
    refused("timeline: [{fault: clock-forward, on: nic1}]\n", "by");
    refused("timeline: [{fault: clock-forward, on: nic1, by: 2}]\n",
            "3:49: by is \"2\"; write a number with ms, s, min, h or d");
    refused("timeline: [{fault: clock-back, on: nic1, by: 0h}]\n", "by is \"0h\"");
    refused("timeline: [{fault: clock-back, on: nic1, by: 8000d}]\n", "at most 7300d");
    refused("timeline: [{fault: clock-back, on: nic1, by: 1h, share: 1%}]\n", "`share`, like 30%");
    refused("timeline: [{fault: clock-drift, on: nic1}]\n", "`share`, like 30%");
    refused("timeline: [{fault: clock-drift, on: nic1, share: 10}]\n", "share is \"10\"");
    refused("timeline: [{fault: clock-drift, on: nic1, share: 100%}]\n", "from 1% to 99%");
    refused("timeline: [{fault: clock-drift, on: nic1, share: 1%, period: 1s}]\n",
            "`period` is of starve");
    refused("timeline: [{fault: starve, on: nic1, share: 1%, period: 1ms}]\n", "period is 1ms");
    refused("timeline: [{fault: starve, on: nic1, share: 1%, by: 1s}]\n", "`by` is how much");
    refused("timeline: [{fault: clock-back, on: nic1, by: 1h, whole: true}]\n", "leave program");
    refused("timeline: [{fault: wrong-key, on: nic1, program: nicd}]\n", "leave program");
}

/* Goal: a load of keys or of leases has its own words. */
static void test_workload_is_of_keys_or_of_leases(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "timeline: []\n", 0), TS_OK);
    assert_true(d.lease_ms == 0 && d.keys == 8 && !d.has_user);
    assert_int_equal(parse(HEAD "timeline: []\nworkload: {kind: keys, keys: 9, user: true}\n", 0),
                     TS_OK);
    assert_true(d.lease_ms == 0 && d.keys == 9 && d.has_user);
    assert_int_equal(parse(HEAD "timeline: []\nworkload: {kind: leases}\n", 0), TS_OK);
    assert_true(d.lease_ms == 1000 && d.keys == 4 && d.clients == 16);
    assert_int_equal(
        parse(HEAD "timeline: []\nworkload: {kind: leases, leases: 7, for: 2s, clients: 3}\n", 0),
        TS_OK);
    assert_true(d.lease_ms == 2000 && d.keys == 7 && d.clients == 3);
    refused("timeline: []\nworkload: {kind: locks}\n",
            "4:18: kind is \"locks\"; there are: keys, leases");
    refused("timeline: []\nworkload: {kind: leases, keys: 3}\n", "keys");
    refused("timeline: []\nworkload: {leases: 3}\n", "leases");
    refused("timeline: []\nworkload: {kind: leases, for: 10ms}\n", "choose from 100ms");
    refused("timeline: []\nworkload: {kind: leases, leases: 0}\n", "leases");
    refused("timeline: []\nworkload: {user: 3}\n", "user");
}

/* Goal: faults of data say of which files, whose disk, and what mends them. */
static void test_faults_of_data_have_what_they_need(void **state)
{
    (void)state;
    assert_int_equal(
        parse(HEAD "timeline:\n"
                   "  - {image: secondary}\n"
                   "  - {fault: bit-rot, on: primary, files: journal-end}\n"
                   "  - {fault: bit-rot, on: arbiter, files: starts, copies: all, down: true,\n"
                   "     replace: true, for: 2s}\n"
                   "  - {fault: disk-rollback, on: secondary, for: 1s}\n"
                   "  - {fault: disk-clone, on: secondary, of: primary}\n"
                   "  - {fault: disk-full, on: arbiter, files: voter}\n"
                   "  - {until: mended, within: 3s}\n",
              0),
        TS_OK);
    const struct lab_step *s = d.steps;
    assert_int_equal(s[0].kind, LAB_STEP_IMAGE);
    assert_string_equal(s[0].on, "secondary");
    assert_int_equal(s[1].files, LAB_FILES_JOURNAL_END);
    assert_true(!s[1].down && !s[1].replace && !s[1].all_copies);
    assert_int_equal(s[2].files, LAB_FILES_STARTS);
    assert_true(s[2].down && s[2].replace && s[2].all_copies);
    assert_string_equal(s[4].to, "primary");
    assert_int_equal(s[5].files, LAB_FILES_VOTER);
    assert_int_equal(s[6].goal, LAB_GOAL_MENDED);
    assert_false(d.lossy);
#define FAULT(text) "timeline: [{fault: " text "}]\n"
    refused(FAULT("bit-rot, on: nic1"), "3:12: files of a disk that fails are groups or voter");
    refused(FAULT("bit-rot, on: nic1, files: groups"), "3:46: files of a disk that fails are");
    refused(FAULT("bit-rot, on: nic1, files: log"), "3:46: files is \"log\"; there are: groups");
    refused(FAULT("disk-full, on: nic1, files: journal"), "files of a disk that fails are");
    refused(FAULT("kill, on: nic1, files: voter"), "files are of bit-rot and of disks that fail");
    refused(FAULT("kill, on: nic1, down: true"), "down is of bit-rot");
    refused(FAULT("bit-rot, on: nic1, files: journal, copies: all"),
            "3:63: copies are of register");
    refused(FAULT("bit-rot, on: nic1, files: starts, copies: two"), "copies: all is what there is");
    refused(FAULT("disk-clone, on: nic1"), "`of` is whose disk is copied");
    refused(FAULT("disk-rollback, on: nic1, of: nic2"), "`of` is whose disk is copied");
    refused(FAULT("disk-hang, on: nic1, replace: true"), "replace is of bit-rot, disk-rollback");
    refused("timeline: [{image: nic1, for: 1s}]\n", "for");
}

/* Goal: several nodes at once are hit whole; a power loss makes disks lose what was not synced. */
static void test_faults_of_nodes_have_what_they_need(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "timeline:\n"
                                "  - {fault: power-loss, on: all, for: 1s}\n"
                                "  - {fault: kill, on: primary, host: true, whole: true}\n"
                                "  - {fault: bit-rot, on: struck, files: register, down: true}\n",
                           0),
                     TS_OK);
    assert_true(d.lossy);
    assert_string_equal(d.steps[0].program, "");
    assert_string_equal(d.steps[0].on, "all");
    assert_true(d.steps[1].host && !d.steps[0].host);
    /* Also when the seed never draws it. */
    assert_int_equal(parse(HEAD "timeline: [{random: 1, of: [{fault: kill, on: nic1},\n"
                                "  {fault: power-loss, on: nic1}], until: served, within: 1s}]\n",
                           0),
                     TS_OK);
    assert_true(d.lossy);
    refused(FAULT("kill, on: all"), "several nodes at once are hit by power-loss, or whole");
    refused(FAULT("disk-hang, on: nic1, host: true"), "several nodes at once are hit by");
    refused(FAULT("power-loss, on: nic1, whole: true"), "leave program and whole out");
    refused("timeline:\n  - {fault: bit-rot, on: nic1, files: journal}\n"
            "  - {fault: power-loss, on: nic1}\n",
            "4:5: a node whose disk loses what was not synced reads its own memory");
    refused("disks: lossy\n" FAULT("bit-rot, on: nic1, files: journal"), "reads its own memory");
}

/* Goal: what ships is good, and each is named as its file. */
static void test_shipped_drills_are_good(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct lab_shipped *s = lab_shipped_drills; s->name != NULL; s++, count++) {
        if (parse(s->text, 0) != TS_OK) {
            fail_msg("%s: %s", s->name, why.text);
        }
        assert_string_equal(d.name, s->name);
        assert_true(d.step_count > 1);
        assert_non_null(lab_shipped_text(lab_shipped_topologies, d.topology));
    }
    assert_true(count >= 40);
}

/* Goal: a topology by name ships; by path it is looked for beside the drill. */
static void test_topology_is_a_name_or_a_path(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "topology: two-hosts\ntimeline: []\n", 0), TS_OK);
    assert_string_equal(d.topology, "two-hosts");
    assert_int_equal(parse(HEAD "topology: mine.yaml\ntimeline: []\n", 0), TS_OK);
    assert_string_equal(d.topology, "folder/mine.yaml");
    assert_int_equal(parse(HEAD "topology: /etc/mine.yaml\ntimeline: []\n", 0), TS_OK);
    assert_string_equal(d.topology, "/etc/mine.yaml");
}

/* Goal: a mistake is told with its place and what would be right. */
static void test_errors_say_where_and_what(void **state)
{
    (void)state;
    assert_int_equal(parse("about: x\ntimeline: []\n", 0), TS_ERR_CONFIG);
    assert_int_equal(parse("", 0), TS_ERR_CONFIG);
    assert_int_equal(parse("[", 0), TS_ERR_CONFIG);
    refused("", "timeline");
    refused("timeline: 3\n", "timeline");
    refused("timeline: [{repeat: 1000, timeline: [{repeat: 1000, timeline: []}]}]\n",
            "no step to repeat");
    refused("timeline: [{wait: 2}]\n", "3:19: wait is \"2\"; write a number with ms or s");
    refused("timeline: [{wait: 0ms}]\n", "choose from 1ms to");
    refused("timeline: [{sleep: 2s}]\n", "sleep");
    refused("timeline: [{on: nic1}]\n", "a step is one of wait, fault, heal, say, until");
    refused("timeline: [{wait: 2s, on: nic1}]\n", "on");
    refused("timeline: [{fault: kil, on: nic1}]\n", "there are: kill, freeze");
    refused("timeline: [{fault: kill}]\n", "on");
    refused("timeline: [{fault: kill, on: nic1, whole: true, program: nicd}]\n", "leave one out");
    refused("timeline: [{until: well, within: 3s}]\n", "there are: redundant");
    refused("timeline: [{until: redundant}]\n", "within");
    refused("timeline: [{heal: nic1}]\n", "heal: all");
    refused("timeline: [{repeat: 0, timeline: []}]\n", "from 1 to");
    refused("timeline: [{repeat: 1000, timeline: [{wait: 1s}]}]\n", "more than 512 steps");
    refused("timeline: [{random: 2, of: [], until: redundant, within: 1s}]\n", "1 to 64 faults");
    refused("timeline: [{random: 2, of: [{wait: 1s}], until: redundant, within: 1s}]\n", "wait");
    refused("timeline: []\nexpect: {outage: x}\n", "outage");
    refused("timeline: []\nworkload: {clients: 0}\n", "clients");
    refused("timeline: []\nworkload: {reads: 91}\n", "reads");
}

/* Goal: random faults without a goal behind each stand one behind the other. */
static void test_random_steps_may_be_together(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "timeline:\n"
                                "  - {random: 2, of: [{fault: kill, on: nic1}]}\n"
                                "  - {until: told, within: 5s}\n",
                           0),
                     TS_OK);
    assert_int_equal(d.step_count, 3);
    assert_int_equal(d.steps[1].kind, LAB_STEP_FAULT);
    assert_int_equal(d.steps[2].goal, LAB_GOAL_TOLD);
}

/* Goal: what ships within the command is what the file says, line by line. */
static void test_shipped_lists_are_whole(void **state)
{
    (void)state;
    bool found = false;
    assert_int_equal(parse(lab_shipped_text(lab_shipped_drills, "soak"), 0), TS_OK);
    for (size_t i = 0; i < d.allowed_count; i++) {
        found = found || strcmp(d.allowed[i], "heartbeatd-silent") == 0; /* begins a line */
    }
    assert_true(found);
}

/* Goal: harm that is over does not count as lasting: what was harmed before it is forgotten at the
 * next calm, and its place is another fault's. */
static void test_harm_that_is_over_does_not_last(void **state)
{
    (void)state;
    static struct nodes_run run = {.run = "/nonexistent"};
    static struct lab_drill_active a;
    assert_false(lab_drill_lasts(&a));
    a = (struct lab_drill_active){.active = true, .what = LAB_DRILL_KILL};
    assert_false(lab_drill_lasts(&a)); /* its nicd starts it again */
    a.remedy = LAB_DRILL_REMEDY_START;
    assert_true(lab_drill_lasts(&a)); /* a whole node is off until then */
    a = (struct lab_drill_active){.active = true, .what = LAB_DRILL_FREEZE};
    assert_true(lab_drill_lasts(&a));
    a = (struct lab_drill_active){.active = true, .what = LAB_DRILL_BIT_ROT, .fault.run = &run};
    assert_false(lab_drill_lasts(&a)); /* the file is gone: no flipped bit is on the disk */
    a.remedy = LAB_DRILL_REMEDY_NEW_DISK;
    assert_true(lab_drill_lasts(&a));
}

/* Goal: what is found again and again does not take the room of other findings. */
static void test_findings_are_told_once(void **state)
{
    (void)state;
    static struct lab_drill_result r;
    for (unsigned i = 0; i < 2 * LAB_DRILL_FINDINGS_MAX; i++) {
        lab_drill_find(&r, LAB_DRILL_BROKEN, "two primaries in epoch %u", 7U);
    }
    lab_drill_find(&r, LAB_DRILL_FAILED, "an alarm too many");
    assert_int_equal(r.finding_count, 2);
    assert_string_equal(r.findings[1], "an alarm too many");
    assert_int_equal(r.verdict, LAB_DRILL_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_stand_in_their_order),
        cmocka_unit_test(test_random_steps_are_the_seeds),
        cmocka_unit_test(test_random_steps_may_be_together),
        cmocka_unit_test(test_shipped_lists_are_whole),
        cmocka_unit_test(test_faults_have_what_they_need),
        cmocka_unit_test(test_faults_of_the_machine_have_what_they_need),
        cmocka_unit_test(test_workload_is_of_keys_or_of_leases),
        cmocka_unit_test(test_faults_of_data_have_what_they_need),
        cmocka_unit_test(test_faults_of_nodes_have_what_they_need),
        cmocka_unit_test(test_shipped_drills_are_good),
        cmocka_unit_test(test_topology_is_a_name_or_a_path),
        cmocka_unit_test(test_errors_say_where_and_what),
        cmocka_unit_test(test_harm_that_is_over_does_not_last),
        cmocka_unit_test(test_findings_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

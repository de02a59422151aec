/* The demonstration's report: that its figures add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/demo.h"

#define US 1000ULL /* ns */

/* A takeover whose phases end at these microseconds. */
static void set_phases(struct lab_incident *i, const uint64_t us[6])
{
    static const char *const NAMES[] = {"noticed",          "register read", "seal",
                                        "register changed", "log tail",      "start"};
    i->phases.count = 6;
    for (size_t p = 0; p < 6; p++) {
        i->phases.p[p] = (struct lab_phase){.name = NAMES[p], .end_ns = us[p] * US};
    }
}

static uint64_t sum_of(const struct lab_parts *parts)
{
    uint64_t sum = 0;
    for (size_t p = 0; p < parts->count; p++) {
        sum += parts->p[p].tenths;
    }
    return sum;
}

/* Goal: the phases divide the pause in which nobody was answered; a SIGKILL that was sent before
 * the last answer, or noticed before it was read, makes them no longer than that. */
static void test_incident_parts_sum_is_the_pause(void **state)
{
    (void)state;
    static const struct {
        uint64_t at_us;
        uint64_t from_us;
        uint64_t to_us;
        uint64_t ends_us[6];
        size_t parts;
    } CASES[] = {
        {1000, 900, 31000, {4400, 9549, 13751, 17549, 18649, 18951}, 7},
        {1000, 3000, 31000, {4400, 9549, 13751, 17549, 18649, 18951}, 7}, /* killed before */
        {1000, 4500, 31000, {4400, 9549, 13751, 17549, 18649, 18951}, 6}, /* noticed before */
        {1000, 900, 18951, {4400, 4449, 4450, 4451, 4549, 18951}, 7},
    };
    for (size_t n = 0; n < sizeof(CASES) / sizeof(CASES[0]); n++) {
        struct lab_incident i = {.at_ns = CASES[n].at_us * US,
                                 .pause_from_ns = CASES[n].from_us * US,
                                 .pause_to_ns = CASES[n].to_us * US};
        struct lab_parts parts;
        set_phases(&i, CASES[n].ends_us);
        lab_incident_parts(&i, &parts);
        assert_true(parts.of_pause);
        assert_int_equal(parts.count, CASES[n].parts);
        assert_int_equal(sum_of(&parts), lab_tenths_ms(i.pause_from_ns, i.pause_to_ns));
    }
}

/* Goal: phases that are no part of the longest pause are not shown as such. */
static void test_incident_parts_pause_at_another_time_is_told(void **state)
{
    (void)state;
    static const uint64_t US_OF[6] = {2000, 3000, 4000, 5000, 6000, 7000};
    struct lab_incident i = {
        .at_ns = 1000 * US, .pause_from_ns = 9000 * US, .pause_to_ns = 50000 * US};
    struct lab_parts parts;
    set_phases(&i, US_OF);
    lab_incident_parts(&i, &parts);
    assert_false(parts.of_pause);
    assert_int_equal(parts.count, 6);
    assert_int_equal(sum_of(&parts), 60);
}

/* Goal: the report's lines, as a person adds them up. */
static void test_print_incident_shows_the_sum(void **state)
{
    (void)state;
    static struct lab_demo d;
    static const uint64_t US_OF[6] = {4400, 9500, 13700, 17500, 18600, 18900};
    struct lab_incident i = {.what = "SIGKILL of nic1's replica, the primary",
                             .at_ns = 1000 * US,
                             .pause_from_ns = 1000 * US,
                             .pause_to_ns = 30800 * US,
                             .new_primary = 1,
                             .epoch_before = 3,
                             .epoch_after = 5,
                             .redundant_ns = 551000 * US};
    char *text = NULL;
    size_t len = 0;
    d.pair.cluster.node_count = 2;
    (void)snprintf(d.pair.cluster.nodes[1].name, sizeof(d.pair.cluster.nodes[1].name), "nic2");
    set_phases(&i, US_OF);
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    lab_demo_print_incident(out, &d, &i);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(
        text,
        "  SIGKILL of nic1's replica, the primary\n"
        "      nobody was answered   for 29.8 ms\n"
        "      that is               noticed 3.4 + register read 5.1 + seal 4.2 + register changed "
        "3.8 + log tail 1.1 + start 0.3 + first answer 11.9 = 29.8 ms\n"
        "      carried on by         nic2, epoch 3 → 5\n"
        "      two copies again      after 0.55 s\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_incident_parts_sum_is_the_pause),
        cmocka_unit_test(test_incident_parts_pause_at_another_time_is_told),
        cmocka_unit_test(test_print_incident_shows_the_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

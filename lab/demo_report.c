#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/demo.h"

static double seconds_since(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 0;
}

static void print_incident(const struct lab_demo *d, const struct lab_incident *i)
{
    const struct lab_screen *s = &d->screen;
    printf("  %s%s%s\n", lab_screen_bold(s), i->what, lab_screen_plain(s));
    printf("      clients waited        %.1f ms at most\n", (double)i->outage_ns / 1e6);
    if (i->phases.count > 0) {
        printf("      of it                 ");
        for (size_t p = 0; p < i->phases.count; p++) {
            printf("%s%s %.1f", p > 0 ? " · " : "", i->phases.p[p].name, i->phases.p[p].ms);
        }
        printf(" ms\n");
    }
    printf("      carried on by         %s, epoch %" PRIu64 " → %" PRIu64 "\n",
           lab_pair_node(&d->pair, i->new_primary), i->epoch_before, i->epoch_after);
    if (i->restart_ns == 0) {
        printf("      two copies again      after %.2f s\n",
               seconds_since(i->at_ns, i->redundant_ns));
    } else {
        printf("      two copies again      %.2f s after the NIC was switched on again\n",
               seconds_since(i->restart_ns, i->redundant_ns));
    }
}

/* One promise with its count, which should be 0. */
static void print_promise(const struct lab_screen *s, const char *what, uint64_t count)
{
    char text[32];
    lab_thousands(count, text);
    const char *tone = count == 0 ? lab_screen_green(s) : lab_screen_red(s);
    printf("  %-26s %s%10s  %s%s\n", what, tone, text, count == 0 ? "✓" : "✗ BROKEN",
           lab_screen_plain(s));
}

static void print_promises(const struct lab_demo *d)
{
    const struct lab_verdict *v = &d->verdict;
    const struct lab_screen *s = &d->screen;
    char acked[32];
    char reads[32];
    char unknown[32];
    lab_thousands(v->acknowledged, acked);
    lab_thousands(v->reads, reads);
    lab_thousands(v->ambiguous, unknown);
    printf("  %-26s %10s\n", "acknowledged writes", acked);
    print_promise(s, "lost", v->lost);
    print_promise(s, "executed twice", v->executed_twice);
    printf("  %-26s %10s\n", "reads answered", reads);
    print_promise(s, "stale", v->stale_reads);
    print_promise(s, "out of any order", v->disorder + v->phantoms);
    printf("  %-26s %10s  %sconnections that closed before the reply%s\n", "writes left unanswered",
           unknown, lab_screen_dim(s), lab_screen_plain(s));
    for (size_t i = 0; i < v->finding_count; i++) {
        printf("      %s\n", v->findings[i]);
    }
}

bool lab_demo_report(struct lab_demo *d)
{
    struct lab_screen *s = &d->screen;
    bool kept = lab_verdict_ok(&d->verdict);
    lab_screen_title(s, "What the failures cost");
    for (unsigned i = 0; i < d->incident_count; i++) {
        print_incident(d, &d->incidents[i]);
    }
    lab_screen_title(s, "What clients were promised, and what they got");
    print_promises(d);
    lab_screen_title(s, "On this machine");
    printf(
        "  every write was on two disks before its answer left; links between NICs are TLS 1.3\n");
    if (d->real_time) {
        printf("  failure detection runs with real-time priority\n");
    } else {
        printf("  failure detection runs without real-time priority%s:\n"
               "  when the machine is very busy it may react later, never wrongly\n",
               geteuid() == 0 ? " (the kernel refused it)" : " (not root)");
    }
    printf("\n%s%s%s\n", kept ? lab_screen_green(s) : lab_screen_red(s),
           kept ? "All promises held."
                : "A PROMISE WAS BROKEN: please report this with the run directory.",
           lab_screen_plain(s));
    fflush(stdout);
    return kept;
}

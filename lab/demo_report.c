#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/demo.h"

static double seconds_since(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 0;
}

uint64_t lab_tenths_ms(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (to_ns - from_ns + 50000) / 100000 : 0;
}

/* Each end is rounded, not each length: so the lengths add up. */
static void add_part(struct lab_parts *parts, const char *name, uint64_t begin, uint64_t *told,
                     uint64_t end)
{
    uint64_t until = lab_tenths_ms(begin, end);
    parts->p[parts->count].name = name;
    parts->p[parts->count].tenths = until - *told;
    parts->count++;
    *told = until;
}

void lab_incident_parts(const struct lab_incident *i, struct lab_parts *out)
{
    const struct lab_phases *phases = &i->phases;
    *out = (struct lab_parts){0};
    if (phases->count == 0) {
        return;
    }
    uint64_t ready = phases->p[phases->count - 1].end_ns;
    out->of_pause = ready >= i->pause_from_ns && ready <= i->pause_to_ns;
    uint64_t begin = out->of_pause ? i->pause_from_ns : i->at_ns;
    uint64_t told = 0;
    for (size_t p = 0; p < phases->count; p++) {
        /* What came while the last answers were still under way is in the next part. */
        if (phases->p[p].end_ns >= begin) {
            add_part(out, phases->p[p].name, begin, &told, phases->p[p].end_ns);
        }
    }
    if (out->of_pause) {
        add_part(out, "first answer", begin, &told, i->pause_to_ns);
    }
}

static void print_parts(FILE *out, const struct lab_parts *parts)
{
    uint64_t sum = 0;
    for (size_t p = 0; p < parts->count; p++) {
        uint64_t t = parts->p[p].tenths;
        fprintf(out, "%s%s %" PRIu64 ".%u", p > 0 ? " + " : "", parts->p[p].name, t / 10,
                (unsigned)(t % 10));
        sum += t;
    }
    fprintf(out, " = %" PRIu64 ".%u ms\n", sum / 10, (unsigned)(sum % 10));
}

void lab_demo_print_incident(FILE *out, const struct lab_demo *d, const struct lab_incident *i)
{
    const struct lab_screen *s = &d->screen;
    uint64_t pause = lab_tenths_ms(i->pause_from_ns, i->pause_to_ns);
    struct lab_parts parts;
    lab_incident_parts(i, &parts);
    fprintf(out, "  %s%s%s\n", lab_screen_bold(s), i->what, lab_screen_plain(s));
    fprintf(out, "      nobody was answered   for %" PRIu64 ".%u ms\n", pause / 10,
            (unsigned)(pause % 10));
    if (parts.count > 0 && !parts.of_pause) {
        fprintf(out, "      not in that time      the takeover, counted from the SIGKILL:\n");
    }
    if (parts.count > 0) {
        fprintf(out, "      %-22s", parts.of_pause ? "that is" : "");
        print_parts(out, &parts);
    }
    fprintf(out, "      carried on by         %s, epoch %" PRIu64 " → %" PRIu64 "\n",
            lab_pair_node(&d->pair, i->new_primary), i->epoch_before, i->epoch_after);
    if (i->restart_ns == 0) {
        fprintf(out, "      two copies again      after %.2f s\n",
                seconds_since(i->at_ns, i->redundant_ns));
    } else {
        fprintf(out, "      two copies again      %.2f s after the NIC was switched on again\n",
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
        lab_demo_print_incident(stdout, d, &d->incidents[i]);
    }
    lab_screen_title(s, "What clients were promised, and what they got");
    print_promises(d);
    lab_screen_title(s, "On this machine");
    printf("  every write was on the disk of every replica in sync before its answer left; links "
           "between NICs are TLS 1.3\n");
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

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ids.h"
#include "lab/clock.h"
#include "lab/demo.h"

#define DRAW_NS (100 * TS_NS_PER_MS)

const char *lab_screen_green(const struct lab_screen *s)
{
    return s->color ? "\033[32m" : "";
}

const char *lab_screen_red(const struct lab_screen *s)
{
    return s->color ? "\033[1;31m" : "";
}

const char *lab_screen_bold(const struct lab_screen *s)
{
    return s->color ? "\033[1m" : "";
}

const char *lab_screen_dim(const struct lab_screen *s)
{
    return s->color ? "\033[2m" : "";
}

const char *lab_screen_plain(const struct lab_screen *s)
{
    return s->color ? "\033[0m" : "";
}

void lab_thousands(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    int at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

void lab_screen_clear(struct lab_screen *s)
{
    if (s->terminal) {
        fputs("\r\033[K", stdout);
        fflush(stdout);
    }
}

void lab_screen_title(struct lab_screen *s, const char *text)
{
    lab_screen_clear(s);
    printf("\n%s%s%s\n", lab_screen_bold(s), text, lab_screen_plain(s));
    fflush(stdout);
}

void lab_screen_say(struct lab_screen *s, const char *format, ...)
{
    va_list args;
    double at = (double)(lab_now_ns() - s->begin_ns) / 1e9;
    lab_screen_clear(s);
    printf("  %s%7.3f s%s  ", lab_screen_dim(s), at, lab_screen_plain(s));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fputs("\n", stdout);
    fflush(stdout);
}

void lab_screen_tick(struct lab_screen *s, struct lab_load *load, const char *doing)
{
    uint64_t now = lab_now_ns();
    if (!s->terminal || now - s->last_draw_ns < DRAW_NS) {
        return;
    }
    double seconds = (double)(now - s->last_draw_ns) / 1e9;
    s->last_draw_ns = now;
    printf("\r\033[K  %s%7.3f s  %s", lab_screen_dim(s), (double)(now - s->begin_ns) / 1e9, doing);
    if (load != NULL) {
        struct lab_load_now n = lab_load_now(load);
        char total[32];
        char rate[32];
        double latest = (double)(n.acknowledged - s->last_acks) / seconds;
        s->rate = s->rate == 0 ? latest : s->rate * 0.8 + latest * 0.2;
        s->last_acks = n.acknowledged;
        lab_thousands(n.acknowledged, total);
        lab_thousands((uint64_t)s->rate, rate);
        printf(" · %s answers, %s/s", total, rate);
    }
    fputs(lab_screen_plain(s), stdout);
    fflush(stdout);
}

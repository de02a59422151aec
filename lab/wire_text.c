#include "lab/wire_text.h"

#include <string.h>

#include "base/ids.h"

#define DIGITS_MAX 10
#define DECIMALS 6
#define DECIMALS_ONE 1000000U

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit SHARES[] = {{"%", LAB_WIRE_PPM / 100}, {NULL, 0}};
static const struct unit TIMES[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {NULL, 0}};
/* Bits, told in bytes. */
static const struct unit RATES[] = {
    {"kbit", 1000 / 8}, {"mbit", 1000000 / 8}, {"gbit", 1000000000 / 8}, {NULL, 0}};
static const struct unit BYTES[] = {{"", 1}, {"k", 1024}, {"m", 1024 * 1024}, {NULL, 0}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A decimal number with a unit, `len` bytes long. */
static bool parse(const char *text, size_t len, const struct unit *units, uint64_t max,
                  uint64_t *out)
{
    uint64_t whole = 0;
    uint64_t part = 0;
    uint64_t scale = DECIMALS_ONE;
    size_t at = 0;
    for (; at < len && is_digit(text[at]); at++) {
        whole = whole * 10 + (uint64_t)(text[at] - '0');
        if (at == DIGITS_MAX) {
            return false;
        }
    }
    if (at == 0) {
        return false;
    }
    if (at < len && text[at] == '.') {
        size_t begin = ++at;
        for (; at < len && is_digit(text[at]); at++) {
            if (scale == 1) {
                return false;
            }
            scale /= 10;
            part += (uint64_t)(text[at] - '0') * scale;
        }
        if (at == begin) {
            return false;
        }
    }
    for (const struct unit *u = units; u->suffix != NULL; u++) {
        if (strlen(u->suffix) == len - at && memcmp(u->suffix, text + at, len - at) == 0) {
            *out = whole * u->factor + part * u->factor / DECIMALS_ONE;
            return *out <= max;
        }
    }
    return false;
}

bool lab_wire_parse_share(const char *text, uint64_t *ppm)
{
    return parse(text, strlen(text), SHARES, LAB_WIRE_PPM, ppm);
}

bool lab_wire_parse_time(const char *text, uint64_t *us)
{
    return parse(text, strlen(text), TIMES, LAB_WIRE_US_MAX, us);
}

bool lab_wire_parse_rate(const char *text, uint64_t *rate)
{
    return parse(text, strlen(text), RATES, LAB_WIRE_RATE_MAX, rate) && *rate > 0;
}

bool lab_wire_parse_bytes(const char *text, uint64_t *n)
{
    return parse(text, strlen(text), BYTES, LAB_WIRE_QUEUE_MAX, n);
}

bool lab_wire_parse_flap(const char *text, uint64_t *up_us, uint64_t *down_us)
{
    const char *slash = strchr(text, '/');
    return slash != NULL && parse(text, (size_t)(slash - text), TIMES, LAB_WIRE_US_MAX, up_us) &&
           lab_wire_parse_time(slash + 1, down_us) && *up_us > 0 && *down_us > 0;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool parse_seed(const char *text, uint64_t *out)
{
    uint64_t n = 0;
    size_t at = 0;
    for (; text[at] >= '0' && text[at] <= '9' && n <= UINT32_MAX; at++) {
        n = n * 10 + (uint64_t)(text[at] - '0');
    }
    *out = n;
    return at > 0 && text[at] == '\0' && n <= UINT32_MAX;
}

bool lab_wire_rule_option(struct lab_wire_rule *r, const char *name, const char *text,
                          const char **wanted)
{
    static const char SHARE[] = "a share, like 30% or 0.1%";
    static const char TIME[] = "a time up to 60s, like 5ms or 200us";
    const struct {
        const char *name;
        uint64_t *number;
        bool (*parse)(const char *text, uint64_t *out);
        const char *wanted;
    } OPTIONS[] = {
        {"loss", &r->loss_ppm, lab_wire_parse_share, SHARE},
        {"reorder", &r->reorder_ppm, lab_wire_parse_share, SHARE},
        {"duplicate", &r->duplicate_ppm, lab_wire_parse_share, SHARE},
        {"corrupt", &r->corrupt_ppm, lab_wire_parse_share, SHARE},
        {"replay", &r->replay_ppm, lab_wire_parse_share, SHARE},
        {"delay", &r->delay_us, lab_wire_parse_time, TIME},
        {"jitter", &r->jitter_us, lab_wire_parse_time, TIME},
        {"reorder-by", &r->reorder_us, lab_wire_parse_time, TIME},
        {"rate", &r->rate, lab_wire_parse_rate, "a rate up to 80gbit, like 10mbit or 500kbit"},
        {"queue", &r->queue, lab_wire_parse_bytes, "a number of bytes up to 95m, like 64k"},
        {"seed", &r->seed, parse_seed, "a number up to 4294967295"},
    };
    *wanted = NULL;
    if (strcmp(name, "drop") == 0) {
        r->cut = true;
        return true;
    }
    if (strcmp(name, "flap") == 0) {
        *wanted = "two times up to 60s, like 200ms/300ms";
        return lab_wire_parse_flap(text, &r->flap_up_us, &r->flap_down_us);
    }
    for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(OPTIONS[0]); i++) {
        if (strcmp(OPTIONS[i].name, name) == 0) {
            *wanted = OPTIONS[i].wanted;
            return OPTIONS[i].parse(text, OPTIONS[i].number);
        }
    }
    return false;
}

json_t *lab_wire_rule_json(const struct lab_wire_rule *r)
{
    json_t *o = json_object();
#define PUT(name, max) \
    if (r->name != 0) { \
        (void)json_object_set_new(o, #name, json_integer((json_int_t)r->name)); \
    }
    LAB_WIRE_NUMBERS(PUT)
#undef PUT
    if (r->cut) {
        (void)json_object_set_new(o, "cut", json_true());
    }
    return o;
}

static enum ts_err read_number(const char *key, const json_t *value, struct lab_wire_rule *r,
                               struct ts_why *why)
{
    static const struct {
        const char *name;
        uint64_t max;
        size_t at;
    } NUMBERS[] = {
#define LINE(field, max) {#field, max, offsetof(struct lab_wire_rule, field)},
        LAB_WIRE_NUMBERS(LINE)
#undef LINE
    };
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
        if (strcmp(NUMBERS[i].name, key) == 0) {
            json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
            if (n < 0 || (uint64_t)n > NUMBERS[i].max) {
                return ts_why(why, TS_ERR_MALFORMED, "%s is no number from 0 to %llu", key,
                              (unsigned long long)NUMBERS[i].max);
            }
            uint64_t number = (uint64_t)n;
            memcpy((char *)r + NUMBERS[i].at, &number, sizeof(number));
            return TS_OK;
        }
    }
    return ts_why(why, TS_ERR_MALFORMED, "a rule has no \"%.40s\"", key);
}

enum ts_err lab_wire_rule_read(json_t *o, struct lab_wire_rule *out, struct ts_why *why)
{
    struct lab_wire_rule r = {0};
    enum ts_err err = TS_OK;
    if (!json_is_object(o)) {
        return ts_why(why, TS_ERR_MALFORMED, "the rule is no object");
    }
    for (void *at = json_object_iter(o); at != NULL && err == TS_OK;
         at = json_object_iter_next(o, at)) {
        const char *key = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        if (strcmp(key, "cut") == 0) {
            r.cut = json_is_true(value);
            err = json_is_boolean(value) ? TS_OK
                                         : ts_why(why, TS_ERR_MALFORMED, "cut is true or false");
        } else {
            err = read_number(key, value, &r, why);
        }
    }
    if (err == TS_OK) {
        *out = r;
    }
    return err;
}

json_t *lab_wire_counters_json(const struct lab_wire_counters *c)
{
    json_t *o = json_object();
#define PUT(name) (void)json_object_set_new(o, #name, json_integer((json_int_t)c->name));
    LAB_WIRE_COUNTERS(PUT)
#undef PUT
    return o;
}

bool lab_wire_counters_any(const struct lab_wire_counters *c)
{
    return c->frames > 0 || c->passed > 0;
}

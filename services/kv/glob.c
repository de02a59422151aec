#include "services/kv/glob.h"

/* Whether the class behind a '[' at *at holds `byte`; moves *at behind it. One without an end ends
 * with the pattern, as Redis takes it. */
static bool class_holds(struct ts_bytes p, size_t *at, uint8_t byte)
{
    size_t i = *at;
    bool negated = i < p.len && p.data[i] == '^';
    bool holds = false;
    i += negated;
    while (i < p.len && p.data[i] != ']') {
        uint8_t low = p.data[i];
        uint8_t high;
        if (low == '\\' && i + 1 < p.len) {
            low = p.data[++i];
            high = low;
        } else if (i + 2 < p.len && p.data[i + 1] == '-') {
            i += 2;
            high = p.data[i];
        } else {
            high = low;
        }
        holds = holds || (low <= high ? low <= byte && byte <= high : high <= byte && byte <= low);
        i++;
    }
    *at = i < p.len ? i + 1 : i;
    return holds != negated;
}

/* One element of the pattern, not a star, against one byte; moves *at behind the element. */
static bool element_matches(struct ts_bytes p, size_t *at, uint8_t byte)
{
    uint8_t c = p.data[(*at)++];
    if (c == '?') {
        return true;
    }
    if (c == '[') {
        return class_holds(p, at, byte);
    }
    if (c == '\\' && *at < p.len) {
        c = p.data[(*at)++];
    }
    return c == byte;
}

/* False: so many are not left, and now none are. */
static bool take_steps(uint64_t *steps, size_t n)
{
    *steps = *steps > n ? *steps - n : 0;
    return *steps > 0;
}

/* Only the last star needs to be tried again: what an earlier one took is settled. */
bool kv_glob_match_within(struct ts_bytes pattern, struct ts_bytes text, uint64_t *steps)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX; /* behind the last star, and where it began to match */
    size_t began = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = ++p;
            began = t;
            if (!take_steps(steps, 1)) {
                return false;
            }
            continue;
        }
        size_t next = p;
        bool matches = p < pattern.len && element_matches(pattern, &next, text.data[t]);
        if (!take_steps(steps, next - p + 1)) {
            return false;
        }
        if (matches) {
            p = next;
            t++;
            continue;
        }
        if (star == SIZE_MAX) {
            return false;
        }
        p = star;
        t = ++began;
    }
    while (p < pattern.len && pattern.data[p] == '*' && take_steps(steps, 1)) {
        p++;
    }
    return p == pattern.len;
}

bool kv_glob_match(struct ts_bytes pattern, struct ts_bytes text)
{
    uint64_t steps = UINT64_MAX;
    return kv_glob_match_within(pattern, text, &steps);
}

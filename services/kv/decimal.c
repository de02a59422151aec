#include "services/kv/decimal.h"

#include <string.h>

#include "services/resp.h"

/* Exponents are counted up to here: far beyond what any word of figures makes up for. */
#define EXPONENT_MAX 100000

/* ---- reading ---- */

static bool is_figure(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static size_t count_figures(struct ts_bytes word, size_t at)
{
    size_t n = 0;
    while (at + n < word.len && is_figure(word.data[at + n])) {
        n++;
    }
    return n;
}

/* "e-12", all that is left of the word. */
static bool read_exponent(struct ts_bytes word, size_t at, int64_t *out)
{
    if (at == word.len) {
        *out = 0;
        return true;
    }
    if ((word.data[at] | 0x20) != 'e') {
        return false;
    }
    at++;
    bool negative = at < word.len && word.data[at] == '-';
    at += at < word.len && (word.data[at] == '-' || word.data[at] == '+');
    size_t n = count_figures(word, at);
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v < EXPONENT_MAX ? 10 * v + (word.data[at + i] - '0') : v;
    }
    *out = negative ? -v : v;
    return n > 0 && at + n == word.len;
}

/* Puts figures whose first one has the value 10^top; false when one of them is too high. */
static bool put_figures(struct kv_decimal *out, const uint8_t *figures, size_t n, int64_t top)
{
    for (size_t i = 0; i < n; i++) {
        int64_t place = (int64_t)KV_DECIMAL_WHOLE - 1 - top + (int64_t)i;
        if (figures[i] == '0' || place >= (int64_t)KV_DECIMAL_ALL) {
            continue;
        }
        if (place < 0) {
            return false;
        }
        out->digit[place] = (uint8_t)(figures[i] - '0');
    }
    return true;
}

enum kv_decimal_read kv_decimal_read(struct ts_bytes word, struct kv_decimal *out)
{
    if (word.len == 0 || word.len > KV_DECIMAL_WORD_MAX) {
        return KV_DECIMAL_NO_NUMBER;
    }
    *out = (struct kv_decimal){.negative = word.data[0] == '-'};
    size_t at = word.data[0] == '-' || word.data[0] == '+' ? 1 : 0;
    struct ts_bytes rest = {word.data + at, word.len - at};
    if (resp_word_is(rest, "inf") || resp_word_is(rest, "infinity")) {
        return KV_DECIMAL_INFINITE;
    }
    size_t whole_at = at;
    size_t whole = count_figures(word, at);
    at += whole;
    size_t part_at = at < word.len && word.data[at] == '.' ? at + 1 : at;
    size_t part = part_at > at ? count_figures(word, part_at) : 0;
    int64_t exponent = 0;
    if (whole + part == 0 || !read_exponent(word, part_at + part, &exponent)) {
        return KV_DECIMAL_NO_NUMBER;
    }
    bool fits = put_figures(out, word.data + whole_at, whole, exponent + (int64_t)whole - 1) &&
                put_figures(out, word.data + part_at, part, exponent - 1);
    return fits ? KV_DECIMAL_READ : KV_DECIMAL_TOO_LARGE;
}

/* ---- adding ---- */

static bool add_size(const struct kv_decimal *a, const struct kv_decimal *b, struct kv_decimal *out)
{
    unsigned carry = 0;
    for (size_t i = KV_DECIMAL_ALL; i-- > 0;) {
        unsigned sum = carry + a->digit[i] + b->digit[i];
        out->digit[i] = (uint8_t)(sum % 10);
        carry = sum / 10;
    }
    return carry == 0;
}

/* a is at least as large as b. */
static void subtract_size(const struct kv_decimal *a, const struct kv_decimal *b,
                          struct kv_decimal *out)
{
    unsigned borrow = 0;
    for (size_t i = KV_DECIMAL_ALL; i-- > 0;) {
        unsigned left = 10U + a->digit[i] - b->digit[i] - borrow;
        out->digit[i] = (uint8_t)(left % 10);
        borrow = left < 10 ? 1 : 0;
    }
}

bool kv_decimal_add(const struct kv_decimal *a, const struct kv_decimal *b, struct kv_decimal *out)
{
    if (a->negative == b->negative) {
        *out = (struct kv_decimal){.negative = a->negative};
        return add_size(a, b, out);
    }
    if (memcmp(a->digit, b->digit, sizeof(a->digit)) < 0) {
        const struct kv_decimal *other = a;
        a = b;
        b = other;
    }
    *out = (struct kv_decimal){.negative = a->negative};
    subtract_size(a, b, out);
    return true;
}

/* ---- writing ---- */

/* Adds one at the last place that is shown, if what follows is more than a half, or a half and
 * the place is odd. False when that takes a figure more than there are. */
static bool round_up(const struct kv_decimal *v, uint8_t shown[KV_DECIMAL_ALL], size_t count)
{
    static const uint8_t half[KV_DECIMAL_ALL] = {5};
    int over = memcmp(v->digit + count, half, KV_DECIMAL_ALL - count);
    bool up = over > 0 || (over == 0 && shown[count - 1] % 2 == 1);
    for (size_t i = count; up && i-- > 0;) {
        shown[i] = (uint8_t)((shown[i] + 1) % 10);
        up = shown[i] == 0;
    }
    return !up;
}

size_t kv_decimal_format(const struct kv_decimal *v, char out[KV_DECIMAL_TEXT_MAX])
{
    const size_t count = KV_DECIMAL_WHOLE + KV_DECIMAL_SHOWN;
    uint8_t shown[KV_DECIMAL_ALL];
    memcpy(shown, v->digit, sizeof(shown));
    if (!round_up(v, shown, count)) {
        return 0;
    }
    size_t first = 0;
    while (first < KV_DECIMAL_WHOLE - 1 && shown[first] == 0) {
        first++;
    }
    size_t end = count;
    while (end > KV_DECIMAL_WHOLE && shown[end - 1] == 0) {
        end--;
    }
    size_t len = 0;
    bool zero = end == KV_DECIMAL_WHOLE && first == KV_DECIMAL_WHOLE - 1 && shown[first] == 0;
    if (v->negative && !zero) {
        out[len++] = '-';
    }
    for (size_t i = first; i < end; i++) {
        if (i == KV_DECIMAL_WHOLE) {
            out[len++] = '.';
        }
        out[len++] = (char)('0' + shown[i]);
    }
    return len;
}

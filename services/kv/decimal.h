/* Decimal numbers, added exactly: for INCRBYFLOAT. Whole figures only, no floating point, so every
 * processor computes the same bytes (svc.h demands it; adr/0025). */
#ifndef SERVICES_KV_DECIMAL_H
#define SERVICES_KV_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define KV_DECIMAL_WHOLE 64U /* figures before the point */
#define KV_DECIMAL_PART 64U  /* behind it; what a word has beyond is dropped */
#define KV_DECIMAL_SHOWN 17U /* behind it, when it is written: as Redis does */
#define KV_DECIMAL_ALL (KV_DECIMAL_WHOLE + KV_DECIMAL_PART)
#define KV_DECIMAL_WORD_MAX 5119U /* bytes of a word: as Redis has it */
/* A sign, a point and the figures. */
#define KV_DECIMAL_TEXT_MAX (2U + KV_DECIMAL_WHOLE + KV_DECIMAL_SHOWN)

struct kv_decimal {
    bool negative;
    uint8_t digit[KV_DECIMAL_ALL]; /* 0 to 9, the highest place first */
};

enum kv_decimal_read {
    KV_DECIMAL_READ,
    KV_DECIMAL_NO_NUMBER, /* also "nan" and hexadecimal ones */
    KV_DECIMAL_INFINITE,  /* it says so: "inf", "-Infinity" */
    KV_DECIMAL_TOO_LARGE, /* more than KV_DECIMAL_WHOLE figures before the point */
};

/* Reads "-12.5", ".5", "3e-2" and the like; no blanks. */
enum kv_decimal_read kv_decimal_read(struct ts_bytes word, struct kv_decimal *out);
/* a + b; false when it has too many figures. */
bool kv_decimal_add(const struct kv_decimal *a, const struct kv_decimal *b, struct kv_decimal *out);
/* Rounds to KV_DECIMAL_SHOWN places (half to even) and writes it without zeros at the end; returns
 * the length, or 0 when rounding gave it too many figures. */
size_t kv_decimal_format(const struct kv_decimal *v, char out[KV_DECIMAL_TEXT_MAX]);

#endif

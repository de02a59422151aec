/* Letters of UTF-8, and bytes that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

/* What RFC 3629 writes: the code point's bytes, shortest form, without surrogates. */
static size_t encode(uint32_t c, char out[5])
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t FIRST[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1;) {
        out[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (char)(FIRST[n] | c);
    out[n] = '\0';
    return n;
}

static void test_each_letter_has_its_length(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= 0x10ffff; c++) {
        char text[5];
        size_t n = encode(c, text);
        bool is_surrogate = c >= 0xd800 && c <= 0xdfff;
        assert_int_equal(ts_utf8_letter(text), is_surrogate ? 0 : n);
    }
}

static void test_what_is_no_letter_is_mended(void **state)
{
    (void)state;
    static const char *const BAD[][2] = {
        {"a\xff-b", "a?-b"},
        {"\xc0\xaf", "??"},           /* '/', too long */
        {"\xe0\x80\x80", "???"},      /* NUL, too long */
        {"\xed\xa0\x80", "???"},      /* a surrogate */
        {"\xf0\x80\x80\xaf", "????"}, /* too long */
        {"\xf4\x90\x80\x80", "????"}, /* beyond the last one */
        {"\xe2\x82", "??"},           /* cut off */
        {"\xf0\x9f\x98", "???"},
        {"\xe2\x82\xac", "\xe2\x82\xac"},
        {"x\xc3\xa4\x80", "x\xc3\xa4?"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char text[16];
        memcpy(text, BAD[i][0], strlen(BAD[i][0]) + 1);
        ts_utf8_mend(text);
        assert_string_equal(text, BAD[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_letter_has_its_length),
        cmocka_unit_test(test_what_is_no_letter_is_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

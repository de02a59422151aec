#include "base/utf8.h"

#include <stdbool.h>

/* What the second byte of a letter may be, by its first: what is left out would be written longer
 * than it has to be, half of a pair of UTF-16, or beyond the last letter. */
static bool second_is_good(unsigned char first, unsigned char second)
{
    unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

size_t ts_utf8_letter(const char *text)
{
    unsigned char c = (unsigned char)text[0];
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (n > 1 && !second_is_good(c, (unsigned char)text[1])) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

void ts_utf8_mend(char *text)
{
    while (*text != '\0') {
        size_t n = ts_utf8_letter(text);
        *text = n == 0 ? '?' : *text;
        text += n == 0 ? 1 : n;
    }
}

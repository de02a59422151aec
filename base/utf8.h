/* Whether bytes are letters of UTF-8 (RFC 3629): what others read as text is made of nothing else.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* How many bytes the letter at `text` has, 1 to 4; 0: it is none, is cut off, or is written longer
 * than it has to be. `text` ends with a NUL, which is a letter. */
size_t ts_utf8_letter(const char *text);
/* Puts '?' in place of each byte that is of no letter. */
void ts_utf8_mend(char *text);

#endif

#include "services/io/http_claim.h"

#include <stdio.h>
#include <string.h>

static const char *const KINDS[] = {[HTTP_WHO_ANYBODY] = "anybody",
                                    [HTTP_WHO_USER] = "user",
                                    [HTTP_WHO_CERTIFICATE] = "certificate"};
#define KIND_COUNT (sizeof(KINDS) / sizeof(KINDS[0]))

static const enum net_role ROLES[] = {NET_ROLE_NONE, NET_ROLE_READ, NET_ROLE_WRITE, NET_ROLE_ADMIN};
#define ROLE_COUNT (sizeof(ROLES) / sizeof(ROLES[0]))

/* Printable, and no blank: as names of users are. */
static bool is_plain(struct ts_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] <= ' ' || name.data[i] >= 0x7f) {
            return false;
        }
    }
    return name.len <= HTTP_NAME_MAX;
}

bool http_claim_write(const struct http_who *who, char out[HTTP_CLAIM_MAX])
{
    struct ts_bytes name = {(const uint8_t *)who->name, strlen(who->name)};
    bool named = who->kind != HTTP_WHO_ANYBODY;
    if (!is_plain(name) || named != (name.len > 0)) {
        return false;
    }
    int n = snprintf(out, HTTP_CLAIM_MAX, "%s %s %s", KINDS[who->kind], http_role_name(who->role),
                     named ? who->name : "-");
    return n > 0 && n < HTTP_CLAIM_MAX;
}

/* The bytes up to the next blank, which go from *text with it. */
static struct ts_bytes next_word(struct ts_bytes *text)
{
    const uint8_t *blank = text->len == 0 ? NULL : memchr(text->data, ' ', text->len);
    size_t n = blank == NULL ? text->len : (size_t)(blank - text->data);
    struct ts_bytes word = {text->data, n};
    size_t gone = blank == NULL ? n : n + 1;
    *text = (struct ts_bytes){text->data + gone, text->len - gone};
    return word;
}

static bool is_word(struct ts_bytes word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.data, text, word.len) == 0;
}

enum ts_err http_claim_read(struct ts_bytes text, struct http_who *out)
{
    struct ts_bytes kind = next_word(&text);
    struct ts_bytes role = next_word(&text);
    size_t k = 0;
    size_t r = 0;
    while (k < KIND_COUNT && !is_word(kind, KINDS[k])) {
        k++;
    }
    while (r < ROLE_COUNT && !is_word(role, http_role_name(ROLES[r]))) {
        r++;
    }
    if (k == KIND_COUNT || r == ROLE_COUNT || text.len == 0 || !is_plain(text)) {
        return TS_ERR_MALFORMED;
    }
    *out = (struct http_who){.kind = (enum http_who_kind)k, .role = ROLES[r]};
    if (out->kind != HTTP_WHO_ANYBODY) {
        memcpy(out->name, text.data, text.len);
    }
    return TS_OK;
}

/* The payload of a kv COMMAND entry: one request, in a form that is small and
 * cheap to check. Written by the front-end, decoded and validated in apply, so it
 * is a disk and wire format:
 *
 *   u8 format (1) · u8 RESP version (2, 3) · u8 command id · words without the name:
 *   each a length (LEB128, at most 5 bytes) and that many bytes, up to the end. */
#ifndef SERVICES_KV_PAYLOAD_H
#define SERVICES_KV_PAYLOAD_H

#include "base/buf.h"
#include "base/err.h"
#include "services/resp.h"

#define KV_PAYLOAD_FORMAT 1
#define KV_PAYLOAD_HEAD 3
#define KV_WATCH_MARK 'W'
/* The most words behind the name that a decoder takes. */
#define KV_PAYLOAD_WORDS_MAX (RESP_ARGS_MAX_DEFAULT - 1)

/* A decoded payload. The words are read one after another (kv_payload_next). */
struct kv_payload {
    enum resp_version version;
    uint8_t command; /* id as sent; may be unknown */
    uint32_t words;  /* number of words behind the name */
    struct ts_reader r;
};

/* The exact encoded size of these words (the name args[0] is not among what is encoded). */
size_t kv_payload_size(const struct ts_bytes *args, size_t argc);
/* Writes the payload; a writer of at least kv_payload_size bytes does not fail. */
void kv_payload_encode(struct ts_writer *w, enum resp_version version, uint8_t command,
                       const struct ts_bytes *args, size_t argc);
/* Checks the whole payload, then stands before the first word. Borrows.
 * TS_ERR_SHORT: no whole head. TS_ERR_MALFORMED: a bad version byte, length or too many words.
 * TS_ERR_VERSION: another format. */
enum ts_err kv_payload_decode(struct kv_payload *p, struct ts_bytes payload) TS_MUST_USE;
/* The command id that a payload names, unchecked; 0: it is too short. */
static inline uint8_t kv_payload_command(struct ts_bytes payload)
{
    return payload.len < KV_PAYLOAD_HEAD ? 0 : payload.data[KV_PAYLOAD_HEAD - 1];
}
/* One word, as it stands in a payload, and its exact size. */
void kv_payload_put_word(struct ts_writer *w, struct ts_bytes word);
size_t kv_payload_word_size(struct ts_bytes word);
/* The next word of any reader that holds words; {NULL, 0} and failed when there is none. */
struct ts_bytes kv_payload_get_word(struct ts_reader *r);
/* The next word; {NULL, 0} past the last one. */
struct ts_bytes kv_payload_next(struct kv_payload *p);

#endif

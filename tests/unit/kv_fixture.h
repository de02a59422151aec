/* A kv state to which tests speak in words: kv_do(&t, "SET a 1") gives the reply's text. */
#ifndef TESTS_UNIT_KV_FIXTURE_H
#define TESTS_UNIT_KV_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "services/kv/commands.h"
#include "services/kv/kv.h"
#include "services/kv/payload.h"
#include "services/kv/state.h"

#define KV_TEST_WORDS 64
/* An arbitrary start of logical time, ms. */
#define KV_TEST_EPOCH_MS 1700000000000ULL

struct kv_test {
    void *state;
    struct svc_out out;
    uint64_t seq;
    uint64_t now_ms;
    enum resp_version version;
};

static inline void kv_open(struct kv_test *t, const char *limits)
{
    *t = (struct kv_test){.now_ms = KV_TEST_EPOCH_MS, .version = RESP_V2};
    t->out.max = 16U * 1024 * 1024;
    t->state = kv_service.create(limits);
    assert_non_null(t->state);
}

static inline void kv_close(struct kv_test *t)
{
    kv_store_check(&((struct kv_state *)t->state)->store);
    kv_service.destroy(t->state);
    svc_out_free(&t->out);
}

/* The payload of a request of NUL-terminated text words, split at blanks; "''" is an empty word. */
static inline size_t kv_encode(enum resp_version version, const char *line, uint8_t *payload,
                               size_t cap)
{
    struct ts_bytes args[KV_TEST_WORDS] = {{0}};
    size_t argc = 0;
    for (const char *at = line; *at != '\0';) {
        size_t len = strcspn(at, " ");
        bool empty = len == 2 && memcmp(at, "''", 2) == 0;
        assert_true(argc < KV_TEST_WORDS);
        args[argc++] = (struct ts_bytes){(const uint8_t *)at, empty ? 0 : len};
        at += len;
        at += *at == ' ';
    }
    assert_true(argc > 0);
    const struct kv_command *c = kv_command_find(args[0]);
    assert_non_null(c);
    struct ts_writer w = ts_writer_init(payload, cap);
    kv_payload_encode(&w, version, c->id, args, argc);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    assert_int_equal(w.len, kv_payload_size(args, argc));
    return w.len;
}

static inline void kv_entry_apply(struct kv_test *t, enum svc_entry_kind kind,
                                  struct ts_bytes payload)
{
    struct svc_entry e = {
        .epoch = {1},
        .seq = {++t->seq},
        .kind = kind,
        .time = {t->now_ms * TS_NS_PER_MS},
        .payload = payload,
    };
    t->out.len = 0;
    kv_service.apply(t->state, &e, &t->out);
}

static inline const char *kv_text(struct kv_test *t)
{
    static const char nul = '\0';
    assert_int_equal(svc_out_put(&t->out, &nul, 1), TS_OK);
    t->out.len--;
    return (const char *)t->out.data;
}

/* Applies a command; the reply's bytes as text, valid until the next call. */
static inline const char *kv_do(struct kv_test *t, const char *line)
{
    uint8_t payload[4096];
    size_t n = kv_encode(t->version, line, payload, sizeof(payload));
    kv_entry_apply(t, SVC_ENTRY_COMMAND, (struct ts_bytes){payload, n});
    return kv_text(t);
}

/* Reads by round. */
static inline const char *kv_ask(struct kv_test *t, const char *line)
{
    uint8_t payload[4096];
    size_t n = kv_encode(t->version, line, payload, sizeof(payload));
    t->out.len = 0;
    kv_service.read(t->state, (struct ts_bytes){payload, n}, &t->out);
    return kv_text(t);
}

/* A transaction of these commands; `watched` are bytes as EXEC's payload has them. */
static inline const char *kv_exec(struct kv_test *t, struct ts_bytes watched,
                                  const char *const *lines)
{
    uint8_t bytes[2048];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    struct ts_bytes args[2] = {{NULL, 0}, watched};
    kv_payload_encode(&w, t->version, KV_EXEC, args, 2);
    for (; *lines != NULL; lines++) {
        uint8_t one[512];
        size_t n = kv_encode(t->version, *lines, one, sizeof(one));
        kv_payload_put_word(&w, (struct ts_bytes){one, n});
    }
    kv_entry_apply(t, SVC_ENTRY_COMMAND, (struct ts_bytes){bytes, w.len});
    return kv_text(t);
}

#define KV_EXPECT(t, line, reply) assert_string_equal(kv_do((t), (line)), (reply))

#endif

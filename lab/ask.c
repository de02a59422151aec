#include "lab/ask.h"

#include <string.h>

#include "base/assert.h"
#include "base/ids.h"

#define ARGS_MAX 8
#define ATTEMPT_MS 500

struct asking {
    struct lab_client *client;
    struct lab_answer *out;
};

static void answer_cb(void *arg, enum lab_outcome outcome, const struct lab_reply *reply)
{
    struct asking *a = arg;
    size_t len = reply->text.len < LAB_ANSWER_MAX - 1 ? reply->text.len : LAB_ANSWER_MAX - 1;
    *a->out =
        (struct lab_answer){.outcome = outcome, .kind = reply->kind, .integer = reply->integer};
    if (reply->text.data != NULL) {
        memcpy(a->out->text, reply->text.data, len);
    }
    lab_client_close(a->client); /* the loop ends with it */
}

static void ask_once(const struct lab_addrs *addrs, const char *const argv[], unsigned reply_ms,
                     unsigned give_up_ms, struct lab_answer *out)
{
    struct lab_client_config config = {
        .addrs = *addrs, .request_timeout_ms = reply_ms, .give_up_ms = give_up_ms};
    struct asking asking = {.out = out};
    struct ts_bytes args[ARGS_MAX];
    uv_loop_t loop;
    size_t argc = 0;
    for (; argv[argc] != NULL; argc++) {
        ts_assert(argc < ARGS_MAX);
        args[argc] = lab_bytes(argv[argc]);
    }
    int rc = uv_loop_init(&loop);
    ts_assert(rc == 0);
    asking.client = lab_client_new(&loop, &config);
    lab_client_send(asking.client, args, argc, answer_cb, &asking);
    uv_run(&loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&loop);
    ts_assert(rc == 0);
}

void lab_ask(const struct lab_addrs *addrs, const char *const argv[], unsigned timeout_ms,
             struct lab_answer *out)
{
    ask_once(addrs, argv, timeout_ms, timeout_ms, out);
}

bool lab_ask_again(const struct lab_addrs *addrs, const char *const argv[], unsigned timeout_ms,
                   struct lab_answer *out)
{
    uint64_t until = uv_hrtime() + timeout_ms * TS_NS_PER_MS;
    struct lab_addrs order = *addrs;
    do {
        uint64_t now = uv_hrtime();
        unsigned left = now < until ? (unsigned)((until - now) / TS_NS_PER_MS) : 0;
        ask_once(&order, argv, ATTEMPT_MS, left, out);
        /* An address that swallows requests must not be the first one for ever. */
        struct sockaddr_in first = order.a[0];
        memmove(&order.a[0], &order.a[1], (order.count - 1) * sizeof order.a[0]);
        order.a[order.count - 1] = first;
    } while (out->outcome == LAB_AMBIGUOUS && uv_hrtime() < until);
    return out->outcome == LAB_ACKED;
}

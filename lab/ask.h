/* One command to whichever server takes it, blocking: for scripts of the lab. */
#ifndef LAB_ASK_H
#define LAB_ASK_H

#include "lab/resp_client.h"

#define LAB_ANSWER_MAX 4096

struct lab_answer {
    enum lab_outcome outcome;
    enum lab_reply_kind kind;
    int64_t integer;
    char text[LAB_ANSWER_MAX]; /* cut when longer; NUL-terminated */
};

/* Sends argv (NULL-terminated C strings) and waits for the outcome. Redirects and refusals are
 * followed until `timeout_ms`; then the outcome is LAB_FAILED, or LAB_AMBIGUOUS when it was sent.
 */
void lab_ask(const struct lab_addrs *addrs, const char *const argv[], unsigned timeout_ms,
             struct lab_answer *out);
/* The same for a command that may be executed twice without harm (GET, SET of one value):
 * repeats it while the outcome is ambiguous. True when it was acknowledged within the time. */
bool lab_ask_again(const struct lab_addrs *addrs, const char *const argv[], unsigned timeout_ms,
                   struct lab_answer *out);

#endif

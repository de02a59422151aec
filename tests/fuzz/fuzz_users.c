/* The file of users: any text gives users or a reason; what it gives is written as it was read. */
#include <string.h>

#include "base/assert.h"
#include "net/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct net_users users;
    static struct net_users again;
    static char text[NET_USERS_TEXT_MAX];
    struct ts_why why = {.text = ""};
    if (net_users_parse((struct ts_bytes){data, size}, &users, &why) != TS_OK) {
        ts_assert(why.text[0] != '\0' && strchr(why.text, '\n') == NULL);
        return 0;
    }
    ts_assert(users.count <= NET_USERS_MAX);
    for (size_t i = 0; i < users.count; i++) {
        const struct net_user *u = &users.users[i];
        struct ts_bytes name = {(const uint8_t *)u->name, strlen(u->name)};
        ts_assert(net_user_name_is_valid(name) && u->role != NET_ROLE_NONE);
        ts_assert(net_users_find(&users, name) == u);
    }
    size_t n = net_users_format(&users, text);
    ts_assert(size == n ? memcmp(data, text, n) == 0 : size + 1 == n); /* the last line's end */
    ts_assert(net_users_parse((struct ts_bytes){(const uint8_t *)text, n}, &again, &why) == TS_OK);
    ts_assert(again.count == users.count);
    return 0;
}

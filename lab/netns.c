#include "lab/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t len = strlen(text);
    bool good = write(fd, text, len) == (ssize_t)len;
    close(fd);
    return good;
}

/* The user becomes root of the new user namespace, and of nothing else. */
static bool map_ids(uid_t uid, gid_t gid)
{
    char uids[48];
    char gids[48];
    snprintf(uids, sizeof uids, "0 %u 1\n", (unsigned)uid);
    snprintf(gids, sizeof gids, "0 %u 1\n", (unsigned)gid);
    return write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", uids) &&
           write_text("/proc/self/gid_map", gids);
}

static bool loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool good = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    good = good && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return good;
}

enum ts_err lab_netns_enter(struct ts_why *why)
{
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (unshare(CLONE_NEWNET) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
            return ts_why(why, TS_ERR_REFUSED,
                          "no network namespace of its own (%s): run as root, or allow user "
                          "namespaces (sysctl kernel.unprivileged_userns_clone=1)",
                          strerror(errno));
        }
        if (!map_ids(uid, gid)) {
            return ts_why_sys(why, errno, "cannot map the user of the new namespace");
        }
    }
    if (!loopback_up()) {
        return ts_why_sys(why, errno, "cannot bring up lo in the new namespace");
    }
    return TS_OK;
}

#include "lab/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum ts_err lab_scratch_make(const char *name, char out[LAB_SCRATCH_MAX])
{
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] != '/' || strlen(base) > 24) {
        base = "/tmp";
    }
    int n = snprintf(out, LAB_SCRATCH_MAX, "%s/twinstep-%s-XXXXXX", base, name);
    if (n < 0 || n >= LAB_SCRATCH_MAX || mkdtemp(out) == NULL) {
        return TS_ERR_SYSTEM;
    }
    return TS_OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path); /* what is left shows itself: the directory above stays */
    return 0;
}

void lab_scratch_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The image of a lab's containers, FROM scratch: the programs of the project in the folder where
 * they are here, the libraries that these need, and a few tools for `twinstep lab shell`, of those
 * that are installed; nothing comes from a registry. Its tag is a hash of all that is in it, so
 * what has been built once is found again, and no lab runs on what was built from other programs.
 */
#ifndef LAB_IMAGE_H
#define LAB_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "lab/engine.h"

#define LAB_IMAGE_FILES_MAX 192

struct lab_image_file {
    char from[TS_PATH_MAX]; /* here, absolute */
    char to[TS_PATH_MAX];   /* in the image */
};

struct lab_image {
    size_t count;
    struct lab_image_file files[LAB_IMAGE_FILES_MAX];
};

/* Adds a file, unless the image has one in that place. TS_ERR_LIMIT. */
enum ts_err lab_image_add(struct lab_image *image, const char *from, const char *to,
                          struct ts_why *why) TS_MUST_USE;
/* Adds the libraries that ldd tells, which keep their paths. Pure. `text` is written to.
 * TS_ERR_NOT_FOUND: one of them is not there. TS_ERR_LIMIT. */
enum ts_err lab_image_add_libraries(struct lab_image *image, char *text,
                                    struct ts_why *why) TS_MUST_USE;

/* Has the engine build the image when it has none of that content; sets e->image and
 * e->bin. What is built is gathered in `dir`, and removed there. `built`: it was. TS_ERR_NOT_FOUND:
 * a program or a library is missing. TS_ERR_REFUSED: the engine cannot build it. Of ts_file_read
 * and ts_file_replace. */
enum ts_err lab_image_make(struct lab_engine *e, const char *bin, const char *dir, bool *built,
                           struct ts_why *why) TS_MUST_USE;

#endif

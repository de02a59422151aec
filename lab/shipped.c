#include "lab/shipped.h"

#include <stddef.h>
#include <string.h>

const char *lab_shipped_text(const struct lab_shipped *list, const char *name)
{
    for (; list->name != NULL; list++) {
        if (strcmp(list->name, name) == 0) {
            return list->text;
        }
    }
    return NULL;
}

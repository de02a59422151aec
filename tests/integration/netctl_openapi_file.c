/* Writes docs/netctl-openapi.json: the OpenAPI document as netctl serves it.
 *
 * usage: netctl_openapi_file            writes it to the standard output
 *        netctl_openapi_file --check FILE
 *
 * Exit status: 0 done, 1 FILE is another one, 2 wrong usage. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/netctl/openapi.h"

/* Whether the file has exactly these bytes. */
static bool is_same(const char *name, const char *text)
{
    size_t len = strlen(text);
    char *have = malloc(len + 2);
    ts_must(have);
    FILE *f = fopen(name, "r");
    size_t n = f == NULL ? 0 : fread(have, 1, len + 2, f);
    bool same = f != NULL && n == len + 1 && memcmp(have, text, len) == 0 && have[len] == '\n';
    if (f != NULL) {
        (void)fclose(f);
    }
    free(have);
    return same;
}

int main(int argc, char **argv)
{
    bool checks = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (argc != 1 && !checks) {
        (void)fprintf(stderr, "usage: netctl_openapi_file [--check FILE]\n");
        return 2;
    }
    json_t *document = netctl_openapi();
    char *text = json_dumps(document, JSON_INDENT(1));
    ts_must(text);
    int status = 0;
    if (!checks) {
        status = puts(text) < 0 ? 1 : 0;
    } else if (!is_same(argv[2], text)) {
        (void)fprintf(stderr,
                      "%s is not what netctl says of its API; write it anew: cmake --build "
                      "--preset release --target netctl-openapi\n",
                      argv[2]);
        status = 1;
    }
    free(text);
    json_decref(document);
    return status;
}

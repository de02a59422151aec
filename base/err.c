#include "base/err.h"

const char *ts_err_text(enum ts_err err)
{
    switch (err) {
#define TS_ERR_CASE(name, text) \
    case name: \
        return text;
        TS_ERR_LIST(TS_ERR_CASE)
#undef TS_ERR_CASE
    }
    return "unknown error";
}

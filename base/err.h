/* Errors of every fallible function. 0 is success; a result that a caller
 * expects (not primary, stale epoch) is a result of its own, never an error. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define TS_ERR_LIST(X) \
    X(TS_OK, "ok") \
    X(TS_ERR_NOMEM, "out of memory") \
    X(TS_ERR_FULL, "a bounded buffer or queue is full") \
    X(TS_ERR_SHORT, "the input ends early") \
    X(TS_ERR_MALFORMED, "the input is malformed") \
    X(TS_ERR_VERSION, "the format version is not supported") \
    X(TS_ERR_IO, "input/output error") \
    X(TS_ERR_NOSPACE, "no space left on the device") \
    X(TS_ERR_CORRUPT, "stored data is corrupt") \
    X(TS_ERR_NOT_FOUND, "not found") \
    X(TS_ERR_GONE, "not kept any more") \
    X(TS_ERR_EXISTS, "exists already") \
    X(TS_ERR_LIMIT, "a limit is exceeded") \
    X(TS_ERR_BUSY, "busy, try again") \
    X(TS_ERR_CLOSED, "closed") \
    X(TS_ERR_AUTH, "authentication failed") \
    X(TS_ERR_TIMEOUT, "timed out") \
    X(TS_ERR_CONFIG, "the configuration is not valid") \
    X(TS_ERR_REFUSED, "refused by the peer") \
    X(TS_ERR_SYSTEM, "a system call failed") \
    X(TS_ERR_ABANDONED, "the disk failed once and is not trusted any more") \
    X(TS_ERR_CLONE, "the disk is a clone or a rolled-back image")

enum ts_err {
#define TS_ERR_ENUM(name, text) name,
    TS_ERR_LIST(TS_ERR_ENUM)
#undef TS_ERR_ENUM
};

#ifdef __cppcheck__
#define TS_MUST_USE /* its parser does not take the attribute behind a pointer to a function */
#else
#define TS_MUST_USE __attribute__((warn_unused_result))
#endif

/* The error as a short English clause. Never NULL; static storage. */
const char *ts_err_text(enum ts_err err);

#endif

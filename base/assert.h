/* Assertions that stay on in release builds: a broken invariant must stop the
 * process before it can acknowledge anything. Never used on what a peer, a
 * client or a disk said: that is validated and answered with an error. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#define ts_assert(cond) ((cond) ? (void)0 : ts_assert_fail(#cond, __FILE__, __LINE__, __func__))

/* Ends a place that no input can reach. */
#define ts_unreachable() ts_assert_fail("unreachable", __FILE__, __LINE__, __func__)

/* Prints the broken invariant on standard error and aborts. */
_Noreturn void ts_assert_fail(const char *cond, const char *file, int line, const char *func);

#endif

/*
 * why.h - one clear sentence for the person at the keyboard.
 *
 * Libraries return -errno and never print. Where a number says too little (a refused lock, a
 * damaged file), the function also takes a `struct why *` and leaves one sentence there: what is
 * wrong, where, and what to do. It may be NULL. The text is meaningful only when the function
 * failed.
 */
#ifndef STORE_WHY_H
#define STORE_WHY_H

#include <stdarg.h>
#include <stdio.h>

struct why {
	char text[400];
};

/* Writes the sentence and returns `err` (a negative errno), so that `return why(w, -EIO, ...)`
 * reads well. */
__attribute__((format(printf, 3, 4))) static inline int why(
        struct why *w, int err, const char *fmt, ...)
{
	if (w) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(w->text, sizeof(w->text), fmt, ap);
		va_end(ap);
	}
	return err;
}

#endif

/*
 * figure.h - what the benchmarks have in common: measure, compare, print.
 *
 * A figure is a median over rounds, set beside the median of a peer that did the same work on the
 * same disk in the same run:
 *
 *   figure NAME value=V unit=U peer=P peer_value=W ratio=R target=T met|short
 *   #   NAME rounds=3 min=.. max=.. spread=..% | P min=.. max=.. spread=..%
 *
 * R is V/W. T is ">=X" or "<=X", a bound of the ratio, or of the value where there is no peer; "-"
 * where no bound is set, and then the line ends there. Peers take turns within each round, and
 * another one begins in each round, so that a drift of the machine meets all of them. A benchmark
 * prints figure lines and lines that begin with "# ", nothing else.
 */
#ifndef TESTS_BENCH_FIGURE_H
#define TESTS_BENCH_FIGURE_H

#include <stdbool.h>
#include <stdint.h>

enum { FIGURE_ROUNDS_MAX = 64, FIGURE_THREADS_MAX = 64 };

/* The results of one kind of work, one per round. All zero is empty. */
struct figure_series {
	double value[FIGURE_ROUNDS_MAX];
	unsigned n;
};

void figure_add(struct figure_series *s, double value);
double figure_median(const struct figure_series *s); /* 0 if empty */

struct figure {
	const char *name, *unit;
	const struct figure_series *value;
	const char *peer; /* NULL: "none" */
	const struct figure_series *peer_value;
	double at_least, at_most; /* the target; 0 = not set; at most one of them is */
};

/* Prints both lines. Prints nothing if the figure was not measured, or its peer was not or is 0. */
void figure_print(const struct figure *f);

/* A "# " line about one more peer: its value, and the ratio to it. Nothing if it was not measured. */
void figure_print_other(const struct figure *f, const char *peer, const struct figure_series *s);

/* A "# " line. */
__attribute__((format(printf, 1, 2))) void figure_note(const char *fmt, ...);

/* A "# " line about the machine: kernel, processors, and how busy it is with other things. */
void figure_note_machine(void);

double figure_now(void); /* seconds, monotonic */

/* Runs body(arg, 0..threads-1) in as many threads; returns the seconds from their common start
 * until the last one has ended. */
double figure_threads(unsigned threads, void (*body)(void *arg, unsigned thread), void *arg);

/* True, with a sentence on stderr, if `dir` lies in memory and says nothing about a disk. */
bool figure_refuses(const char *dir);

/* Writes dirty pages back and empties the page, dentry and inode caches of the machine. False if we
 * may not (not root): cold figures are left out then. */
bool figure_drop_caches(void);

/* The environment variable as a number between `min` and `max`, or `preset` if unset. Exits with a
 * sentence on anything else. */
uint64_t figure_env(const char *name, uint64_t preset, uint64_t min, uint64_t max);

/* Ends a benchmark that cannot go on: "NAME: WHAT: strerror(err)". */
__attribute__((noreturn)) void figure_die(const char *what, int err);

#endif

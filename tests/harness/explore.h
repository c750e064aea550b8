/*
 * explore.h - power losses at the steps of a run, and again while recovering from them.
 *
 *      run:       step ─ step ─ step ─ step ─ ...      never disturbed: only copies of its disk
 * crash └─ crash (each policy) ─► judge ├─ step ─ step ...      recovering, on a copy │    └─ crash
 * ─► judge: finds the very same state
 *
 * A judge opens what is on the disk, decides which of the states that the run allows it is, and
 * checks it.
 */
#ifndef TESTS_HARNESS_EXPLORE_H
#define TESTS_HARNESS_EXPLORE_H

#include "tests/harness/simdisk.h"

#define EXPLORE_ANY   -1L /* which state to find: any that is allowed */
#define EXPLORE_WRONG -1L /* what a judge found: nothing that is allowed; it has printed why */

struct explore {
	struct rng rng;
	unsigned one_in;       /* looks at one step in so many; 1 = all */
	unsigned keeps;        /* policies there, chosen at random; SIMDISK_KEEPS = all of them */
	unsigned again_one_in; /* steps of a recovery at which the power goes again; 0 = none */

	/* Must take the hook off the disk (simdisk_set_hook) before it changes what it found. */
	long (*judge)(void *arg, struct simdisk *d, long which);
	void *arg;

	bool failed;
	uint64_t crashes, crashes_again;
	long found; /* by the recovery that is now interrupted */
};

bool explore_exhaustive(void); /* EXHAUSTIVE=1 */
/* All policies at all steps, or a sample. */
void explore_init(struct explore *e, uint64_t seed, bool all,
        long (*judge)(void *, struct simdisk *, long), void *arg);
/* From now on at every step of this disk. */
void explore_attach(struct explore *e, struct simdisk *d);
/* At this moment, with all policies. */
void explore_now(struct explore *e, const struct simdisk *d);

#endif

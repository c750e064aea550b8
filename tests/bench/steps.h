/*
 * steps.h - what one engine does in one round, and what is measured of it.
 *
 * A run happens in a process of its own: its peak of memory is its own, and what an engine leaves
 * behind (threads, caches, mappings) ends with it.
 *
 *   load one by one ─► close ─► size ─► compact ─► close ─► size
 *        ─► drop caches ─► open cold, gets ─► scan ─► get, list ─► overwrite durably
 *        ─► put beside checkpoints ─► (artfs: rename) ─► compact ─► delete one by one
 *   load in batches ─► close ─► size ─► delete nine in ten, in batches ─► close ─► size
 *        ─► compact ─► close ─► size ─► delete the rest, in batches
 *
 * A run with a dictionary far larger than the cache is two processes, so that the second one begins
 * with the memory that it asks for and no more:
 *
 *   load in batches, all cached ─► close │ drop caches ─► open with little cache ─►
 *        random gets for a time, then those that count
 *
 * Loads and deletes do a fixed amount of work; other steps go on for a time.
 */
#ifndef TESTS_BENCH_STEPS_H
#define TESTS_BENCH_STEPS_H

#include "tests/bench/engine.h"
#include "tests/bench/keys.h"

enum measure {
	PUT_ONE,
	PUT_BATCH,
	GET_HIT_1,
	GET_HIT_2,
	GET_HIT_4,
	GET_MISS_1,
	GET_MISS_2,
	GET_MISS_4,
	LIST_1,
	LIST_2,
	LIST_DELIMITED,
	SCAN,
	DURABLE_1,
	DURABLE_8,
	DURABLE_32,
	STALL_8,
	PUT_TAIL,
	COLD_OPEN,
	COLD_GET,
	DELETE_ONE,
	DELETE_BATCH,
	SIZE_ONE,
	SIZE_COMPACT,
	SIZE_BATCH,
	SIZE_TENTH,
	SIZE_TENTH_COMPACT,
	LARGE_LOAD,
	LARGE_GET_1,
	LARGE_GET_2,
	LARGE_SIZE,
	LARGE_PEAK_MEMORY,
	PEAK_MEMORY,
	/* of artfs alone */
	BARE_DISK,
	DENSITY_ONE,
	DENSITY_BATCH,
	GRAFT_ONE,
	GRAFT_MANY,
	GRAFT_ONE_FRAMES,
	GRAFT_MANY_FRAMES,
	MEASURES,
};

enum { VALUE_BYTES = 100, STEP_THREADS_MAX = 32 };

struct run {
	const struct engine_ops *ops;
	struct engine_options opt;
	const struct keys *keys;
	const char *work_path;  /* a directory on the disk to measure */
	const char *store_path; /* to be made in it */
	unsigned threads_max;   /* steps with more are left out */
	double step_seconds;    /* steps that write durably take STEP_DURABLE times as long */
	double *result;         /* MEASURES of them; what is not measured is left alone */

	struct engine *engine;
	struct engine_session *sessions[STEP_THREADS_MAX];
};

enum { STEP_DURABLE = 2 };

/* All steps. Exits with a sentence on any failure and any wrong answer. */
void steps_run(struct run *r);

/* The two processes of a run that is far larger than the cache. */
void steps_load_large(struct run *r);
void steps_get_large(struct run *r);

/* Exits with "ENGINE: WHAT: ..." if rc is an error. */
void steps_must(const struct run *r, int rc, const char *what);

/* steps_artfs.c: measured after a load, beside the durable overwrites, and after them. */
void steps_artfs_density(struct run *r, enum measure density);
void steps_artfs_bare_disk(struct run *r);
void steps_artfs_graft(struct run *r);

#endif

/*
 * explore.c - crashes copies of a disk while a run goes on.
 */
#include "tests/harness/explore.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/harness/seed.h"

/* With a sanitizer a recovery costs many times as much. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SAMPLE_ONE_IN = 8, SAMPLE_AGAIN_ONE_IN = 20 };
#else
enum { SAMPLE_ONE_IN = 2, SAMPLE_AGAIN_ONE_IN = 10 };
#endif

bool explore_exhaustive(void)
{
	return seed_env("EXHAUSTIVE", 0);
}

void explore_init(struct explore *e, uint64_t seed, bool all,
        long (*judge)(void *, struct simdisk *, long), void *arg)
{
	*e = (struct explore){.rng = rng_of(seed), .judge = judge, .arg = arg};
	e->one_in = all ? 1 : SAMPLE_ONE_IN;
	e->keeps = all ? SIMDISK_KEEPS : 2;
	e->again_one_in = all ? 2 : SAMPLE_AGAIN_ONE_IN;
}

static void say(struct explore *e, const char *when, enum simdisk_keep keep, uint64_t step)
{
	e->failed = true;
	printf("# power loss %s step %" PRIu64 ", policy %s; replay: %s\n", when, step,
	        simdisk_keep_name[keep], seed_replay());
	fflush(stdout);
}

static void lose_power_again(void *arg, const struct simdisk *d, uint64_t step)
{
	struct explore *e = arg;
	const enum simdisk_keep keep = (enum simdisk_keep)rng_below(&e->rng, SIMDISK_KEEPS);
	struct simdisk *lost;

	if (e->failed || !rng_one_in(&e->rng, e->again_one_in))
		return;
	lost = simdisk_crash(d, keep, &e->rng);
	e->crashes_again++;
	if (e->judge(e->arg, lost, e->found) == EXPLORE_WRONG)
		say(e, "while recovering, at its", keep, step);
	else
		simdisk_free(lost);
}

static void lose_power(struct explore *e, const struct simdisk *d, enum simdisk_keep keep)
{
	struct simdisk *lost = simdisk_crash(d, keep, &e->rng), *again = NULL;

	if (e->again_one_in)
		again = simdisk_clone(lost);
	e->crashes++;
	e->found = e->judge(e->arg, lost, EXPLORE_ANY);
	if (e->found == EXPLORE_WRONG) {
		say(e, "at", keep, simdisk_steps(d));
		return;
	}
	simdisk_free(lost);
	if (!again)
		return;
	simdisk_set_hook(again, lose_power_again, e);
	if (e->judge(e->arg, again, e->found) == EXPLORE_WRONG)
		say(e, "before", keep, simdisk_steps(d));
	else if (e->failed)
		say(e, "before that, at", keep, simdisk_steps(d));
	else
		simdisk_free(again);
}

void explore_now(struct explore *e, const struct simdisk *d)
{
	for (int keep = 0; keep < SIMDISK_KEEPS && !e->failed; keep++)
		lose_power(e, d, (enum simdisk_keep)keep);
}

static void on_step(void *arg, const struct simdisk *d, uint64_t step)
{
	struct explore *e = arg;

	(void)step;
	if (e->failed || !rng_one_in(&e->rng, e->one_in))
		return;
	if (!simdisk_unsynced(d))
		lose_power(e, d, SIMDISK_KEEP); /* nothing that a policy could change */
	else if (e->keeps == SIMDISK_KEEPS)
		explore_now(e, d);
	else
		for (unsigned i = 0; i < e->keeps && !e->failed; i++)
			lose_power(e, d, (enum simdisk_keep)rng_below(&e->rng, SIMDISK_KEEPS));
}

void explore_attach(struct explore *e, struct simdisk *d)
{
	simdisk_set_hook(d, on_step, e);
}

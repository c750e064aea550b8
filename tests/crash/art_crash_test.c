/*
 * art_crash_test.c - the dictionary after power losses at any step of a run of random transactions.
 *
 *      states   s0 ── s1 ── s2 ── s3 ── s4          the model after each transaction
 *                            ▲           ▲
 *                          synced      last begun
 *
 * What is found after a crash must be one of the states from the synced one to the last one, whole:
 * so nothing acknowledged is lost, nothing is half there, and nothing later is there without what
 * was before. Then the dictionary must check clean and take new work. Log segments and the distance
 * of checkpoints are tiny, so that a run of some dozen transactions recycles the one and takes
 * several of the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>

#include "tests/harness/art_compare.h"
#include "tests/harness/explore.h"
#include "tests/harness/seed.h"
#include "tests/harness/workload.h"

enum { KIB = 1024, MIB = 1024 * 1024, QUICK_SECONDS = 14 };

static const struct art_format format = {.frame_bytes = 4 * KIB, .segment_bytes = 64 * KIB};

struct run {
	struct model **state;
	long states, synced;
	struct rng rng;
	struct explore explore;
};

static int open_art(struct simdisk *d, uint64_t checkpoint_bytes, struct io **io, struct art **a)
{
	const struct art_options opt = {
	        .cache_bytes = 2 * MIB, .checkpoint_bytes = checkpoint_bytes};
	struct why w = {""};
	int err;

	*io = simdisk_open(d);
	err = art_open(*io, &opt, a, &w);
	if (err)
		printf("# art_open: %d %s\n", err, w.text);
	return err;
}

static int close_art(struct io *io, struct art *a)
{
	const int err = art_close(a);

	io->ops->destroy(io);
	if (err)
		printf("# art_close: %d\n", err);
	return err;
}

/* New work, and all of it there after a reopen. */
static bool takes_work(struct simdisk *d, struct io *io, struct art *a, const struct model *found)
{
	const struct art_op op = {.type = ART_PUT, .key = {"~new", 4}, .value = {"work", 4}};
	struct model *m = model_clone(found);
	bool good = !model_commit(m, &op, 1) && !art_commit(a, &op, 1, NULL) &&
	            !art_sync(a, art_lsn(a)) && compare_all(a, m) && !close_art(io, a) &&
	            !open_art(d, MIB, &io, &a) && compare_all(a, m) && compare_check(a) &&
	            !close_art(io, a);

	model_free(m);
	return good;
}

static long judge(void *arg, struct simdisk *d, long which)
{
	struct run *run = arg;
	long i = which == EXPLORE_ANY ? run->synced : which;
	const long last = which == EXPLORE_ANY ? run->states - 1 : which;
	struct io *io;
	struct art *a;
	struct model *m;

	if (open_art(d, MIB, &io, &a) || !(m = compare_read(a)))
		return EXPLORE_WRONG;
	while (i <= last && !model_same(m, run->state[i]))
		i++;
	if (i > last) {
		printf("# none of the states %ld to %ld\n",
		        which == EXPLORE_ANY ? run->synced : which, last);
		compare_all(a, run->state[last]);
		return EXPLORE_WRONG;
	}
	if (!compare_all(a, m) || !compare_check(a) || art_checkpoint(a))
		return EXPLORE_WRONG;
	simdisk_set_hook(d, NULL, NULL);
	if (!takes_work(d, io, a, m))
		return EXPLORE_WRONG;
	model_free(m);
	return i;
}

/* One transaction; the states to be found include its outcome from now on. */
static void commit(struct run *run, struct art *a, struct workload *w)
{
	struct workload_txn t;
	struct model *next = model_clone(run->state[run->states - 1]);
	int wanted, got;

	workload_next(w, next, &t);
	wanted = t.record_bytes > format.segment_bytes / 4 ? -EMSGSIZE
	                                                   : model_commit(next, t.op, t.n);
	run->state = pages_memory(run->state, (size_t)(run->states + 1) * sizeof(*run->state));
	if (!wanted)
		run->state[run->states++] = next;
	else
		model_free(next);
	if (wanted != -EMSGSIZE) {
		got = art_commit(a, t.op, t.n, NULL);
		if (got != wanted)
			fail_msg("art_commit: %d instead of %d; replay: %s", got, wanted,
			        seed_replay());
	}
	workload_end(&t);
}

static void run_sequence(uint64_t seed, unsigned ops, struct explore *sum)
{
	struct simdisk *d = simdisk_new();
	struct run run = {.rng = rng_of(seed), .state = pages_memory(NULL, sizeof(*run.state))};
	struct workload w = {.rng = &run.rng,
	        .key_bytes_max = 700,
	        .value_bytes_max = 9000,
	        .keys_wanted = 60,
	        .fat = seed % 3 == 0};
	/* Either checkpoints as often as the log grows a little, or the log gets several segments
	 * first. */
	const uint64_t checkpoint_bytes = seed % 2 ? 48 * KIB : 400 * KIB;
	struct io *io = simdisk_open(d);
	struct art *a;

	run.state[run.states++] = model_new();
	assert_int_equal(art_format(io, &format, NULL), 0);
	io->ops->destroy(io);
	explore_init(&run.explore, seed, explore_exhaustive(), judge, &run);
	explore_attach(&run.explore, d);
	assert_int_equal(open_art(d, checkpoint_bytes, &io, &a), 0);
	while (ops-- > 0 && !run.explore.failed) {
		const uint64_t dice = rng_below(&run.rng, 20);
		if (dice > 4) {
			commit(&run, a, &w);
			continue;
		}
		assert_int_equal(dice ? art_sync(a, art_lsn(a)) : art_checkpoint(a), 0);
		run.synced = run.states - 1;
	}
	assert_int_equal(close_art(io, a), 0);
	run.synced = run.states - 1;
	explore_now(&run.explore, d);
	if (run.explore.failed)
		fail_msg("sequence with seed %" PRIu64, seed);
	sum->crashes += run.explore.crashes;
	sum->crashes_again += run.explore.crashes_again;
	for (long i = 0; i < run.states; i++)
		model_free(run.state[i]);
	free(run.state);
	simdisk_free(d);
}

static void random_transactions_survive_power_loss_at_any_step(void **state)
{
	const double until = seed_seconds() + QUICK_SECONDS;
	const uint64_t most = seed_env("OPS", explore_exhaustive() ? 100 : UINT64_MAX);
	const bool timed = most == UINT64_MAX;
	uint64_t seed = seed_get(), n = 0;
	struct explore sum = {0};

	(void)state;
	for (; n < most && (!timed || seed_seconds() < until); n++, seed++)
		run_sequence(seed, n % 4 == 3 ? 120 : 25, &sum);
	printf("# %" PRIu64 " sequences, %" PRIu64 " power losses, %" PRIu64 " more in recovery\n",
	        n, sum.crashes, sum.crashes_again);
}

/* The run goes on without power losses until the log of the manifest is about to become a new
 * snapshot. */
static void power_loss_while_the_manifest_is_compacted(void **state)
{
	enum { NEARLY = 240 * KIB, BEHIND = 3 };
	struct simdisk *d = simdisk_new();
	struct run run = {
	        .rng = rng_of(seed_get()), .state = pages_memory(NULL, sizeof(*run.state))};
	struct io *io = simdisk_open(d);
	struct art *a;
	unsigned behind = 0;
	uint64_t longest = 0;

	(void)state;
	run.state[run.states++] = model_new();
	assert_int_equal(art_format(io, &format, NULL), 0);
	io->ops->destroy(io);
	explore_init(&run.explore, seed_get(), explore_exhaustive(), judge, &run);
	run.explore.one_in = 1; /* few steps, all of interest */
	assert_int_equal(open_art(d, MIB, &io, &a), 0);
	for (uint64_t i = 0; behind < BEHIND && !run.explore.failed; i++) {
		const uint64_t key = i % 5;
		const struct art_op op = {.type = ART_PUT, .key = {&key, 8}, .value = {&i, 8}};
		struct art_stat stat;
		run.state = pages_memory(run.state, (size_t)(run.states + 1) * sizeof(*run.state));
		run.state[run.states] = model_clone(run.state[run.states - 1]);
		assert_int_equal(model_commit(run.state[run.states++], &op, 1), 0);
		assert_int_equal(art_commit(a, &op, 1, NULL), 0);
		assert_int_equal(art_checkpoint(a), 0);
		run.synced = run.states - 1;
		art_stat(a, &stat);
		if (stat.store.manifest_log_bytes > NEARLY)
			explore_attach(&run.explore, d);
		if (stat.store.manifest_log_bytes > longest)
			longest = stat.store.manifest_log_bytes;
		behind += stat.store.manifest_log_bytes < longest;
		assert_true(i < 10000);
	}
	assert_false(run.explore.failed);
	assert_true(run.explore.crashes > 20);
	assert_int_equal(close_art(io, a), 0);
	for (long i = 0; i < run.states; i++)
		model_free(run.state[i]);
	free(run.state);
	simdisk_free(d);
}

/* mkfs interrupted anywhere: a whole empty dictionary, or a refusal that says why. */
static long judge_format(void *arg, struct simdisk *d, long which)
{
	const struct art_options opt = {.cache_bytes = MIB};
	struct io *io = simdisk_open(d);
	struct art *a;
	struct why w = {""};
	const int err = art_open(io, &opt, &a, &w);
	struct art_stat stat = {0};
	int closed = 0;

	(void)arg;
	(void)which;
	if (!err) {
		art_stat(a, &stat);
		closed = art_close(a);
	} else if (!w.text[0]) {
		printf("# art_open gives %d and no reason\n", err);
	}
	io->ops->destroy(io);
	return closed || stat.keys || (err && !w.text[0]) ? EXPLORE_WRONG : !err;
}

static void interrupted_format_is_refused_or_whole(void **state)
{
	struct simdisk *d = simdisk_new();
	struct explore e;
	struct io *io = simdisk_open(d);

	(void)state;
	explore_init(&e, seed_get(), true, judge_format, NULL);
	e.again_one_in = 0;
	explore_attach(&e, d);
	assert_int_equal(art_format(io, &format, NULL), 0);
	assert_false(e.failed);
	io->ops->destroy(io);
	assert_int_equal(judge_format(NULL, d, EXPLORE_ANY), 1);
	simdisk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(interrupted_format_is_refused_or_whole),
	        cmocka_unit_test(power_loss_while_the_manifest_is_compacted),
	        cmocka_unit_test(random_transactions_survive_power_loss_at_any_step),
	};
	return cmocka_run_group_tests_name("art crash", tests, NULL, NULL);
}

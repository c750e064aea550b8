/*
 * art_model_test.c - random transactions on the dictionary and on a sorted array, compared after
 * each.
 *
 *      random transaction ─┬─► art (on a simulated disk, cache of a few frames) ─┐
 *                          └─► model ────────────────────────────────────────────┴─► the same?
 *
 * OPS= says how many transactions each world gets (otherwise they share about 15 seconds), SEED=
 * which.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>

#include "tests/harness/art_compare.h"
#include "tests/harness/seed.h"
#include "tests/harness/simdisk.h"
#include "tests/harness/workload.h"

struct world {
	const char *name;
	struct art_format format;
	size_t cache_bytes;
	uint64_t checkpoint_bytes;
	size_t key_bytes_max, value_bytes_max, keys_wanted;
	double seconds;
};

struct run {
	const struct world *world;
	struct simdisk *disk;
	struct io *io;
	struct art *a;
	struct model *m;
	struct rng rng;
	struct workload w;
	uint64_t op;
};

static void fail_at(const struct run *run, const char *what)
{
	fail_msg("%s at op %" PRIu64 " of world %s; replay: %s", what, run->op, run->world->name,
	        seed_replay());
}

static void open_art(struct run *run)
{
	const struct art_options opt = {.cache_bytes = run->world->cache_bytes,
	        .checkpoint_bytes = run->world->checkpoint_bytes};
	struct why w = {""};
	int err;

	run->io = simdisk_open(run->disk);
	err = art_open(run->io, &opt, &run->a, &w);
	if (err) {
		printf("# art_open: %d %s\n", err, w.text);
		fail_at(run, "open");
	}
}

static void close_art(struct run *run)
{
	const int err = art_close(run->a);

	run->io->ops->destroy(run->io);
	if (err)
		fail_at(run, "close");
}

/* A refusal changes nothing: then the model has not changed either. */
static void commit(struct run *run)
{
	struct workload_txn t;
	struct model *before = model_clone(run->m);
	uint64_t lsn = 0;
	int wanted, got;

	workload_next(&run->w, run->m, &t);
	wanted = model_commit(run->m, t.op, t.n);
	got = art_commit(run->a, t.op, t.n, &lsn);
	if (!wanted && got == -EMSGSIZE && t.record_bytes > run->world->format.segment_bytes / 4) {
		model_free(run->m);
		run->m = model_clone(before);
		wanted = got;
	}
	if (got != wanted) {
		compare_say("art_commit", t.op[0].key, got, wanted);
		fail_at(run, "answer");
	}
	if (!got && lsn != art_lsn(run->a))
		fail_at(run, "lsn");
	for (unsigned i = 0; i < t.n; i++)
		if (t.op[i].key.bytes && !compare_get(run->a, run->m, t.op[i].key))
			fail_at(run, "value");
	model_free(before);
	workload_end(&t);
}

static void look(struct run *run)
{
	struct workload_bytes key = workload_near(&run->w, run->m);
	struct workload_bytes after = workload_near(&run->w, run->m);
	const struct art_bytes k = {key.data, key.bytes}, all = {"", 0};
	struct art_bytes rest = {after.data, after.bytes};
	const int delimiter = rng_one_in(&run->rng, 3) ? ART_NO_DELIMITER : '/';
	bool same = compare_get(run->a, run->m, k) && compare_longest(run->a, run->m, k);

	same = same && compare_scan(run->a, run->m, k, delimiter, NULL, 50);
	if (model_begins(rest, k))
		rest = (struct art_bytes){after.data + k.bytes, rest.bytes - k.bytes};
	same = same && compare_scan(run->a, run->m, k, delimiter, &rest, 20);
	same = same && compare_scan(run->a, run->m, all, delimiter, &k, 20);
	if (!same)
		fail_at(run, "reading");
	free(key.data);
	free(after.data);
}

static void one_op(struct run *run)
{
	switch (rng_below(&run->rng, 400)) {
	case 0:
		if (art_checkpoint(run->a))
			fail_at(run, "checkpoint");
		break;
	case 1:
		if (art_sync(run->a, art_lsn(run->a)))
			fail_at(run, "sync");
		break;
	case 2:
		close_art(run);
		open_art(run);
		break;
	case 3:
		if (!compare_check(run->a))
			fail_at(run, "check");
		break;
	case 4:
		if (!compare_all(run->a, run->m))
			fail_at(run, "comparison");
		break;
	case 5 ... 150:
		look(run);
		break;
	default:
		commit(run);
		break;
	}
}

static void run_world(const struct world *world, uint64_t seed)
{
	struct run run = {.world = world, .disk = simdisk_new(), .m = model_new()};
	const uint64_t ops = seed_env("OPS", 0);
	const double until = seed_seconds() + world->seconds;
	struct art_stat stat;

	run.rng = rng_of(seed);
	run.w = (struct workload){.rng = &run.rng,
	        .key_bytes_max = world->key_bytes_max,
	        .value_bytes_max = world->value_bytes_max,
	        .keys_wanted = world->keys_wanted,
	        .refusals = true};
	run.io = simdisk_open(run.disk);
	assert_int_equal(art_format(run.io, &world->format, NULL), 0);
	run.io->ops->destroy(run.io);
	open_art(&run);
	while (ops ? run.op < ops : seed_seconds() < until) {
		one_op(&run);
		run.op++;
	}
	close_art(&run);
	open_art(&run);
	if (!compare_all(run.a, run.m) || !compare_check(run.a))
		fail_at(&run, "end");
	art_stat(run.a, &stat);
	printf("# %s: %" PRIu64 " ops, %zu keys, cache %" PRIu64 ", misses %" PRIu64 "\n",
	        world->name, run.op, model_keys(run.m), stat.store.cache_bytes,
	        stat.store.cache_misses);
	close_art(&run);
	model_free(run.m);
	simdisk_free(run.disk);
}

enum { KIB = 1024, MIB = 1024 * 1024 };

static void frames_of_4k_with_a_tiny_cache(void **state)
{
	static const struct world w = {
	        "4k", {4 * KIB, 0, 512 * KIB}, 512 * KIB, 256 * KIB, 2000, 100000, 3000, 4};

	(void)state;
	run_world(&w, seed_get());
}

static void frames_of_4k_with_many_keys(void **state)
{
	static const struct world w = {
	        "4k-many", {4 * KIB, 0, 512 * KIB}, 2 * MIB, 1 * MIB, 300, 1000, 20000, 3};

	(void)state;
	run_world(&w, seed_get() + 1);
}

static void frames_of_16k_with_long_keys(void **state)
{
	static const struct world w = {"16k", {16 * KIB, 0, 1 * MIB}, 4 * MIB, 1 * MIB, 64 * KIB,
	        ART_VALUE_BYTES_MAX, 2000, 4};

	(void)state;
	run_world(&w, seed_get() + 2);
}

static void frames_of_64k(void **state)
{
	static const struct world w = {"64k", {64 * KIB, 0, 1 * MIB}, 6 * MIB, 2 * MIB, 20000,
	        ART_VALUE_BYTES_MAX, 8000, 4};

	(void)state;
	run_world(&w, seed_get() + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(frames_of_4k_with_a_tiny_cache),
	        cmocka_unit_test(frames_of_4k_with_many_keys),
	        cmocka_unit_test(frames_of_16k_with_long_keys),
	        cmocka_unit_test(frames_of_64k),
	};
	return cmocka_run_group_tests_name("art model", tests, NULL, NULL);
}

/*
 * art_fault_test.c - the n-th call of the disk or of the heap fails, for every n, under a
 * dictionary at work.
 *
 *      template ── clone ── fault armed ── open ── transactions, syncs, checkpoints, reopen ──
 * healed │ reads as the model says ◄── work goes on, or fail-stop until reopened ┘
 *
 * Whatever fails: a call succeeds or says so, and a transaction that was refused has changed
 * nothing. No memory and no room: work goes on. A write or sync that failed: -EIO for ever (W4),
 * and the next to open finds everything acknowledged, which a power loss then cannot take away
 * either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>

#include "tests/harness/alloc_fault.h"
#include "tests/harness/art_compare.h"
#include "tests/harness/seed.h"
#include "tests/harness/simdisk.h"
#include "tests/harness/workload.h"

enum { KIB = 1024, MIB = 1024 * 1024, OPS = 240, QUICK_RUNS = 250 };

static const struct art_format format = {.frame_bytes = 4 * KIB, .segment_bytes = 64 * KIB};

/* What is to fail. calls 0: memory. */
struct fault {
	const char *name;
	unsigned calls;
	int error;
	uint64_t times;
	enum { GOES_ON, MAY_STOP, STOPS } answer; /* is fail-stop the answer to it? */
};

struct run {
	const struct fault *fault;
	uint64_t n;
	struct simdisk *disk;
	struct io *io;
	struct art *a;
	struct model *state[OPS + 2];
	unsigned states, synced;
	bool struck; /* and healed again since */
	struct rng rng;
};

static void fail_at(const struct run *run, const char *what, int err)
{
	alloc_fault(0, 0); /* the report needs memory */
	fail_msg("%s (%d) with fault %s number %" PRIu64 "; replay: %s", what, err,
	        run->fault->name, run->n, seed_replay());
}

static void arm(const struct run *run)
{
	if (run->fault->calls)
		simdisk_fail(
		        run->disk, run->fault->calls, run->n, run->fault->times, run->fault->error);
	else
		alloc_fault(run->n, run->fault->times);
}

static bool has_struck(const struct run *run)
{
	return run->fault->calls ? simdisk_failures(run->disk) : alloc_fault_failures();
}

/* Whether it had struck, before now. */
static bool heal(struct run *run)
{
	run->struck |= has_struck(run);
	simdisk_fail(run->disk, 0, 0, 0, 0);
	alloc_fault(0, 0);
	return run->struck;
}

static int open_art(struct run *run)
{
	const struct art_options opt = {.cache_bytes = MIB, .checkpoint_bytes = 24 * KIB};
	int err;

	run->io = simdisk_open(run->disk);
	err = art_open(run->io, &opt, &run->a, NULL);
	if (err)
		run->io->ops->destroy(run->io);
	return err;
}

static int close_art(struct run *run)
{
	const int err = art_close(run->a);

	run->io->ops->destroy(run->io);
	return err;
}

static struct model *last(const struct run *run)
{
	return run->state[run->states - 1];
}

/* An answer that the model does not give: only after the fault has struck. */
static void expect_excuse(const struct run *run, const char *what, int err)
{
	if (err >= 0 || !(run->struck || has_struck(run)))
		fail_at(run, what, err);
	if (err == -EIO && run->fault->answer == STOPS && !art_failed(run->a))
		fail_at(run, "-EIO, but no fail-stop", err);
	if (art_failed(run->a) && run->fault->answer == GOES_ON)
		fail_at(run, "fail-stop, but nothing was written or lost", err);
}

static void commit(struct run *run, struct workload *w)
{
	struct workload_txn t;
	struct model *next = model_clone(last(run));
	int wanted, got;

	workload_next(w, next, &t);
	wanted = model_commit(next, t.op, t.n);
	got = t.record_bytes > format.segment_bytes / 4 ? -EMSGSIZE
	                                                : art_commit(run->a, t.op, t.n, NULL);
	if (!got && !wanted) {
		run->state[run->states++] = next;
	} else {
		model_free(next);
		if (got != wanted && got != -EMSGSIZE)
			expect_excuse(run, "art_commit", got);
	}
	workload_end(&t);
}

static void settle(struct run *run, bool checkpoint)
{
	const int err = checkpoint ? art_checkpoint(run->a) : art_sync(run->a, art_lsn(run->a));

	if (!err)
		run->synced = run->states - 1;
	else
		expect_excuse(run, checkpoint ? "art_checkpoint" : "art_sync", err);
}

/* W4: healed or not, nothing is written any more; reads go on. */
static void expect_stopped(struct run *run)
{
	const struct art_op op = {.type = ART_PUT, .key = {"k", 1}, .value = {"v", 1}};
	int err;

	for (int i = 0; i < 2; i++) {
		if ((err = art_commit(run->a, &op, 1, NULL)) != -EIO)
			fail_at(run, "art_commit after fail-stop", err);
		/* 0 is true when all of it had become durable before. */
		err = art_sync(run->a, art_lsn(run->a));
		if (!err)
			run->synced = run->states - 1;
		else if (err != -EIO)
			fail_at(run, "art_sync after fail-stop", err);
		if ((err = art_checkpoint(run->a)) != -EIO)
			fail_at(run, "art_checkpoint after fail-stop", err);
	}
	if (!compare_all(run->a, last(run)))
		fail_at(run, "reading after fail-stop", 0);
}

/* Opens what is there now: a state between the synced one and the last one. */
static unsigned expect_recovered(struct run *run)
{
	unsigned i = run->synced;
	struct model *m;
	const int err = open_art(run);

	if (err)
		fail_at(run, "opening the healed disk", err);
	m = compare_read(run->a);
	while (m && i < run->states && !model_same(m, run->state[i]))
		i++;
	if (!m || i == run->states || !compare_check(run->a))
		fail_at(run, "state after reopening", (int)i);
	model_free(m);
	return i;
}

static void expect_survival(struct run *run)
{
	struct simdisk *lost;
	int err;

	run->synced = expect_recovered(run);
	err = art_sync(run->a, art_lsn(run->a));
	if (err)
		fail_at(run, "art_sync on the healed disk", err);
	lost = simdisk_crash(run->disk, SIMDISK_DROP, &run->rng);
	close_art(run);
	simdisk_free(run->disk);
	run->disk = lost;
	const unsigned found = expect_recovered(run);
	if (found != run->synced && !model_same(run->state[found], run->state[run->synced]))
		fail_at(run, "state after reopening and power loss", (int)found);
	err = close_art(run);
	if (err)
		fail_at(run, "closing", err);
}

static void reopen(struct run *run)
{
	int err = close_art(run);

	if (!err)
		run->synced = run->states - 1;
	else if (!run->struck && !has_struck(run))
		fail_at(run, "art_close", err);
	err = open_art(run);
	if (!err)
		return;
	if (!heal(run))
		fail_at(run, "art_open", err);
	run->synced = expect_recovered(run);
	/* What was not there any more is not part of the run. */
	while (run->states > run->synced + 1)
		model_free(run->state[--run->states]);
}

/* Returns false when the run was over before the n-th call. */
static bool run_once(const struct simdisk *template, const struct model *start, uint64_t seed,
        const struct fault *fault, uint64_t n)
{
	struct run run = {.fault = fault,
	        .n = n,
	        .disk = simdisk_clone(template),
	        .rng = rng_of(seed),
	        .state = {model_clone(start)},
	        .states = 1};
	struct workload w = {
	        .rng = &run.rng, .key_bytes_max = 300, .value_bytes_max = 6000, .keys_wanted = 80};
	bool struck;
	int err;

	arm(&run);
	err = open_art(&run);
	if (err) {
		if (!heal(&run))
			fail_at(&run, "art_open", err);
		expect_recovered(&run);
		arm(&run);
	}
	for (unsigned i = 0; i < OPS && !art_failed(run.a); i++) {
		if (i == OPS / 2)
			reopen(&run);
		else if (i % 10 == 9)
			settle(&run, i % 20 == 9);
		else
			commit(&run, &w);
	}
	struck = heal(&run);
	if (art_failed(run.a)) {
		if (!struck)
			fail_at(&run, "fail-stop without a reason", 0);
		expect_stopped(&run);
		close_art(&run);
	} else {
		if (!compare_all(run.a, last(&run)) || !compare_check(run.a))
			fail_at(&run, "state", 0);
		err = close_art(&run);
		if (err)
			fail_at(&run, "closing the healed dictionary", err);
		run.synced = run.states - 1;
	}
	expect_survival(&run);
	while (run.states > 0)
		model_free(run.state[--run.states]);
	simdisk_free(run.disk);
	return struck;
}

/* Some keys in all homes, in more frames than one, checkpointed in part. */
static struct simdisk *prepare(struct model **out)
{
	static const struct fault none = {.name = "none", .calls = SIMDISK_ANY};
	struct run run = {.fault = &none, .disk = simdisk_new(), .rng = rng_of(1)};
	struct workload w = {
	        .rng = &run.rng, .key_bytes_max = 300, .value_bytes_max = 6000, .keys_wanted = 80};

	run.io = simdisk_open(run.disk);
	assert_int_equal(art_format(run.io, &format, NULL), 0);
	run.io->ops->destroy(run.io);
	assert_int_equal(open_art(&run), 0);
	*out = model_new();
	for (int i = 0; i < 150; i++) {
		struct workload_txn t;
		workload_next(&w, *out, &t);
		if (t.record_bytes <= format.segment_bytes / 4) {
			const int wanted = model_commit(*out, t.op, t.n);
			assert_int_equal(art_commit(run.a, t.op, t.n, NULL), wanted);
		}
		workload_end(&t);
	}
	assert_int_equal(close_art(&run), 0);
	return run.disk;
}

static void fail_every_call(const struct fault *fault)
{
	struct model *start;
	struct simdisk *template = prepare(&start);
	struct rng r = rng_of(seed_get());
	const bool all = seed_env("EXHAUSTIVE", 0);
	uint64_t n = 0, runs = 0, stride = 1;

	while (run_once(template, start, seed_get(), fault, n)) {
		runs++;
		if (!all && runs % QUICK_RUNS == 0)
			stride *= 8;
		n += rng_between(&r, 1, 2 * stride - 1);
	}
	printf("# %s: %" PRIu64 " runs, the last without the fault at %" PRIu64 "\n", fault->name,
	        runs, n);
	assert_true(runs > 0);
	model_free(start);
	simdisk_free(template);
}

static void every_read_fails_once(void **state)
{
	(void)state;
	fail_every_call(&(struct fault){"read", SIMDISK_READ, -EIO, 1, MAY_STOP});
}

static void every_write_fails_once(void **state)
{
	(void)state;
	fail_every_call(&(struct fault){"write", SIMDISK_WRITE, -EIO, 1, STOPS});
}

static void every_sync_fails_once(void **state)
{
	(void)state;
	fail_every_call(&(struct fault){"sync", SIMDISK_SYNC | SIMDISK_SYNC_DIR, -EIO, 1, STOPS});
}

static void the_disk_dies_at_every_call(void **state)
{
	(void)state;
	fail_every_call(&(struct fault){"dead disk",
	        SIMDISK_WRITE | SIMDISK_SYNC | SIMDISK_SYNC_DIR, -EIO, SIMDISK_FOREVER, STOPS});
}

static void every_allocation_of_blocks_fails_once(void **state)
{
	(void)state;
	fail_every_call(&(struct fault){"allocate", SIMDISK_ALLOCATE, -ENOSPC, 1, GOES_ON});
}

static void every_open_fails_once(void **state)
{
	(void)state;
	fail_every_call(&(struct fault){"open", SIMDISK_OPEN, -EMFILE, 1, MAY_STOP});
}

static void every_change_of_names_and_sizes_fails_once(void **state)
{
	(void)state;
	fail_every_call(&(struct fault){"names",
	        SIMDISK_RENAME | SIMDISK_UNLINK | SIMDISK_MKDIR | SIMDISK_TRUNCATE | SIMDISK_PUNCH |
	                SIMDISK_LIST | SIMDISK_SIZE,
	        -EIO, 1, MAY_STOP});
}

static void every_allocation_of_memory_fails_once(void **state)
{
	(void)state;
	fail_every_call(&(struct fault){"memory", 0, -ENOMEM, 1, GOES_ON});
}

/* ---- out of space (W5) ---- */

static int put_number(struct art *a, struct model *m, uint32_t number, size_t bytes)
{
	uint8_t value[8 * KIB];
	char key[32];
	const int n = snprintf(key, sizeof(key), "dir/%06u", number);
	const struct art_op op = {
	        .type = ART_PUT, .key = {key, (size_t)n}, .value = {value, bytes}};
	int err;

	memset(value, (int)number, sizeof(value));
	err = art_commit(a, &op, 1, NULL);
	if (!err)
		assert_int_equal(model_commit(m, &op, 1), 0);
	return err;
}

static unsigned fill(struct art *a, struct model *m, uint32_t first)
{
	static const size_t sizes[] = {20, 200, 800, 5000};
	unsigned n = 0;
	int err;

	while (!(err = put_number(a, m, first + n, sizes[n % 4])))
		n++;
	if (err != -ENOSPC || art_failed(a))
		fail_msg("%d instead of -ENOSPC after %u keys; replay: %s", err, n, seed_replay());
	return n;
}

static void remove_all_but(struct art *a, struct model *m, unsigned every)
{
	for (size_t i = model_keys(m); i-- > 0;) {
		struct art_op op = {.type = ART_REMOVE, .key = model_key(m, i)};
		int err;
		if (i % every == 0)
			continue;
		err = art_commit(a, &op, 1, NULL);
		if (err)
			fail_msg(
			        "removing with a full disk: %d, %zu keys left", err, model_keys(m));
		model_commit(m, &op, 1);
	}
}

static void fill_and_empty(const struct art_format *fmt, uint64_t capacity)
{
	static const struct fault none = {.name = "full disk", .calls = SIMDISK_ANY};
	struct run run = {.fault = &none, .disk = simdisk_new()};
	struct model *m = model_new();
	unsigned first, again;

	run.io = simdisk_open(run.disk);
	assert_int_equal(art_format(run.io, fmt, NULL), 0);
	run.io->ops->destroy(run.io);
	simdisk_set_capacity(run.disk, capacity);
	assert_int_equal(open_art(&run), 0);
	first = fill(run.a, m, 0);
	for (unsigned round = 1; round <= 3; round++) {
		assert_true(compare_all(run.a, m));
		assert_int_equal(art_sync(run.a, art_lsn(run.a)), 0);
		remove_all_but(run.a, m, 8);
		assert_true(compare_all(run.a, m) && compare_check(run.a));
		again = fill(run.a, m, round * 100000);
		if (again < first / 2)
			fail_msg("only %u keys of %u fit again in round %u", again, first, round);
	}
	assert_int_equal(close_art(&run), 0);
	assert_int_equal(open_art(&run), 0);
	assert_true(compare_all(run.a, m) && compare_check(run.a));
	remove_all_but(run.a, m, 8);
	assert_int_equal(close_art(&run), 0);
	model_free(m);
	simdisk_free(run.disk);
}

static void full_host_reads_removes_and_writes_again(void **state)
{
	(void)state;
	fill_and_empty(&format, 6 * MIB);
}

static void full_store_reads_removes_and_writes_again(void **state)
{
	static const struct art_format small = {
	        .frame_bytes = 4 * KIB, .segment_bytes = 64 * KIB, .size_max = 3 * MIB};

	(void)state;
	fill_and_empty(&small, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_read_fails_once),
	        cmocka_unit_test(every_write_fails_once),
	        cmocka_unit_test(every_sync_fails_once),
	        cmocka_unit_test(the_disk_dies_at_every_call),
	        cmocka_unit_test(every_allocation_of_blocks_fails_once),
	        cmocka_unit_test(every_open_fails_once),
	        cmocka_unit_test(every_change_of_names_and_sizes_fails_once),
	        cmocka_unit_test(every_allocation_of_memory_fails_once),
	        cmocka_unit_test(full_host_reads_removes_and_writes_again),
	        cmocka_unit_test(full_store_reads_removes_and_writes_again),
	};
	return cmocka_run_group_tests_name("art fault", tests, NULL, NULL);
}

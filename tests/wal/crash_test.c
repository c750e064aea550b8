/*
 * crash_test.c - a log on a disk that loses power at any moment, and again while it is being
 * repaired.
 *
 *   append, sync, trim, reopen ... ─► at some steps: a copy loses power ─► replay ─┬─► judged
 *                                                                  loses power ─► replay ─► judged
 *
 * Judged: what replay gives is what was appended, in order, without a gap, from the image's LSN to
 * at least the last record acknowledged; what is then appended and synced is there after one more
 * power loss.
 *
 * A record carries its number and its generation. Whatever was lost is appended again under the
 * same number, with the same size more often than not, but of a new generation: so a record that
 * comes back from the dead shows. Flushes fail as well; the log is then opened again on the same
 * disk, whose reads show what never will be durable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/seed.h"
#include "tests/harness/simdisk.h"
#include "wal/wal.h"

enum {
	ROUNDS = 6,
	RECORDS = 500,
	RECORDS_MAX = RECORDS + 64, /* those that are appended after a crash included */
	PAYLOAD_MAX = WAL_SEGMENT_MIN / 4 - 32,
	CRASHES_MAX = 3,  /* power losses in a row */
	CRASH_ONE_IN = 3, /* steps */
};

/* What the test knows about one disk; a disk that has lost power goes on with a copy. */
struct world {
	struct simdisk *disk;
	struct io *io;
	struct wal *w;
	struct rng *rng;
	unsigned crashes;
	uint32_t appended, acknowledged, trimmed; /* records */
	uint32_t generation;
	uint32_t generations[RECORDS_MAX];
	uint64_t lsns[RECORDS_MAX];
	uint32_t seen; /* by replay: the number expected next */
};

static uint64_t lsn_behind(const struct world *w, uint32_t records)
{
	return records ? w->lsns[records - 1] : 0;
}

static size_t size_of(uint32_t number)
{
	struct rng r = rng_of(number);
	return 8 + rng_below(&r, rng_below(&r, 12) ? 1500 : PAYLOAD_MAX - 8);
}

static int judge_record(void *arg, uint64_t lsn, uint16_t type, const void *payload, size_t bytes)
{
	struct world *w = arg;
	uint32_t is[2];
	memcpy(is, payload, sizeof(is));
	assert_true(w->seen < w->appended);
	assert_int_equal(is[0], w->seen);
	assert_int_equal(is[1], w->generations[w->seen]);
	assert_int_equal(type, (uint16_t)w->seen);
	assert_int_equal(lsn, w->lsns[w->seen]);
	assert_true(bytes >= sizeof(is));
	w->seen++;
	return 0;
}

/* Replays; what is found becomes what there is. */
static int open_log(struct world *w)
{
	const struct wal_options opt = {.segment_bytes = WAL_SEGMENT_MIN};
	struct why why = {{0}};
	w->w = NULL;
	w->seen = w->trimmed;
	int r = wal_open(w->io, &opt, &w->w, &why);
	if (!r)
		r = wal_replay(w->w, lsn_behind(w, w->trimmed), judge_record, w, &why);
	if (r) {
		if (r != -EIO)
			print_error("%s\n", why.text);
		wal_close(w->w);
		w->w = NULL;
		return r;
	}
	assert_true(w->seen >= w->acknowledged);
	w->appended = w->acknowledged = w->seen;
	w->generation++;
	return 0;
}

static int append(struct world *w)
{
	uint8_t payload[PAYLOAD_MAX] = {0};
	/* Mostly as large as any other generation of it. */
	const size_t bytes =
	        size_of(rng_below(w->rng, 10) ? w->appended : (uint32_t)rng_u64(w->rng));
	const int r = wal_reserve(w->w, bytes);
	if (r)
		return r;
	const uint32_t number = w->appended++;
	const uint32_t is[2] = {number, w->generation};
	memcpy(payload, is, sizeof(is));
	w->generations[number] = w->generation;
	const struct iovec piece = {payload, bytes};
	w->lsns[number] = wal_append(w->w, (uint16_t)number, &piece, 1);
	return 0;
}

static int sync_to(struct world *w, uint32_t records)
{
	const int r = wal_sync(w->w, lsn_behind(w, records));
	if (!r && records > w->acknowledged)
		w->acknowledged = records;
	return r;
}

static void lose_power(void *arg, const struct simdisk *d, uint64_t step);

/* Judges what a power loss of `d` at this moment leaves. */
static void judge_crash(const struct world *before, const struct simdisk *d)
{
	struct world *w = malloc(sizeof(*w));
	assert_non_null(w);
	*w = *before;
	w->crashes++;
	w->disk = simdisk_crash(d, rng_below(w->rng, SIMDISK_KEEPS), w->rng);
	w->io = simdisk_open(w->disk);
	if (w->crashes < CRASHES_MAX)
		simdisk_set_hook(w->disk, lose_power, w);
	assert_int_equal(open_log(w), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(append(w), 0);
	assert_int_equal(sync_to(w, w->appended), 0);
	wal_close(w->w);

	struct simdisk *after = simdisk_crash(w->disk, rng_below(w->rng, SIMDISK_KEEPS), w->rng);
	w->io->ops->destroy(w->io);
	simdisk_free(w->disk);
	w->io = simdisk_open(after);
	assert_int_equal(open_log(w), 0);
	wal_close(w->w);
	w->io->ops->destroy(w->io);
	simdisk_free(after);
	free(w);
}

static void lose_power(void *arg, const struct simdisk *d, uint64_t step)
{
	const struct world *w = arg;
	(void)step;
	if (rng_below(w->rng, w->crashes ? 10 : CRASH_ONE_IN) == 0)
		judge_crash(w, d);
}

static int random_step(struct world *w)
{
	const uint64_t dice = rng_below(w->rng, 100);
	int r = 0;
	if (dice < 70)
		return append(w);
	if (dice < 92)
		return sync_to(w, (uint32_t)rng_between(w->rng, w->acknowledged, w->appended));
	if (dice < 96) {
		w->trimmed = (uint32_t)rng_between(w->rng, w->trimmed, w->acknowledged);
		return wal_trim(w->w, lsn_behind(w, w->trimmed));
	}
	if (dice == 98) {
		/* The image is durable, as far as the log is. */
		r = sync_to(w, w->appended);
		if (!r) {
			w->trimmed = w->appended;
			r = wal_shrink(w->w, lsn_behind(w, w->trimmed));
		}
		return r;
	}
	if (dice == 99) {
		wal_close(w->w);
		r = open_log(w);
	}
	return r;
}

/* After a failure (W4): the same disk, the same machine, a new process. */
static void go_on_after_failure(struct world *w)
{
	wal_close(w->w);
	simdisk_fail(w->disk, SIMDISK_ANY, 0, 0, 0);
	assert_int_equal(open_log(w), 0);
}

static struct world *new_world(struct rng *r)
{
	const struct wal_options opt = {.segment_bytes = WAL_SEGMENT_MIN};
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->rng = r;
	w->disk = simdisk_new();
	w->io = simdisk_open(w->disk);
	assert_int_equal(wal_format(w->io, &opt, 0, NULL), 0);
	return w;
}

static void free_world(struct world *w)
{
	wal_close(w->w);
	w->io->ops->destroy(w->io);
	simdisk_free(w->disk);
	free(w);
}

static void run(struct rng *r, unsigned failing_calls)
{
	struct world *w = new_world(r);
	simdisk_set_hook(w->disk, lose_power, w);
	assert_int_equal(open_log(w), 0);
	while (w->appended < RECORDS) {
		if (failing_calls && rng_below(r, 40) == 0)
			simdisk_fail(w->disk, failing_calls, rng_below(r, 4), 1, -EIO);
		const int answer = random_step(w);
		if (answer) {
			assert_int_equal(answer, -EIO);
			assert_true(simdisk_failures(w->disk) > 0);
			go_on_after_failure(w);
		}
	}
	free_world(w);
}

static struct rng rng;

/* Judges power losses of every kind, now and behind one more record. */
static void judge_crashes(struct world *w)
{
	for (int more = 0; more < 3; more++) {
		for (int i = 0; i < 30; i++)
			judge_crash(w, w->disk);
		assert_int_equal(append(w), 0);
		assert_int_equal(sync_to(w, w->appended), 0);
	}
}

static void header_that_was_never_durable_is_written_again(void **state)
{
	(void)state;
	for (int appends = 0; appends < 200; appends = 3 * appends + 1) {
		struct world *w = new_world(&rng);
		assert_int_equal(open_log(w), 0);
		while (appends > (int)w->appended)
			assert_int_equal(append(w), 0);
		assert_int_equal(sync_to(w, w->appended), 0);
		assert_int_equal(wal_trim(w->w, lsn_behind(w, w->appended)), 0);
		w->trimmed = w->appended;
		simdisk_fail(w->disk, SIMDISK_SYNC, 0, 1, -EIO);
		assert_int_equal(wal_shrink(w->w, lsn_behind(w, w->trimmed)), -EIO);
		go_on_after_failure(w);
		judge_crashes(w);
		free_world(w);
	}
}

static void name_that_was_removed_in_vain_does_not_meet_a_shrunk_log(void **state)
{
	(void)state;
	struct world *w = new_world(&rng);
	assert_int_equal(open_log(w), 0);
	/* The first segment is left, and the second is the last: no other name is removed later. */
	struct wal_stat st;
	do {
		assert_int_equal(append(w), 0);
		wal_stat(w->w, &st);
	} while (st.spares);
	assert_int_equal(sync_to(w, w->appended), 0);
	w->trimmed = w->appended;
	simdisk_fail(w->disk, SIMDISK_WRITE, 0, 1, -EIO);
	assert_int_equal(wal_trim(w->w, lsn_behind(w, w->trimmed)), -EIO);
	go_on_after_failure(w);
	assert_int_equal(wal_shrink(w->w, lsn_behind(w, w->trimmed)), 0);
	judge_crashes(w);
	free_world(w);
}

static void rounds(unsigned failing_calls)
{
	for (int i = 0; i < ROUNDS; i++)
		run(&rng, failing_calls);
}

static void power_loss_at_any_step_keeps_what_was_acknowledged(void **state)
{
	(void)state;
	rounds(0);
}

static void failed_flush_then_power_loss_keeps_what_was_acknowledged(void **state)
{
	(void)state;
	rounds(SIMDISK_SYNC);
}

static void failed_write_then_power_loss_keeps_what_was_acknowledged(void **state)
{
	(void)state;
	rounds(SIMDISK_WRITE);
}

int main(void)
{
	rng = rng_of(seed_get());
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(header_that_was_never_durable_is_written_again),
	        cmocka_unit_test(name_that_was_removed_in_vain_does_not_meet_a_shrunk_log),
	        cmocka_unit_test(power_loss_at_any_step_keeps_what_was_acknowledged),
	        cmocka_unit_test(failed_flush_then_power_loss_keeps_what_was_acknowledged),
	        cmocka_unit_test(failed_write_then_power_loss_keeps_what_was_acknowledged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * crash_test.c - power is lost at every step of a commit; what a recovery finds is the former
 * commit or this one, whole, and it can go on from there.
 *
 * The disk is simulated (tests/harness/simdisk.h). Frames and data blobs hold a number that is the
 * same everywhere in one commit, so a mixture of two commits shows itself.
 */
#include "tests/harness/seed.h"
#include "tests/harness/simdisk.h"
#include "tests/store/fixture.h"

enum { SLOT = 4096, FRAMES = 5, DATA_BYTES = 9000, COMMITS = 40 };

struct state {
	uint64_t number; /* of the commit; 0: nothing is there */
	uint64_t id[FRAMES];
	struct store_data data;
};

static struct store_options opt = {.cache_bytes = 40 * SLOT};
static struct state former, present;
static struct rng rng;
static unsigned crashes;
static bool recovering;

static struct store *open_store(struct io *io)
{
	struct store *s;
	struct why w = {""};
	int rc = store_open(io, &opt, &s, &w);

	if (rc)
		fail_msg("store_open: %d: %s; %s", rc, w.text, seed_replay());
	store_replay_done(s);
	return s;
}

static void expect_state(struct store *s, const struct state *st)
{
	uint64_t data[DATA_BYTES / 8]; /* not static: a crash in the middle of this runs it again */

	for (int i = 0; st->number && i < FRAMES; i++) {
		struct frame *f;
		ok(store_frame_get(s, st->id[i], &f));
		assert_int_equal(((uint64_t *)f->data)[0], st->number);
		assert_int_equal(((uint64_t *)f->data)[SLOT / 8 - 1], st->number);
		store_frame_put(s, f);
		assert_int_equal(store_blob_count(s, st->id[i]), st->number);
	}
	if (st->number) {
		ok(store_data_read(s, &st->data, 0, DATA_BYTES, data));
		assert_int_equal(data[DATA_BYTES / 8 - 1], st->number);
	}
	assert_int_equal(slots_used(s), st->number ? FRAMES + 3 : 0);
	expect_clean(s);
}

/* Changes everything and freezes it; some frames are replaced by new ones. */
static void change_all(struct store *s, struct state *st)
{
	uint64_t data[DATA_BYTES / 8]; /* not static: a crash in the middle of this runs it again */
	struct store_root root = {.lsn = st->number + 1};

	for (int i = 0; i < FRAMES; i++) {
		struct frame *f;
		if (!st->number || rng_one_in(&rng, 4)) {
			ok(store_frame_reserve(s, 1, STORE_NORMAL));
			f = store_frame_new(s, STORE_TREE);
			if (st->number)
				store_blob_drop(s, st->id[i]);
			st->id[i] = f->id;
			store_blob_count_add(s, f->id, (int32_t)st->number);
		} else {
			ok(store_frame_get(s, st->id[i], &f));
			ok(store_frame_write(s, f, STORE_NORMAL));
		}
		for (int k = 0; k < SLOT / 8; k++)
			((uint64_t *)f->data)[k] = root.lsn;
		store_blob_count_add(s, f->id, 1);
		store_frame_put(s, f);
	}
	for (int k = 0; k < DATA_BYTES / 8; k++)
		data[k] = root.lsn;
	if (st->number)
		store_data_drop(s, st->data.id);
	ok(store_data_write(s, data, DATA_BYTES, &st->data));
	store_data_attach(s, st->data.id);
	st->number = root.lsn;
	store_freeze(s, &root);
}

/* After a crash: which commit is there, is it whole, and does the store go on? */
static void recover(struct simdisk *d)
{
	struct io *io = simdisk_open(d);
	struct store *s = open_store(io);
	const struct state *found = store_root(s)->lsn == former.number ? &former : &present;
	struct state next = *found;

	assert_int_equal(store_root(s)->lsn, found->number);
	expect_state(s, found);
	change_all(s, &next);
	ok(store_commit(s));
	store_fail(s); /* as if killed */
	store_close(s);
	s = open_store(io);
	expect_state(s, &next);
	store_close(s);
	io->ops->destroy(io);
}

static void crash_here(void *arg, const struct simdisk *d, uint64_t step)
{
	(void)arg;
	(void)step;
	for (enum simdisk_keep keep = 0; keep < SIMDISK_KEEPS; keep++) {
		struct simdisk *after = simdisk_crash(d, keep, &rng);

		crashes++;
		recover(after);
		simdisk_free(after);
	}
}

/* Crashes during the first steps of a recovery too: what it repairs must survive. */
static void crash_twice(void *arg, const struct simdisk *d, uint64_t step)
{
	struct simdisk *after = simdisk_crash(d, rng_below(&rng, SIMDISK_KEEPS), &rng);
	struct state keep_former = former, keep_present = present;
	struct io *io;
	struct store *s;

	(void)step;
	if (recovering || rng_one_in(&rng, 2)) {
		simdisk_free(after);
		return;
	}
	recovering = true;
	io = simdisk_open(after);
	s = open_store(io);
	former = store_root(s)->lsn == former.number ? former : present;
	present = former;
	simdisk_set_hook(after, crash_here, arg);
	change_all(s, &present);
	ok(store_commit(s));
	store_fail(s);
	store_close(s);
	io->ops->destroy(io);
	simdisk_free(after);
	former = keep_former;
	present = keep_present;
	recovering = false;
}

static struct simdisk *new_disk(void)
{
	struct store_format fmt = {.frame_bytes = SLOT};
	struct simdisk *d = simdisk_new();
	struct io *io = simdisk_open(d);

	ok(store_format(io, &fmt, NULL));
	io->ops->destroy(io);
	memset(&former, 0, sizeof(former));
	present = former;
	return d;
}

static void run_commits(simdisk_hook *hook, int commits, int reopen_each)
{
	struct simdisk *d = new_disk();
	struct io *io = simdisk_open(d);
	struct store *s = open_store(io);

	simdisk_set_hook(d, hook, NULL);
	for (int i = 1; i <= commits; i++) {
		change_all(s, &present);
		ok(store_commit(s));
		former = present;
		if (i % reopen_each == 0) {
			store_close(s);
			s = open_store(io);
			expect_state(s, &present);
		}
	}
	store_close(s);
	io->ops->destroy(io);
	simdisk_free(d);
}

static void a_crash_at_any_step_leaves_one_whole_commit(void **state)
{
	(void)state;
	run_commits(crash_here, COMMITS, 7);
	print_message("# %u crashes\n", crashes);
}

static void a_crash_at_any_step_of_a_snapshot_leaves_one_whole_commit(void **state)
{
	struct simdisk *d = new_disk();
	struct io *io = simdisk_open(d);
	struct store *s = open_store(io);
	struct store_stat st;

	(void)state;
	for (int i = 0; i < 140; i++) {
		store_stat(s, &st);
		simdisk_set_hook(
		        d, st.manifest_log_bytes >= 256 * 1024 - 4096 ? crash_here : NULL, NULL);
		change_all(s, &present);
		ok(store_commit(s));
		former = present;
	}
	store_close(s);
	io->ops->destroy(io);
	simdisk_free(d);
}

static void a_crash_during_recovery_leaves_one_whole_commit(void **state)
{
	(void)state;
	run_commits(crash_twice, 12, 5);
}

/* W4: every write and flush fails once; the next opener builds on what can be read, then power is
 * lost. */
static void what_a_failed_flush_left_readable_is_not_built_upon(void **state)
{
	static const unsigned calls[] = {SIMDISK_WRITE, SIMDISK_SYNC, SIMDISK_SYNC_DIR};

	(void)state;
	for (int k = 0; k < 3; k++) {
		bool failed = true;
		for (uint64_t skip = 0; failed; skip++) {
			struct simdisk *d = new_disk(), *after;
			struct io *io = simdisk_open(d);
			struct store *s = open_store(io);
			struct store_root root;

			change_all(s, &present);
			ok(store_commit(s));
			former = present;
			/* With every second one the log is empty, and the failure meets a snapshot.
			 */
			for (int i = 0; i < 64 && skip % 2; i++) {
				change_all(s, &present);
				ok(store_commit(s));
				former = present;
			}
			change_all(s, &present);
			simdisk_fail(d, calls[k], skip / 2, 1, -EIO);
			failed = store_commit(s) != 0;
			store_close(s);
			simdisk_fail(d, 0, 0, 0, 0);
			s = open_store(io);
			root = *store_root(s);
			former = root.lsn == former.number ? former : present;
			expect_state(s, &former);
			present = former;
			change_all(s, &present);
			ok(store_commit(s));
			former = present;
			after = simdisk_crash(d, SIMDISK_DROP, &rng);
			recover(after);
			simdisk_free(after);
			store_close(s);
			io->ops->destroy(io);
			simdisk_free(d);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_crash_at_any_step_leaves_one_whole_commit),
	        cmocka_unit_test(a_crash_at_any_step_of_a_snapshot_leaves_one_whole_commit),
	        cmocka_unit_test(a_crash_during_recovery_leaves_one_whole_commit),
	        cmocka_unit_test(what_a_failed_flush_left_readable_is_not_built_upon),
	};

	rng = rng_of(seed_get());
	return cmocka_run_group_tests(tests, NULL, NULL);
}

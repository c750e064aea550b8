/*
 * fault_test.c - failed reads, writes and flushes (W4), and lack of space (W5).
 */
#include "tests/store/fail_io.h"

enum { SLOT = 4096 };

struct faulty {
	struct fixture t;
	struct fail_io fio;
};

static void faulty_store(struct faulty *f, uint64_t size_max)
{
	fixture_init(&f->t, IO_POSIX);
	f->t.opt.cache_bytes = 64 * SLOT;
	fixture_format(&f->t, SLOT, size_max);
	fail_io_init(&f->fio, f->t.io);
	ok(store_open(&f->fio.io, &f->t.opt, &f->t.s, &f->t.why));
	store_replay_done(f->t.s);
}

/* As after a restart, on a healthy disk. */
static void faulty_heal(struct faulty *f)
{
	fixture_close(&f->t);
	memset(f->fio.countdown, 0, sizeof(f->fio.countdown));
	ok(store_open(&f->fio.io, &f->t.opt, &f->t.s, &f->t.why));
	store_replay_done(f->t.s);
}

static void expect_latched(struct store *s, uint64_t id)
{
	struct store_data d;
	struct frame *f;

	assert_true(store_failed(s));
	assert_int_equal(store_data_write(s, "x", 1, &d), -EIO);
	assert_int_equal(store_data_flush(s), -EIO);
	assert_int_equal(store_frame_reserve(s, 1, STORE_SHRINKING), -EIO);
	if (!store_frame_get(s, id, &f)) {
		assert_int_equal(store_frame_write(s, f, STORE_SHRINKING), -EIO);
		store_frame_put(s, f);
	}
}

/* Every write and every flush of a commit in turn; the state is then the former or the new one,
 * whole. */
static void a_failed_write_or_flush_is_final_and_leaves_a_whole_commit(void **state)
{
	static const enum fail_what kinds[] = {FAIL_WRITE, FAIL_SYNC, FAIL_SYNC_DIR};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		bool failed = true;
		for (long n = 1; failed; n++) {
			struct faulty f;
			uint64_t a, b = 0;
			int rc, first;
			struct frame *frame;

			faulty_store(&f, 0);
			a = add_frame(f.t.s, 1);
			ok(commit(f.t.s));
			faulty_heal(&f);
			f.fio.countdown[kinds[k]] = n;
			rc = 0;
			ok(store_frame_get(f.t.s, a, &frame));
			rc = store_frame_write(f.t.s, frame, STORE_NORMAL);
			if (!rc)
				memset(frame->data, 2, SLOT);
			store_frame_put(f.t.s, frame);
			if (!rc) {
				b = add_frame(f.t.s, 2);
				rc = commit(f.t.s);
			}
			failed = rc != 0;
			if (failed) {
				long changes = f.fio.changes;
				expect_latched(f.t.s, a);
				assert_int_equal(f.fio.changes, changes);
			}
			faulty_heal(&f);
			ok(store_frame_get(f.t.s, a, &frame));
			first = *(uint8_t *)frame->data;
			store_frame_put(f.t.s, frame);
			assert_true(failed ? first == 1 || first == 2 : first == 2);
			if (first == 2)
				expect_frame(f.t.s, b, 2);
			expect_clean(f.t.s);
			fill_frame(f.t.s, a, 3);
			ok(commit(f.t.s));
			fixture_close(&f.t);
			fixture_fini(&f.t);
		}
	}
}

/* S1, W1: what a batch names is flushed before the batch is written, also if it is only data. */
static void a_commit_flushes_blobs_before_the_manifest_names_them(void **state)
{
	struct faulty f;
	struct store_data d;

	(void)state;
	faulty_store(&f, 0);
	add_frame(f.t.s, 1);
	ok(commit(f.t.s));
	assert_string_equal(strstr(f.fio.trace, "wb"), "wbsbwmsm");
	f.fio.trace[0] = 0;
	ok(store_data_write(f.t.s, "x", 1, &d));
	store_data_attach(f.t.s, d.id);
	ok(commit(f.t.s));
	assert_string_equal(f.fio.trace, "wbsbwmsm");
	fixture_close(&f.t);
	fixture_fini(&f.t);
}

/* S1: more frames than one batch of writes, so that later ones could take the slots of earlier
 * ones. */
static void a_commit_that_fails_late_has_rewritten_nothing(void **state)
{
	struct faulty f;
	uint64_t id[150];

	(void)state;
	faulty_store(&f, 0);
	f.t.opt.cache_bytes = 200 * SLOT;
	faulty_heal(&f);
	for (int i = 0; i < 150; i++)
		id[i] = add_frame(f.t.s, i);
	ok(commit(f.t.s));
	for (int i = 0; i < 150; i++)
		fill_frame(f.t.s, id[i], i + 1);
	f.fio.countdown[FAIL_SYNC] = 1;
	assert_int_equal(commit(f.t.s), -EIO);
	faulty_heal(&f);
	for (int i = 0; i < 150; i++)
		expect_frame(f.t.s, id[i], i);
	fixture_close(&f.t);
	fixture_fini(&f.t);
}

static void a_failed_read_is_reported_and_may_be_tried_again(void **state)
{
	struct faulty f;
	struct store_data d;
	struct frame *frame;
	char buf[10];
	uint64_t a;

	(void)state;
	faulty_store(&f, 0);
	a = add_frame(f.t.s, 1);
	ok(store_data_write(f.t.s, "0123456789", 10, &d));
	store_data_attach(f.t.s, d.id);
	ok(commit(f.t.s));
	faulty_heal(&f);
	f.fio.countdown[FAIL_READ] = 1;
	assert_int_equal(store_frame_get(f.t.s, a, &frame), -EIO);
	assert_false(store_failed(f.t.s));
	expect_frame(f.t.s, a, 1);
	f.fio.countdown[FAIL_READ] = 1;
	assert_int_equal(store_data_read(f.t.s, &d, 0, 10, buf), -EIO);
	ok(store_data_read(f.t.s, &d, 0, 10, buf));
	fixture_close(&f.t);
	fixture_fini(&f.t);
}

static void a_failed_data_write_or_flush_is_final(void **state)
{
	struct faulty f;
	struct store_data d;
	uint64_t a;

	(void)state;
	faulty_store(&f, 0);
	a = add_frame(f.t.s, 1);
	ok(commit(f.t.s));
	f.fio.countdown[FAIL_WRITE] = 1;
	assert_int_equal(store_data_write(f.t.s, "x", 1, &d), -EIO);
	expect_latched(f.t.s, a);
	faulty_heal(&f);
	ok(store_data_write(f.t.s, "x", 1, &d));
	f.fio.countdown[FAIL_SYNC] = 1;
	assert_int_equal(store_data_flush(f.t.s), -EIO);
	expect_latched(f.t.s, a);
	fixture_close(&f.t);
	fixture_fini(&f.t);
}

static void failing_by_order_of_the_room_above_is_final_too(void **state)
{
	struct faulty f;
	struct store_root root = {.lsn = 1};
	uint64_t a;

	(void)state;
	faulty_store(&f, 0);
	a = add_frame(f.t.s, 1);
	store_freeze(f.t.s, &root);
	store_fail(f.t.s);
	expect_latched(f.t.s, a);
	assert_int_equal(store_commit(f.t.s), -EIO);
	faulty_heal(&f);
	expect_no_frame(f.t.s, a);
	fixture_close(&f.t);
	fixture_fini(&f.t);
}

/* Out of space at the n-th allocation, for every n: nothing has changed, and it works again after.
 */
static void lack_of_space_changes_nothing(void **state)
{
	(void)state;
	for (long n = 1; n < 3; n++) {
		struct faulty f;
		struct store_stat before, after;
		struct store_data d;
		struct frame *frame;
		uint64_t a;

		faulty_store(&f, 0);
		a = add_frame(f.t.s, 1);
		ok(commit(f.t.s));
		faulty_heal(&f);
		f.fio.err = -ENOSPC;
		f.fio.sticky = true;
		f.fio.countdown[FAIL_ALLOCATE] = n;
		ok(store_frame_get(f.t.s, a, &frame));
		store_stat(f.t.s, &before);
		/* More than the first step of growth, so that each allocation of it is met. */
		assert_int_equal(store_frame_reserve(f.t.s, 50, STORE_NORMAL), -ENOSPC);
		if (n == 1) {
			assert_int_equal(store_data_write(f.t.s, "x", 1, &d), -ENOSPC);
			assert_int_equal(store_frame_write(f.t.s, frame, STORE_NORMAL), -ENOSPC);
		}
		assert_false(store_failed(f.t.s));
		assert_false(store_is_dirty(f.t.s));
		store_stat(f.t.s, &after);
		assert_int_equal(before.slots_used, after.slots_used);
		assert_int_equal(before.cache_used, after.cache_used);
		f.fio.sticky = false;
		f.fio.countdown[FAIL_ALLOCATE] = 0;
		ok(store_frame_write(f.t.s, frame, STORE_NORMAL));
		memset(frame->data, 2, SLOT);
		store_frame_put(f.t.s, frame);
		ok(commit(f.t.s));
		faulty_heal(&f);
		expect_frame(f.t.s, a, 2);
		fixture_close(&f.t);
		fixture_fini(&f.t);
	}
}

/* W5: a full store refuses to grow, reads on, shrinks with its reserve, and grows again. */
static void the_reserve_lets_a_shrink_proceed(void **state)
{
	struct fixture t;
	struct frame *f;
	uint64_t id[256];
	unsigned n = 0;
	int rc;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 128 * SLOT);
	for (;;) {
		rc = store_frame_reserve(t.s, 1, STORE_NORMAL);
		if (rc)
			break;
		id[n] = add_frame(t.s, (int)n);
		n++;
		if (n % 32 == 0)
			ok(commit(t.s));
	}
	assert_int_equal(rc, -ENOSPC);
	ok(commit(t.s));
	assert_in_range(n, 100, 112);
	assert_int_equal(store_frame_reserve(t.s, 1, STORE_NORMAL), -ENOSPC);
	ok(store_frame_get(t.s, id[0], &f));
	assert_int_equal(store_frame_write(t.s, f, STORE_NORMAL), -ENOSPC);
	ok(store_frame_write(t.s, f, STORE_SHRINKING));
	memset(f->data, 77, SLOT);
	store_frame_put(t.s, f);
	for (unsigned i = 1; i < 40; i++)
		store_blob_drop(t.s, id[i]);
	ok(commit(t.s));
	for (unsigned i = 40; i < n; i++)
		expect_frame(t.s, id[i], (int)i);
	id[1] = add_frame(t.s, 99);
	ok(commit(t.s));
	fixture_reopen(&t);
	expect_frame(t.s, id[0], 77);
	expect_frame(t.s, id[1], 99);
	expect_clean(t.s);
	fixture_fini(&t);
}

/* Everything that was reserved can be committed when the disk has not one block left. */
static void a_commit_needs_no_space(void **state)
{
	struct faulty f;
	uint64_t id[40];

	(void)state;
	faulty_store(&f, 0);
	for (int i = 0; i < 40; i++)
		id[i] = add_frame(f.t.s, i);
	f.fio.err = -ENOSPC;
	f.fio.sticky = true;
	f.fio.countdown[FAIL_ALLOCATE] = 1;
	ok(commit(f.t.s));
	for (int i = 0; i < 40; i++)
		store_blob_drop(f.t.s, id[i]);
	ok(commit(f.t.s));
	assert_int_equal(slots_used(f.t.s), 0);
	faulty_heal(&f);
	expect_no_frame(f.t.s, id[0]);
	fixture_close(&f.t);
	fixture_fini(&f.t);
}

static void the_log_goes_on_when_there_is_no_room_for_a_snapshot(void **state)
{
	struct faulty f;
	struct store_stat st;
	uint64_t a;

	(void)state;
	faulty_store(&f, 0);
	a = add_frame(f.t.s, 1);
	f.fio.err = -ENOSPC;
	for (int i = 0; i < 100; i++) {
		fill_frame(f.t.s, a, i);
		f.fio.sticky = true;
		f.fio.countdown[FAIL_ALLOCATE] = 1;
		ok(commit(f.t.s));
		f.fio.countdown[FAIL_ALLOCATE] = 0;
	}
	store_stat(f.t.s, &st);
	assert_int_equal(st.manifest_log_bytes, 100 * 4096);
	faulty_heal(&f);
	expect_frame(f.t.s, a, 99);
	fill_frame(f.t.s, a, 100);
	ok(commit(f.t.s));
	store_stat(f.t.s, &st);
	assert_int_equal(st.manifest_log_bytes, 0);
	faulty_heal(&f);
	expect_frame(f.t.s, a, 100);
	fixture_close(&f.t);
	fixture_fini(&f.t);
}

static void a_read_only_store_writes_nothing(void **state)
{
	struct faulty f;
	struct store_data d;
	struct frame *frame;
	uint64_t a;

	(void)state;
	faulty_store(&f, 0);
	a = add_frame(f.t.s, 1);
	ok(commit(f.t.s));
	fixture_close(&f.t);
	f.fio.changes = 0;
	f.t.opt.read_only = true;
	ok(store_open(&f.fio.io, &f.t.opt, &f.t.s, &f.t.why));
	store_replay_done(f.t.s);
	assert_int_equal(store_data_write(f.t.s, "x", 1, &d), -EROFS);
	fill_frame(f.t.s, a, 2);
	expect_frame(f.t.s, a, 2);
	expect_frame(f.t.s, add_frame(f.t.s, 3), 3);
	ok(store_frame_get(f.t.s, a, &frame));
	store_frame_drop(f.t.s, frame);
	expect_no_frame(f.t.s, a);
	fixture_close(&f.t);
	assert_int_equal(f.fio.changes, 0);
	fixture_fini(&f.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_failed_write_or_flush_is_final_and_leaves_a_whole_commit),
	        cmocka_unit_test(a_commit_flushes_blobs_before_the_manifest_names_them),
	        cmocka_unit_test(a_commit_that_fails_late_has_rewritten_nothing),
	        cmocka_unit_test(a_failed_read_is_reported_and_may_be_tried_again),
	        cmocka_unit_test(a_failed_data_write_or_flush_is_final),
	        cmocka_unit_test(failing_by_order_of_the_room_above_is_final_too),
	        cmocka_unit_test(lack_of_space_changes_nothing),
	        cmocka_unit_test(the_reserve_lets_a_shrink_proceed),
	        cmocka_unit_test(a_commit_needs_no_space),
	        cmocka_unit_test(the_log_goes_on_when_there_is_no_room_for_a_snapshot),
	        cmocka_unit_test(a_read_only_store_writes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

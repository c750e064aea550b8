/*
 * data_test.c - data blobs: written, attached, dropped, claimed by a replay, read with checks.
 */
#include "tests/store/fixture.h"

enum { SLOT = 4096 };

static uint8_t content[STORE_DATA_MAX];
static uint8_t got[STORE_DATA_MAX];

static void fill_content(void)
{
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 2654435761U >> 13);
}

static struct store_data add_data(struct store *s, uint32_t bytes)
{
	struct store_data d;

	ok(store_data_write(s, content, bytes, &d));
	store_data_attach(s, d.id);
	return d;
}

static void expect_data(struct store *s, const struct store_data *d)
{
	memset(got, 0xee, d->bytes);
	ok(store_data_read(s, d, 0, d->bytes, got));
	assert_memory_equal(got, content, d->bytes);
}

static void expect_no_data(struct store *s, const struct store_data *d)
{
	assert_int_equal(store_data_read(s, d, 0, 1, got), -ENOENT);
}

static void all_sizes_survive_commit_and_reopen(void **state)
{
	static const uint32_t sizes[] = {1, 511, 4095, 4096, 4097, 65535, 65536, 65537, 200000,
	        STORE_DATA_MAX - 1, STORE_DATA_MAX};
	enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
	struct store_data d[SIZES];
	struct fixture t;

	(void)state;
	for (int uring = 0; uring <= uring_available(); uring++) {
		fixture_store(&t, uring ? IO_URING : IO_POSIX, SLOT, 0);
		for (int i = 0; i < SIZES; i++)
			d[i] = add_data(t.s, sizes[i]);
		ok(commit(t.s));
		for (int i = 0; i < SIZES; i++)
			expect_data(t.s, &d[i]);
		fixture_reopen(&t);
		for (int i = 0; i < SIZES; i++)
			expect_data(t.s, &d[i]);
		expect_clean(t.s);
		fixture_fini(&t);
	}
}

static void parts_are_read_from_any_place(void **state)
{
	struct fixture t;
	struct store_data d;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	ok(store_data_write(t.s, content + 1, 300001, &d)); /* from unaligned memory */
	for (uint32_t at = 0; at < 300001; at += 12345)
		for (uint32_t n = 1; n <= 300001 - at; n = n * 5 + 3) {
			ok(store_data_read(t.s, &d, at, n, got));
			assert_memory_equal(got, content + 1 + at, n);
		}
	ok(store_data_read(t.s, &d, 300001, 0, got));
	assert_int_equal(store_data_read(t.s, &d, 300000, 2, got), -EINVAL);
	assert_int_equal(store_data_write(t.s, content, 0, &d), -EINVAL);
	assert_int_equal(store_data_write(t.s, content, STORE_DATA_MAX + 1, &d), -EINVAL);
	fixture_fini(&t);
}

static void a_damaged_piece_is_refused_and_the_others_are_not(void **state)
{
	struct fixture t;
	struct store_data d, wrong;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	d = add_data(t.s, 200000);
	ok(commit(t.s));
	fixture_close(&t);
	flip(&t, "blobs.dat", (long)(d.slot * SLOT + 70000));
	fixture_open(&t);
	ok(store_data_read(t.s, &d, 0, 65536, got));
	assert_int_equal(store_data_read(t.s, &d, 65530, 7, got), -EBADMSG);
	assert_int_equal(store_data_read(t.s, &d, 0, 200000, got), -EBADMSG);
	ok(store_data_read(t.s, &d, 131072, 200000 - 131072, got));
	wrong = d;
	wrong.slot++;
	assert_int_equal(store_data_read(t.s, &wrong, 0, 1, got), -EUCLEAN);
	wrong = d;
	wrong.id += 100;
	expect_no_data(t.s, &wrong);
	fixture_fini(&t);
}

static void an_aborted_write_gives_its_slots_back_at_once(void **state)
{
	struct fixture t;
	struct store_data d;
	uint64_t slot = UINT64_MAX;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	for (int i = 0; i < 10; i++) {
		ok(store_data_write(t.s, content, 50000, &d));
		assert_true(slot == UINT64_MAX || slot == d.slot);
		slot = d.slot;
		assert_int_equal(slots_used(t.s), 13);
		store_data_abort(t.s, d.id);
		assert_int_equal(slots_used(t.s), 0);
	}
	assert_false(store_is_dirty(t.s));
	fixture_fini(&t);
}

/* S1: the log may name it, so its slots wait for the commit of a batch that does not. */
static void attached_and_dropped_slots_are_not_reused_before_the_commit(void **state)
{
	struct fixture t;
	struct store_root root = {.lsn = 1};
	struct store_data a, b;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	a = add_data(t.s, 10000);
	store_data_drop(t.s, a.id);
	expect_no_data(t.s, &a);
	assert_int_equal(slots_used(t.s), 3);
	b = add_data(t.s, 10000);
	assert_true(b.slot >= a.slot + 3);
	store_freeze(t.s, &root);
	assert_int_equal(slots_used(t.s), 6);
	store_data_drop(t.s, b.id); /* frozen: this commit names it, the next one does not */
	ok(store_commit(t.s));
	assert_int_equal(slots_used(t.s), 3);
	ok(commit(t.s));
	assert_int_equal(slots_used(t.s), 0);
	assert_false(store_is_dirty(t.s));
	fixture_reopen(&t);
	expect_no_data(t.s, &a);
	expect_no_data(t.s, &b);
	expect_clean(t.s);
	fixture_fini(&t);
}

static void uncommitted_data_is_gone_after_reopen_unless_claimed(void **state)
{
	struct fixture t;
	struct store_data a, b, c, fresh;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	a = add_data(t.s, 100000);
	ok(commit(t.s));
	b = add_data(t.s, 100000);
	c = add_data(t.s, 5000);
	ok(store_data_flush(t.s));
	store_close(t.s);
	ok(store_open(t.io, &t.opt, &t.s, &t.why));
	expect_no_data(t.s, &b);
	/* While replaying, nothing may be put where the log may still name something. */
	fresh = add_data(t.s, 5000);
	assert_true(fresh.slot > c.slot);
	ok(store_data_claim(t.s, &b));
	store_data_attach(t.s, b.id);
	store_replay_done(t.s);
	expect_data(t.s, &a);
	expect_data(t.s, &b);
	expect_no_data(t.s, &c);
	ok(commit(t.s));
	fixture_reopen(&t);
	expect_data(t.s, &a);
	expect_data(t.s, &b);
	expect_data(t.s, &fresh);
	expect_clean(t.s);
	fixture_fini(&t);
}

static void impossible_claims_are_refused(void **state)
{
	struct fixture t;
	struct store_data a, d;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	a = add_data(t.s, 100000);
	ok(commit(t.s));
	store_close(t.s);
	ok(store_open(t.io, &t.opt, &t.s, &t.why));
	assert_int_equal(store_data_claim(t.s, &a), -EUCLEAN); /* is there already */
	d = a;
	d.id = 50;
	assert_int_equal(store_data_claim(t.s, &d), -EUCLEAN); /* same slots */
	d.slot += 24;
	assert_int_equal(store_data_claim(t.s, &d), -EUCLEAN); /* its last slot */
	d.slot = UINT64_MAX - 3;
	assert_int_equal(store_data_claim(t.s, &d), -EUCLEAN);
	d.slot = 1 << 20;
	assert_int_equal(store_data_claim(t.s, &d), -EUCLEAN);
	d = a;
	d.id = 0;
	assert_int_equal(store_data_claim(t.s, &d), -EUCLEAN);
	d.id = UINT64_C(1) << 48;
	assert_int_equal(store_data_claim(t.s, &d), -EUCLEAN);
	d.id = 50;
	d.bytes = 0;
	assert_int_equal(store_data_claim(t.s, &d), -EUCLEAN);
	d.bytes = STORE_DATA_MAX + 1;
	assert_int_equal(store_data_claim(t.s, &d), -EUCLEAN);
	assert_int_equal(slots_used(t.s), 25);
	expect_clean(t.s);
	fixture_fini(&t);
}

static void ids_of_claimed_data_are_not_given_out_again(void **state)
{
	struct fixture t;
	struct store_data a, b;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	for (int i = 0; i < 9; i++)
		a = add_data(t.s, 1);
	ok(store_data_flush(t.s));
	store_close(t.s);
	t.s = NULL;
	ok(store_open(t.io, &t.opt, &t.s, &t.why));
	ok(store_data_claim(t.s, &a));
	store_data_attach(t.s, a.id);
	store_replay_done(t.s);
	b = add_data(t.s, 1);
	assert_true(b.id > a.id);
	store_data_drop(t.s, b.id);
	ok(commit(t.s));
	fixture_reopen(&t);
	assert_true(add_data(t.s, 1).id > b.id);
	fixture_fini(&t);
}

static void size_max_is_a_limit_and_dropping_makes_room(void **state)
{
	struct fixture t;
	struct store_stat st;
	struct store_data d[32], extra;
	int n, rc;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 256 * SLOT);
	for (n = 0;; n++) {
		rc = store_data_write(t.s, content, 16 * SLOT, &d[n]);
		if (rc)
			break;
		store_data_attach(t.s, d[n].id);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(n, 15); /* 16 slots are the reserve */
	store_stat(t.s, &st);
	assert_int_equal(st.slots_used, 240);
	assert_int_equal(st.slots_max, 256);
	assert_true(st.slots_total <= 256);
	for (int i = 0; i < n; i++)
		expect_data(t.s, &d[i]);
	store_data_drop(t.s, d[3].id);
	assert_int_equal(store_data_write(t.s, content, 16 * SLOT, &extra), -ENOSPC);
	ok(commit(t.s));
	extra = add_data(t.s, 16 * SLOT);
	assert_int_equal(extra.slot, d[3].slot);
	ok(commit(t.s));
	fixture_reopen(&t);
	expect_data(t.s, &extra);
	expect_clean(t.s);
	fixture_fini(&t);
}

static void freed_space_goes_back_to_the_host(void **state)
{
	struct fixture t;
	struct store_stat st;
	struct store_data d[64], last;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	for (int i = 0; i < 64; i++)
		d[i] = add_data(t.s, STORE_DATA_MAX);
	last = add_data(t.s, 10);
	ok(commit(t.s));
	store_stat(t.s, &st);
	assert_true(st.slots_total >= 64 * 256);
	for (int i = 0; i < 64; i++)
		store_data_drop(t.s, d[i].id);
	ok(commit(t.s)); /* holes are punched below the last blob */
	expect_data(t.s, &last);
	fixture_close(&t);
	{
		char cmd[PATH_MAX + 64];
		/* du counts blocks of 1024 bytes. */
		snprintf(cmd, sizeof(cmd), "test $(du -sk '%s' | cut -f1) -lt 4096", t.dir);
		ok(system(cmd));
	}
	fixture_open(&t);
	expect_data(t.s, &last);
	store_data_drop(t.s, last.id);
	ok(commit(t.s));
	add_data(t.s, 10);
	ok(commit(t.s));
	fixture_reopen(&t); /* the tail is cut */
	store_stat(t.s, &st);
	assert_true(st.slots_total < 256);
	expect_clean(t.s);
	fixture_fini(&t);
}

static void a_flush_with_nothing_written_costs_nothing(void **state)
{
	struct fixture t;
	struct store_stat st;
	struct store_data d;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	store_stat(t.s, &st);
	uint64_t before = st.flushes;
	ok(store_data_flush(t.s));
	store_stat(t.s, &st);
	assert_int_equal(st.flushes, before);
	ok(store_data_write(t.s, content, 1, &d));
	ok(store_data_flush(t.s));
	ok(store_data_flush(t.s));
	store_stat(t.s, &st);
	assert_int_equal(st.flushes, before + 1);
	fixture_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_sizes_survive_commit_and_reopen),
	        cmocka_unit_test(parts_are_read_from_any_place),
	        cmocka_unit_test(a_damaged_piece_is_refused_and_the_others_are_not),
	        cmocka_unit_test(an_aborted_write_gives_its_slots_back_at_once),
	        cmocka_unit_test(attached_and_dropped_slots_are_not_reused_before_the_commit),
	        cmocka_unit_test(uncommitted_data_is_gone_after_reopen_unless_claimed),
	        cmocka_unit_test(impossible_claims_are_refused),
	        cmocka_unit_test(ids_of_claimed_data_are_not_given_out_again),
	        cmocka_unit_test(size_max_is_a_limit_and_dropping_makes_room),
	        cmocka_unit_test(freed_space_goes_back_to_the_host),
	        cmocka_unit_test(a_flush_with_nothing_written_costs_nothing),
	};
	fill_content();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

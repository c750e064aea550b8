/*
 * frame_test.c - frames through freeze, commit, drop and reopen, on both real ios.
 */
#include "tests/store/fixture.h"

enum { SLOT = 4096 };

static enum io_kind kind;

static void reopen_after_commit_shows_exactly_the_commit(void **state)
{
	struct fixture t;
	uint64_t a, b, c;
	struct store_root root = {.lsn = 7, .tree = 8, .keys = 9, .user = {1, 2, 3, 4}};

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 1);
	b = add_frame(t.s, 2);
	store_blob_count_add(t.s, b, 42);
	store_freeze(t.s, &root);
	ok(store_commit(t.s));
	c = add_frame(t.s, 3);
	fill_frame(t.s, a, 9);
	store_blob_count_add(t.s, b, 1);
	fixture_reopen(&t);
	assert_memory_equal(store_root(t.s), &root, sizeof(root));
	expect_frame(t.s, a, 1);
	expect_frame(t.s, b, 2);
	expect_no_frame(t.s, c);
	assert_int_equal(store_blob_count(t.s, b), 42);
	assert_int_equal(slots_used(t.s), 2);
	expect_clean(t.s);
	fixture_fini(&t);
}

static void close_without_commit_shows_the_former_one(void **state)
{
	struct fixture t;
	struct store_root root = {.lsn = 1};
	uint64_t a;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 1);
	ok(commit(t.s));
	fill_frame(t.s, a, 2);
	store_freeze(t.s, &root);
	fixture_reopen(&t);
	expect_frame(t.s, a, 1);
	fixture_fini(&t);
}

static void ids_of_committed_state_are_never_reused(void **state)
{
	struct fixture t;
	uint64_t a;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 1);
	ok(commit(t.s));
	store_blob_drop(t.s, a);
	ok(commit(t.s));
	fixture_reopen(&t);
	assert_true(add_frame(t.s, 1) > a);
	fixture_fini(&t);
}

static void a_frame_changed_after_the_freeze_is_committed_as_frozen(void **state)
{
	struct fixture t;
	struct store_root root = {.lsn = 1};
	uint64_t a;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 1);
	store_freeze(t.s, &root);
	fill_frame(t.s, a, 2);
	store_blob_count_add(t.s, a, 5);
	ok(store_commit(t.s));
	expect_frame(t.s, a, 2);
	assert_true(store_is_dirty(t.s));
	assert_int_equal(store_dirty_bytes(t.s), SLOT);
	fixture_reopen(&t);
	expect_frame(t.s, a, 1);
	assert_int_equal(store_blob_count(t.s, a), 0);
	fixture_fini(&t);
}

static void writing_a_frozen_frame_moves_its_data_once(void **state)
{
	struct fixture t;
	struct store_root root = {.lsn = 1};
	struct frame *f;
	void *data;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	ok(store_frame_get(t.s, add_frame(t.s, 7), &f));
	data = f->data;
	store_freeze(t.s, &root);
	assert_ptr_equal(f->data, data);
	ok(store_frame_write(t.s, f, STORE_NORMAL));
	assert_ptr_not_equal(f->data, data);
	assert_memory_equal(f->data, data, SLOT);
	data = f->data;
	ok(store_frame_write(t.s, f, STORE_NORMAL));
	assert_ptr_equal(f->data, data);
	store_frame_put(t.s, f);
	ok(store_commit(t.s));
	fixture_fini(&t);
}

static void a_frame_dropped_while_frozen_is_in_this_commit_and_not_in_the_next(void **state)
{
	struct fixture t;
	struct store_root root = {.lsn = 1};
	struct frame *f;
	uint64_t a, b;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 1);
	b = add_frame(t.s, 2);
	store_freeze(t.s, &root);
	ok(store_frame_get(t.s, a, &f));
	store_frame_drop(t.s, f);
	ok(store_frame_get(t.s, b, &f)); /* this one is copied first, then dropped */
	ok(store_frame_write(t.s, f, STORE_NORMAL));
	store_frame_drop(t.s, f);
	expect_no_frame(t.s, a);
	ok(store_commit(t.s));
	expect_no_frame(t.s, a);
	expect_clean(t.s);
	fixture_reopen(&t);
	expect_frame(t.s, a, 1);
	expect_frame(t.s, b, 2);
	store_blob_drop(t.s, a);
	store_blob_drop(t.s, b);
	ok(commit(t.s));
	expect_no_frame(t.s, a);
	assert_int_equal(slots_used(t.s), 0);
	fixture_reopen(&t);
	expect_no_frame(t.s, a);
	assert_int_equal(slots_used(t.s), 0);
	fixture_fini(&t);
}

static void a_new_frame_dropped_before_a_commit_leaves_nothing(void **state)
{
	struct fixture t;
	struct store_stat st;
	struct frame *f;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	for (int i = 0; i < 500; i++) { /* many more than the cache holds */
		ok(store_frame_reserve(t.s, 1, STORE_NORMAL));
		f = store_frame_new(t.s, STORE_ARENA);
		if (i % 2)
			store_frame_drop(t.s, f);
		else {
			store_frame_put(t.s, f);
			store_blob_drop(t.s, f->id);
		}
	}
	assert_false(store_is_dirty(t.s));
	store_stat(t.s, &st);
	assert_int_equal(st.cache_used, 0);
	assert_int_equal(st.cache_dirty, 0);
	assert_int_equal(st.blobs[STORE_ARENA], 0);
	ok(commit(t.s));
	assert_int_equal(slots_used(t.s), 0);
	expect_clean(t.s);
	fixture_fini(&t);
}

static void a_blob_is_dropped_by_id_while_not_in_memory(void **state)
{
	struct fixture t;
	uint64_t a, b;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 1);
	b = add_frame(t.s, 2);
	ok(commit(t.s));
	fixture_reopen(&t);
	assert_null(store_frame_peek(t.s, a));
	store_blob_drop(t.s, a);
	store_blob_drop(t.s, 999);
	assert_int_equal(slots_used(t.s), 2);
	ok(commit(t.s));
	assert_int_equal(slots_used(t.s), 1);
	fixture_reopen(&t);
	expect_no_frame(t.s, a);
	expect_frame(t.s, b, 2);
	fixture_fini(&t);
}

static void a_dropped_frame_stays_readable_for_who_has_it_pinned(void **state)
{
	struct fixture t;
	struct store_stat st;
	struct frame *f, *other;
	uint64_t a;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 5);
	ok(commit(t.s));
	ok(store_frame_get(t.s, a, &f));
	other = store_frame_peek(t.s, a);
	assert_ptr_equal(f, other);
	store_frame_drop(t.s, f);
	assert_int_equal(((uint8_t *)other->data)[SLOT - 1], 5);
	ok(commit(t.s));
	store_frame_put(t.s, other);
	store_stat(t.s, &st);
	assert_int_equal(st.cache_used, 0);
	fixture_fini(&t);
}

static void old_slots_are_free_only_after_the_commit(void **state)
{
	struct fixture t;
	struct store_root root = {.lsn = 1};
	uint64_t a;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 1);
	ok(commit(t.s));
	for (int i = 0; i < 20; i++) {
		fill_frame(t.s, a, i);
		assert_int_equal(slots_used(t.s), 1);
		store_freeze(t.s, &root);
		assert_int_equal(slots_used(t.s), 1);
		ok(store_commit(t.s));
		assert_int_equal(slots_used(t.s), 1);
	}
	fixture_reopen(&t);
	expect_frame(t.s, a, 19);
	fixture_fini(&t);
}

static void counts_change_without_touching_the_blob(void **state)
{
	struct fixture t;
	struct store_stat before, after;
	uint64_t a;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 1);
	store_blob_count_add(t.s, a, 100);
	ok(commit(t.s));
	fixture_reopen(&t);
	ok(commit(t.s)); /* the first after an open writes more */
	store_stat(t.s, &before);
	store_blob_count_add(t.s, a, -40);
	ok(commit(t.s));
	store_stat(t.s, &after);
	assert_int_equal(after.written_bytes - before.written_bytes, 4096); /* the batch */
	assert_int_equal(after.flushes - before.flushes, 1);
	fixture_reopen(&t);
	assert_int_equal(store_blob_count(t.s, a), 60);
	assert_int_equal(store_blob_count(t.s, 999), 0);
	expect_frame(t.s, a, 1);
	fixture_fini(&t);
}

static void the_cache_budget_is_hard_and_dirty_frames_are_never_evicted(void **state)
{
	struct fixture t;
	struct store_stat st;
	uint64_t id[200];
	int n;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	for (n = 0; n < 200; n++) {
		int rc = store_frame_reserve(t.s, 1, STORE_NORMAL);
		if (rc) {
			assert_int_equal(rc, -EAGAIN);
			assert_int_equal(n % 64, 0);
			ok(commit(t.s));
		}
		id[n] = add_frame(t.s, n);
	}
	store_stat(t.s, &st);
	assert_int_equal(st.cache_bytes, 64 * SLOT);
	assert_true(st.evictions > 0);
	ok(commit(t.s));
	for (n = 0; n < 200; n++)
		expect_frame(t.s, id[n], n);
	for (n = 0; n < 64; n++)
		fill_frame(t.s, id[n], n + 1);
	assert_int_equal(store_frame_get(t.s, id[100], &(struct frame *){NULL}), -EAGAIN);
	ok(commit(t.s));
	for (n = 0; n < 200; n++)
		expect_frame(t.s, id[n], n < 64 ? n + 1 : n);
	expect_clean(t.s);
	fixture_fini(&t);
}

/* Frames that are used now and then stay, however many others are read once beside them. */
static void a_scan_passes_through_the_cache_and_leaves_what_is_in_use(void **state)
{
	enum { HOT = 24, ALL = 600, BETWEEN = 16 };
	struct fixture t;
	struct store_stat before, after;
	uint64_t id[ALL];

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	for (int n = 0; n < ALL; n++) {
		if (n % 32 == 0)
			ok(commit(t.s));
		id[n] = add_frame(t.s, n);
	}
	ok(commit(t.s));
	fixture_reopen(&t);
	for (int round = 0; round < 2; round++)
		for (int n = 0; n < HOT; n++)
			expect_frame(t.s, id[n], n);
	store_stat(t.s, &before);
	for (int n = HOT; n < ALL; n++) {
		expect_frame(t.s, id[n], n);
		for (int h = 0; n % BETWEEN == 0 && h < HOT; h++)
			expect_frame(t.s, id[h], h);
	}
	store_stat(t.s, &after);
	assert_int_equal(after.cache_misses - before.cache_misses, ALL - HOT);
	fixture_fini(&t);
}

static void pinned_frames_fill_the_cache_until_released(void **state)
{
	struct fixture t;
	struct frame *f[16], *more;
	uint64_t id[17];

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	for (int i = 0; i < 17; i++)
		id[i] = add_frame(t.s, i);
	ok(commit(t.s));
	t.opt.cache_bytes = 1; /* raised to 16 frames */
	fixture_reopen(&t);
	for (int i = 0; i < 16; i++)
		ok(store_frame_get(t.s, id[i], &f[i]));
	assert_int_equal(store_frame_get(t.s, id[16], &more), -EAGAIN);
	assert_int_equal(store_frame_reserve(t.s, 1, STORE_NORMAL), -EAGAIN);
	for (int i = 0; i < 16; i++)
		store_frame_put(t.s, f[i]);
	ok(store_frame_get(t.s, id[16], &more));
	store_frame_put(t.s, more);
	fixture_fini(&t);
}

static void what_was_reserved_and_not_used_serves_the_next_caller(void **state)
{
	struct fixture t;
	struct frame *f;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	ok(store_frame_reserve(t.s, 10, STORE_NORMAL));
	for (int i = 0; i < 4; i++) {
		f = store_frame_new(t.s, STORE_TREE);
		for (int k = 0; k < SLOT; k++)
			assert_int_equal(((char *)f->data)[k], 0);
		assert_int_equal(f->mark, 0);
		assert_int_equal((uintptr_t)f->data % IO_ALIGN, 0);
		store_frame_put(t.s, f);
	}
	ok(store_frame_reserve(t.s, 6, STORE_NORMAL));
	for (int i = 0; i < 6; i++)
		store_frame_put(t.s, store_frame_new(t.s, STORE_TREE));
	ok(commit(t.s));
	assert_int_equal(slots_used(t.s), 10);
	expect_clean(t.s);
	fixture_fini(&t);
}

static int refuse_ones(const void *data, uint32_t bytes, uint64_t id, enum store_kind k)
{
	assert_int_equal(bytes, SLOT);
	assert_int_equal(k, STORE_TREE);
	assert_true(id > 0);
	return *(const uint8_t *)data == 1 ? -EUCLEAN : 0;
}

/* The first two bytes of a frame say how long its image is; the rest is zero. */
static uint32_t seal_short(void *arg, const void *data, void *image, enum store_kind k)
{
	uint16_t bytes;

	(void)arg;
	assert_int_equal(k, STORE_TREE);
	memcpy(&bytes, data, sizeof(bytes));
	memcpy(image, data, bytes);
	return bytes;
}

struct places {
	uint64_t slot[64];
	uint32_t nslots[64];
	unsigned n;
};

static int note_place(void *arg, enum store_kind k, uint64_t id, uint64_t slot, uint32_t nslots)
{
	struct places *p = arg;

	(void)k;
	(void)id;
	p->slot[p->n] = slot;
	p->nslots[p->n++] = nslots;
	return 0;
}

static void images_take_what_they_hold_and_lie_side_by_side(void **state)
{
	enum { FRAME = 65536, N = 40 };
	struct fixture t;
	struct places p = {.n = 0};
	uint64_t id[N], slots = 0;
	struct frame *f;

	(void)state;
	fixture_init(&t, kind);
	t.opt.cache_bytes = 64 * FRAME;
	t.opt.seal = seal_short;
	fixture_format(&t, FRAME, 0);
	fixture_open(&t);
	for (int i = 0; i < N; i++) {
		uint16_t bytes = (uint16_t)(100 + i * 1500);
		ok(store_frame_reserve(t.s, 1, STORE_NORMAL));
		f = store_frame_new(t.s, STORE_TREE);
		memset(f->data, i + 1, bytes);
		memcpy(f->data, &bytes, sizeof(bytes));
		id[i] = f->id;
		store_frame_put(t.s, f);
		slots += (bytes + 4095u) / 4096;
	}
	ok(commit(t.s));
	assert_int_equal(slots_used(t.s), slots);
	expect_clean(t.s);
	fixture_reopen(&t);
	assert_int_equal(slots_used(t.s), slots);
	ok(store_each_blob(t.s, note_place, &p));
	for (int i = 0; i < N; i++) {
		uint32_t bytes = 100 + (uint32_t)i * 1500;
		assert_int_equal(p.nslots[i], (bytes + 4095) / 4096);
		if (i > 0)
			assert_int_equal(p.slot[i], p.slot[i - 1] + p.nslots[i - 1]);
		ok(store_frame_get(t.s, id[i], &f));
		for (uint32_t at = 2; at < FRAME; at++)
			assert_int_equal(((uint8_t *)f->data)[at], at < bytes ? i + 1 : 0);
		store_frame_put(t.s, f);
	}
	expect_clean(t.s);
	fixture_close(&t);
	flip(&t, "blobs.dat", (long)(p.slot[N - 1] + p.nslots[N - 1]) * 4096 - 1);
	fixture_open(&t);
	assert_int_equal(store_frame_get(t.s, id[N - 1], &f), -EBADMSG);
	assert_int_equal(store_check(t.s, say_nothing, NULL), 1);
	fixture_fini(&t);
}

/* While a commit writes, what it has written may be changed again without a copy, and is what was frozen. */
static void a_full_cache_of_frozen_frames_lets_writers_on_bit_by_bit(void **state)
{
	struct fixture t;
	uint64_t id[64];
	struct store_root root = {.lsn = 1};

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	for (int i = 0; i < 64; i++)
		id[i] = add_frame(t.s, i);
	assert_false(store_wait_clean(t.s)); /* nothing is on its way */
	store_freeze(t.s, &root);
	ok(store_commit(t.s));
	for (int i = 0; i < 64; i++)
		fill_frame(t.s, id[i], i + 1); /* no memory for a single copy */
	assert_false(store_wait_clean(t.s));
	fixture_reopen(&t);
	for (int i = 0; i < 64; i++)
		expect_frame(t.s, id[i], i);
	fixture_fini(&t);
}

static int find_slot(void *arg, enum store_kind k, uint64_t id, uint64_t slot, uint32_t nslots)
{
	uint64_t *found = arg;

	(void)k;
	assert_true(nslots == 1 || nslots == STORE_FRAME_MAX / STORE_SLOT_BYTES);
	if (id == found[0])
		found[1] = slot;
	return 0;
}

static void damaged_frames_are_refused_on_read_and_found_by_check(void **state)
{
	struct fixture t;
	struct frame *f;
	uint64_t a, b, where[2];

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	a = add_frame(t.s, 2);
	b = add_frame(t.s, 3);
	ok(commit(t.s));
	where[0] = a;
	ok(store_each_blob(t.s, find_slot, where));
	t.opt.validate = refuse_ones;
	fixture_close(&t);
	flip(&t, "blobs.dat", (long)(where[1] * SLOT + 77));
	fixture_open(&t);
	assert_int_equal(store_frame_get(t.s, a, &f), -EBADMSG);
	assert_int_equal(store_frame_get(t.s, a, &f), -EBADMSG);
	expect_frame(t.s, b, 3);
	assert_int_equal(store_check(t.s, say_nothing, NULL), 1);
	fixture_close(&t);
	flip(&t, "blobs.dat", (long)(where[1] * SLOT + 77));
	fixture_open(&t);
	expect_frame(t.s, a, 2);
	fill_frame(t.s, a, 1);
	ok(commit(t.s));
	fixture_reopen(&t);
	assert_int_equal(store_frame_get(t.s, a, &f), -EUCLEAN);
	assert_int_equal(store_check(t.s, say_nothing, NULL), 1);
	fixture_fini(&t);
}

struct order {
	enum store_kind kind;
	uint64_t id;
	unsigned n;
};

static int in_order(void *arg, enum store_kind k, uint64_t id, uint64_t slot, uint32_t nslots)
{
	struct order *o = arg;

	(void)nslots;
	assert_true(k > o->kind || (k == o->kind && id > o->id));
	assert_true(k == STORE_DATA || slot == UINT64_MAX);
	o->kind = k;
	o->id = id;
	return ++o->n == 40 ? 77 : 0;
}

static void blobs_are_listed_in_order_of_kind_and_id(void **state)
{
	struct fixture t;
	struct order o = {0};
	struct store_data d;

	(void)state;
	fixture_store(&t, kind, SLOT, 0);
	ok(store_frame_reserve(t.s, 30, STORE_NORMAL));
	for (int i = 0; i < 30; i++)
		store_frame_put(t.s, store_frame_new(t.s, i % 3 ? STORE_TREE : STORE_ARENA));
	for (int i = 0; i < 12; i++) {
		ok(store_data_write(t.s, "x", 1, &d));
		if (i)
			store_data_attach(t.s, d.id);
	}
	assert_int_equal(store_each_blob(t.s, in_order, &o), 77);
	fixture_fini(&t);
}

static void large_slots_have_a_checksum_for_each_64_kib(void **state)
{
	struct fixture t;
	struct frame *f;
	uint64_t a, where[2];

	(void)state;
	fixture_store(&t, kind, STORE_FRAME_MAX, 0);
	a = add_frame(t.s, 6);
	ok(commit(t.s));
	where[0] = a;
	ok(store_each_blob(t.s, find_slot, where));
	fixture_reopen(&t);
	expect_frame(t.s, a, 6);
	fixture_close(&t);
	flip(&t, "blobs.dat", (long)(where[1] * STORE_SLOT_BYTES + STORE_FRAME_MAX - 1));
	fixture_open(&t);
	assert_int_equal(store_frame_get(t.s, a, &f), -EBADMSG);
	fixture_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(reopen_after_commit_shows_exactly_the_commit),
	        cmocka_unit_test(close_without_commit_shows_the_former_one),
	        cmocka_unit_test(ids_of_committed_state_are_never_reused),
	        cmocka_unit_test(a_frame_changed_after_the_freeze_is_committed_as_frozen),
	        cmocka_unit_test(writing_a_frozen_frame_moves_its_data_once),
	        cmocka_unit_test(
	                a_frame_dropped_while_frozen_is_in_this_commit_and_not_in_the_next),
	        cmocka_unit_test(a_new_frame_dropped_before_a_commit_leaves_nothing),
	        cmocka_unit_test(a_blob_is_dropped_by_id_while_not_in_memory),
	        cmocka_unit_test(a_dropped_frame_stays_readable_for_who_has_it_pinned),
	        cmocka_unit_test(old_slots_are_free_only_after_the_commit),
	        cmocka_unit_test(counts_change_without_touching_the_blob),
	        cmocka_unit_test(the_cache_budget_is_hard_and_dirty_frames_are_never_evicted),
	        cmocka_unit_test(a_scan_passes_through_the_cache_and_leaves_what_is_in_use),
	        cmocka_unit_test(pinned_frames_fill_the_cache_until_released),
	        cmocka_unit_test(what_was_reserved_and_not_used_serves_the_next_caller),
	        cmocka_unit_test(damaged_frames_are_refused_on_read_and_found_by_check),
	        cmocka_unit_test(blobs_are_listed_in_order_of_kind_and_id),
	        cmocka_unit_test(images_take_what_they_hold_and_lie_side_by_side),
	        cmocka_unit_test(a_full_cache_of_frozen_frames_lets_writers_on_bit_by_bit),
	        cmocka_unit_test(large_slots_have_a_checksum_for_each_64_kib),
	};
	int failed;

	kind = IO_POSIX;
	failed = cmocka_run_group_tests_name("frame_posix", tests, NULL, NULL);
	if (!uring_available()) {
		print_message("# io_uring is not available here: its half is skipped\n");
		return failed;
	}
	kind = IO_URING;
	return failed + cmocka_run_group_tests_name("frame_uring", tests, NULL, NULL);
}

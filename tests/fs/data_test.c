/*
 * data_test.c - the bytes of files: inline, chunked, buffered, with holes, cut and grown.
 */
#include "tests/fs/fixture.h"

static void a_small_file_is_in_the_log_with_each_write(void **state)
{
	struct fixture *f = *state, after;
	uint64_t x = make_file(f, FS_ROOT, "x");
	put_text(f, x, "hello");
	put(f, x, 7, "world", 5);
	fixture_crash(f, &after);
	struct fs_attr a;
	char buf[20];
	ok(fs_lookup(after.fs, FS_ROOT, "x", &a));
	assert_int_equal(a.size, 12);
	assert_int_equal(fs_read(after.fs, x, 0, buf, sizeof(buf)), 12);
	assert_memory_equal(buf, "hello\0\0world", 12);
	fixture_remove(&after);
}

static void a_file_grows_from_its_record_into_chunks_and_keeps_its_bytes(void **state)
{
	struct fixture *f = *state;
	uint64_t x = make_file(f, FS_ROOT, "x");
	uint64_t size = 0;
	for (unsigned step = 1; size < 3 * chunk_bytes_of(f); step += step / 2 + 1) {
		put_pattern(f, x, size, step, 0);
		size += step;
		assert_int_equal(stat_of(f, x).size, size);
		assert_pattern(f, x, size / 2, size - size / 2, 0);
	}
	fixture_reopen(f);
	struct fs_attr a;
	ok(fs_lookup(f->fs, FS_ROOT, "x", &a));
	assert_int_equal(a.size, size);
	assert_int_equal(a.blocks, (size + 511) / 512);
	assert_pattern(f, x, 0, size, 0);
	char c;
	assert_int_equal(fs_read(f->fs, x, size, &c, 1), 0);
	assert_int_equal(fs_read(f->fs, x, size + 1000000, &c, 1), 0);
}

static void buffered_data_is_seen_before_it_is_logged(void **state)
{
	struct fixture *f = *state;
	uint32_t cb = chunk_bytes_of(f);
	uint64_t x = make_file(f, FS_ROOT, "x");
	uint64_t lsn = art_lsn(f->art);
	put_pattern(f, x, 10, cb / 2, 1);
	assert_int_equal(art_lsn(f->art), lsn); /* nothing went to the log */
	assert_int_equal(stat_of(f, x).size, 10 + cb / 2);
	assert_true(stat_of(f, x).blocks > 0);
	assert_zeros(f, x, 0, 10);
	assert_pattern(f, x, 10, cb / 2, 1);
	assert_int_equal(number_of(f, FS_ROOT, "x"), x);
	struct fs_attr a;
	ok(fs_lookup(f->fs, FS_ROOT, "x", &a));
	assert_int_equal(a.size, 10 + cb / 2);
}

static void fsync_release_rename_and_sync_log_what_is_buffered(void **state)
{
	struct fixture *f = *state, after;
	uint32_t n = chunk_bytes_of(f) / 2;
	uint64_t a = make_file(f, FS_ROOT, "a"), b = make_file(f, FS_ROOT, "b"),
	         c = make_file(f, FS_ROOT, "c"), d = make_file(f, FS_ROOT, "d");
	for (unsigned way = 0; way < 4; way++) {
		uint64_t x = way == 0 ? a : way == 1 ? b : way == 2 ? c : d;
		ok(fs_open_file(f->fs, x));
		put_pattern(f, x, 0, n, way);
		if (way == 0)
			ok(fs_fsync(f->fs, a));
		else if (way == 1)
			fs_release_file(f->fs, b);
		else if (way == 2)
			ok(fs_rename(f->fs, FS_ROOT, "c", FS_ROOT, "c2", 0));
		else
			ok(fs_sync(f->fs));
		fixture_crash(f, &after);
		static const char *name[] = {"a", "b", "c2", "d"};
		struct fs_attr at;
		ok(fs_lookup(after.fs, FS_ROOT, name[way], &at));
		assert_int_equal(at.size, n);
		assert_pattern(&after, x, 0, n, way);
		ok(fs_check(after.art, fixture_say, NULL));
		fixture_remove(&after);
	}
}

static void overlapping_and_scattered_writes_read_back_as_written(void **state)
{
	struct fixture *f = *state;
	uint32_t cb = chunk_bytes_of(f);
	uint64_t x = make_file(f, FS_ROOT, "x");
	put_pattern(f, x, 0, 2 * cb + cb / 2, 0);
	ok(fs_fsync(f->fs, x));
	put_pattern(f, x, cb - 100, 200, 3); /* across a border */
	put_pattern(f, x, cb / 2, 50, 3);    /* back, into a gap */
	put_pattern(f, x, cb / 2 + 1000, 50, 3);
	put_pattern(f, x, cb / 2 + 25, 50, 3);
	put_pattern(f, x, 2 * cb + 10, 10, 3);
	for (unsigned pass = 0; pass < 2; pass++) {
		assert_pattern(f, x, 0, cb / 2, 0);
		assert_pattern(f, x, cb / 2, 75, 3);
		assert_pattern(f, x, cb / 2 + 75, 925, 0);
		assert_pattern(f, x, cb / 2 + 1000, 50, 3);
		assert_pattern(f, x, cb / 2 + 1050, cb / 2 - 1150, 0);
		assert_pattern(f, x, cb - 100, 200, 3);
		assert_pattern(f, x, cb + 100, cb - 90, 0);
		assert_pattern(f, x, 2 * cb + 10, 10, 3);
		assert_pattern(f, x, 2 * cb + 20, cb / 2 - 20, 0);
		struct fs_attr a;
		fixture_reopen(f);
		ok(fs_lookup(f->fs, FS_ROOT, "x", &a));
	}
}

static void holes_read_as_zeros_and_take_no_blocks(void **state)
{
	struct fixture *f = *state;
	uint32_t cb = chunk_bytes_of(f);
	uint64_t x = make_file(f, FS_ROOT, "x");
	put_pattern(f, x, 10 * (uint64_t)cb, 100, 0);
	ok(fs_fsync(f->fs, x));
	assert_int_equal(stat_of(f, x).size, 10 * (uint64_t)cb + 100);
	assert_int_equal(stat_of(f, x).blocks, 1);
	assert_zeros(f, x, 3 * cb - 50, 100);
	assert_zeros(f, x, 0, 100);
	put_pattern(f, x, 5 * (uint64_t)cb + 7, 100, 0);
	assert_zeros(f, x, 5 * (uint64_t)cb, 7);
	assert_zeros(f, x, 5 * (uint64_t)cb + 107, 100);
}

static void files_reach_to_the_last_offset_and_not_beyond(void **state)
{
	struct fixture *f = *state;
	uint64_t x = make_file(f, FS_ROOT, "x");
	assert_int_equal(fs_write(f->fs, x, INT64_MAX, "x", 1), -EFBIG);
	assert_int_equal(fs_write(f->fs, x, UINT64_MAX, "x", 1), -EFBIG);
	assert_int_equal(fs_write(f->fs, x, INT64_MAX - 1, "xyz", 3), 1);
	assert_int_equal(stat_of(f, x).size, INT64_MAX);
	struct fs_attr a = {.size = (uint64_t)INT64_MAX + 1};
	assert_int_equal(fs_setattr(f->fs, x, FS_SET_SIZE, &a, NULL), -EFBIG);
	ok(fs_fsync(f->fs, x));
	ok(fs_check(f->art, fixture_say, NULL));
	char c;
	assert_int_equal(fs_read(f->fs, x, INT64_MAX - 1, &c, 1), 1);
	assert_int_equal(c, 'x');
	resize(f, x, 5);
	assert_zeros(f, x, 0, 5);
}

static void cutting_and_growing_shows_zeros_never_old_bytes(void **state)
{
	struct fixture *f = *state;
	uint32_t cb = chunk_bytes_of(f);
	uint64_t size[] = {1, 20, cb / 2, cb - 1, cb, cb + 1, 3 * cb + 5};
	for (unsigned from = 0; from < 7; from++) {
		for (unsigned to = 0; to < from; to++) {
			uint64_t x = make_file(f, FS_ROOT, "x");
			put_pattern(f, x, 0, size[from], 0);
			if (to % 2)
				ok(fs_fsync(f->fs, x));
			resize(f, x, size[to]);
			assert_int_equal(stat_of(f, x).size, size[to]);
			resize(f, x, size[from]);
			assert_pattern(f, x, 0, size[to], 0);
			assert_zeros(f, x, size[to], size[from] - size[to]);
			fs_forget(f->fs, x, 1);
			struct fs_attr a;
			ok(fs_lookup(f->fs, FS_ROOT, "x", &a));
			assert_pattern(f, x, 0, size[to], 0);
			assert_zeros(f, x, size[to], size[from] - size[to]);
			ok(fs_unlink(f->fs, FS_ROOT, "x"));
			fs_forget(f->fs, x, 1);
		}
	}
}

static void a_file_cut_to_nothing_leaves_no_chunks(void **state)
{
	struct fixture *f = *state;
	uint64_t x = make_file(f, FS_ROOT, "x"), keys = keys_of(f);
	put_pattern(f, x, 0, 5 * chunk_bytes_of(f), 0);
	assert_true(keys_of(f) >= keys + 5);
	resize(f, x, 0);
	assert_int_equal(keys_of(f), keys);
	assert_int_equal(stat_of(f, x).blocks, 0);
	put_text(f, x, "small again");
	assert_text(f, x, "small again");
	assert_int_equal(keys_of(f), keys);
}

static void a_crash_after_a_cut_leaves_no_garbage_and_no_old_bytes(void **state)
{
	struct fixture *f = *state, after;
	uint64_t cb = chunk_bytes_of(f), x = make_file(f, FS_ROOT, "x");
	for (unsigned i = 0; i < 300; i++) /* more than one batch */
		put_pattern(f, x, i * 2 * cb, 10, 0);
	ok(fs_fsync(f->fs, x));
	/* what a crash between the cut and the removal leaves: the mark, the chunks, the old size
	 * gone */
	uint64_t keys = keys_of(f);
	uint8_t mark[10] = {0, 't', 0, 0, 0, 0, 0, 0, 0, (uint8_t)x}, value[8] = {1};
	struct art_op op = {.type = ART_PUT, .key = {mark, 10}, .value = {value, 8}};
	ok(art_commit(f->art, &op, 1, NULL));
	fixture_crash(f, &after);
	assert_int_equal(keys_of(&after), keys - 299);
	fixture_remove(&after);
	op.type = ART_REMOVE;
	ok(art_commit(f->art, &op, 1, NULL));
	resize(f, x, 5);
	assert_int_equal(keys_of(f), keys - 299);
	assert_pattern(f, x, 0, 5, 0);
}

static void full_buffers_press_the_oldest_out(void **state)
{
	struct fixture *f = *state;
	uint32_t cb = chunk_bytes_of(f);
	f->opt.data_buffer_bytes = 3 * cb;
	fixture_reopen(f);
	uint64_t x[10];
	for (unsigned i = 0; i < 10; i++) {
		char name[8];
		snprintf(name, sizeof(name), "x%u", i);
		x[i] = make_file(f, FS_ROOT, name);
	}
	uint64_t lsn = art_lsn(f->art);
	for (unsigned i = 0; i < 10; i++)
		put_pattern(f, x[i], 0, cb - 1, i);
	assert_true(art_lsn(f->art) > lsn);
	for (unsigned i = 0; i < 10; i++)
		assert_pattern(f, x[i], 0, cb - 1, i);
}

static void unlinked_files_live_while_open_or_known(void **state)
{
	struct fixture *f = *state;
	uint32_t cb = chunk_bytes_of(f);
	uint64_t keys = keys_of(f);
	uint64_t small = make_file(f, FS_ROOT, "small"), big = make_file(f, FS_ROOT, "big"),
	         grows = make_file(f, FS_ROOT, "grows");
	put_text(f, small, "small");
	put_pattern(f, big, 0, 2 * cb + 10, 0);
	put_text(f, grows, "grows");
	ok(fs_open_file(f->fs, big));
	ok(fs_unlink(f->fs, FS_ROOT, "small"));
	ok(fs_unlink(f->fs, FS_ROOT, "big"));
	ok(fs_unlink(f->fs, FS_ROOT, "grows"));
	fs_forget(f->fs, big, 1);
	assert_int_equal(number_of(f, FS_ROOT, "big"), -ENOENT);
	assert_int_equal(stat_of(f, big).nlink, 0);
	assert_text(f, small, "small");
	put_text(f, small, "SMALL");
	assert_text(f, small, "SMALL");
	assert_pattern(f, big, 0, 2 * cb + 10, 0);
	put_pattern(f, big, 2 * cb, 3 * cb, 0);
	assert_pattern(f, big, 0, 5 * cb, 0);
	put_pattern(f, grows, 5, cb + 5, 0);
	assert_pattern(f, grows, 5, cb + 5, 0);
	ok(fs_fsync(f->fs, grows));
	ok(fs_check(f->art, fixture_say, NULL));
	resize(f, grows, 3);
	struct fs_attr a = {.mode = 0600};
	ok(fs_setattr(f->fs, small, FS_SET_MODE, &a, NULL));
	fs_release_file(f->fs, big);
	assert_int_equal(fs_getattr(f->fs, big, &a), -ESTALE);
	fs_forget(f->fs, small, 1);
	fs_forget(f->fs, grows, 1);
	assert_int_equal(keys_of(f), keys);
}

static void orphans_are_purged_when_closing(void **state)
{
	struct fixture *f = *state;
	uint64_t keys = keys_of(f), x = make_file(f, FS_ROOT, "x");
	put_pattern(f, x, 0, 3 * chunk_bytes_of(f), 0);
	ok(fs_unlink(f->fs, FS_ROOT, "x"));
	assert_true(keys_of(f) > keys);
	fixture_reopen(f);
	assert_int_equal(keys_of(f), keys);
}

static void orphans_of_a_crash_are_purged_when_opening(void **state)
{
	struct fixture *f = *state, after;
	uint64_t keys = keys_of(f), cb = chunk_bytes_of(f);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t x = make_file(f, FS_ROOT, "x");
		for (unsigned k = 0; k < 300; k += 1 + 150 * i)
			put_pattern(f, x, 2 * k * cb, 10, 0);
		ok(fs_unlink(f->fs, FS_ROOT, "x"));
	}
	fixture_crash(f, &after);
	assert_int_equal(keys_of(&after), keys);
	fixture_remove(&after);
}

static void unlinking_small_files_needs_no_second_transaction(void **state)
{
	struct fixture *f = *state;
	struct art_stat a, b;
	uint64_t x = make_file(f, FS_ROOT, "x");
	put_text(f, x, "text");
	art_stat(f->art, &a);
	ok(fs_unlink(f->fs, FS_ROOT, "x"));
	fs_forget(f->fs, x, 1);
	art_stat(f->art, &b);
	assert_int_equal(b.commits - a.commits, 1);
}

static void reading_moves_atime_as_relatime_does(void **state)
{
	struct fixture *f = *state;
	uint64_t x = make_file(f, FS_ROOT, "x");
	put_text(f, x, "text");
	struct fs_attr old = {.atime = {1000, 0}, .mtime = {2000, 0}}, a, b;
	ok(fs_setattr(f->fs, x, FS_SET_ATIME | FS_SET_MTIME, &old, NULL));
	assert_text(f, x, "text");
	a = stat_of(f, x);
	assert_true(a.atime.tv_sec > 2000);
	assert_text(f, x, "text");
	b = stat_of(f, x);
	assert_memory_equal(&a.atime, &b.atime, sizeof(a.atime));
	assert_memory_equal(&old.mtime, &b.mtime, sizeof(a.mtime));
	fs_forget(f->fs, x, 1);
	ok(fs_lookup(f->fs, FS_ROOT, "x", &b));
	assert_memory_equal(&a.atime, &b.atime, sizeof(a.atime));
}

static void writing_moves_mtime_and_ctime(void **state)
{
	struct fixture *f = *state;
	uint64_t x = make_file(f, FS_ROOT, "x");
	struct fs_attr old = {.mtime = {2000, 0}, .ctime = {2000, 0}}, a;
	for (unsigned way = 0; way < 3; way++) {
		ok(fs_setattr(f->fs, x, FS_SET_MTIME | FS_SET_CTIME, &old, NULL));
		if (way == 0)
			put_text(f, x, "text");
		else if (way == 1)
			put_pattern(f, x, 0, chunk_bytes_of(f) / 2, 0);
		else
			resize(f, x, 3);
		a = stat_of(f, x);
		assert_true(a.mtime.tv_sec > 2000);
		assert_true(a.ctime.tv_sec > 2000);
	}
}

static void data_calls_on_other_kinds_are_refused(void **state)
{
	struct fixture *f = *state;
	char c = 0;
	uint64_t p = make(f, FS_ROOT, "p", S_IFIFO | 0600);
	assert_int_equal(fs_read(f->fs, FS_ROOT, 0, &c, 1), -EISDIR);
	assert_int_equal(fs_write(f->fs, FS_ROOT, 0, &c, 1), -EISDIR);
	assert_int_equal(fs_read(f->fs, p, 0, &c, 1), -EINVAL);
	assert_int_equal(fs_write(f->fs, p, 0, &c, 1), -EINVAL);
	struct fs_attr a = {.size = 1};
	assert_int_equal(fs_setattr(f->fs, p, FS_SET_SIZE, &a, NULL), -EINVAL);
	assert_int_equal(fs_fsync(f->fs, 4711), -ESTALE);
}

static void statfs_tells_of_the_store(void **state)
{
	struct fixture *f = *state;
	struct fs_statfs s;
	ok(fs_statfs(f->fs, &s));
	assert_int_equal(s.block_bytes, STORE_SLOT_BYTES);
	assert_int_equal(s.name_bytes_max, 255);
	assert_true(s.blocks >= s.blocks_free);
	assert_true(s.files > s.files_free);
}

int main(void)
{
	static const struct fixture_test test[] = {
	        TEST(a_small_file_is_in_the_log_with_each_write),
	        TEST(a_file_grows_from_its_record_into_chunks_and_keeps_its_bytes),
	        TEST(buffered_data_is_seen_before_it_is_logged),
	        TEST(fsync_release_rename_and_sync_log_what_is_buffered),
	        TEST(overlapping_and_scattered_writes_read_back_as_written),
	        TEST(holes_read_as_zeros_and_take_no_blocks),
	        TEST(files_reach_to_the_last_offset_and_not_beyond),
	        TEST(cutting_and_growing_shows_zeros_never_old_bytes),
	        TEST(a_file_cut_to_nothing_leaves_no_chunks),
	        TEST(a_crash_after_a_cut_leaves_no_garbage_and_no_old_bytes),
	        TEST(full_buffers_press_the_oldest_out),
	        TEST(unlinked_files_live_while_open_or_known),
	        TEST(orphans_are_purged_when_closing),
	        TEST(orphans_of_a_crash_are_purged_when_opening),
	        TEST(unlinking_small_files_needs_no_second_transaction),
	        TEST(reading_moves_atime_as_relatime_does),
	        TEST(writing_moves_mtime_and_ctime),
	        TEST(data_calls_on_other_kinds_are_refused),
	        TEST(statfs_tells_of_the_store),
	};
	return fixture_run("data", test, sizeof(test) / sizeof(*test));
}

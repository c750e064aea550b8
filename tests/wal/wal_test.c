/*
 * wal_test.c - records and segments: what was appended comes back, and what was trimmed does not.
 */
#include "fixture.h"

#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

enum {
	SEGMENT = WAL_SEGMENT_MIN,
	HEADER = sizeof(struct wal_record),
};

static void empty_log_replays_nothing(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	expect(f, 0, 0);
	assert_int_equal(wal_end(f->w), 0);
	assert_int_equal(wal_durable(f->w), 0);
}

static void records_come_back_in_order(void **state)
{
	struct fixture *f = *state;
	uint64_t lsns[50];
	reopen(f);
	for (uint32_t i = 0; i < 50; i++)
		lsns[i] = commit(f, i, 4 + i * 13 % 900);
	assert_int_equal(wal_durable(f->w), lsns[49]);
	reopen(f);
	expect(f, 0, 50);
	assert_memory_equal(f->seen.lsns, lsns, sizeof(lsns));
	assert_int_equal(wal_end(f->w), lsns[49]);
	assert_int_equal(wal_durable(f->w), lsns[49]);
}

static void appending_goes_on_after_reopen(void **state)
{
	struct fixture *f = *state;
	for (uint32_t i = 0; i < 40; i++) {
		reopen(f);
		expect(f, 0, i);
		commit(f, i, 4 + i * 97);
	}
}

static void replay_begins_behind_from(void **state)
{
	struct fixture *f = *state;
	uint64_t lsns[300];
	reopen(f);
	for (uint32_t i = 0; i < 300; i++)
		lsns[i] = commit(f, i, 1000);
	for (uint32_t i = 0; i < 300; i += 23) {
		assert_int_equal(reopen_from(f, lsns[i]), 0);
		expect(f, i + 1, 300 - i - 1);
		assert_int_equal(wal_end(f->w), lsns[299]);
	}
}

static void log_begins_at_the_lsn_it_was_formatted_with(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(wal_format(&f->tap->io, &f->opt, 12345, &f->why), 0);
	assert_int_equal(reopen_from(f, 12344), -EUCLEAN);
	assert_int_equal(reopen_from(f, 12345), 0);
	assert_int_equal(wal_end(f->w), 12345);
	assert_int_equal(commit(f, 1, 8), 12345 + HEADER + 8);
	assert_int_equal(reopen_from(f, 12345), 0);
	expect(f, 1, 1);
}

static void record_of_the_largest_size_fits(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	const size_t max = wal_record_max(f->w);
	assert_int_equal(max, SEGMENT / 4 - HEADER);
	assert_int_equal(wal_reserve(f->w, max + 1), -EMSGSIZE);
	for (uint32_t i = 0; i < 20; i++)
		put(f, i, max);
	assert_int_equal(wal_sync(f->w, wal_end(f->w)), 0);
	reopen(f);
	expect(f, 0, 20);
}

static void segment_size_is_checked(void **state)
{
	struct fixture *f = *state;
	f->opt.segment_bytes = WAL_SEGMENT_MIN - 4096;
	assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), -EINVAL);
	f->opt.segment_bytes = WAL_SEGMENT_MIN + 512;
	assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), -EINVAL);
	f->opt.segment_bytes = WAL_SEGMENT_MIN;
	assert_int_equal(wal_format(&f->tap->io, &f->opt, UINT64_MAX, &f->why), -EINVAL);
}

/* The rest of the segment is 0, 8, 16, 24: too short for a LAST record; 32: just enough; 40. */
static void every_rest_at_the_end_of_a_segment_is_left_well(void **state)
{
	struct fixture *f = *state;
	for (size_t rest = 0; rest <= 40; rest += 8) {
		assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), 0);
		reopen(f);
		uint32_t n = 0;
		size_t left = SEGMENT - WAL_BLOCK - rest;
		for (; left > 9000; left -= 8000)
			put(f, n++, 8000 - HEADER);
		commit(f, n++, left - HEADER);
		reopen(f);
		expect(f, 0, n);
		commit(f, n++, 100);
		commit(f, n++, 100);
		assert_int_equal(wal_end(f->w), SEGMENT - WAL_BLOCK + 2 * wal_record_bytes(100));
		reopen(f);
		expect(f, 0, n);
	}
}

static void what_nobody_waits_for_is_written_by_reserve_and_not_flushed(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	reopen(f);
	const uint64_t from = wal_end(f->w);
	for (uint32_t i = 0; i < 50; i++)
		put(f, i, 4000);
	wal_stat(f->w, &st);
	assert_int_equal(st.durable, from);
	assert_int_equal(st.flushes, 0);
	assert_true(st.batches > 5);
	reopen(f);
	assert_true(f->seen.n > 40);
	expect(f, 0, f->seen.n);
	/* One flush for all of it, and nothing is written again. */
	const uint32_t n = f->seen.n;
	for (uint32_t i = 0; i < 50; i++)
		put(f, n + i, 4000);
	wal_stat(f->w, &st);
	f->tap->written_bytes = 0;
	assert_int_equal(wal_sync(f->w, wal_end(f->w)), 0);
	assert_true(f->tap->written_bytes <= SEGMENT);
	reopen(f);
	expect(f, 0, n + 50);
}

/* Each of them keeps a file open. */
static void segments_written_without_a_flush_are_few(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	reopen(f);
	for (uint32_t i = 0; i < 1000; i++) {
		put(f, i, 4000);
		wal_stat(f->w, &st);
		assert_true(st.end - st.durable < 6 * SEGMENT);
	}
	assert_in_range(st.flushes, 5, 20);
}

static void reservation_without_append_is_carried_over(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(wal_reserve(f->w, 16000), 0);
	append(f, 7, 16000);
	assert_int_equal(wal_sync(f->w, UINT64_MAX), 0);
	reopen(f);
	expect(f, 7, 1);
}

static void trimmed_segments_are_recycled(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	reopen(f);
	uint64_t lsn = 0;
	uint32_t n = 0;
	for (; n < 150; n++)
		lsn = commit(f, n, 1000);
	assert_true(exists(f, 1));
	assert_int_equal(wal_trim(f->w, lsn), 0);
	assert_false(exists(f, 1));
	assert_false(exists(f, 2));
	wal_stat(f->w, &st);
	assert_true(st.begin > 0 && st.begin <= lsn);
	assert_int_equal(st.segments, st.spares + 1);
	const unsigned spares = st.spares;
	assert_true(spares >= 2);
	f->tap->allocate_error = -ENOSPC; /* what follows needs no new file */
	for (unsigned i = 0; i < spares * 50; i++)
		commit(f, n++, 1000);
	assert_int_equal(reopen_from(f, lsn), 0);
	expect(f, 150, n - 150);
}

static void trim_keeps_what_is_needed_or_not_durable(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	uint64_t lsns[300];
	reopen(f);
	for (uint32_t i = 0; i < 150; i++)
		lsns[i] = put(f, i, 1000);
	/* Not durable: not trimmed, whatever the caller says. */
	assert_int_equal(wal_trim(f->w, UINT64_MAX), 0);
	wal_stat(f->w, &st);
	assert_true(st.begin <= st.durable);
	for (uint32_t i = 150; i < 300; i++)
		lsns[i] = commit(f, i, 1000);
	assert_int_equal(wal_trim(f->w, lsns[200]), 0);
	assert_int_equal(reopen_from(f, lsns[200]), 0);
	expect(f, 201, 99);
	assert_int_equal(reopen_from(f, 0), -EUCLEAN);
	assert_non_null(strstr(f->why.text, "needed from LSN 0"));
}

static void spares_beyond_a_few_are_removed(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	reopen(f);
	uint64_t lsn = 0;
	for (uint32_t i = 0; i < 1000; i++)
		lsn = commit(f, i, 1000);
	wal_stat(f->w, &st);
	assert_true(st.segments > 15);
	assert_int_equal(wal_trim(f->w, lsn), 0);
	wal_stat(f->w, &st);
	assert_in_range(st.segments, 2, 6);
	assert_int_equal(reopen_from(f, lsn), 0);
	expect(f, 0, 0);
}

static uint64_t size_of_segment(const struct fixture *f, uint64_t sequence)
{
	char path[192];
	struct stat st;
	path_of(f, sequence, path);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void shrunk_log_is_one_header_and_goes_on(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	uint64_t lsn = 0;
	uint32_t n = 0;
	reopen(f);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 300; i++)
			lsn = commit(f, n++, 1000);
		assert_int_equal(wal_shrink(f->w, lsn), 0);
		wal_stat(f->w, &st);
		assert_int_equal(st.segments, 1);
		assert_int_equal(st.spares, 0);
		assert_int_equal(st.begin, lsn);
		assert_int_equal(st.end, lsn);
		if (round % 2) {
			assert_int_equal(reopen_from(f, lsn), 0);
			expect(f, 0, 0);
			assert_int_equal(wal_end(f->w), lsn);
		}
		/* Again, with nothing done in between, costs nothing. */
		f->tap->changes = 0;
		assert_int_equal(wal_shrink(f->w, lsn), 0);
		assert_int_equal(f->tap->changes, 0);
		drop(f);
		uint64_t sequence = 1;
		while (!exists(f, sequence))
			sequence++;
		assert_int_equal(size_of_segment(f, sequence), WAL_BLOCK);
		assert_false(exists(f, sequence + 1));
		assert_int_equal(reopen_from(f, lsn), 0);
	}
	const uint64_t from = lsn;
	const uint32_t first = n;
	for (int i = 0; i < 200; i++)
		commit(f, n++, 1000);
	assert_int_equal(reopen_from(f, from), 0);
	expect(f, first, 200);
	assert_int_equal(reopen_from(f, from - 8), -EUCLEAN);
}

static void shrink_keeps_what_is_needed_or_not_durable(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	uint64_t lsns[300];
	reopen(f);
	for (uint32_t i = 0; i < 300; i++)
		lsns[i] = commit(f, i, 1000);
	assert_int_equal(wal_shrink(f->w, lsns[200]), 0);
	wal_stat(f->w, &st);
	assert_int_equal(st.spares, 0);
	assert_int_equal(st.end, lsns[299]);
	assert_int_equal(reopen_from(f, lsns[200]), 0);
	expect(f, 201, 99);
	const uint64_t lsn = put(f, 300, 1000);
	assert_int_equal(wal_shrink(f->w, lsns[299]), 0);
	assert_int_equal(wal_sync(f->w, lsn), 0);
	assert_int_equal(reopen_from(f, lsns[299]), 0);
	expect(f, 300, 1);
}

static void failure_while_shrinking_loses_nothing(void **state)
{
	struct fixture *f = *state;
	for (int which = 0; which < 2; which++) {
		assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), 0);
		reopen(f);
		uint64_t lsn = 0;
		uint32_t n = 0;
		for (; n < 200; n++)
			lsn = commit(f, n, 1000);
		*(which ? &f->tap->fail_sync : &f->tap->fail_write) = 1;
		assert_int_equal(wal_trim(f->w, 0), 0);
		assert_int_equal(wal_shrink(f->w, lsn), -EIO);
		assert_true(wal_failed(f->w));
		assert_int_equal(reopen_from(f, lsn), 0);
		expect(f, 0, 0);
		commit(f, n, 1000);
		assert_int_equal(reopen_from(f, lsn), 0);
		expect(f, n, 1);
	}
}

static void shrunk_log_without_space_says_so_and_recovers(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	const uint64_t lsn = commit(f, 0, 1000);
	assert_int_equal(wal_shrink(f->w, lsn), 0);
	assert_int_equal(reopen_from(f, lsn), 0);
	f->tap->allocate_error = -ENOSPC;
	assert_int_equal(wal_reserve(f->w, 1000), -ENOSPC);
	assert_int_equal(wal_reserve(f->w, 1000), -ENOSPC);
	assert_false(wal_failed(f->w));
	f->tap->allocate_error = 0;
	commit(f, 1, 1000);
	assert_int_equal(reopen_from(f, lsn), 0);
	expect(f, 1, 1);
}

/* Part of a block at the end of a short segment is as good as none. */
static void short_segment_is_read_if_it_is_hollow(void **state)
{
	struct fixture *f = *state;
	char path[192];
	reopen(f);
	uint64_t lsn = 0;
	uint32_t n = 0;
	for (; n < 10; n++)
		lsn = commit(f, n, 1000);
	drop(f);
	path_of(f, 1, path);
	assert_int_equal(truncate(path, (off_t)wal_block_up(WAL_BLOCK + lsn) + 100), 0);
	reopen(f);
	expect(f, 0, n);
	for (; n < 100; n++)
		commit(f, n, 1000);
	reopen(f);
	expect(f, 0, n);
	drop(f);
	struct wal_segment_header h;
	peek(f, 2, 0, &h, sizeof(h));
	assert_int_equal(le32_get(h.hollow), 1);
	h.hollow = le32_of(0);
	h.checksum = le64_of(XXH3_64bits(&h, offsetof(struct wal_segment_header, checksum)));
	poke(f, 2, 0, &h, sizeof(h));
	reopen(f);
	expect(f, 0, n);
	drop(f);
	path_of(f, 2, path);
	assert_int_equal(truncate(path, SEGMENT - WAL_BLOCK), 0);
	assert_int_equal(reopen_from(f, 0), -EUCLEAN);
}

static void stale_record_of_an_older_life_never_replays(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	uint8_t *image = malloc(SEGMENT);
	uint64_t lsn = 0;
	reopen(f);
	for (uint32_t i = 0; i < 60; i++)
		lsn = commit(f, i, 1000);
	peek(f, 1, 0, image, SEGMENT);
	assert_int_equal(wal_trim(f->w, lsn), 0);
	wal_stat(f->w, &st);
	const uint64_t recycled = 2 + st.spares;
	struct wal_segment_header old, new;
	memcpy(&old, image, sizeof(old));
	peek(f, recycled, 0, &new, sizeof(new));
	assert_memory_not_equal(&old.salt, &new.salt, sizeof(old.salt));
	/* The whole segment of old records is there still, with records at the very same offsets.
	 */
	uint8_t first[64];
	peek(f, recycled, WAL_BLOCK, first, sizeof(first));
	assert_memory_equal(first, image + WAL_BLOCK, sizeof(first));
	uint32_t n = 60;
	for (unsigned i = 0; i < 50 * st.spares; i++)
		commit(f, n++, 1000);
	assert_int_equal(reopen_from(f, lsn), 0);
	expect(f, 60, n - 60);
	free(image);
}

static void read_only_replay_changes_nothing(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	uint64_t lsn = 0;
	for (uint32_t i = 0; i < 80; i++)
		lsn = commit(f, i, 1000);
	drop(f);
	flip(f, 2, WAL_BLOCK + (lsn - (SEGMENT - WAL_BLOCK)) - 4);
	f->opt.read_only = true;
	f->tap->changes = 0;
	reopen(f);
	expect(f, 0, 79);
	assert_int_equal(wal_reserve(f->w, 10), -EROFS);
	assert_int_equal(wal_trim(f->w, lsn), -EROFS);
	assert_int_equal(wal_sync(f->w, lsn), 0);
	drop(f);
	assert_int_equal(f->tap->changes, 0);
}

static void no_space_is_told_by_reserve_and_passes(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 0;
	int r;
	reopen(f);
	f->tap->allocate_error = -ENOSPC;
	while ((r = wal_reserve(f->w, 1000)) == 0)
		append(f, n++, 1000);
	assert_int_equal(r, -ENOSPC);
	assert_false(wal_failed(f->w));
	/* About two segments were there; each took nearly what it can. */
	assert_in_range(n, 100, 120);
	assert_int_equal(wal_sync(f->w, wal_end(f->w)), 0);
	assert_int_equal(wal_trim(f->w, wal_end(f->w)), 0);
	for (int i = 0; i < 10; i++)
		commit(f, n++, 1000);
	f->tap->allocate_error = 0;
	for (int i = 0; i < 200; i++)
		commit(f, n++, 1000);
	const uint64_t begin = SEGMENT - WAL_BLOCK;
	assert_int_equal(reopen_from(f, begin), 0);
	expect(f, n - f->seen.n, f->seen.n);
}

static int refuse(void *arg, uint64_t lsn, uint16_t type, const void *payload, size_t bytes)
{
	(void)arg, (void)lsn, (void)type, (void)payload, (void)bytes;
	return -EDOM;
}

static void answer_of_apply_stops_replay(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	commit(f, 1, 10);
	drop(f);
	assert_int_equal(wal_open(&f->tap->io, &f->opt, &f->w, &f->why), 0);
	assert_int_equal(wal_replay(f->w, 0, refuse, NULL, &f->why), -EDOM);
}

static void missing_log_is_told_apart(void **state)
{
	struct fixture *f = *state;
	char path[192];
	for (uint64_t s = 1; s <= 2; s++) {
		path_of(f, s, path);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(reopen_from(f, 0), -ENOENT);
	snprintf(path, sizeof(path), "%s/wal", f->dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(reopen_from(f, 0), -ENOENT);
}

static void missing_segment_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[192], away[200];
	reopen(f);
	for (uint32_t i = 0; i < 200; i++)
		commit(f, i, 1000);
	drop(f);
	path_of(f, 2, path);
	snprintf(away, sizeof(away), "%s.away", path);
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(reopen_from(f, 0), -EUCLEAN);
	assert_non_null(strstr(f->why.text, "wal/0000000002"));
	assert_int_equal(rename(away, path), 0);
	reopen(f);
	expect(f, 0, 200);
}

static void segments_missing_at_the_end_are_noticed(void **state)
{
	struct fixture *f = *state;
	char path[192];
	struct wal_stat st;
	reopen(f);
	for (uint32_t i = 0; i < 200; i++)
		commit(f, i, 1000);
	wal_stat(f->w, &st);
	drop(f);
	for (uint64_t s = 3; s <= st.segments; s++) {
		path_of(f, s, path);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(reopen_from(f, 0), -EUCLEAN);
}

static void damaged_or_foreign_header_is_refused(void **state)
{
	struct fixture *f = *state;
	for (uint64_t offset = 0; offset < sizeof(struct wal_segment_header); offset++) {
		flip(f, 1 + offset % 2, offset);
		assert_int_equal(reopen_from(f, 0), -EUCLEAN);
		flip(f, 1 + offset % 2, offset);
	}
	reopen(f);
	f->opt.uuid[3]++;
	assert_int_equal(reopen_from(f, 0), -EUCLEAN);
	assert_non_null(strstr(f->why.text, "another store"));
}

static void newer_format_is_refused(void **state)
{
	struct fixture *f = *state;
	struct wal_segment_header good;
	peek(f, 1, 0, &good, sizeof(good));
	for (int what = 0; what < 3; what++) {
		struct wal_segment_header h = good;
		if (what == 0)
			h.version = le32_of(WAL_FORMAT_VERSION + 1);
		else if (what == 1)
			h.incompat = le32_of(1);
		else
			h.ro_compat = le32_of(1);
		h.checksum =
		        le64_of(XXH3_64bits(&h, offsetof(struct wal_segment_header, checksum)));
		poke(f, 1, 0, &h, sizeof(h));
		assert_int_equal(reopen_from(f, 0), -EPROTONOSUPPORT);
		f->opt.read_only = true;
		assert_int_equal(reopen_from(f, 0), what == 2 ? 0 : -EPROTONOSUPPORT);
		f->opt.read_only = false;
	}
}

/* What a crash leaves of a segment that was being prepared: a short file, a zero header, an old
 * header. */
static void unfinished_segment_is_removed(void **state)
{
	struct fixture *f = *state;
	char path[192];
	uint8_t *image = calloc(1, SEGMENT);
	const size_t sizes[] = {0, 8192, SEGMENT, SEGMENT};
	reopen(f);
	commit(f, 0, 100);
	drop(f);
	path_of(f, 3, path);
	for (unsigned i = 0; i < 4; i++) {
		if (i == 3)
			peek(f, 1, 0, image, SEGMENT);
		const int fd = open(path, O_WRONLY | O_CREAT, 0600);
		assert_true(fd >= 0);
		close(fd);
		poke(f, 3, 0, image, sizes[i]);
		f->opt.read_only = true;
		reopen(f);
		assert_true(exists(f, 3));
		f->opt.read_only = false;
		reopen(f);
		expect(f, 0, 1);
		assert_false(exists(f, 3));
	}
	free(image);
}

static void format_forgets_an_older_log(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	for (uint32_t i = 0; i < 300; i++)
		commit(f, i, 1000);
	drop(f);
	assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), 0);
	assert_false(exists(f, 3));
	reopen(f);
	expect(f, 0, 0);
}

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((random_state >> 33) % n);
}

/* Appends, syncs, trims and reopens; after each reopening the records must be a prefix of what was
 * appended that holds all that was synced. */
static void random_use_loses_nothing(void **state)
{
	struct fixture *f = *state;
	enum { RECORDS_MAX = 4000 };
	static uint64_t lsns[RECORDS_MAX];
	const char *given = getenv("SEED");
	const uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	print_message("# replay: SEED=%" PRIu64 " tests/wal/wal_test\n", seed);
	random_state = seed;
	reopen(f);
	uint32_t n = 0, synced = 0, trimmed = 0; /* counts of records */
	while (n < RECORDS_MAX) {
		const uint32_t dice = random_below(100);
		if (dice < 80) {
			const size_t bytes =
			        4 + random_below(random_below(20) ? 600 : wal_record_max(f->w) - 4);
			lsns[n] = put(f, n, bytes);
			n++;
		} else if (dice < 94 && n) {
			synced = n - random_below(n - synced + 1);
			if (synced)
				assert_int_equal(wal_sync(f->w, lsns[synced - 1]), 0);
		} else if (dice < 96 && synced) {
			trimmed = synced - random_below(synced - trimmed + 1);
			if (trimmed)
				assert_int_equal(wal_trim(f->w, lsns[trimmed - 1]), 0);
		} else if (dice == 98 && n) {
			trimmed = synced = n;
			assert_int_equal(wal_sync(f->w, lsns[n - 1]), 0);
			assert_int_equal(wal_shrink(f->w, lsns[n - 1]), 0);
		} else if (dice == 99) {
			assert_int_equal(reopen_from(f, trimmed ? lsns[trimmed - 1] : 0), 0);
			assert_in_range(trimmed + f->seen.n, synced, n);
			expect(f, trimmed, f->seen.n);
			assert_memory_equal(
			        f->seen.lsns, lsns + trimmed, f->seen.n * sizeof(lsns[0]));
			synced = n = trimmed + f->seen.n;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WAL_TEST(empty_log_replays_nothing),
	        WAL_TEST(records_come_back_in_order),
	        WAL_TEST(appending_goes_on_after_reopen),
	        WAL_TEST(replay_begins_behind_from),
	        WAL_TEST(log_begins_at_the_lsn_it_was_formatted_with),
	        WAL_TEST(record_of_the_largest_size_fits),
	        WAL_TEST(segment_size_is_checked),
	        WAL_TEST(every_rest_at_the_end_of_a_segment_is_left_well),
	        WAL_TEST(what_nobody_waits_for_is_written_by_reserve_and_not_flushed),
	        WAL_TEST(segments_written_without_a_flush_are_few),
	        WAL_TEST(reservation_without_append_is_carried_over),
	        WAL_TEST(trimmed_segments_are_recycled),
	        WAL_TEST(trim_keeps_what_is_needed_or_not_durable),
	        WAL_TEST(spares_beyond_a_few_are_removed),
	        WAL_TEST(shrunk_log_is_one_header_and_goes_on),
	        WAL_TEST(shrink_keeps_what_is_needed_or_not_durable),
	        WAL_TEST(failure_while_shrinking_loses_nothing),
	        WAL_TEST(shrunk_log_without_space_says_so_and_recovers),
	        WAL_TEST(short_segment_is_read_if_it_is_hollow),
	        WAL_TEST(stale_record_of_an_older_life_never_replays),
	        WAL_TEST(read_only_replay_changes_nothing),
	        WAL_TEST(no_space_is_told_by_reserve_and_passes),
	        WAL_TEST(answer_of_apply_stops_replay),
	        WAL_TEST(missing_log_is_told_apart),
	        WAL_TEST(missing_segment_is_refused),
	        WAL_TEST(segments_missing_at_the_end_are_noticed),
	        WAL_TEST(damaged_or_foreign_header_is_refused),
	        WAL_TEST(newer_format_is_refused),
	        WAL_TEST(unfinished_segment_is_removed),
	        WAL_TEST(format_forgets_an_older_log),
	        WAL_TEST(random_use_loses_nothing),
	};
	return run_on_each_io(tests, sizeof(tests) / sizeof(tests[0]));
}

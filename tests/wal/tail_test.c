/*
 * tail_test.c - the end of the log after a crash: what is a torn tail, what is corruption, and that
 * what was cut off never comes back (W3).
 *
 * Offsets are found by the LSN: segment s of a log that began at 0 holds the LSNs from (s-1) * DATA
 * on.
 */
#include "fixture.h"

#include <xxhash.h>

enum {
	SEGMENT = WAL_SEGMENT_MIN,
	DATA = SEGMENT - WAL_BLOCK,
	HEADER = sizeof(struct wal_record),
};

static uint64_t segment_of(uint64_t lsn)
{
	return lsn / DATA + 1;
}

static uint64_t offset_of(uint64_t lsn)
{
	return lsn % DATA + WAL_BLOCK;
}

static void torn_tail_is_cut_at_every_byte(void **state)
{
	struct fixture *f = *state;
	enum { BYTES = 150 };
	uint8_t image[SEGMENT], record[256];
	reopen(f);
	commit(f, 0, 500);
	const uint64_t begin = commit(f, 1, 501);
	drop(f);
	peek(f, 1, 0, image, SEGMENT);
	reopen(f);
	const uint64_t end = commit(f, 2, BYTES);
	drop(f);
	const size_t bytes = end - begin;
	peek(f, 1, offset_of(begin), record, bytes);
	/* The last byte that counts: behind it there is only the padding, which is zero anyhow. */
	for (size_t keep = 0; keep < HEADER + BYTES; keep++) {
		poke(f, 1, 0, image, SEGMENT);
		poke(f, 1, offset_of(begin), record, keep);
		reopen(f);
		expect(f, 0, 2);
		assert_int_equal(wal_end(f->w), begin);
		commit(f, 2, 40);
		reopen(f);
		expect(f, 0, 3);
		drop(f);
	}
}

static void flip_in_any_byte_of_the_last_record_cuts_it(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	const uint64_t begin = commit(f, 0, 1000);
	const uint64_t end = commit(f, 1, 50);
	f->opt.read_only = true;
	for (uint64_t at = begin; at < end; at++) {
		drop(f);
		flip(f, 1, offset_of(at));
		reopen(f);
		expect(f, 0, 1);
		flip(f, 1, offset_of(at));
	}
}

/* A batch of three that was never acknowledged: its first record is torn, the others are whole. */
static void hole_in_an_unflushed_batch_is_a_torn_tail(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	const uint64_t begin = commit(f, 0, 100);
	put(f, 1, 2000);
	put(f, 2, 2000);
	const uint64_t end = put(f, 3, 2000);
	assert_int_equal(wal_sync(f->w, end), 0);
	drop(f);
	flip(f, 1, offset_of(begin) + 1000);
	reopen(f);
	expect(f, 0, 1);
	/* Records 2 and 3 stood whole where a new record of the old size would meet them again. */
	commit(f, 1, 2000);
	reopen(f);
	expect(f, 0, 2);
	uint8_t rest[5000], zero[5000] = {0};
	peek(f, 1, offset_of(wal_end(f->w)), rest, sizeof(rest));
	assert_memory_equal(rest, zero, sizeof(rest));
}

static void damage_that_had_been_durable_is_refused_with_its_place(void **state)
{
	struct fixture *f = *state;
	uint64_t lsns[200];
	char place[64], segment[32];
	reopen(f);
	for (uint32_t i = 0; i < 200; i++)
		lsns[i] = commit(f, i, 1000);
	/* Record i+1 is damaged; record i+3 was queued when it was durable. */
	for (uint32_t i = 0; i < 197; i += 7) {
		const uint64_t at = lsns[i];
		if (segment_of(at) != segment_of(lsns[i + 1] - 1))
			continue;
		flip(f, segment_of(at), offset_of(at) + 500);
		f->tap->changes = 0;
		assert_int_equal(reopen_from(f, 0), -EUCLEAN);
		assert_int_equal(f->tap->changes, 0);
		expect(f, 0, i + 1);
		snprintf(segment, sizeof(segment), "wal/%010" PRIu64 ":", segment_of(at));
		snprintf(place, sizeof(place), "offset %" PRIu64 " (LSN %" PRIu64 ")",
		        offset_of(at), at);
		assert_non_null(strstr(f->why.text, segment));
		assert_non_null(strstr(f->why.text, place));
		assert_non_null(strstr(f->why.text, "artfs fsck"));
		flip(f, segment_of(at), offset_of(at) + 500);
	}
	reopen(f);
	expect(f, 0, 200);
}

static void proof_is_found_in_a_later_segment(void **state)
{
	struct fixture *f = *state;
	static uint8_t zero[SEGMENT];
	uint64_t lsn = 0;
	reopen(f);
	for (uint32_t i = 0; lsn < 2 * DATA + 5000; i++)
		lsn = commit(f, i, 1000);
	drop(f);
	/* All of segment 1 and 2 behind the header is lost; what says so lies in segment 3. */
	poke(f, 1, WAL_BLOCK, zero, DATA);
	poke(f, 2, WAL_BLOCK, zero, DATA);
	assert_int_equal(reopen_from(f, 0), -EUCLEAN);
	assert_non_null(strstr(f->why.text, "wal/0000000001: damaged at offset 4096"));
}

static void damage_before_the_images_lsn_is_refused(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	const uint64_t lsn = commit(f, 0, 1000);
	drop(f);
	flip(f, 1, WAL_BLOCK + 100);
	assert_int_equal(reopen_from(f, lsn), -EUCLEAN);
	assert_int_equal(reopen_from(f, lsn + 8), -EUCLEAN);
	reopen(f);
	expect(f, 0, 0);
}

/* One batch reaches into segment 2; its part in segment 1 is torn. */
static void torn_batch_over_two_segments_never_comes_back(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	uint64_t lsn = 0;
	uint32_t n = 0;
	while (lsn < DATA - 6000)
		lsn = commit(f, n++, 1000);
	const uint64_t begin = lsn;
	const uint32_t kept = n;
	while (lsn < DATA + 6000)
		lsn = put(f, n++, 1000);
	assert_int_equal(wal_sync(f->w, lsn), 0);
	drop(f);
	struct wal_segment_header before, after;
	peek(f, 2, 0, &before, sizeof(before));
	flip(f, 1, offset_of(begin) + 100);
	reopen(f);
	expect(f, 0, kept);
	peek(f, 2, 0, &after, sizeof(after));
	assert_memory_not_equal(&before.salt, &after.salt, sizeof(before.salt));
	/* The same sizes once more, one at a time: each reopening would meet the old ones. */
	for (uint32_t i = kept; i < n; i++) {
		commit(f, i, 1000);
		reopen(f);
		expect(f, 0, i + 1);
	}
}

static void damaged_turn_to_the_next_segment_is_refused(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	uint64_t lsn = 0, last = 0;
	uint32_t n = 0;
	for (; lsn < DATA; n++) {
		last = lsn;
		lsn = commit(f, n, 1000);
	}
	commit(f, n++, 1000);
	drop(f);
	flip(f, 1, offset_of(last) + 20);
	assert_int_equal(reopen_from(f, 0), -EUCLEAN);
	flip(f, 1, offset_of(last) + 20);
	reopen(f);
	expect(f, 0, n);
}

/* Each write and each sync of the repair fails once; whatever was done of it, the next replay finds
 * the same. */
static void repair_that_was_interrupted_is_harmless(void **state)
{
	struct fixture *f = *state;
	static uint8_t images[4][SEGMENT];
	struct wal_stat st;
	reopen(f);
	uint64_t lsn = 0;
	uint32_t n = 0;
	while (lsn < DATA - 6000)
		lsn = commit(f, n++, 1000);
	const uint64_t begin = lsn;
	const uint32_t kept = n;
	while (lsn < DATA + 6000)
		lsn = put(f, n++, 1000);
	assert_int_equal(wal_sync(f->w, lsn), 0);
	wal_stat(f->w, &st);
	assert_in_range(st.segments, 2, 4);
	drop(f);
	flip(f, 1, offset_of(begin) + 100);
	for (unsigned s = 0; s < st.segments; s++)
		peek(f, s + 1, 0, images[s], SEGMENT);
	bool done = false;
	for (unsigned step = 1; !done; step++) {
		for (unsigned s = 0; s < st.segments; s++)
			poke(f, s + 1, 0, images[s], SEGMENT);
		f->tap->fail_write = step % 2 ? (int)step / 2 + 1 : 0;
		f->tap->fail_sync = step % 2 ? 0 : (int)step / 2;
		const int r = reopen_from(f, 0);
		done = f->tap->fail_write > 0 || f->tap->fail_sync > 0;
		assert_int_equal(r, done ? 0 : -EIO);
		f->tap->fail_write = f->tap->fail_sync = 0;
		reopen(f);
		expect(f, 0, kept);
		commit(f, kept, 1000);
		reopen(f);
		expect(f, 0, kept + 1);
		drop(f);
	}
}

/* Only what no record says to have been durable is written again: here, the last one. */
static void clean_tail_costs_one_small_write(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	for (uint32_t i = 0; i < 100; i++)
		commit(f, i, 1000);
	drop(f);
	f->tap->writes = f->tap->written_bytes = 0;
	reopen(f);
	assert_int_equal(f->tap->writes, 1);
	assert_in_range(f->tap->written_bytes, 1, 2 * WAL_BLOCK);
}

/* A process that died, not the machine: what it wrote without a flush is read back, and must be
 * flushed before anybody is told that it is durable. */
static void replayed_records_are_synced(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	commit(f, 0, 1000);
	drop(f);
	f->tap->syncs = 0;
	reopen(f);
	assert_int_equal(wal_durable(f->w), wal_end(f->w));
	assert_true(f->tap->syncs >= 1);
}

/* A tail full of headers that fit their places and claim long payloads would cost a checksum each.
 */
static void search_behind_the_tail_is_bounded(void **state)
{
	struct fixture *f = *state;
	static uint8_t tail[DATA];
	reopen(f);
	const uint64_t begin = commit(f, 0, 1000);
	drop(f);
	for (uint64_t lsn = begin + 64; lsn + SEGMENT / 4 < DATA; lsn += HEADER) {
		const struct wal_record fake = {
		        .payload_bytes = le32_of(SEGMENT / 4 - HEADER),
		        .lsn = le64_of(lsn + SEGMENT / 4),
		        .durable = le64_of(begin + 8),
		};
		memcpy(tail + (lsn - begin), &fake, sizeof(fake));
	}
	poke(f, 1, offset_of(begin), tail, DATA - begin);
	assert_int_equal(reopen_from(f, 0), -EUCLEAN);
}

/* Records whose checksum is right and whose fields are not. */
static void impossible_record_is_no_record(void **state)
{
	struct fixture *f = *state;
	struct wal_segment_header h;
	reopen(f);
	const uint64_t begin = commit(f, 0, 1000);
	drop(f);
	peek(f, 1, 0, &h, sizeof(h));
	const struct wal_record good = {
	        .type = le16_of(0),
	        .lsn = le64_of(begin + HEADER),
	        .durable = le64_of(begin),
	};
	for (int what = 0; what < 6; what++) {
		struct wal_record r = good;
		if (what == 0)
			r.flags = le16_of(2);
		else if (what == 1)
			r.flags = le16_of(WAL_RECORD_LAST);
		else if (what == 2)
			r.lsn = le64_of(begin);
		else if (what == 3)
			r.payload_bytes = le32_of(UINT32_MAX);
		else if (what == 4)
			r.durable = le64_of(begin + 1);
		else
			r.lsn = le64_of(begin + HEADER + 8);
		r.checksum = le64_of(
		        XXH3_64bits_withSeed((uint8_t *)&r + 8, sizeof(r) - 8, le64_get(h.salt)));
		poke(f, 1, offset_of(begin), &r, sizeof(r));
		reopen(f);
		expect(f, 0, 1);
		drop(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WAL_TEST(torn_tail_is_cut_at_every_byte),
	        WAL_TEST(flip_in_any_byte_of_the_last_record_cuts_it),
	        WAL_TEST(hole_in_an_unflushed_batch_is_a_torn_tail),
	        WAL_TEST(damage_that_had_been_durable_is_refused_with_its_place),
	        WAL_TEST(proof_is_found_in_a_later_segment),
	        WAL_TEST(damage_before_the_images_lsn_is_refused),
	        WAL_TEST(torn_batch_over_two_segments_never_comes_back),
	        WAL_TEST(damaged_turn_to_the_next_segment_is_refused),
	        WAL_TEST(repair_that_was_interrupted_is_harmless),
	        WAL_TEST(clean_tail_costs_one_small_write),
	        WAL_TEST(replayed_records_are_synced),
	        WAL_TEST(search_behind_the_tail_is_bounded),
	        WAL_TEST(impossible_record_is_no_record),
	};
	return run_on_each_io(tests, sizeof(tests) / sizeof(tests[0]));
}

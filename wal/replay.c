/*
 * replay.c - reading the log from an image's LSN on, deciding what its end means, and making it fit
 * to go on.
 *
 *        from                             at: the first invalid record
 *   ─────┴─ record ─ record ─ record ──────┴ ? ▒▒▒▒▒▒▒▒▒▒▒▒▒▒ │ segments behind
 *           └──────── applied ───────────┘     └ searched for proof that `at` had been durable ─┘
 *
 * W3: a batch that was not flushed may be torn in any order, so valid records behind an invalid one
 * are no corruption by themselves. They are if one of them says, in its field `durable`, that the
 * log had been durable beyond the invalid place when it was queued. So is an invalid place before
 * `from`, by W1. Otherwise the rest of the segment becomes zero, the segments behind begin a new
 * life, and what was replayed is written again and synced, all before the first append. Each of
 * these steps only takes away what the next replay would not read, so a crash between any two of
 * them changes nothing of what that finds.
 *
 * One record at a time is in memory, never the log.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wal/log.h"
#include "wal/record.h"

enum {
	/* The search hashes only bytes that imitate a header in its place; more of them than this
	 * many segments are no accident. */
	SEARCH_SEGMENTS_MAX = 16,
	STEP = 8, /* records begin at multiples of it */
	ZEROES_BYTES = 512,
};

struct replay {
	struct wal *w;
	struct wal_segment *seg; /* being read; its file is open */
	uint64_t seg_bytes; /* of its file; a hollow one may be short, the rest counts as zero */
	uint64_t offset;    /* in seg */
	uint64_t from;
	uint64_t end;     /* LSN of the last valid record */
	uint64_t durable; /* known from `from` and from the records */
	uint64_t records;

	uint8_t *window; /* bytes [window_offset, window_offset + window_bytes) of seg */
	size_t window_max, window_bytes;
	uint64_t window_offset;

	uint64_t dirty_end; /* in seg: behind its last byte that is not zero; found by the search */
	struct wal_segment *behind; /* first segment behind seg that is not all zero */
	struct why *why;
};

static int enter_segment(struct replay *p, struct wal_segment *seg)
{
	if (p->seg)
		wal_segment_close(&p->w->place, p->seg);
	p->seg = seg;
	p->window_bytes = 0;
	struct io *io = p->w->place.io;
	int r = wal_segment_open(&p->w->place, seg);
	if (!r)
		r = io->ops->size(io, seg->file, &p->seg_bytes);
	/* The log is written in whole blocks; part of one is none. */
	p->seg_bytes = r ? 0 : wal_block_down(p->seg_bytes);
	if (r) {
		char name[WAL_NAME_BYTES];
		wal_segment_name(seg->sequence, name);
		why(p->why, r, "%s: cannot open: %s", name, strerror(-r));
	}
	return r;
}

/* Points *out at `bytes` bytes from `offset` on; they stay until the next call. */
static int view(struct replay *p, uint64_t offset, size_t bytes, const void **out)
{
	const uint32_t segment_bytes = p->w->place.segment_bytes;
	assert(offset + bytes <= segment_bytes);
	if (offset < p->window_offset || p->window_bytes == 0 ||
	        offset + bytes > p->window_offset + p->window_bytes) {
		const uint64_t first = wal_block_down(offset);
		size_t n = p->window_max;
		if (n > segment_bytes - first)
			n = segment_bytes - first;
		assert(offset + bytes <= first + n);
		p->window_bytes = 0;
		size_t there = p->seg_bytes > first ? p->seg_bytes - first : 0;
		if (there > n)
			there = n;
		memset(p->window + there, 0, n - there);
		const int r =
		        there ? io_read(p->w->place.io, p->seg->file, p->window, there, first) : 0;
		if (r) {
			char name[WAL_NAME_BYTES];
			wal_segment_name(p->seg->sequence, name);
			return why(p->why, r, "%s: cannot read %zu bytes at offset %" PRIu64 ": %s",
			        name, n, first, strerror(-r));
		}
		p->window_offset = first;
		p->window_bytes = n;
	}
	*out = p->window + (offset - p->window_offset);
	return 0;
}

static struct wal_spot spot_at(const struct replay *p, uint64_t offset)
{
	return (struct wal_spot){
	        .lsn = wal_segment_lsn(p->seg, offset),
	        .segment_end = wal_segment_end(&p->w->place, p->seg),
	        .record_max = p->w->record_max,
	};
}

/* *out is the valid record at `offset`, or NULL. The caller has checked that a header fits there.
 */
static int record_at(struct replay *p, uint64_t offset, const struct wal_record **out)
{
	const struct wal_spot spot = spot_at(p, offset);
	const void *at;
	*out = NULL;
	int r = view(p, offset, sizeof(struct wal_record), &at);
	if (r || !wal_record_plausible(at, &spot))
		return r;
	const struct wal_record *rec = at;
	r = view(p, offset, wal_record_bytes(le32_get(rec->payload_bytes)), &at);
	if (!r && wal_record_intact(at, p->seg->salt))
		*out = at;
	return r;
}

static int damaged(
        const struct replay *p, const struct wal_segment *seg, uint64_t offset, const char *proof)
{
	char name[WAL_NAME_BYTES];
	wal_segment_name(seg->sequence, name);
	return why(p->why, -EUCLEAN,
	        "%s: damaged at offset %" PRIu64 " (LSN %" PRIu64 "): no valid record, but %s; "
	        "run artfs fsck",
	        name, offset, wal_segment_lsn(seg, offset), proof);
}

/* Reads on from the present place. Returns 0 at the first invalid record, or at the end of the last
 * segment. */
static int apply_records(struct replay *p,
        int (*apply)(void *arg, uint64_t lsn, uint16_t type, const void *payload, size_t bytes),
        void *arg)
{
	for (;;) {
		const struct wal_record *rec = NULL;
		bool last = p->w->place.segment_bytes - p->offset < sizeof(*rec);
		if (!last) {
			int r = record_at(p, p->offset, &rec);
			if (r || !rec)
				return r;
			if (le64_get(rec->durable) > p->durable)
				p->durable = le64_get(rec->durable);
			last = le16_get(rec->flags) & WAL_RECORD_LAST;
			if (last && !p->seg->next)
				return damaged(p, p->seg, p->offset + sizeof(*rec),
				        "the log goes on in a segment that is missing");
		}
		if (!last) {
			const uint64_t lsn = le64_get(rec->lsn);
			const size_t bytes = le32_get(rec->payload_bytes);
			p->offset += wal_record_bytes(bytes);
			if (lsn > p->from) {
				const int r = apply(arg, lsn, le16_get(rec->type), rec + 1, bytes);
				if (r)
					return r;
				p->records++;
			}
			if (lsn > p->end)
				p->end = lsn;
		} else {
			if (!p->seg->next)
				return 0;
			const int r = enter_segment(p, p->seg->next);
			if (r)
				return r;
			p->offset = WAL_BLOCK;
		}
	}
}

/* Most of what lies behind the end was never written. */
static bool zeroes(const uint8_t *p)
{
	uint64_t any = 0;
	for (size_t i = 0; i < ZEROES_BYTES; i += STEP) {
		uint64_t word;
		memcpy(&word, p + i, STEP);
		any |= word;
	}
	return any == 0;
}

/* Passes over the bytes at `p`, which lie at `spot`, in steps of 8, as long as no header at them
 * can claim that LSN `at` was durable. Returns how many; *used is how many of them there are up to
 * the last non-zero one. */
static size_t pass_over(
        const uint8_t *bytes, size_t n, struct wal_spot spot, uint64_t at, size_t *used)
{
	size_t i = 0;
	*used = 0;
	for (; n - i >= sizeof(struct wal_record); i += STEP, spot.lsn += STEP) {
		const struct wal_record *rec = (const void *)(bytes + i);
		uint64_t word;
		while (n - i >= ZEROES_BYTES + sizeof(*rec) && zeroes(bytes + i)) {
			i += ZEROES_BYTES - sizeof(*rec);
			spot.lsn += ZEROES_BYTES - sizeof(*rec);
			rec = (const void *)(bytes + i);
		}
		memcpy(&word, bytes + i, STEP);
		if (word)
			*used = i + STEP;
		if (le64_get(rec->durable) > at && wal_record_plausible(rec, &spot))
			break;
	}
	return i;
}

/* Looks in the present segment, from `offset` on, for a record which proves that LSN `at` was
 * durable. */
static int search_segment(
        struct replay *p, uint64_t offset, uint64_t at, uint64_t *budget_bytes, bool *proven)
{
	uint64_t segment_bytes = p->w->place.segment_bytes;
	const struct wal_record *rec;
	const void *bytes;
	size_t used;
	int r;
	p->dirty_end = 0;
	if (segment_bytes > p->seg_bytes)
		segment_bytes = p->seg_bytes > offset ? p->seg_bytes : offset;
	while (segment_bytes - offset >= sizeof(*rec)) {
		size_t n = p->window_max - WAL_BLOCK;
		if (n > segment_bytes - offset)
			n = segment_bytes - offset;
		r = view(p, offset, n, &bytes);
		if (r)
			return r;
		const size_t passed = pass_over(bytes, n, spot_at(p, offset), at, &used);
		if (used)
			p->dirty_end = offset + used;
		offset += passed;
		if (n - passed < sizeof(*rec))
			continue;
		rec = (const void *)((const uint8_t *)bytes + passed);
		const size_t claimed = wal_record_bytes(le32_get(rec->payload_bytes));
		*proven = *budget_bytes < claimed;
		if (*proven)
			return 0;
		*budget_bytes -= claimed;
		r = record_at(p, offset, &rec);
		*proven = rec;
		if (r || rec)
			return r;
		offset += STEP;
	}
	/* What is left holds no header, but may hold the rest of a record. */
	r = offset < segment_bytes ? view(p, offset, segment_bytes - offset, &bytes) : 0;
	for (; !r && offset < segment_bytes; offset++, bytes = (const uint8_t *)bytes + 1)
		if (*(const uint8_t *)bytes)
			p->dirty_end = offset + 1;
	return r;
}

/* W3: corruption, or a torn tail? Leaves the place at the end of the log again. */
static int judge_tail(struct replay *p)
{
	struct wal_segment *const seg = p->seg;
	const uint64_t at = wal_segment_lsn(seg, p->offset);
	uint64_t budget_bytes = (uint64_t)SEARCH_SEGMENTS_MAX * p->w->place.segment_bytes;
	bool proven = false;

	if (at < p->from)
		return damaged(p, seg, p->offset, "the image holds what followed it");
	int r = search_segment(p, p->offset, at, &budget_bytes, &proven);
	const uint64_t dirty_end = p->dirty_end;
	for (struct wal_segment *s = seg->next; !r && !proven && s; s = s->next) {
		r = enter_segment(p, s);
		if (!r)
			r = search_segment(p, WAL_BLOCK, at, &budget_bytes, &proven);
		if (p->dirty_end && !p->behind)
			p->behind = s;
	}
	if (r)
		return r;
	if (proven)
		return damaged(p, seg, p->offset, "a later record says that it had been durable");
	p->dirty_end = dirty_end;
	return enter_segment(p, seg);
}

/* Zeroes from the end of the log to the last byte of the segment that is not zero. `tail` is the
 * block that holds the end; the records in it are rewritten as they are, so that a tear leaves
 * them. */
static int zero_tail(struct replay *p, const uint8_t *tail)
{
	const uint64_t end = wal_block_up(p->dirty_end);
	uint64_t at = wal_block_down(p->offset);
	int r = 0;
	if (p->dirty_end <= p->offset)
		return 0;
	p->window_bytes = 0;
	memset(p->window, 0, p->window_max);
	memcpy(p->window, tail, WAL_BLOCK);
	while (!r && at < end) {
		const uint64_t n = end - at < p->window_max ? end - at : p->window_max;
		r = io_write(p->w->place.io, p->seg->file, p->window, n, at);
		memset(p->window, 0, WAL_BLOCK);
		at += n;
	}
	return r;
}

/* Writes bytes [at, end) of the segment, whole blocks, over themselves. */
static int rewrite(struct replay *p, struct wal_segment *seg, uint64_t at, uint64_t end)
{
	struct io *io = p->w->place.io;
	int r = 0;
	p->window_bytes = 0; /* the window lends its memory */
	while (!r && at < end) {
		const uint64_t n = end - at < p->window_max ? end - at : p->window_max;
		r = io_read(io, seg->file, p->window, n, at);
		if (!r)
			r = io_write(io, seg->file, p->window, n, at);
		at += n;
	}
	return r;
}

/* Records that were read need not be on the disk: the process may have died between write and
 * flush, or because a flush had failed. After a failed flush the host may believe its cache to be
 * clean, and a sync alone would prove nothing (W4); so what is not known to be durable is written
 * once more. */
static int settle_replayed(struct replay *p)
{
	struct wal *w = p->w;
	const uint32_t segment_bytes = w->place.segment_bytes;
	struct wal_segment *s = w->oldest;
	while (s != p->seg && s->next->start <= p->durable)
		s = s->next;
	for (;; s = s->next) {
		const uint64_t known = p->durable > s->start ? p->durable - s->start : 0;
		uint64_t bytes, end = s == p->seg ? wal_block_up(p->offset) : segment_bytes;
		int r = wal_segment_open(&w->place, s);
		if (!r)
			r = w->place.io->ops->size(w->place.io, s->file, &bytes);
		if (!r && end > bytes)
			end = wal_block_down(bytes);
		if (!r)
			r = rewrite(p, s, wal_block_down(WAL_BLOCK + known), end);
		if (!r && s != p->seg)
			r = io_sync(w->place.io, s->file);
		if (r || s == p->seg)
			return r;
		wal_segment_close(&w->place, s);
	}
}

/* Makes the log fit for the first append at the present place. */
static int prepare_append(struct replay *p, const uint8_t *tail)
{
	struct wal *w = p->w;
	int r = 0;
	for (struct wal_segment *s = p->behind; !r && s; s = s->next)
		r = wal_segment_relive(&w->place, s);
	if (!r)
		r = settle_replayed(p);
	/* What a header that was never durable disowns is still what the one before it owns. */
	if (!r && p->offset == WAL_BLOCK && p->dirty_end > p->offset)
		r = wal_segment_relive(&w->place, p->seg);
	if (!r)
		r = zero_tail(p, tail);
	if (!r)
		r = io_sync(w->place.io, p->seg->file);
	if (!r && w->unfinished)
		r = wal_segment_remove(&w->place, w->unfinished);
	for (struct wal_segment *s = p->seg->next; !r && s; s = s->next) {
		r = wal_segment_open(&w->place, s);
		w->spares++;
	}
	if (r)
		return why(p->why, r, "cannot prepare the log for writing: %s", strerror(-r));
	wal_batch_begin(w->filling, p->seg, p->offset, tail);
	return 0;
}

/* Copies the block that holds the end of the log, as it is to be: zero behind that end. */
static int read_tail(struct replay *p, uint8_t *tail)
{
	const size_t used = p->offset % WAL_BLOCK;
	const void *at;
	memset(tail, 0, WAL_BLOCK);
	if (!used)
		return 0;
	const int r = view(p, p->offset - used, used, &at);
	if (!r)
		memcpy(tail, at, used);
	return r;
}

int wal_replay(struct wal *w, uint64_t from,
        int (*apply)(void *arg, uint64_t lsn, uint16_t type, const void *payload, size_t bytes),
        void *arg, struct why *why_)
{
	struct replay p = {
	        .w = w,
	        .from = from,
	        .end = from,
	        .durable = from, /* W1: the image exists, so its log was durable */
	        .offset = WAL_BLOCK,
	        .window_max = wal_block_up(w->record_max) + WAL_BLOCK,
	        .why = why_,
	};
	assert(!w->ready);
	if (from < w->oldest->start)
		return why(why_, -EUCLEAN,
		        "the log begins at LSN %" PRIu64 ", but is needed from LSN %" PRIu64,
		        w->oldest->start, from);
	uint8_t *tail = malloc(WAL_BLOCK);
	p.window = aligned_alloc(IO_ALIGN, p.window_max);
	int r = tail && p.window ? 0 : -ENOMEM;
	if (r)
		goto out;
	struct wal_segment *first = w->oldest;
	while (first->next && first->next->start <= from)
		first = first->next;
	r = enter_segment(&p, first);
	if (!r)
		r = apply_records(&p, apply, arg);
	if (!r)
		r = judge_tail(&p);
	if (!r)
		r = read_tail(&p, tail);
	if (!r && !w->place.read_only)
		r = prepare_append(&p, tail);
	if (r)
		goto out;
	w->cur = p.seg;
	w->offset = p.offset;
	w->records = p.records;
	w->flush_from = p.seg;
	w->revived = p.seg->filled > WAL_BLOCK; /* whole, and older than its newest header */
	atomic_store(&w->end, p.end);
	atomic_store(&w->durable, p.end);
	w->ready = true;
out:
	free(p.window);
	free(tail);
	return r;
}

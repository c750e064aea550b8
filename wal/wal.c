/*
 * wal.c - the log in use: format, open, reserve, append, trim.
 *
 *   reserve   all that can fail: memory for the record, and a segment for it to go to
 *   append    copies it into the batch that fills; cannot fail, does no I/O
 *   trim      the oldest segments become the newest, or go away
 *   shrink    all go away but one, and it gives back its blocks
 *
 * W2: trim never touches a segment that holds a record which is needed or not durable.
 * W5: out of space is told by reserve, before anything has changed, and is no failure of the log.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wal/log.h"
#include "wal/record.h"

enum { FIRST_SEQUENCE = 1 };

static int check_segment_bytes(uint32_t *bytes)
{
	if (*bytes == 0)
		*bytes = WAL_SEGMENT_DEFAULT;
	if (*bytes < WAL_SEGMENT_MIN || *bytes > WAL_SEGMENT_MAX || *bytes % WAL_BLOCK)
		return -EINVAL;
	return 0;
}

/* What an interrupted mkfs has left would be taken for segments of the new log. */
static int remove_segments(struct io *io)
{
	uint64_t *found = NULL;
	size_t n = 0;
	int r = wal_segment_list(io, &found, &n);
	for (size_t i = 0; !r && i < n; i++) {
		char name[WAL_NAME_BYTES];
		wal_segment_name(found[i], name);
		r = io->ops->unlink(io, name);
	}
	free(found);
	return r;
}

int wal_format(struct io *io, const struct wal_options *opt, uint64_t lsn, struct why *w)
{
	struct wal_place place = {.io = io, .segment_bytes = opt->segment_bytes};
	struct wal_segment *first = NULL, *spare = NULL;
	memcpy(place.uuid, opt->uuid, sizeof(place.uuid));
	int r = check_segment_bytes(&place.segment_bytes);
	if (!r && lsn > WAL_START_MAX)
		return why(w, -EINVAL, "the log cannot begin at LSN %" PRIu64, lsn);
	if (r)
		return why(w, r, "a log segment cannot have %" PRIu32 " bytes", opt->segment_bytes);

	r = io->ops->mkdir(io, WAL_DIR);
	if (r == -EEXIST)
		r = remove_segments(io);
	if (!r)
		r = wal_segment_create(&place, FIRST_SEQUENCE, lsn, &first);
	if (!r)
		r = wal_segment_create(
		        &place, FIRST_SEQUENCE + 1, wal_segment_end(&place, first), &spare);
	if (!r)
		r = io->ops->sync_dir(io, "");
	wal_segment_free(&place, first);
	wal_segment_free(&place, spare);
	if (r)
		why(w, r, "cannot create the log: %s", strerror(-r));
	return r;
}

static void free_segments(struct wal *w)
{
	while (w->oldest) {
		struct wal_segment *seg = w->oldest;
		w->oldest = seg->next;
		wal_segment_free(&w->place, seg);
	}
}

static void link_newest(struct wal *w, struct wal_segment *seg)
{
	seg->next = NULL;
	if (w->newest)
		w->newest->next = seg;
	else
		w->oldest = seg;
	w->newest = seg;
	w->segments++;
}

/* The segments must follow each other in name and LSN; only behind the last may one be unfinished.
 */
static int load_segments(struct wal *w, struct why *why_)
{
	uint64_t *found = NULL;
	size_t n = 0;
	char name[WAL_NAME_BYTES];
	int r = wal_segment_list(w->place.io, &found, &n);
	if (!r && n == 0)
		r = -ENOENT;
	if (r) {
		why(why_, r, "cannot find the log's segments in " WAL_DIR "/: %s", strerror(-r));
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		struct wal_segment *seg = NULL, *last = w->newest;
		if (w->unfinished || (last && found[i] != last->sequence + 1)) {
			wal_segment_name(last ? last->sequence + 1 : w->unfinished, name);
			r = why(why_, -EUCLEAN, "%s: this log segment is missing or damaged", name);
			goto out;
		}
		r = wal_segment_load(&w->place, found[i], &seg, why_);
		if (r == WAL_SEGMENT_UNFINISHED) {
			w->unfinished = found[i];
			r = 0;
			continue;
		}
		if (r)
			goto out;
		link_newest(w, seg);
		if (last && seg->start != wal_segment_end(&w->place, last)) {
			wal_segment_name(seg->sequence, name);
			r = why(why_, -EUCLEAN, "%s: does not begin where the one before it ends",
			        name);
			goto out;
		}
	}
	if (!w->oldest)
		r = why(why_, -ENOENT, "no segment of the log was ever finished");
out:
	free(found);
	return r;
}

static int init_batches(struct wal *w)
{
	const size_t capacity = 2 * wal_block_up(w->record_max + WAL_TURN_BYTES + WAL_BLOCK);
	for (int i = 0; i < WAL_BATCHES; i++) {
		const int r = wal_batch_init(&w->batches[i], capacity, w->place.segment_bytes);
		if (r)
			return r;
	}
	w->filling = &w->batches[0];
	w->spare_batch = &w->batches[1];
	const size_t half = wal_block_down(w->place.segment_bytes / 2);
	w->piece_bytes = half < WAL_PIECE_BYTES ? half : WAL_PIECE_BYTES;
	w->fill_bytes = half < WAL_FILL_BYTES ? half : WAL_FILL_BYTES;
	w->zeroes = aligned_alloc(IO_ALIGN, w->fill_bytes);
	if (!w->zeroes)
		return -ENOMEM;
	memset(w->zeroes, 0, w->fill_bytes);
	return 0;
}

int wal_open(struct io *io, const struct wal_options *opt, struct wal **out, struct why *why_)
{
	struct wal *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	int r = -pthread_key_create(&w->reserved_here, NULL);
	if (r) {
		free(w);
		return r;
	}
	pthread_mutex_init(&w->maint, NULL);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->room, NULL);
	w->expected = 1;
	w->place.io = io;
	w->place.read_only = opt->read_only;
	memcpy(w->place.uuid, opt->uuid, sizeof(w->place.uuid));
	w->barrier = opt->barrier;
	w->barrier_arg = opt->barrier_arg;

	r = load_segments(w, why_);
	if (r)
		goto fail;
	w->record_max = w->place.segment_bytes / 4;
	if (w->record_max > WAL_RECORD_MAX)
		w->record_max = WAL_RECORD_MAX;
	r = init_batches(w);
	if (r)
		goto fail;
	*out = w;
	return 0;
fail:
	wal_close(w);
	return r;
}

void wal_close(struct wal *w)
{
	if (!w)
		return;
	free_segments(w);
	for (int i = 0; i < WAL_BATCHES; i++)
		wal_batch_fini(&w->batches[i]);
	free(w->zeroes);
	pthread_cond_destroy(&w->room);
	pthread_mutex_destroy(&w->lock);
	pthread_mutex_destroy(&w->maint);
	pthread_key_delete(w->reserved_here);
	free(w);
}

size_t wal_record_max(const struct wal *w)
{
	return wal_payload_max(w->record_max);
}

static bool out_of_space(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

/* What a failure while segments were prepared means for the log: nothing (W5), or the end (W4). */
static int judge(struct wal *w, int r)
{
	if (!r || r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	if (out_of_space(r))
		return -ENOSPC;
	pthread_mutex_lock(&w->lock);
	wal_fail(w);
	pthread_mutex_unlock(&w->lock);
	return -EIO;
}

/* Under lock. Whatever the order of the records for which `reserved` was set aside: either all of
 * them fit behind each other here, or the spares take them, each losing at most one record's room
 * at its end. */
static bool segments_suffice(const struct wal *w)
{
	const size_t each = w->place.segment_bytes - WAL_BLOCK - w->record_max;
	return w->reserved <= w->place.segment_bytes - w->offset || w->reserved <= w->spares * each;
}

/* Under lock. Soon, and late. */
static bool low_on_spares(const struct wal *w)
{
	return w->spares == 0 && w->offset > w->place.segment_bytes / 2;
}

static bool wants_spare(const struct wal *w)
{
	return w->spares == 0 && w->offset > w->place.segment_bytes / 8 * 7;
}

/* Under lock, let go during I/O: one more segment, unless somebody else has made it meanwhile. */
static int add_segment(struct wal *w)
{
	struct wal_segment *seg = NULL;
	int r = 0;
	pthread_mutex_unlock(&w->lock);
	pthread_mutex_lock(&w->maint);
	pthread_mutex_lock(&w->lock);
	const bool needed = !segments_suffice(w) || low_on_spares(w);
	const struct wal_segment *last = w->newest;
	pthread_mutex_unlock(&w->lock);
	if (needed)
		r = judge(w, wal_segment_create(&w->place, last->sequence + 1,
		                     wal_segment_end(&w->place, last), &seg));
	pthread_mutex_lock(&w->lock);
	if (seg) {
		link_newest(w, seg);
		w->spares++;
	}
	atomic_store_explicit(&w->low, low_on_spares(w), memory_order_relaxed);
	pthread_mutex_unlock(&w->maint);
	return r;
}

bool wal_wants_spare(const struct wal *w)
{
	return atomic_load_explicit(&w->low, memory_order_relaxed);
}

int wal_prepare(struct wal *w)
{
	if (w->place.read_only)
		return -EROFS;
	pthread_mutex_lock(&w->lock);
	const int r = wal_failed(w) ? -EIO : low_on_spares(w) ? add_segment(w) : 0;
	pthread_mutex_unlock(&w->lock);
	return r;
}

/* Under lock, let go during I/O: all blocks for the segment in which the log was found to end; and if
 * it was empty, a header that is known to be durable, for what was read need not be (W4). */
static int revive_current(struct wal *w)
{
	int r = 0;
	pthread_mutex_unlock(&w->lock);
	pthread_mutex_lock(&w->maint);
	/* Before that nothing was reserved, so nothing appended: it is the current one still. */
	if (!w->revived) {
		r = wal_segment_allocate(&w->place, w->cur);
		if (!r && w->offset == WAL_BLOCK)
			r = wal_segment_relive(&w->place, w->cur);
		r = judge(w, r);
	}
	pthread_mutex_lock(&w->lock);
	w->revived |= !r;
	pthread_mutex_unlock(&w->maint);
	return r;
}

/* Under lock, with no batch being written. */
static int grow_batches(struct wal *w, size_t capacity)
{
	struct wal_batch grown[WAL_BATCHES] = {{0}};
	for (int i = 0; i < WAL_BATCHES; i++) {
		const int r = wal_batch_init(&grown[i], capacity, w->place.segment_bytes);
		if (r) {
			while (i-- > 0)
				wal_batch_fini(&grown[i]);
			return r;
		}
	}
	for (int i = 0; i < WAL_BATCHES; i++) {
		wal_batch_copy(&grown[i], &w->batches[i]);
		wal_batch_fini(&w->batches[i]);
		w->batches[i] = grown[i];
	}
	return 0;
}

/* Under lock. Room in the batch that fills, and in the one that follows it, which begins within a
 * block. */
static bool batch_suffices(const struct wal *w)
{
	const size_t used = w->filling->used > WAL_BLOCK ? w->filling->used : WAL_BLOCK;
	return used + w->reserved <= w->filling->capacity;
}

/* Under lock, let go during I/O. */
static int flush_all(struct wal *w)
{
	pthread_mutex_unlock(&w->lock);
	const int r = wal_sync(w, wal_end(w));
	pthread_mutex_lock(&w->lock);
	return r;
}

/* Under lock, let go during I/O: returns when there is room for all that is reserved. */
static int make_room(struct wal *w)
{
	int r = 0;
	while (!r) {
		if (wal_failed(w))
			r = -EIO;
		else if (!batch_suffices(w) && w->writing)
			pthread_cond_wait(&w->room, &w->lock);
		else if (!batch_suffices(w) && w->filling->end)
			wal_write_behind(w);
		else if (!batch_suffices(w))
			r = grow_batches(w, wal_block_up(WAL_BLOCK + 2 * w->reserved));
		else if (!w->revived)
			r = revive_current(w);
		else if (!segments_suffice(w))
			r = add_segment(w);
		else if (w->unflushed >= WAL_UNFLUSHED_MAX)
			r = flush_all(w);
		else if (w->filling->used >= w->piece_bytes && w->filling->end && !w->writing)
			wal_write_behind(w);
		else
			break;
	}
	if (r || !wants_spare(w))
		return r;
	/* Ahead of need: that there is no room for a spare yet hurts nobody. */
	r = add_segment(w);
	return r == -EIO ? r : 0;
}

int wal_reserve(struct wal *w, size_t bytes)
{
	if (w->place.read_only)
		return -EROFS;
	assert(w->ready);
	if (wal_failed(w))
		return -EIO;
	if (bytes > wal_record_max(w))
		return -EMSGSIZE;
	const size_t had = (uintptr_t)pthread_getspecific(w->reserved_here);
	const size_t need = wal_record_bytes(bytes) + WAL_TURN_BYTES;
	const size_t more = need > had ? need - had : 0;
	int r = more ? -pthread_setspecific(w->reserved_here, (void *)(uintptr_t)(had + more)) : 0;
	if (r)
		return r;
	pthread_mutex_lock(&w->lock);
	w->reserved += more;
	r = make_room(w);
	if (r)
		w->reserved -= more;
	pthread_mutex_unlock(&w->lock);
	if (r)
		pthread_setspecific(w->reserved_here, (void *)(uintptr_t)had);
	return r;
}

/* Under lock: leaves the rest of the segment. Too short a rest needs no LAST record: no record fits
 * there. */
static void turn_segment(struct wal *w)
{
	const size_t rest = w->place.segment_bytes - w->offset;
	if (rest >= sizeof(struct wal_record)) {
		struct wal_record *last = wal_batch_push(w->filling, sizeof(*last));
		wal_record_seal(last, 0, 0, WAL_RECORD_LAST, wal_segment_end(&w->place, w->cur),
		        wal_durable(w), w->cur->salt);
	}
	assert(w->cur->next && w->spares);
	w->cur = w->cur->next;
	w->spares--;
	w->unflushed++;
	w->offset = WAL_BLOCK;
	wal_batch_turn(w->filling, w->cur);
}

uint64_t wal_append(struct wal *w, uint16_t type, const struct iovec *pieces, int n)
{
	size_t payload = 0;
	for (int i = 0; i < n; i++)
		payload += pieces[i].iov_len;
	const size_t bytes = wal_record_bytes(payload);
	const size_t had = (uintptr_t)pthread_getspecific(w->reserved_here);
	assert(bytes + WAL_TURN_BYTES <= had);

	pthread_mutex_lock(&w->lock);
	if (bytes > w->place.segment_bytes - w->offset)
		turn_segment(w);
	struct wal_record *rec = wal_batch_push(w->filling, bytes);
	uint8_t *at = (uint8_t *)(rec + 1);
	for (int i = 0; i < n; i++) {
		if (pieces[i].iov_len)
			memcpy(at, pieces[i].iov_base, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	memset(at, 0, (size_t)((uint8_t *)rec + bytes - at));
	w->offset += bytes;
	atomic_store_explicit(&w->low, low_on_spares(w), memory_order_relaxed);
	const uint64_t lsn = wal_segment_lsn(w->cur, w->offset);
	wal_record_seal(rec, (uint32_t)payload, type, 0, lsn, wal_durable(w), w->cur->salt);
	w->filling->end = lsn;
	w->records++;
	w->reserved -= had;
	atomic_store_explicit(&w->end, lsn, memory_order_release);
	pthread_mutex_unlock(&w->lock);
	pthread_setspecific(w->reserved_here, NULL);
	return lsn;
}

/* Under maint. Takes the oldest segment, all of whose records are trimmed, out of the log; `keep`
 * makes it the newest. Nothing else finds it while its name and its life change. */
static int retire_oldest(struct wal *w, bool keep)
{
	struct wal_segment *seg = w->oldest;
	const struct wal_segment *last = w->newest;
	bool moved;
	int r;

	pthread_mutex_lock(&w->lock);
	w->oldest = seg->next;
	w->segments--;
	pthread_mutex_unlock(&w->lock);
	if (keep) {
		r = wal_segment_recycle(&w->place, seg, last->sequence + 1,
		        wal_segment_end(&w->place, last), &moved);
	} else {
		r = wal_segment_remove(&w->place, seg->sequence);
		moved = !r;
	}
	pthread_mutex_lock(&w->lock);
	if (!moved) {
		/* Its name is still there, and a log with a hole would be refused: it stays. */
		seg->next = w->oldest;
		w->oldest = seg;
		w->segments++;
	} else if (keep && !r) {
		link_newest(w, seg);
		w->spares++;
	} else {
		wal_segment_free(&w->place, seg);
	}
	pthread_mutex_unlock(&w->lock);
	return judge(w, r);
}

int wal_trim(struct wal *w, uint64_t lsn)
{
	int r = 0;
	bool more = true;
	if (w->place.read_only)
		return -EROFS;
	assert(w->ready);
	pthread_mutex_lock(&w->maint);
	while (!r && more) {
		pthread_mutex_lock(&w->lock);
		const bool keep = w->spares < WAL_SPARES_MAX;
		/* Durable beyond its end: so no batch in flight has this segment among its extents.
		 */
		more = w->oldest != w->cur && w->oldest->next->start <= lsn &&
		       w->oldest->next->start < wal_durable(w);
		if (wal_failed(w))
			r = -EIO;
		pthread_mutex_unlock(&w->lock);
		if (!r && more)
			r = retire_oldest(w, keep);
	}
	pthread_mutex_unlock(&w->maint);
	return r;
}

/* Under maint: from the newest on, so that those which are left follow each other. */
static int remove_spares(struct wal *w)
{
	int r = 0;
	while (!r && w->newest != w->cur) {
		struct wal_segment *before = w->cur, *last = w->newest;
		while (before->next != last)
			before = before->next;
		r = judge(w, wal_segment_remove(&w->place, last->sequence));
		if (r)
			break;
		pthread_mutex_lock(&w->lock);
		before->next = NULL;
		w->newest = before;
		w->segments--;
		w->spares--;
		pthread_mutex_unlock(&w->lock);
		wal_segment_free(&w->place, last);
	}
	return r;
}

/* Under maint: the log begins at its end, in a segment without blocks. */
static int empty_current(struct wal *w)
{
	const uint64_t end = wal_end(w);
	uint64_t bytes;
	int r = w->place.io->ops->size(w->place.io, w->cur->file, &bytes);
	if (r || (!w->revived && w->cur->start == end && bytes <= WAL_BLOCK))
		return judge(w, r);
	r = judge(w, wal_segment_empty(&w->place, w->cur, end));
	if (w->cur->start != end)
		return r;
	pthread_mutex_lock(&w->lock);
	w->revived = false;
	w->offset = WAL_BLOCK;
	wal_batch_begin(w->filling, w->cur, w->offset, NULL);
	pthread_mutex_unlock(&w->lock);
	return r;
}

int wal_shrink(struct wal *w, uint64_t lsn)
{
	int r = wal_trim(w, lsn);
	if (r)
		return r;
	pthread_mutex_lock(&w->maint);
	if (wal_durable(w) == wal_end(w)) {
		r = remove_spares(w);
		if (!r && w->oldest == w->cur && lsn >= wal_end(w))
			r = empty_current(w);
	}
	pthread_mutex_unlock(&w->maint);
	return r;
}

void wal_stat(struct wal *w, struct wal_stat *out)
{
	pthread_mutex_lock(&w->lock);
	*out = (struct wal_stat){
	        .begin = w->oldest->start,
	        .end = wal_end(w),
	        .durable = wal_durable(w),
	        .segment_bytes = w->place.segment_bytes,
	        .segments = w->segments,
	        .spares = w->spares,
	        .batches = w->batches_written,
	        .records = w->records,
	        .written_bytes = w->written_bytes,
	        .flushes = w->flushes,
	};
	pthread_mutex_unlock(&w->lock);
}

/*
 * commit.c - group commit: one thread leads, and writes and flushes for all who wait.
 *
 *   leader 1   take ─ barrier ─ write ─┬─ flush ───────────┬─ durable
 *   leader 2                           └ take ─ barrier ─ write ─ flush ─ wait for 1 ─ durable
 *
 * The second batch rewrites the last block of the first one, so its write starts when the first
 * write has ended, and it flushes for itself, since a flush that began earlier need not cover it.
 * The LSN becomes durable in the order of the batches: a flush that succeeds behind one that failed
 * proves nothing (W4).
 */
#include <assert.h>
#include <errno.h>

#include "wal/log.h"

enum { IN_FLIGHT_MAX = WAL_BATCHES - 1 };

void wal_fail(struct wal *w)
{
	atomic_store_explicit(&w->failed, true, memory_order_release);
	pthread_cond_broadcast(&w->turn);
	pthread_cond_broadcast(&w->done);
}

static struct wal_batch *take(struct wal *w)
{
	struct wal_batch *b = w->filling;
	assert(b->end > w->taken && w->n_spare_batches);
	w->filling = w->spare_batches[--w->n_spare_batches];
	wal_batch_begin(w->filling, w->cur, w->offset, wal_batch_tail(b));
	w->taken = b->end;
	w->writing = true;
	w->in_flight++;
	return b;
}

/* Segments behind which the log has gone on need no open file. Closed before the LSN becomes
 * durable, since from then on trim may take them away. */
static void close_left_segments(struct wal *w, struct wal_batch *b)
{
	for (unsigned i = 0; i + 1 < b->n_extents; i++)
		wal_segment_close(&w->place, b->extents[i].segment);
}

static int write_batch(struct wal *w, struct wal_batch *b, uint64_t *bytes)
{
	/* The barrier comes after the batch was taken: what its records speak of was there before
	 * them. */
	const int r = w->barrier ? w->barrier(w->barrier_arg) : 0;
	if (r || wal_failed(w))
		return -EIO;
	const unsigned n = wal_batch_writes(b);
	for (unsigned i = 0; i < n; i++)
		*bytes += b->reqs[i].bytes;
	return w->place.io->ops->submit(w->place.io, b->reqs, n);
}

static int flush_batch(struct wal *w, struct wal_batch *b)
{
	return w->place.io->ops->submit(w->place.io, b->reqs, wal_batch_syncs(b));
}

/* Under lock, let go during I/O. */
static void lead(struct wal *w)
{
	uint64_t bytes = 0;
	const uint64_t ticket = w->tickets_taken++;
	struct wal_batch *b = take(w);

	pthread_mutex_unlock(&w->lock);
	int r = write_batch(w, b, &bytes);
	pthread_mutex_lock(&w->lock);
	if (r)
		wal_fail(w);
	w->writing = false;
	pthread_cond_signal(&w->turn);

	if (!wal_failed(w)) {
		pthread_mutex_unlock(&w->lock);
		r = flush_batch(w, b);
		pthread_mutex_lock(&w->lock);
		if (r)
			wal_fail(w);
	}
	while (w->tickets_done != ticket && !wal_failed(w))
		pthread_cond_wait(&w->done, &w->lock);
	if (!wal_failed(w)) {
		pthread_mutex_unlock(&w->lock);
		close_left_segments(w, b);
		pthread_mutex_lock(&w->lock);
		atomic_store_explicit(&w->durable, b->end, memory_order_release);
		w->tickets_done = ticket + 1;
		w->batches_done++;
		w->flushes++;
		w->written_bytes += bytes;
	}
	w->spare_batches[w->n_spare_batches++] = b;
	w->in_flight--;
	pthread_cond_broadcast(&w->turn);
	pthread_cond_broadcast(&w->done);
}

int wal_commit(struct wal *w, uint64_t lsn)
{
	for (;;) {
		/* Durable before failed: what had become durable stays so. */
		if (wal_durable(w) >= lsn)
			return 0;
		if (wal_failed(w))
			return -EIO;
		if (w->taken >= lsn)
			pthread_cond_wait(&w->done, &w->lock);
		else if (w->writing || w->in_flight == IN_FLIGHT_MAX)
			pthread_cond_wait(&w->turn, &w->lock);
		else
			lead(w);
	}
}

int wal_sync(struct wal *w, uint64_t lsn)
{
	const uint64_t end = wal_end(w);
	if (lsn > end)
		lsn = end;
	if (wal_durable(w) >= lsn)
		return 0;
	pthread_mutex_lock(&w->lock);
	const int r = wal_commit(w, lsn);
	pthread_mutex_unlock(&w->lock);
	return r;
}

uint64_t wal_end(const struct wal *w)
{
	return atomic_load_explicit(&w->end, memory_order_acquire);
}

uint64_t wal_durable(const struct wal *w)
{
	return atomic_load_explicit(&w->durable, memory_order_acquire);
}

bool wal_failed(const struct wal *w)
{
	return atomic_load_explicit(&w->failed, memory_order_acquire);
}

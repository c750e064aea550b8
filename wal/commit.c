/*
 * commit.c - group commit: one thread leads, and writes and flushes for all who wait.
 *
 *   group 1   gather ─ take ─ barrier ─ write ─┬─ flush ─────────────┬─ durable, ring
 *   group 2                                    └ take ─ barrier ─ write ─ flush ─────┴─ durable, ring
 *
 * The next write starts when the one before it has ended, since it rewrites that one's last block;
 * and each group flushes for itself, since a flush that began earlier need not cover it. The LSN
 * becomes durable in the order of the groups: a flush that succeeds behind one that failed proves
 * nothing (W4).
 *
 * When to lead: as soon as all are here who can come (`expected`, less those in flight). Beside a
 * flush nobody leads earlier; with nothing in flight, who is here first yields a bounded number of
 * times. So groups are as large as they can be, the disk does not idle while somebody waits, there
 * is no timer, and who commits alone never waits.
 *
 * Who waits sleeps on the bell of the group, and is not woken before it is durable, but for the one that is to
 * lead; and on waking takes no lock.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "wal/log.h"

/* A processor with nobody else to run yields in less than a microsecond; the slowest part of coming back is
 * to be woken on one that had gone to sleep. */
enum {
	GATHER_YIELDS = 100,
	GATHER_PAUSE = 100, /* groups */
};

static struct wal_group *group_of(struct wal *w, uint64_t ticket)
{
	return &w->groups[ticket % WAL_GROUPS];
}

static unsigned in_flight(const struct wal *w)
{
	return (unsigned)(w->gathering - w->first_in_flight);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- bells: counted up under lock, rung without ---- */

struct ring {
	atomic_uint *bell;
	int sleepers; /* so many are woken */
};

static void sleep_until_rung(atomic_uint *bell, unsigned seen)
{
	syscall(SYS_futex, bell, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void ring_all(const struct ring *rings, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		syscall(SYS_futex, rings[i].bell, FUTEX_WAKE_PRIVATE, rings[i].sleepers, NULL, NULL,
		        0);
}

/* Under lock. */
static unsigned add_ring(struct ring *rings, unsigned n, struct wal_group *g, int sleepers)
{
	atomic_fetch_add_explicit(&g->bell, 1, memory_order_relaxed);
	rings[n] = (struct ring){&g->bell, sleepers};
	return n + 1;
}

void wal_fail(struct wal *w)
{
	struct ring rings[WAL_GROUPS];
	unsigned n = 0;
	atomic_store_explicit(&w->failed, true, memory_order_release);
	for (unsigned i = 0; i < WAL_GROUPS; i++)
		n = add_ring(rings, n, &w->groups[i], INT_MAX);
	ring_all(rings, n);
	pthread_cond_broadcast(&w->room);
}

/* ---- who leads ---- */

/* Under lock. */
static bool all_are_here(struct wal *w)
{
	return group_of(w, w->gathering)->waiters + w->outstanding >= w->expected;
}

/* Under lock. */
static bool may_lead(struct wal *w)
{
	if (w->writing || w->gatherer || in_flight(w) == WAL_IN_FLIGHT)
		return false;
	return in_flight(w) == 0 || all_are_here(w);
}

/* Under lock, after anything that makes may_lead() true but the arrival of who can then lead itself. */
static unsigned ring_leader(struct wal *w, struct ring *rings, unsigned n)
{
	struct wal_group *g = group_of(w, w->gathering);
	return g->waiters && may_lead(w) ? add_ring(rings, n, g, 1) : n;
}

/* Under lock, let go meanwhile: lets those run who were woken when the last flush ended, and are
 * about to commit again. Over when they are here, when yielding brings nobody any more, or when it
 * has taken as long as a write and a flush. If a single yield takes that long, others want the
 * processor, and it is not tried again for a while. */
static void gather(struct wal *w)
{
	const struct wal_group *g = group_of(w, w->gathering);
	if (all_are_here(w))
		return;
	if (w->gather_not) {
		w->gather_not--;
		return;
	}
	const uint64_t until = now_ns() + w->commit_ns;
	uint64_t before_ns, after_ns = 0;
	w->gatherer = true;
	for (int idle = 0; idle < GATHER_YIELDS && after_ns < until; idle++) {
		const unsigned before = g->waiters;
		pthread_mutex_unlock(&w->lock);
		before_ns = now_ns();
		sched_yield();
		after_ns = now_ns();
		pthread_mutex_lock(&w->lock);
		if (all_are_here(w) || wal_failed(w))
			break;
		if (after_ns - before_ns > w->commit_ns)
			w->gather_not = GATHER_PAUSE;
		if (g->waiters != before)
			idle = 0;
	}
	w->gatherer = false;
}

/* ---- writing ---- */

static struct wal_batch *take(struct wal *w)
{
	struct wal_batch *b = w->filling;
	assert(b->end && !w->writing);
	w->filling = w->spare_batch;
	w->spare_batch = b;
	w->writing = true;
	wal_batch_begin(w->filling, w->cur, w->offset, wal_batch_tail(b));
	return b;
}

/* Zeroes behind what was just written, so that the commits that come next change nothing but file content. */
static int fill_ahead(struct wal *w, struct wal_segment *seg, uint64_t *bytes)
{
	uint64_t n = w->place.segment_bytes - seg->filled;
	if (n > w->fill_bytes)
		n = w->fill_bytes;
	const int r = n ? io_write(w->place.io, seg->file, w->zeroes, n, seg->filled) : 0;
	seg->filled += n;
	*bytes += n;
	return r;
}

/* Only one thread at a time is here (`writing`), with or without a flush to follow. */
static int write_batch(struct wal *w, struct wal_batch *b, bool flush_follows, uint64_t *bytes)
{
	/* The barrier comes after the batch was taken: what its records speak of was there before
	 * them. */
	int r = w->barrier ? w->barrier(w->barrier_arg) : 0;
	if (r || wal_failed(w))
		return -EIO;
	const unsigned n = wal_batch_writes(b);
	for (unsigned i = 0; i < n; i++)
		*bytes += b->reqs[i].bytes;
	r = w->place.io->ops->submit(w->place.io, b->reqs, n);
	for (unsigned i = 0; !r && i < b->n_extents; i++) {
		struct wal_segment *seg = b->extents[i].segment;
		const uint64_t end = wal_batch_extent_end(b, i);
		if (end <= seg->filled)
			continue;
		seg->filled = end;
		if (flush_follows && i + 1 == b->n_extents)
			r = fill_ahead(w, seg, bytes);
	}
	return r;
}

/* Under lock, let go during I/O. */
static void write_queued(struct wal *w, bool flush_follows)
{
	uint64_t bytes = 0;
	struct wal_batch *b = take(w);
	pthread_mutex_unlock(&w->lock);
	const int r = write_batch(w, b, flush_follows, &bytes);
	pthread_mutex_lock(&w->lock);
	w->writing = false;
	w->batches_written++;
	w->written_bytes += bytes;
	if (r)
		wal_fail(w);
	else
		pthread_cond_broadcast(&w->room);
}

void wal_write_behind(struct wal *w)
{
	struct ring rings[1];
	write_queued(w, false);
	ring_all(rings, ring_leader(w, rings, 0));
}

/* ---- flushing ---- */

static int flush(struct wal *w, const struct wal_group *g)
{
	for (struct wal_segment *s = g->first;; s = s->next) {
		const int r = io_sync(w->place.io, s->file);
		if (r || s == g->last)
			return r;
	}
}

/* Under lock. Segments behind which the log has gone on need no open file. Closed before the LSN becomes
 * durable, since from then on trim may take them away; closing is no I/O. */
static unsigned publish(struct wal *w, const struct wal_group *own, struct ring *rings)
{
	unsigned n = 0;
	while (!wal_failed(w) && in_flight(w) && group_of(w, w->first_in_flight)->flushed) {
		struct wal_group *g = group_of(w, w->first_in_flight++);
		for (struct wal_segment *s = g->first; s != g->last; s = s->next)
			wal_segment_close(&w->place, s);
		atomic_store_explicit(&w->durable, g->end, memory_order_release);
		w->outstanding -= g->waiters;
		w->flushes++;
		/* Its leader is one of its waiters; who leads now is awake. */
		if (g != own || g->waiters > 1)
			n = add_ring(rings, n, g, INT_MAX);
	}
	return ring_leader(w, rings, n);
}

/* Under lock, which is let go. The caller waits in the group that gathers. */
static void lead_and_unlock(struct wal *w)
{
	struct ring rings[WAL_GROUPS];
	struct wal_group *g = group_of(w, w->gathering++);
	const unsigned seen = g->waiters + w->outstanding;
	struct wal_group *next = group_of(w, w->gathering);
	unsigned n;
	int r = 0;

	/* Who was expected and did not come is forgotten one by one. */
	w->expected = seen >= w->expected ? seen : w->expected - 1;
	w->outstanding = seen;
	g->end = wal_end(w);
	g->first = w->flush_from;
	g->last = w->flush_from = w->cur;
	g->flushed = false;
	w->unflushed = 0;
	next->waiters = 0;

	const uint64_t began = now_ns();
	if (w->filling->end)
		write_queued(w, true);
	n = ring_leader(w, rings, 0);
	if (!wal_failed(w)) {
		pthread_mutex_unlock(&w->lock);
		ring_all(rings, n);
		r = flush(w, g);
		pthread_mutex_lock(&w->lock);
		if (r)
			wal_fail(w);
		g->flushed = !r;
		w->commit_ns = now_ns() - began;
		n = publish(w, g, rings);
	}
	pthread_mutex_unlock(&w->lock);
	ring_all(rings, n);
}

/* Under lock: the group whose flush will cover `lsn`, and the caller one of those who wait for it. */
static uint64_t join(struct wal *w, uint64_t lsn)
{
	struct ring rings[1];
	uint64_t ticket = w->first_in_flight;
	while (ticket != w->gathering && group_of(w, ticket)->end < lsn)
		ticket++;
	group_of(w, ticket)->waiters++;
	if (ticket != w->gathering) {
		w->outstanding++;
		ring_all(rings, ring_leader(w, rings, 0));
	}
	return ticket;
}

int wal_sync(struct wal *w, uint64_t lsn)
{
	const uint64_t end = wal_end(w);
	if (lsn > end)
		lsn = end;
	/* Durable before failed, always: what had become durable stays so. */
	if (wal_durable(w) >= lsn)
		return 0;
	pthread_mutex_lock(&w->lock);
	if (wal_durable(w) >= lsn || wal_failed(w)) {
		pthread_mutex_unlock(&w->lock);
		return wal_durable(w) >= lsn ? 0 : -EIO;
	}
	const uint64_t ticket = join(w, lsn);
	atomic_uint *const bell = &group_of(w, ticket)->bell;
	for (;;) {
		if (ticket == w->gathering && may_lead(w))
			gather(w);
		if (ticket == w->gathering && may_lead(w) && !wal_failed(w)) {
			lead_and_unlock(w);
		} else {
			const unsigned seen = atomic_load_explicit(bell, memory_order_relaxed);
			const bool over = wal_durable(w) >= lsn || wal_failed(w);
			pthread_mutex_unlock(&w->lock);
			if (!over)
				sleep_until_rung(bell, seen);
		}
		if (wal_durable(w) >= lsn)
			return 0;
		if (wal_failed(w))
			return -EIO;
		pthread_mutex_lock(&w->lock);
	}
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

/*
 * checkpoint.c - a consistent image at one LSN, beside the work.
 *
 *   checkpoint_lock
 *     commit_lock:              X = LSN of the last transaction; store_freeze(X)     an instant
 *     wal_sync(X)               W1: no frame image before the log that explains it
 *     store_commit()            frozen frames to fresh slots, flush, manifest batch, flush
 *     wal_trim(X)               W2: the log is cut only now
 *
 * A crash before the manifest batch is durable leaves the former image and the whole log; behind
 * it, this image and the log from X.
 */
#include <errno.h>
#include <time.h>

#include "art/tree.h"

enum { IDLE_SECONDS = 3 };

bool checkpoint_due(struct art *a)
{
	return atomic_load(&a->lsn) - atomic_load(&a->checkpoint_lsn) >= a->opt.checkpoint_bytes ||
	       store_dirty_bytes(a->store) >= a->opt.cache_bytes / 64 * 63;
}

/* Freezes; false if the image on disk is this one already. */
static bool freeze(struct art *a, uint64_t *lsn)
{
	pthread_mutex_lock(&a->commit_lock);
	*lsn = atomic_load(&a->lsn);
	bool news = store_is_dirty(a->store) || *lsn != store_root(a->store)->lsn;
	if (news)
		store_freeze(a->store,
		        &(struct store_root){
		                .lsn = *lsn, .tree = a->root, .keys = a->keys, .user = {a->arena}});
	pthread_mutex_unlock(&a->commit_lock);
	return news;
}

static int run_locked(struct art *a, bool replaying)
{
	uint64_t lsn;
	int err;

	if (store_failed(a->store) || wal_failed(a->wal))
		return -EIO;
	if (!freeze(a, &lsn))
		return 0;
	/* Records that are being replayed are durable by nature. */
	if (!replaying && (err = wal_sync(a->wal, lsn)) != 0) {
		store_fail(a->store);
		return err;
	}
	if ((err = store_commit(a->store)) != 0)
		return err;
	atomic_store(&a->checkpoint_lsn, lsn);
	atomic_fetch_add_explicit(&a->checkpoints, 1, memory_order_relaxed);
	/* The log stays whole while it is being read: the next checkpoint trims it. */
	return replaying ? 0 : wal_trim(a->wal, lsn);
}

int checkpoint_run(struct art *a)
{
	if (a->opt.read_only)
		return -EROFS;
	pthread_mutex_lock(&a->checkpoint_lock);
	int err = run_locked(a, a->replaying);
	pthread_mutex_unlock(&a->checkpoint_lock);
	return err;
}

int art_checkpoint(struct art *a)
{
	return a->opt.read_only ? 0 : checkpoint_run(a);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Waits about a second, or until somebody wakes it. False: time to end. */
static bool wait_a_while(struct art *a)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_mutex_lock(&a->wake_lock);
	if (!a->stopping && !a->nudged)
		pthread_cond_timedwait(&a->wake, &a->wake_lock, &until);
	a->nudged = false;
	bool go_on = !a->stopping;
	pthread_mutex_unlock(&a->wake_lock);
	return go_on;
}

static void *checkpointer(void *arg)
{
	struct art *a = arg;
	uint64_t last = atomic_load(&a->lsn);
	unsigned quiet = 0;

	while (wait_a_while(a)) {
		uint64_t now = atomic_load(&a->lsn);
		quiet = now == last ? quiet + 1 : 0;
		last = now;
		/* A failure is final, and whoever writes or syncs next is told (W4). */
		if (wal_wants_spare(a->wal))
			wal_prepare(a->wal);
		if (checkpoint_due(a) ||
		        (quiet >= IDLE_SECONDS && now != atomic_load(&a->checkpoint_lsn)))
			checkpoint_run(a);
	}
	return NULL;
}

void art_nudge(struct art *a)
{
	if (!a->checkpointer_runs || atomic_load_explicit(&a->nudged, memory_order_relaxed) ||
	        !(checkpoint_due(a) || wal_wants_spare(a->wal)))
		return;
	pthread_mutex_lock(&a->wake_lock);
	a->nudged = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->wake_lock);
}

int checkpoint_start(struct art *a)
{
	int err = pthread_create(&a->checkpointer, NULL, checkpointer, a);

	a->checkpointer_runs = err == 0;
	return -err;
}

void checkpoint_stop(struct art *a)
{
	if (!a->checkpointer_runs)
		return;
	pthread_mutex_lock(&a->wake_lock);
	a->stopping = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->wake_lock);
	pthread_join(a->checkpointer, NULL);
	a->checkpointer_runs = false;
}

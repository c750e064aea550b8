/*
 * log.h - the state of an open log (private to wal/).
 *
 *   oldest ─► seg ─► seg ─► cur ─► spare ─► newest          batches:  filling   writing   flushing
 *                            └ offset: where the next record goes
 *
 * Locks, in the order in which they are taken:
 *
 *   maint   held across I/O   names in wal/, both ends of the list of segments
 *   lock    never across I/O  everything else that is not atomic or immutable
 */
#ifndef WAL_LOG_H
#define WAL_LOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "wal/batch.h"
#include "wal/wal.h"

enum {
	WAL_BATCHES = 3,    /* one fills while at most two are in flight */
	WAL_SPARES_MAX = 4, /* segments kept ahead by trim; reserve makes sure of one */
	/* What a record may take in a batch beside itself: a LAST record, the rest of its block. */
	WAL_TURN_BYTES = sizeof(struct wal_record) + WAL_BLOCK,
};

struct wal {
	struct wal_place place; /* immutable after open */
	int (*barrier)(void *arg);
	void *barrier_arg;
	size_t record_max;           /* bytes, header included; immutable after open */
	bool ready;                  /* set by replay, which runs alone */
	uint64_t unfinished;         /* sequence of a segment that replay removes; 0: none */
	pthread_key_t reserved_here; /* bytes that the calling thread has reserved */

	pthread_mutex_t maint, lock;
	pthread_cond_t turn; /* a thread may lead now */
	pthread_cond_t done; /* a batch has become durable, or the log has failed */

	/* Guarded by lock; `oldest` and `newest` change only under maint as well. */
	struct wal_segment *oldest, *cur, *newest;
	unsigned segments, spares;
	uint64_t offset; /* in cur: where the next record goes */
	struct wal_batch batches[WAL_BATCHES];
	struct wal_batch *filling, *spare_batches[WAL_BATCHES];
	unsigned n_spare_batches;
	size_t reserved;    /* bytes, by all threads together */
	uint64_t taken;     /* LSN up to which leaders have taken batches */
	bool writing;       /* a leader is between taking a batch and having written it */
	unsigned in_flight; /* batches taken and not done */
	uint64_t tickets_taken, tickets_done; /* batches become durable in this order */
	uint64_t batches_done, records, written_bytes, flushes;

	atomic_uint_fast64_t end;     /* written under lock; read by wal_end() */
	atomic_uint_fast64_t durable; /* released under lock; pairs with wal_durable() */
	atomic_bool failed;           /* set under lock, never cleared (W4) */
};

static inline size_t wal_payload_max(size_t record_max)
{
	return record_max - sizeof(struct wal_record);
}

/* Under lock: W4, wakes everybody. */
void wal_fail(struct wal *w);

/* Under lock, which is let go meanwhile: returns when everything up to `lsn` is durable. -EIO. */
int wal_commit(struct wal *w, uint64_t lsn);

#endif

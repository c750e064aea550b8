/*
 * log.h - the state of an open log (private to wal/).
 *
 *   oldest ─► seg ─► seg ─► cur ─► spare ─► newest          batches:  one fills, one is being written
 *                            └ offset: where the next record goes
 *
 *   groups, by ticket:   flushing   flushing   gathering    who waits in one of them waits for its bell
 *                        └ first_in_flight     └ gathering
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
	WAL_BATCHES = 2,    /* one fills while the other is being written */
	WAL_IN_FLIGHT = 2,  /* groups whose flush is under way, at most */
	WAL_GROUPS = 4,     /* one more gathers; a power of two */
	WAL_SPARES_MAX = 4, /* segments kept ahead by trim; reserve makes sure of one */
	/* What nobody waits for is written when it has come to this. Half a segment if that is
	 * less, as below. Bytes. */
	WAL_PIECE_BYTES = 1024 * 1024,
	/* So much of a segment that is not filled yet is filled ahead of the commits at a time. */
	WAL_FILL_BYTES = 128 * 1024,
	/* Segments that may have been written without a flush: each of them keeps its file open. */
	WAL_UNFLUSHED_MAX = 4,
	/* What a record may take in a batch beside itself: a LAST record, the rest of its block. */
	WAL_TURN_BYTES = sizeof(struct wal_record) + WAL_BLOCK,
};

/* Those whom one flush makes durable. */
struct wal_group {
	uint64_t end;                     /* LSN that it covers */
	struct wal_segment *first, *last; /* segments that it flushes */
	unsigned waiters;
	bool flushed;
	atomic_uint bell; /* futex: counted up when its waiters are to look again */
};

struct wal {
	struct wal_place place; /* immutable after open */
	int (*barrier)(void *arg);
	void *barrier_arg;
	size_t record_max;              /* bytes, header included; immutable after open */
	size_t piece_bytes, fill_bytes; /* immutable after open */
	uint8_t *zeroes;                /* fill_bytes of them */
	bool ready;                     /* set by replay, which runs alone */
	uint64_t unfinished;            /* sequence of a segment that replay removes; 0: none */
	pthread_key_t reserved_here;    /* bytes that the calling thread has reserved */

	pthread_mutex_t maint, lock;
	pthread_cond_t room; /* a batch has been written, or the log has failed */

	/* Guarded by lock; `oldest` and `newest` change only under maint as well. */
	struct wal_segment *oldest, *cur, *newest;
	unsigned segments, spares;
	atomic_bool low; /* on spares; set under lock, and a hint to others */
	uint64_t offset; /* in cur: where the next record goes */
	bool revived;    /* cur may take records; changes only under maint as well */
	struct wal_batch batches[WAL_BATCHES];
	struct wal_batch *filling, *spare_batch;
	bool writing;    /* spare_batch is being written, by whoever has set this */
	size_t reserved; /* bytes, by all threads together */

	struct wal_group groups[WAL_GROUPS];
	uint64_t first_in_flight, gathering; /* tickets */
	struct wal_segment *flush_from;      /* what is written and not in a flight begins here */
	unsigned unflushed;   /* segments that the log has left since the last flush began */
	bool gatherer;        /* somebody is about to lead, and waits for more to come */
	unsigned gather_not;  /* so many groups do without */
	uint64_t commit_ns;   /* what the last write and flush took */
	unsigned outstanding; /* waiters of the groups in flight */
	unsigned expected;    /* how many commit at once, as far as is known; at least 1 */

	uint64_t batches_written, records, written_bytes, flushes;

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

/* Under lock, which is let go meanwhile, with something queued and nobody writing: writes what is queued, but
 * flushes nothing. */
void wal_write_behind(struct wal *w);

#endif

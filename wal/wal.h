/*
 * wal.h - the redo log: an endless row of records, kept in preallocated segments.
 *
 *   LSN 0 ───────── trimmed ─────────► │ seg n │ seg n+1 │ ... │ seg m ▒▒▒ │ spare │ spare │
 *                                      ▲ oldest record needed       ▲ end  (zero-filled, recycled)
 *
 * An LSN is a position in the endless log, in bytes; the LSN of a record is the position just
 * behind it, so "durable up to L" covers every record whose LSN is <= L, and the difference of two
 * LSNs is the log written between them. The log knows nothing of what the payloads mean.
 *
 * Rules upheld here: W3 (the tail rule), W4 (a failed flush is never retried: the log fails for
 * good). Group commit: whoever first needs durability leads, writes all that is queued, flushes
 * once, wakes all up to that LSN. No timer, at most two flushes in flight. What nobody waits for is
 * written in pieces, without a flush.
 *
 * Threads: wal_append() calls are made one at a time, in the order in which their effects are
 * applied (the caller's lock); all other functions may run beside them and beside each other. The
 * log starts no threads.
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "store/io.h"

enum {
	WAL_SEGMENT_MIN = 64 * 1024,
	WAL_SEGMENT_DEFAULT = 16 * 1024 * 1024,
	WAL_FORMAT_VERSION = 1,
};

struct wal_options {
	uint32_t segment_bytes; /* for wal_format(): blocks of 4096; 0 = default. A log keeps it. */
	uint8_t uuid[16];       /* the store's: a segment of another store is refused */
	bool read_only;         /* replay only: writes nothing, does not repair the tail */
	/* Called by the leader before a batch is written; if it fails, nothing of the batch is
	 * written and the log fails. May be NULL. Held locks: none that append needs. The leader is
	 * whoever is in wal_sync(), or in a wal_reserve() that finds a piece to be written. */
	int (*barrier)(void *arg);
	void *barrier_arg;
};

struct wal;

/* mkfs: the directory wal/ with its first segments, beginning at `lsn`. Durable on return. */
int wal_format(struct io *io, const struct wal_options *opt, uint64_t lsn, struct why *w);

/* Opens the segments. -ENOENT no log, -EPROTONOSUPPORT newer format,
 * -EUCLEAN segments missing in the middle or damaged headers, -EIO, -ENOMEM. Nothing on disk has
 * changed if it fails. */
int wal_open(struct io *io, const struct wal_options *opt, struct wal **out, struct why *w);
void wal_close(struct wal *w); /* syncs nothing */

/* Streams every record with LSN > `from` to apply(), in order, then makes the log ready to append
 * behind the last one. To be called exactly once, before the first reserve. A nonzero answer of
 * apply() stops and is returned. W3: stops at the first invalid record; truncates and syncs the
 * tail (not when read_only); but -EUCLEAN, with place and offset, if the invalid record had been
 * durable. -EUCLEAN too if the log begins behind `from`. The payload is valid during the call only.
 */
int wal_replay(struct wal *w, uint64_t from,
        int (*apply)(void *arg, uint64_t lsn, uint16_t type, const void *payload, size_t bytes),
        void *arg, struct why *why);

/* [reserve] Makes sure that one append of up to `bytes` of payload will succeed: memory and disk.
 * A reservation belongs to the calling thread until its next append; one that was not used is
 * carried over to the thread's next reserve. -ENOSPC no room for another segment (trim or free
 * space first), -EMSGSIZE larger than wal_record_max(), -EIO after a failure, -ENOMEM, -EROFS. */
int wal_reserve(struct wal *w, size_t bytes);
size_t wal_record_max(const struct wal *w); /* bytes of payload: a quarter segment, at most 4 MiB */

/* [apply] Queues one record, gathered from `n` pieces; copies them. Returns its LSN. Cannot fail.
 * Uses up what the calling thread has reserved. */
uint64_t wal_append(struct wal *w, uint16_t type, const struct iovec *pieces, int n);

/* Making a segment takes milliseconds. When this says that a spare one will be needed soon, a thread that
 * nobody waits for should call wal_prepare(), which makes it; otherwise some wal_reserve() has to. Answers of
 * wal_reserve(); that there is no space yet hurts nobody. */
bool wal_wants_spare(const struct wal *w);
int wal_prepare(struct wal *w);

uint64_t wal_end(const struct wal *w);     /* LSN of the last record appended (or replayed) */
uint64_t wal_durable(const struct wal *w); /* durable up to here */

/* Returns when everything up to `lsn` is durable; -EIO for ever after a failed write or flush (W4).
 */
int wal_sync(struct wal *w, uint64_t lsn);

/* To be called last before wal_close(), with no other call beside it: trims like wal_trim(), then
 * removes all spare segments if all of the log is durable, and leaves nothing but a header if
 * `lsn` covers it to its end. A crash inside loses nothing. The next reserve allocates the
 * segment's blocks again, and the commits fill it ahead of themselves. Answers like wal_trim(); the
 * log stays usable. */
int wal_shrink(struct wal *w, uint64_t lsn);

/* W2: records with LSN <= `lsn` are no longer needed; the caller's image that holds them is
 * durable. Segments that hold nothing else are recycled, and spare ones beyond a few removed.
 * -EIO, -EROFS, or an error of space or memory: the rest is left to the next call. */
int wal_trim(struct wal *w, uint64_t lsn);

bool wal_failed(const struct wal *w);

struct wal_stat {
	uint64_t begin, end, durable; /* LSNs */
	uint32_t segment_bytes;
	unsigned segments, spares;
	uint64_t batches, records, written_bytes, flushes;
};
void wal_stat(struct wal *w, struct wal_stat *out);

#endif

/*
 * state.h - the store, put together; private to store/.
 *
 * Locks, in the order in which they are taken (README.md has the table):
 *
 *      grow_lock   held across allocate, truncate and punch
 *      lock        everything in memory; never held across I/O
 */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/blobs.h"
#include "store/cache.h"
#include "store/manifest.h"
#include "store/space.h"

enum {
	BOUNCE_KEPT = 4,
	IMAGES_BYTES = 2 * 1024 * 1024, /* sealed images that a commit writes at once */
};

/* Ids that no log between two commits can use up: what is written during a replay begins behind
 * them. */
#define REPLAY_IDS (UINT64_C(1) << 32)

struct store {
	struct io *io;                         /* immutable */
	struct store_options opt;              /* immutable */
	struct io_file *blobs_file, *log_file; /* immutable */
	pthread_mutex_t grow_lock, lock;
	atomic_bool failed; /* W4: never reset */

	/* guarded by lock */
	struct blobs blobs;
	struct space space;
	struct cache cache;
	uint64_t next_frame_id, next_data_id;
	bool replay_ids;   /* next_data_id is already beyond what the log can name */
	size_t unattached; /* data blobs written or claimed, and not yet attached */
	struct manifest m; /* uuid, sizes: immutable; the rest changes when a commit is durable */
	bool freezing;     /* between store_freeze() and the end of store_commit() */
	struct manifest_point frozen_point;
	uint64_t log_room;         /* the log is allocated up to here; changes under both locks */
	bool trusted;              /* what open found is durable; the committer's */
	bool log_ready;            /* its tail is known to be clean; guarded by grow_lock */
	void *bounce[BOUNCE_KEPT]; /* idle aligned buffers of STORE_DATA_MAX bytes */
	unsigned nbounce;

	struct manifest_stream stream; /* the committer's */
	char *images;                  /* the committer's; IMAGES_BYTES */

	/* writes done, and how many of these a flush is known to cover: pairs of store_data_write()
	 * with store_data_flush() and store_commit() */
	atomic_uint_fast64_t data_written, data_flushed;
	atomic_uint_fast64_t read_bytes, written_bytes, flushes; /* counters, relaxed */
	uint64_t commits;
};

/* The sums of the STORE_SUM_BYTES pieces of `bytes` bytes (S2). */
void store_sums(const void *data, uint64_t bytes, uint64_t *sum);
/* The same of a frame's image: as many as a whole frame would have, 0 where the image has ended. */
void store_image_sums(const struct store *s, const void *image, uint32_t bytes, uint64_t *sum);

/* W4: a failed write or flush is remembered for ever. Returns rc. */
int store_latch(struct store *s, int rc);
int store_sync_file(struct store *s, struct io_file *file); /* latches, counts */
/* Flushes blobs.dat if `frames` were written, or data blobs since the last time. */
int store_flush_blobs(struct store *s, bool frames);

/* Called with the lock held; may let go of it for a while. Nothing has changed if they fail. */
int store_log_room(struct store *s, size_t entries); /* for `entries` more in the next batch */
int store_set_aside(struct store *s, size_t frames, enum store_need need);
int store_take_run(struct store *s, uint32_t nslots, uint64_t *slot);

/* Called with the lock held: the blob leaves the current state. */
void store_drop(struct store *s, struct blob *e);

void *store_bounce_take(struct store *s); /* lock not held; NULL: no memory */
void store_bounce_give(struct store *s, void *buf);

/* lock.c (S5). -EWOULDBLOCK, or -ENOENT if what is held is not a store yet. */
int store_lock(struct io *io, bool exclusive, unsigned wait_ms, struct why *w);
void store_lock_note(struct io *io);
void store_lock_note_remove(struct io *io);

#endif

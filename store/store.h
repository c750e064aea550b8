/*
 * store.h - the packed blob store: a versioned set of blobs that moves from one commit to the next.
 *
 *   blobs.dat      slots of 4 KiB; a blob is a run of adjacent slots
 *   manifest.bin   which blob lies where, as of one commit          (store/SPEC.md has every byte)
 *   manifest.log   what changed since, one batch per commit
 *
 * Three kinds of blob share one file and one manifest:
 *
 *   TREE, ARENA    "frames": changed in memory through the frame cache, packed and written
 *                  to fresh slots by the next commit. The manifest holds their checksums.
 *   DATA           1..n slots, written once, at once, to fresh slots, then only read. Whoever
 *                  refers to it holds its checksums (struct store_data).
 *
 * A commit is two steps. store_freeze() is an instant: it marks the present content of all dirty
 * frames, and every attach and drop so far, as belonging to the image at one LSN. store_commit()
 * does the I/O: frozen frames to fresh slots, flush, manifest batch, flush, and only then do
 * replaced slots become free (S1). In between, and beside it, frames go on changing:
 * store_frame_write() copies a frozen frame first. A crash leaves the former commit or this one,
 * whole (S3).
 *
 * Rules upheld here: S1 shadow slots, S2 checksums, S3 whole batches, S4 free slots derived, S5 one
 * writer, W4 fail-stop (after a failed write or flush every later call that would write gets -EIO),
 * W5 out of space is met in the fallible calls below, before anything has changed.
 *
 * "Reserve, log, apply" needs the last step to be infallible. Calls marked [apply] return void and
 * cannot fail; what they need was set aside by a fallible call marked [reserve].
 *
 * Threads: all functions lock for themselves. The content of a frame is guarded by the caller's
 * latches. store_freeze() must exclude all [apply] calls and changes of frames; nothing else need
 * stop. The store starts no threads.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/io.h"

enum {
	STORE_SLOT_BYTES = 4096, /* the unit of blobs.dat */
	STORE_FRAME_MIN = 4096,  /* of a frame */
	STORE_FRAME_MAX = 512 * 1024,
	STORE_FRAME_DEFAULT = 64 * 1024,
	STORE_SUM_BYTES = 64 * 1024,  /* S2: a checksum covers at most this much */
	STORE_DATA_MAX = 1024 * 1024, /* one DATA blob */
	STORE_DATA_SUMS = STORE_DATA_MAX / STORE_SUM_BYTES,
	STORE_FORMAT_VERSION = 2,
};

enum store_kind { STORE_TREE = 1, STORE_ARENA = 2, STORE_DATA = 3 };

/* What a commit says about itself, for the room above. */
struct store_root {
	uint64_t lsn;     /* the image holds the effect of every record up to here */
	uint64_t tree;    /* opaque to the store: where the tree begins */
	uint64_t keys;    /* opaque: number of keys */
	uint64_t user[4]; /* opaque */
};

struct store_format {
	uint32_t frame_bytes; /* power of two, STORE_FRAME_MIN..MAX; 0 = default */
	uint64_t size_max;    /* bytes that blobs.dat may reach; 0 = no limit but the disk's */
	uint8_t uuid[16];     /* all zero: random */
};

struct store_options {
	size_t cache_bytes; /* hard budget for frame memory; at least 16 frames; 0 = 256 MiB */
	bool read_only; /* takes a shared lock, writes nothing; frames may still change in memory */
	unsigned lock_wait_ms; /* usually IO_LOCK_WAIT_MS */
	/* Called once for every frame read from disk, after its checksum: 0 or -EUCLEAN. Must not
	 * trust one byte of it, and must not call back into the store. */
	int (*validate)(const void *data, uint32_t bytes, uint64_t id, enum store_kind kind);
	/* Called by store_commit() for every frame that it writes: puts the bytes that are to be read
	 * back, packed as tightly as may be, to `image`, where a whole frame has room; returns how many
	 * they are. Behind them a frame is read back as zeroes. Readers may look at `data` meanwhile, so it
	 * stays as it is. NULL: all bytes, as they are. */
	uint32_t (*seal)(void *arg, const void *data, void *image, enum store_kind kind);
	void *seal_arg;
};

struct store;

/* ---- life ------------------------------------------------------------------------------- */

/* mkfs: writes an empty store (no blobs, root all zero). Needs the lock; -EEXIST if a store is
 * there already, -ENOTEMPTY if the directory holds anything else. Durable on return. */
int store_format(struct io *io, const struct store_format *fmt, struct why *w);

/* Locks (S5), loads the manifest. Errors: -EWOULDBLOCK held by another process (the sentence names
 * pid, host and start time), -ENOENT not a store, -EPROTONOSUPPORT newer format or unknown incompat
 * feature, -EROFS unknown ro-compat feature and not read_only, -EUCLEAN damaged manifest, -EIO,
 * -ENOMEM. Nothing on disk has changed if it fails. `io` stays the caller's. */
int store_open(struct io *io, const struct store_options *opt, struct store **out, struct why *w);

/* Forgets everything not committed, closes files, removes the note in `lock`. The flock itself goes
 * with io->ops->destroy(). */
void store_close(struct store *s);

uint32_t store_frame_bytes(const struct store *s);
const uint8_t *store_uuid(const struct store *s);
const struct store_root *store_root(const struct store *s); /* as of the last commit */
struct io *store_io(struct store *s);

/* Until this is called, fresh slots are taken only from beyond the end that blobs.dat had when
 * opened: the log may name slots which the manifest does not know yet. */
void store_replay_done(struct store *s);

/* ---- frames ----------------------------------------------------------------------------- */

/* The cache evicts by CLOCK, and a frame that was read from disk counts as used only from its second use on:
 * so a scan of everything passes through, and what is used again and again stays. */

/* The memory image of a TREE or ARENA blob, frame_bytes long. Lives in the cache; the pointer and
 * `data` stay valid while pinned, but store_frame_write() may move `data` once. */
struct frame {
	uint64_t id;   /* immutable, never 0, below 2^48, never reused in the life of the store */
	void *data;    /* aligned to IO_ALIGN; guarded by the caller's latch on this frame */
	uint64_t mark; /* for the caller's use; 0 when the frame enters the cache */
};

/* Pins; reads, checks and validates if it is not in memory. -ENOENT no such blob, -EBADMSG
 * checksum, -EUCLEAN validate() refused it, -EIO, -ENOMEM, -EAGAIN: the budget is full of dirty or
 * pinned frames: release all pins, commit, and try again. */
int store_frame_get(struct store *s, uint64_t id, struct frame **out);

/* Pins only if it is in memory already, else NULL. Never does I/O. */
struct frame *store_frame_peek(struct store *s, uint64_t id);

/* A frame that the caller has pinned already, without pinning it again. NULL if it is hard to find;
 * otherwise the frame, or, where the caller has no pin on it, something that must not be looked at
 * beyond `mark`. Takes no lock. */
struct frame *store_frame_pinned(struct store *s, uint64_t id);

void store_frame_put(struct store *s,
        struct frame *f); /* unpins; takes no lock but for the last pin of a dropped one */

enum store_need {
	STORE_NORMAL,
	STORE_SHRINKING /* deleting: may use the reserve kept for it (W5) */
};

/* After -EAGAIN, with no pin held: waits until a commit that is under way has made some frames clean. False at
 * once if none is. */
bool store_wait_clean(struct store *s);

/* [reserve] Makes a pinned frame writable and dirty: sets room aside for its next image, and if
 * it is frozen leaves the old image to the commit and gives the frame a copy. Changes nothing that
 * a reader could see. Idempotent. -ENOSPC, -EAGAIN (as above), -ENOMEM, -EIO after fail-stop. */
int store_frame_write(struct store *s, struct frame *f, enum store_need need);

/* [reserve] Makes sure that `n` store_frame_new() calls will succeed: ids, memory, slots. What is
 * not used stays set aside for the next caller. Errors as above. Only one transaction reserves at a
 * time. */
int store_frame_reserve(struct store *s, unsigned n, enum store_need need);

/* Gives back what is set aside beyond `keep` frames. */
void store_frame_release(struct store *s, unsigned keep);

/* [apply] A new zeroed, dirty, pinned frame, from what was reserved. */
struct frame *store_frame_new(struct store *s, enum store_kind kind);

/* [apply] The blob is gone as of now; also unpins. Its slot is freed by the commit after the next
 * freeze. */
void store_frame_drop(struct store *s, struct frame *f);

/* A look at a frame in memory without pin, lock or write to shared memory (a sequence lock: every
 * frame has a version, odd while it changes). What is read through `data` may be any garbage until
 * store_view_valid() has said, afterwards, that nothing has changed since; so the reader bounds
 * every loop and length, and may read up to STORE_VIEW_BEYOND bytes behind `data`. */
struct store_view {
	const void *data;
	const _Atomic uint64_t *version;
	uint64_t seen;
};
enum { STORE_VIEW_BEYOND = 1024 * 1024 };
/* False: not in memory, or changing, or hard to find; store_frame_get() knows. */
bool store_frame_view(struct store *s, uint64_t id, struct store_view *out);
/* The same of a frame that the caller has pinned. False: changing. */
bool store_frame_view_pinned(struct frame *f, struct store_view *out);
bool store_view_valid(const struct store_view *v);
/* Around every change of a writable frame's bytes that others could look at. Not nested. */
void store_frame_change(struct store *s, struct frame *f);
void store_frame_changed(struct store *s, struct frame *f);

/* Every frame blob carries a small counter of the caller's choice (arenas: live bytes), kept in the
 * manifest so that it can change without touching the blob. 0 for a new blob. */
uint32_t store_blob_count(struct store *s, uint64_t id);            /* 0 if there is no such blob */
void store_blob_count_add(struct store *s, uint64_t id, int32_t d); /* [apply] */
/* [apply] As store_frame_drop, by id, not pinned. */
void store_blob_drop(struct store *s, uint64_t id);

/* ---- data blobs ------------------------------------------------------------------------- */

/* A reference to a DATA blob: what a record must hold to find and to check it. */
struct store_data {
	uint64_t id;                   /* an id space of its own */
	uint64_t slot;                 /* first slot */
	uint32_t bytes;                /* 1..STORE_DATA_MAX */
	uint64_t sum[STORE_DATA_SUMS]; /* xxh3-64 of each STORE_SUM_BYTES piece or rest */
};

/* [reserve] Writes to fresh slots, not flushed, not named by anything yet. -ENOSPC, -EIO, -ENOMEM,
 * -EROFS. */
int store_data_write(struct store *s, const void *buf, uint32_t bytes, struct store_data *out);
void store_data_abort(struct store *s, uint64_t id); /* instead of attach */

/* [apply] From now on the blob is part of the dictionary. The log record that says so must not
 * become durable before store_data_flush() has returned 0. */
void store_data_attach(struct store *s, uint64_t id);
void store_data_drop(struct store *s, uint64_t id); /* [apply] */

/* Flushes what store_data_write() wrote; cheap if there is nothing. Hand it to the log as its
 * barrier. */
int store_data_flush(struct store *s);

/* While replaying: the log says that this blob exists. Claims its slots and id. -EUCLEAN if they
 * overlap another blob, or are out of bounds. Then store_data_attach() as usual. */
int store_data_claim(struct store *s, const struct store_data *d);

/* Reads [offset, offset+bytes) of the blob, checking every piece it touches. -EBADMSG, -EIO,
 * -ENOENT. */
int store_data_read(
        struct store *s, const struct store_data *d, uint32_t offset, uint32_t bytes, void *buf);

/* ---- commit ----------------------------------------------------------------------------- */

/* The instant of X. `root` describes the image. Must not be called while another is uncommitted. */
void store_freeze(struct store *s, const struct store_root *root);

/* Writes the frozen image. The log up to root.lsn must be durable (W1). After 0 the image is
 * durable and the log up to there is no longer needed. An error is final (W4). */
int store_commit(struct store *s);

/* True once there is anything that a freeze would put into a batch. */
bool store_is_dirty(const struct store *s);
/* Bytes of frames changed since the last freeze. */
size_t store_dirty_bytes(const struct store *s);
bool store_failed(const struct store *s); /* W4 */
/* Fail-stop on behalf of the room above (a failed log): later writes get -EIO. */
void store_fail(struct store *s);

/* ---- looking ---------------------------------------------------------------------------- */

struct store_stat {
	uint32_t frame_bytes;
	uint64_t slots_total; /* length of blobs.dat, in slots of STORE_SLOT_BYTES */
	uint64_t slots_used;  /* named, or waiting to become free */
	uint64_t slots_max;   /* by size_max or by the host's free space, whichever is less */
	uint64_t blobs[4];    /* per kind */
	uint64_t cache_bytes, cache_used, cache_dirty;
	uint64_t cache_hits, cache_misses, evictions;
	uint64_t read_bytes, written_bytes, flushes, commits;
	uint64_t manifest_log_bytes;
	const char *io_name;
};
void store_stat(struct store *s, struct store_stat *out);

/* Calls each() for every blob of the current state, in order of id within a kind. `slot` is
 * UINT64_MAX for a frame that no commit has written yet. */
int store_each_blob(struct store *s,
        int (*each)(void *arg, enum store_kind kind, uint64_t id, uint64_t slot, uint32_t nslots),
        void *arg);

/* fsck of this room: every frame's checksum, no slot named twice, none out of bounds. say() gets
 * one line per finding. Returns the number of findings, or -errno. Data blobs are checked by who
 * holds their sums. */
int store_check(struct store *s, void (*say)(void *arg, const char *line), void *arg);

#endif

/*
 * art.h - the durable dictionary: an ordered map from byte-string keys to values.
 *
 * A persistent Adaptive Radix Tree whose nodes live in frames exactly as on disk (art/README.md
 * draws it), with a redo log before it (wal/) and a blob store below it (store/).
 *
 *   key    1..ART_KEY_BYTES_MAX bytes, any bytes, ordered as memcmp() orders them. A key may be a
 * prefix of another one. value  0..ART_VALUE_BYTES_MAX bytes. It has one of three homes, chosen by
 * its size: in the leaf, packed with others in an arena, or a data blob of its own. Callers see no
 * difference but speed.
 *
 * Everything below an edge is stored relative to that edge, so moving all keys that begin with one
 * prefix to another prefix (ART_GRAFT) costs O(length of the two prefixes), however many keys there
 * are.
 *
 * A transaction is an array of operations: all of them happen or none, also through a crash. It is
 * applied in memory when art_commit() returns, and durable when art_sync() of its LSN has returned
 * 0 (or by the next checkpoint). Transactions become durable in the order of their LSNs: never a
 * later one without an earlier one.
 *
 * Errors of every function: -EIO (disk, or the volume failed before, W4), -EBADMSG (checksum),
 * -EUCLEAN (corrupt), -ENOMEM, and those named. A failed transaction has changed nothing.
 *
 * Threads: all functions may be called at once by many threads. Readers see whole transactions
 * only.
 */
#ifndef ART_ART_H
#define ART_ART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "wal/wal.h"

enum {
	ART_KEY_BYTES_MAX = 64 * 1024,
	ART_VALUE_BYTES_MAX = STORE_DATA_MAX,
	ART_OPS_MAX = 65536, /* operations in one transaction; its log record must fit
	                        wal_record_max() too */
};

/* A view of bytes that somebody else owns. */
struct art_bytes {
	const void *data;
	size_t bytes;
};

struct art_format {
	uint32_t frame_bytes;   /* see store.h; 0 = default */
	uint64_t size_max;      /* see store.h; 0 = no limit */
	uint32_t segment_bytes; /* see wal.h; 0 = default */
};

struct art_options {
	size_t cache_bytes;        /* hard budget for frames; 0 = default */
	uint64_t checkpoint_bytes; /* log written between checkpoints; 0 = 64 MiB */
	bool read_only;  /* replays into memory, writes nothing, refuses art_commit with -EROFS */
	bool background; /* run a checkpointer thread; otherwise art_commit() checkpoints inline
	                  * when it is due, and the whole engine is deterministic */
	unsigned lock_wait_ms; /* see store.h; 0 = do not wait */
	/* Told now and then while a long log is replayed. May be NULL. */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);
	void *progress_arg;
};

struct art;

/* mkfs: an empty dictionary in a directory. Errors of store_format(). Durable on return. */
int art_format(struct io *io, const struct art_format *fmt, struct why *w);

/* Locks, loads, replays the log. Errors of store_open(), wal_open(), wal_replay(). `io` stays the
 * caller's and must outlive the dictionary. */
int art_open(struct io *io, const struct art_options *opt, struct art **out, struct why *w);

/* Takes a final checkpoint (unless read-only or failed) and frees everything. Returns what that
 * checkpoint returned; the dictionary is closed in any case. No other call may be under way. */
int art_close(struct art *a);

/* ---- transactions ---------------------------------------------------------------------------- */

enum art_op_type {
	ART_PUT,    /* key = value */
	ART_REMOVE, /* key is gone; with ART_ANY it need not be there */
	ART_GRAFT,  /* every key that begins with prefix `key` now begins with prefix `to` instead.
	             * -ENOENT nothing begins with `key`; -EEXIST a key begins with `to`, other than
	             * (when  `replace` is set) the key `to` itself, which is then removed first;
	             * -EINVAL one prefix  begins with the other; -ENAMETOOLONG a key would grow
	             * beyond the limit (checked for  the prefixes, and where keys below exceed it
	             * they remain readable) */
	ART_EXCHANGE, /* the keys below prefix `key` and those below prefix `to` change places.
	               * -ENOENT if one of them has none; -EINVAL one prefix begins with the other
	               */
};

/* What must hold before the transaction, else it fails whole. Checked against the state before its
 * first operation. */
enum art_guard {
	ART_ANY,
	ART_ABSENT,  /* -EEXIST if the key is there */
	ART_PRESENT, /* -ENOENT if it is not */
	ART_EQUALS,  /* -ESTALE if its value is not `expect` */
};

struct art_op {
	enum art_op_type type;
	enum art_guard guard; /* for PUT and REMOVE, of `key` */
	bool replace;         /* GRAFT */
	struct art_bytes key, to, value, expect;
};

/* Applies ops in their order. `lsn` (may be NULL) receives the record's LSN. -EINVAL empty key or
 * bad op, -ENAMETOOLONG key too long, -EFBIG value too long, -EMSGSIZE transaction too large for
 * one log record, -ENOSPC, -EROFS. -ENOMEM also if the frames that the transaction changes, and those set aside
 * for splits, do not fit into the cache together: that may be 4 frames for each operation, and a few more. */
int art_commit(struct art *a, const struct art_op *ops, unsigned n, uint64_t *lsn);

uint64_t art_lsn(struct art *a);           /* of the last transaction applied */
int art_sync(struct art *a, uint64_t lsn); /* group commit: returns when durable up to `lsn` */
void art_nudge(struct art *a);             /* a checkpoint would be welcome soon; returns at once */
int art_checkpoint(struct art *a);         /* durable image of now; returns when it is there */

/* ---- reading --------------------------------------------------------------------------------- */

/* Copies bytes [offset, offset+cap) of the value, as many as there are, to buf (NULL with cap 0).
 * `bytes` receives the length of the whole value (may be NULL). -ENOENT. */
int art_get(
        struct art *a, struct art_bytes key, size_t offset, void *buf, size_t cap, size_t *bytes);

/* The longest key that `key` begins with, in one descent: `matched` receives its length, the rest
 * as art_get(). -ENOENT if there is none. */
int art_longest_prefix(
        struct art *a, struct art_bytes key, size_t *matched, void *buf, size_t cap, size_t *bytes);

/* An ordered walk over the keys that begin with a prefix. With a delimiter, keys that hold it
 * behind the prefix are rolled up: the walk yields the part up to and with the first delimiter
 * once, and jumps over everything below it, so it costs O(entries yielded). */
struct art_entry {
	struct art_bytes name; /* the key without the prefix; "" if the prefix itself is a key */
	struct art_bytes
	        value; /* of this very key; data NULL if it has none, or lives in a data blob */
	size_t value_bytes; /* of the whole value */
	bool present;       /* this very key has a value (a rolled-up one need not) */
	bool rolled;        /* name ends in the delimiter and may have keys below it */
};

struct art_cursor;
enum { ART_NO_DELIMITER = -1 };
int art_cursor_open(struct art *a, struct art_bytes prefix, int delimiter, struct art_cursor **out);
/* Continue with the first entry behind `name` (as an entry gave it), which need not exist any more;
 * behind everything below it too if it ends in the delimiter. */
int art_cursor_seek(struct art_cursor *c, struct art_bytes name);
/* 1 and the next entry (valid until the next call on this cursor), 0 at the end, or -errno. An
 * entry that stands all the time is given exactly once, whatever else changes meanwhile. */
int art_cursor_next(struct art_cursor *c, struct art_entry *out);
void art_cursor_close(struct art_cursor *c);

/* ---- looking --------------------------------------------------------------------------------- */

size_t art_inline_bytes_max(const struct art *a); /* key suffix and value that fit into a leaf */
const uint8_t *art_uuid(const struct art *a);
bool art_failed(const struct art *a); /* W4: read-only for good */

struct art_stat {
	uint64_t keys;
	uint64_t commits;        /* transactions since open */
	uint64_t frames_dirtied; /* clean -> dirty, new frames included, since open */
	uint64_t frames_split, frames_merged, frames_compacted;
	uint64_t checkpoints, checkpoint_lsn;
	struct store_stat store;
	struct wal_stat wal;
};
void art_stat(struct art *a, struct art_stat *out);

/* fsck of this room and those below: checksums, slots, nodes, key order, links (each blob reached
 * exactly once, none leaked), live counts of arenas, checksums of data blobs, number of keys. say()
 * gets one line per finding. Returns the number of findings, or -errno. No transaction may run
 * meanwhile. */
int art_check(struct art *a, void (*say)(void *arg, const char *line), void *arg);

#endif

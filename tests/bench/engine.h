/*
 * engine.h - one set of calls for artfs's dictionary and for the engines it is compared with.
 *
 *   engine_bench.c   which engines, which rounds, which figures
 *        │
 *   steps.c          the work, the same for all        steps_artfs.c   what only artfs can do
 *        │
 *   engine.c         who there is; listing by seeking
 *        │
 *   peer_artfs.c  peer_lmdb.c  peer_rocksdb.c  peer_leveldb.c  peer_sqlite.c  peer_wiredtiger.c
 *
 * A peer is built in when its header is found; otherwise its table has a name and a package only,
 * and the benchmark leaves it out by that name.
 *
 * What makes the comparison fair:
 *
 *   - every engine gets `cache_bytes` of cache for data, and `log_bytes` of log, memtable or WAL
 *     before it moves on to a checkpoint, flush or compaction of its own; one that maps its file
 *     has the page cache of the machine, which is more;
 *   - what is not synced survives the end of the process, and need not survive the end of the
 *     power: each engine may use the cheapest mode that promises this much;
 *   - what is synced is in the disk when commit() returns, by the engine's own documented means;
 *   - each thread has a session of its own, in which an engine may keep whatever it likes to reuse;
 *   - where an engine offers a faster way for the same promise, its file takes it and says so.
 *
 * All functions return 0 or -errno (an engine's own errors are -EIO, after a line on stderr).
 */
#ifndef TESTS_BENCH_ENGINE_H
#define TESTS_BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENGINE_NO_DELIMITER = -1, ENGINE_BATCH_MAX = 1000, ENGINE_KEY_BYTES_MAX = 256 };

/* A view of bytes that somebody else owns. */
struct engine_bytes {
	const void *data;
	size_t bytes;
};

struct engine_options {
	size_t cache_bytes;
	uint64_t log_bytes;
};

struct engine_op {
	bool remove; /* else put; the key to remove is there */
	struct engine_bytes key, value;
};

struct engine_entry {
	struct engine_bytes key, value; /* valid until the next call on this session */
};

/* What a listing found. */
struct engine_tally {
	uint64_t entries;     /* with a delimiter, a child with keys below it is one */
	uint64_t value_bytes; /* of the entries that are keys themselves */
};

struct engine;         /* an open store; opaque, of the peer */
struct engine_session; /* one thread's way into it */

struct engine_ops {
	const char *name;
	const char *package; /* Debian's, for the sentence that it is missing */

	/* Opens the store in the directory `path`, making both if they are missing. NULL if this
	 * peer is not built in. */
	int (*open)(const char *path, const struct engine_options *opt, struct engine **out);
	/* Sessions are closed by now. Brings into the store's files what its next open() needs. */
	int (*close)(struct engine *e);

	int (*session_open)(struct engine *e, struct engine_session **out);
	void (*session_close)(struct engine_session *s);

	/* One transaction of 1..ENGINE_BATCH_MAX operations; with `durable`, on the disk. */
	int (*commit)(
	        struct engine_session *s, const struct engine_op *ops, unsigned n, bool durable);
	/* Copies the value, which is no longer than `cap`. -ENOENT. */
	int (*get)(struct engine_session *s, struct engine_bytes key, void *value, size_t cap,
	        size_t *bytes);

	/* The keys below a prefix, rolled up at the delimiter. NULL: by seek and next. */
	int (*list)(struct engine_session *s, struct engine_bytes prefix, int delimiter,
	        struct engine_tally *out);
	/* 1 and the first entry with a key >= `key`, or the one behind the last; 0: there is none.
	 * rest() ends the walk that a seek began. */
	int (*seek)(struct engine_session *s, struct engine_bytes key, struct engine_entry *out);
	int (*next)(struct engine_session *s, struct engine_entry *out);
	void (*rest)(struct engine_session *s);

	/* Brings what is in memory and log into the main files, durably. Beside commits. */
	int (*checkpoint)(struct engine *e);
	/* Makes the files as small as the engine can. No session is in use. */
	int (*compact)(struct engine *e);
};

/* The table of a peer that walks by seek and next, and whose functions are named as the members. */
#define ENGINE_OPS(peer_name, peer_package)                                                        \
	{                                                                                          \
		.name = peer_name, .package = peer_package, .open = open_store,                    \
		.close = close_store, .session_open = session_open,                                \
		.session_close = session_close, .commit = commit, .get = get, .seek = seek,        \
		.next = next, .rest = rest, .checkpoint = checkpoint, .compact = compact           \
	}

extern const struct engine_ops peer_artfs, peer_lmdb, peer_rocksdb, peer_leveldb, peer_sqlite,
        peer_wiredtiger;

/* All of them, artfs first, then the others in the order in which figures name them. */
enum { ENGINES = 6 };
extern const struct engine_ops *const engines[ENGINES];

/* ops->list, or the same by seeking past each child. */
int engine_list(const struct engine_ops *ops, struct engine_session *s, struct engine_bytes prefix,
        int delimiter, struct engine_tally *out);

/* "NAME: CALL: TEXT" on stderr; returns -EIO. */
int engine_error(const char *name, const char *call, const char *text);

/* The dictionary inside an engine that peer_artfs opened. */
struct art *peer_artfs_art(struct engine *e);

#endif

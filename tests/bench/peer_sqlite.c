/*
 * peer_sqlite.c - SQLite: a B-tree of pages with a write-ahead log.
 *
 * Tuning, and why it is fair:
 *
 *   table       WITHOUT ROWID with the key as primary key: one B-tree, not two
 *   pages       of 2 KiB: with 100,000 keys one by one, 38,900 puts per second instead of 30,200 with
 *               pages of 4 KiB and 27,300 with 1 KiB; gets are as fast
 *   cache       the file is mapped (mmap_size), so all connections share the page cache of the machine,
 *               which is more than the others have. The cache of each connection holds 8 MiB only:
 *               each commit that splits a page goes through all of it, and with the common size a
 *               million keys one by one come in at 9,500 per second instead of 36,600
 *   journal     WAL, checkpointed after 4,000 pages: its index is then one hash table
 *   synchronous OFF while nothing is asked to be durable, as for LMDB; FULL for durable commits
 *   statements  prepared once per connection
 *   writers     SQLite has one writer at a time and lets the others poll; our mutex makes them queue
 *   checkpoint  PASSIVE: writers do not wait for it. While it runs, a reader stands in the log, for
 *               SQLite 3.40 has a race there: where the log has all been taken, a writer may begin it
 *               anew just after the checkpoint has read its header, and the checkpoint then works by
 *               the old header on the new log, and ends in SQLITE_CORRUPT or a corrupt file (fixed in
 *               3.51.3, "WAL-reset bug"). A log in which a reader stands is not begun anew, and where
 *               the reader needs nothing of the log it keeps the checkpoint away. Neither makes a
 *               writer wait.
 *   compact     VACUUM
 *
 * One connection per thread, in its multi-thread mode (SQLITE_OPEN_NOMUTEX).
 */
#include "tests/bench/engine.h"

#if __has_include(<sqlite3.h>)

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PAGE_BYTES = 2048, LOG_PAGES = 4000, CACHE_KIB = 8192 };

enum statement { BEGIN, COMMIT, PUT, REMOVE, GET, WALK, STATEMENTS };

static const char *const sql[STATEMENTS] = {
        [BEGIN] = "BEGIN IMMEDIATE",
        [COMMIT] = "COMMIT",
        [PUT] = "INSERT OR REPLACE INTO map VALUES (?1, ?2)",
        [REMOVE] = "DELETE FROM map WHERE key = ?1",
        [GET] = "SELECT value FROM map WHERE key = ?1",
        [WALK] = "SELECT key, value FROM map WHERE key >= ?1 ORDER BY key",
};

struct engine {
	char path[4096];
	pthread_mutex_t writer;
	struct engine_session *main;   /* for checkpoint and compact */
	struct engine_session *reader; /* stands in the log during a checkpoint */
};

struct engine_session {
	struct engine *engine;
	sqlite3 *db;
	sqlite3_stmt *statement[STATEMENTS];
	bool durable; /* synchronous is FULL */
};

static int check(struct engine_session *s, int rc, const char *call)
{
	if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
		return 0;
	return engine_error("sqlite", call, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static int run(struct engine_session *s, const char *text)
{
	return check(s, sqlite3_exec(s->db, text, NULL, NULL, NULL), text);
}

static void session_close(struct engine_session *s)
{
	for (unsigned i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statement[i]);
	sqlite3_close(s->db);
	free(s);
}

static int session_open(struct engine *e, struct engine_session **out)
{
	char pragmas[512];
	struct engine_session *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->engine = e;
	int rc = check(s,
	        sqlite3_open_v2(e->path, &s->db,
	                SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL),
	        "open");
	snprintf(pragmas, sizeof(pragmas),
	        "PRAGMA page_size = %d; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"
	        "PRAGMA busy_timeout = 60000; PRAGMA cache_size = -%d;"
	        "PRAGMA mmap_size = 1099511627776; PRAGMA wal_autocheckpoint = %d;"
	        "CREATE TABLE IF NOT EXISTS map (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID",
	        PAGE_BYTES, CACHE_KIB, LOG_PAGES);
	if (!rc)
		rc = run(s, pragmas);
	for (unsigned i = 0; !rc && i < STATEMENTS; i++)
		rc = check(s,
		        sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
		                &s->statement[i], NULL),
		        sql[i]);
	if (rc)
		session_close(s);
	else
		*out = s;
	return rc;
}

static int open_store(const char *path, const struct engine_options *opt, struct engine **out)
{
	(void)opt;
	struct engine *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	mkdir(path, 0700);
	snprintf(e->path, sizeof(e->path), "%s/map.db", path);
	pthread_mutex_init(&e->writer, NULL);
	int rc = session_open(e, &e->main);
	if (rc)
		goto out_engine;
	rc = session_open(e, &e->reader);
	if (rc)
		goto out_main;
	*out = e;
	return 0;
out_main:
	session_close(e->main);
out_engine:
	free(e);
	return rc;
}

static int close_store(struct engine *e)
{
	session_close(e->reader);
	session_close(e->main); /* the last one: takes a checkpoint, removes the log */
	free(e);
	return 0;
}

static void bind(sqlite3_stmt *st, int at, struct engine_bytes b)
{
	sqlite3_bind_blob64(st, at, b.data, b.bytes, SQLITE_STATIC);
}

static int step(struct engine_session *s, enum statement which)
{
	int rc = sqlite3_step(s->statement[which]);
	sqlite3_reset(s->statement[which]);
	return check(s, rc, sql[which]);
}

static int commit_locked(
        struct engine_session *s, const struct engine_op *ops, unsigned n, bool durable)
{
	int rc = 0;
	if (s->durable != durable)
		rc = run(s, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = OFF");
	s->durable = durable;
	/* A single statement is a transaction of its own. */
	if (!rc && n > 1)
		rc = step(s, BEGIN);
	for (unsigned i = 0; !rc && i < n; i++) {
		enum statement which = ops[i].remove ? REMOVE : PUT;
		bind(s->statement[which], 1, ops[i].key);
		if (which == PUT)
			bind(s->statement[which], 2, ops[i].value);
		rc = step(s, which);
	}
	if (!rc && n > 1)
		rc = step(s, COMMIT);
	return rc;
}

static int commit(struct engine_session *s, const struct engine_op *ops, unsigned n, bool durable)
{
	pthread_mutex_lock(&s->engine->writer);
	int rc = commit_locked(s, ops, n, durable);
	pthread_mutex_unlock(&s->engine->writer);
	return rc;
}

static struct engine_bytes column(sqlite3_stmt *st, int at)
{
	const void *data = sqlite3_column_blob(st, at);
	return (struct engine_bytes){data, (size_t)sqlite3_column_bytes(st, at)};
}

static int get(
        struct engine_session *s, struct engine_bytes key, void *value, size_t cap, size_t *bytes)
{
	sqlite3_stmt *st = s->statement[GET];
	bind(st, 1, key);
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		struct engine_bytes found = column(st, 0);
		*bytes = found.bytes;
		memcpy(value, found.data, found.bytes < cap ? found.bytes : cap);
	}
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? -ENOENT : check(s, rc, sql[GET]);
}

static int next(struct engine_session *s, struct engine_entry *out)
{
	sqlite3_stmt *st = s->statement[WALK];
	int rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		return check(s, rc, sql[WALK]);
	*out = (struct engine_entry){column(st, 0), column(st, 1)};
	return 1;
}

static void rest(struct engine_session *s)
{
	sqlite3_reset(s->statement[WALK]);
}

static int seek(struct engine_session *s, struct engine_bytes key, struct engine_entry *out)
{
	rest(s);
	bind(s->statement[WALK], 1, key);
	return next(s, out);
}

static int checkpoint(struct engine *e)
{
	int rc = run(e->reader, "BEGIN; SELECT key FROM map LIMIT 1");
	if (rc)
		return rc;
	rc = sqlite3_wal_checkpoint_v2(e->main->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	/* BUSY: a commit is taking one itself just now, or there is nothing to take. */
	rc = rc == SQLITE_BUSY ? 0 : check(e->main, rc, "wal_checkpoint");
	int ended = run(e->reader, "COMMIT");
	return rc ? rc : ended;
}

static int compact(struct engine *e)
{
	return run(e->main, "VACUUM");
}

const struct engine_ops peer_sqlite = ENGINE_OPS("sqlite", "libsqlite3-dev");

#else

const struct engine_ops peer_sqlite = {.name = "sqlite", .package = "libsqlite3-dev"};

#endif

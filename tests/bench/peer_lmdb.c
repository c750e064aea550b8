/*
 * peer_lmdb.c - LMDB: a copy-on-write B+tree in a memory map.
 *
 * Tuning, and why it is fair:
 *
 *   map        64 GiB of address space: it need never be resized. The cache is the page cache of the
 *              machine, so LMDB has more memory than the others, not less.
 *   WRITEMAP   pages change in the map, instead of in copies that write() puts back: with 200,000 keys
 *              one by one, 429,000 puts per second instead of 112,000. The file is as long as the map,
 *              with holes.
 *   NOSYNC     while nothing is asked to be durable. Durable commits run without it and flush data and
 *              meta page, as LMDB does by default.
 *   NORDAHEAD  most reads are random. Without it a cold get reads 128 KiB for each page it needs.
 *   reads      one read transaction and cursor per thread, renewed instead of begun anew, with MDB_NOTLS
 *              so that it belongs to the session.
 *   writers    LMDB has one writer at a time; our mutex is taken where its own would be, so that
 *              NOSYNC can change there.
 *   compact    mdb_env_copy2() with MDB_CP_COMPACT, which then takes the place of the data file.
 */
#include "tests/bench/engine.h"

#if __has_include(<lmdb.h>)

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t map_bytes = (size_t)64 << 30;

struct engine {
	MDB_env *env;
	MDB_dbi dbi;
	pthread_mutex_t writer;
	bool durable; /* guarded by writer: NOSYNC is off */
	char path[4096];
};

struct engine_session {
	struct engine *engine;
	MDB_txn *reader;
	MDB_cursor *cursor;
	bool walking;
};

static int check(int rc, const char *call)
{
	return rc ? engine_error("lmdb", call, mdb_strerror(rc)) : 0;
}

static MDB_val view(struct engine_bytes b)
{
	return (MDB_val){b.bytes, (void *)b.data};
}

static int open_env(struct engine *e)
{
	MDB_txn *txn;
	int rc = mdb_env_create(&e->env);
	if (rc)
		return check(rc, "mdb_env_create");
	rc = mdb_env_set_mapsize(e->env, map_bytes);
	if (!rc)
		rc = mdb_env_open(e->env, e->path,
		        MDB_NOSYNC | MDB_WRITEMAP | MDB_NORDAHEAD | MDB_NOTLS, 0600);
	if (rc)
		goto out;
	rc = mdb_txn_begin(e->env, NULL, 0, &txn);
	if (rc)
		goto out;
	rc = mdb_dbi_open(txn, NULL, 0, &e->dbi);
	if (rc)
		mdb_txn_abort(txn);
	else
		rc = mdb_txn_commit(txn);
out:
	if (rc)
		mdb_env_close(e->env);
	else
		e->durable = false;
	return check(rc, "mdb_env_open");
}

static int open_store(const char *path, const struct engine_options *opt, struct engine **out)
{
	(void)opt;
	struct engine *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	mkdir(path, 0700);
	snprintf(e->path, sizeof(e->path), "%s", path);
	pthread_mutex_init(&e->writer, NULL);
	int rc = open_env(e);
	if (rc)
		free(e);
	else
		*out = e;
	return rc;
}

static int close_store(struct engine *e)
{
	int rc = check(mdb_env_sync(e->env, 1), "mdb_env_sync");
	mdb_env_close(e->env);
	free(e);
	return rc;
}

static int session_open(struct engine *e, struct engine_session **out)
{
	struct engine_session *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->engine = e;
	int rc = mdb_txn_begin(e->env, NULL, MDB_RDONLY, &s->reader);
	if (!rc)
		rc = mdb_cursor_open(s->reader, e->dbi, &s->cursor);
	if (rc) {
		free(s);
		return check(rc, "mdb_txn_begin");
	}
	mdb_txn_reset(s->reader);
	*out = s;
	return 0;
}

static void session_close(struct engine_session *s)
{
	mdb_cursor_close(s->cursor);
	mdb_txn_abort(s->reader);
	free(s);
}

static int commit_locked(struct engine *e, const struct engine_op *ops, unsigned n, bool durable)
{
	MDB_txn *txn;
	int rc = 0;
	if (e->durable != durable)
		rc = mdb_env_set_flags(e->env, MDB_NOSYNC, !durable);
	if (rc)
		return check(rc, "mdb_env_set_flags");
	e->durable = durable;
	rc = mdb_txn_begin(e->env, NULL, 0, &txn);
	if (rc)
		return check(rc, "mdb_txn_begin");
	for (unsigned i = 0; !rc && i < n; i++) {
		MDB_val key = view(ops[i].key), value = view(ops[i].value);
		rc = ops[i].remove ? mdb_del(txn, e->dbi, &key, NULL)
		                   : mdb_put(txn, e->dbi, &key, &value, 0);
	}
	if (rc) {
		mdb_txn_abort(txn);
		return check(rc, "mdb_put");
	}
	return check(mdb_txn_commit(txn), "mdb_txn_commit");
}

static int commit(struct engine_session *s, const struct engine_op *ops, unsigned n, bool durable)
{
	pthread_mutex_lock(&s->engine->writer);
	int rc = commit_locked(s->engine, ops, n, durable);
	pthread_mutex_unlock(&s->engine->writer);
	return rc;
}

static int get(
        struct engine_session *s, struct engine_bytes key, void *value, size_t cap, size_t *bytes)
{
	MDB_val k = view(key), v;
	int rc = mdb_txn_renew(s->reader);
	if (rc)
		return check(rc, "mdb_txn_renew");
	rc = mdb_get(s->reader, s->engine->dbi, &k, &v);
	if (!rc) {
		*bytes = v.mv_size;
		memcpy(value, v.mv_data, v.mv_size < cap ? v.mv_size : cap);
	}
	mdb_txn_reset(s->reader);
	return rc == MDB_NOTFOUND ? -ENOENT : check(rc, "mdb_get");
}

static int step(struct engine_session *s, struct engine_bytes key, MDB_cursor_op op,
        struct engine_entry *out)
{
	MDB_val k = view(key), v;
	int rc = mdb_cursor_get(s->cursor, &k, &v, op);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : check(rc, "mdb_cursor_get");
	*out = (struct engine_entry){{k.mv_data, k.mv_size}, {v.mv_data, v.mv_size}};
	return 1;
}

/* Between seeks of one walk the transaction goes on: it is one listing. */
static int seek(struct engine_session *s, struct engine_bytes key, struct engine_entry *out)
{
	if (!s->walking) {
		int rc = mdb_txn_renew(s->reader);
		if (!rc)
			rc = mdb_cursor_renew(s->reader, s->cursor);
		if (rc)
			return check(rc, "mdb_cursor_renew");
		s->walking = true;
	}
	return step(s, key, key.bytes ? MDB_SET_RANGE : MDB_FIRST, out);
}

static int next(struct engine_session *s, struct engine_entry *out)
{
	return step(s, (struct engine_bytes){0}, MDB_NEXT, out);
}

static void rest(struct engine_session *s)
{
	s->walking = false;
	mdb_txn_reset(s->reader);
}

static int checkpoint(struct engine *e)
{
	return check(mdb_env_sync(e->env, 1), "mdb_env_sync");
}

static int compact(struct engine *e)
{
	char copy[4200], data[4200], copied[4300];
	snprintf(copy, sizeof(copy), "%s/compact", e->path);
	snprintf(copied, sizeof(copied), "%s/data.mdb", copy);
	snprintf(data, sizeof(data), "%s/data.mdb", e->path);
	if (mkdir(copy, 0700))
		return -errno;
	int rc = mdb_env_copy2(e->env, copy, MDB_CP_COMPACT);
	if (rc)
		return check(rc, "mdb_env_copy2");
	mdb_env_close(e->env);
	if (rename(copied, data) || rmdir(copy))
		return -errno;
	return open_env(e);
}

const struct engine_ops peer_lmdb = ENGINE_OPS("lmdb", "liblmdb-dev");

#else

const struct engine_ops peer_lmdb = {.name = "lmdb", .package = "liblmdb-dev"};

#endif

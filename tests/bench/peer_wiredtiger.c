/*
 * peer_wiredtiger.c - WiredTiger: a B-tree with a cache of its own and a log.
 *
 * Tuning, and why it is fair:
 *
 *   cache       of the common size
 *   log         on, in files of 16 MiB as artfs has them, with checkpoints after the common log_bytes;
 *               commits are not synced unless they are to be durable, and then each transaction asks
 *               for it ("sync=true")
 *   table       row store, key format u, as by default: no compression
 *   sessions    one per thread, each with a cursor that is kept; put and remove are single calls in
 *               an implicit transaction where there is no reason for an explicit one
 *   overwrite   by default: a put need not look whether the key is there
 */
#include "tests/bench/engine.h"

#if __has_include(<wiredtiger.h>)

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <wiredtiger.h>

enum { SESSIONS_MAX = 80 };

struct engine {
	WT_CONNECTION *connection;
};

struct engine_session {
	WT_SESSION *session;
	WT_CURSOR *cursor;
};

static int check(int rc, const char *call)
{
	return rc ? engine_error("wiredtiger", call, wiredtiger_strerror(rc)) : 0;
}

static int with_session(struct engine *e, int (*work)(WT_SESSION *session))
{
	WT_SESSION *session;
	int rc = e->connection->open_session(e->connection, NULL, NULL, &session);
	if (rc)
		return check(rc, "open_session");
	rc = work(session);
	session->close(session, NULL);
	return check(rc, "session");
}

static int create_table(WT_SESSION *session)
{
	return session->create(session, "table:map", "key_format=u,value_format=u");
}

static int open_store(const char *path, const struct engine_options *opt, struct engine **out)
{
	char config[512];
	struct engine *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	mkdir(path, 0700);
	snprintf(config, sizeof(config),
	        "create,cache_size=%llu,session_max=%d,log=(enabled=true,file_max=16MB),"
	        "checkpoint=(log_size=%llu),transaction_sync=(enabled=false,method=fsync)",
	        (unsigned long long)opt->cache_bytes, SESSIONS_MAX,
	        (unsigned long long)opt->log_bytes);
	int rc = check(wiredtiger_open(path, NULL, config, &e->connection), "wiredtiger_open");
	if (rc)
		goto out_engine;
	rc = with_session(e, create_table);
	if (rc)
		goto out_connection;
	*out = e;
	return 0;
out_connection:
	e->connection->close(e->connection, NULL);
out_engine:
	free(e);
	return rc;
}

static int close_store(struct engine *e)
{
	int rc = check(e->connection->close(e->connection, NULL), "close");
	free(e);
	return rc;
}

static int session_open(struct engine *e, struct engine_session **out)
{
	struct engine_session *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	int rc = e->connection->open_session(e->connection, NULL, NULL, &s->session);
	if (!rc)
		rc = s->session->open_cursor(s->session, "table:map", NULL, NULL, &s->cursor);
	if (rc)
		free(s);
	else
		*out = s;
	return check(rc, "open_session");
}

static void session_close(struct engine_session *s)
{
	s->session->close(s->session, NULL);
	free(s);
}

static void set_key(WT_CURSOR *c, struct engine_bytes key)
{
	c->set_key(c, &(WT_ITEM){.data = key.data, .size = key.bytes});
}

static int apply(WT_CURSOR *c, const struct engine_op *op)
{
	set_key(c, op->key);
	if (op->remove)
		return c->remove(c);
	c->set_value(c, &(WT_ITEM){.data = op->value.data, .size = op->value.bytes});
	return c->insert(c);
}

static int try_commit(
        struct engine_session *s, const struct engine_op *ops, unsigned n, bool durable)
{
	WT_SESSION *session = s->session;
	bool explicitly = durable || n > 1;
	int rc = 0;
	if (explicitly)
		rc = session->begin_transaction(session, durable ? "sync=true" : NULL);
	if (rc)
		return rc;
	for (unsigned i = 0; !rc && i < n; i++)
		rc = apply(s->cursor, &ops[i]);
	if (!explicitly)
		return rc;
	if (!rc)
		return session->commit_transaction(session, NULL);
	session->rollback_transaction(session, NULL);
	return rc;
}

static int commit(struct engine_session *s, const struct engine_op *ops, unsigned n, bool durable)
{
	int rc;
	do /* two writers of one key: the documented answer is to try again */
		rc = try_commit(s, ops, n, durable);
	while (rc == WT_ROLLBACK);
	return check(rc, "commit_transaction");
}

static int get(
        struct engine_session *s, struct engine_bytes key, void *value, size_t cap, size_t *bytes)
{
	WT_CURSOR *c = s->cursor;
	WT_ITEM found;
	set_key(c, key);
	int rc = c->search(c);
	if (!rc)
		rc = c->get_value(c, &found);
	if (!rc) {
		memcpy(value, found.data, found.size < cap ? found.size : cap);
		*bytes = found.size;
	}
	c->reset(c);
	return rc == WT_NOTFOUND ? -ENOENT : check(rc, "search");
}

static int entry_here(struct engine_session *s, int rc, struct engine_entry *out)
{
	WT_CURSOR *c = s->cursor;
	WT_ITEM key, value;
	if (rc == WT_NOTFOUND)
		return 0;
	if (!rc)
		rc = c->get_key(c, &key);
	if (!rc)
		rc = c->get_value(c, &value);
	if (rc)
		return check(rc, "next");
	*out = (struct engine_entry){{key.data, key.size}, {value.data, value.size}};
	return 1;
}

static int next(struct engine_session *s, struct engine_entry *out)
{
	return entry_here(s, s->cursor->next(s->cursor), out);
}

static int seek(struct engine_session *s, struct engine_bytes key, struct engine_entry *out)
{
	int near;
	s->cursor->reset(s->cursor);
	if (!key.bytes) /* no key may be empty here: from the beginning */
		return next(s, out);
	set_key(s->cursor, key);
	int rc = s->cursor->search_near(s->cursor, &near);
	if (!rc && near < 0)
		return next(s, out);
	return entry_here(s, rc, out);
}

static void rest(struct engine_session *s)
{
	s->cursor->reset(s->cursor);
}

static int checkpoint_session(WT_SESSION *session)
{
	return session->checkpoint(session, NULL);
}

static int checkpoint(struct engine *e)
{
	return with_session(e, checkpoint_session);
}

static int compact_session(WT_SESSION *session)
{
	int rc = session->compact(session, "table:map", NULL);
	return rc ? rc : session->checkpoint(session, NULL);
}

static int compact(struct engine *e)
{
	return with_session(e, compact_session);
}

const struct engine_ops peer_wiredtiger = ENGINE_OPS("wiredtiger", "libwiredtiger-dev");

#else

const struct engine_ops peer_wiredtiger = {.name = "wiredtiger", .package = "libwiredtiger-dev"};

#endif

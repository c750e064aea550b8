/*
 * peer_lsm.h - what RocksDB and LevelDB have in common: the C interface, but for the prefix of names.
 *
 * Included once, by peer_rocksdb.c and peer_leveldb.c, behind
 *
 *   #define LSM_NAME  "leveldb"
 *   #define LSM(name) leveldb_##name
 *
 * Unsynced commits go to the log with write(), which the engine does in any case. Batches, sessions
 * and options are made once and used again. A walk is an iterator of its own: one that is kept
 * would hold on to the files of its time.
 *
 * The file that includes this supplies tune(), get() and checkpoint().
 */
#ifndef TESTS_BENCH_PEER_LSM_H
#define TESTS_BENCH_PEER_LSM_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/engine.h"

enum { BLOOM_BITS_PER_KEY = 10 };

struct engine {
	LSM(t) * db;
	LSM(options_t) * options;
	LSM(cache_t) * cache;
	LSM(filterpolicy_t) * bloom; /* NULL if the options own it */
	LSM(readoptions_t) * reading;
	LSM(writeoptions_t) * writing, *writing_durably;
};

struct engine_session {
	struct engine *engine;
	LSM(writebatch_t) * batch;
	LSM(iterator_t) * walk;
};

/* Sets e->options, from e->cache and with a bloom filter. */
static void tune(struct engine *e, const struct engine_options *opt);
static int get(
        struct engine_session *s, struct engine_bytes key, void *value, size_t cap, size_t *bytes);
static int checkpoint(struct engine *e);

static int check(char *error, const char *call)
{
	if (!error)
		return 0;
	int rc = engine_error(LSM_NAME, call, error);
	LSM(free)(error);
	return rc;
}

static int close_store(struct engine *e)
{
	if (e->db)
		LSM(close)(e->db);
	LSM(writeoptions_destroy)(e->writing_durably);
	LSM(writeoptions_destroy)(e->writing);
	LSM(readoptions_destroy)(e->reading);
	LSM(options_destroy)(e->options);
	LSM(cache_destroy)(e->cache);
	if (e->bloom)
		LSM(filterpolicy_destroy)(e->bloom);
	free(e);
	return 0;
}

static int open_store(const char *path, const struct engine_options *opt, struct engine **out)
{
	char *error = NULL;
	struct engine *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->cache = LSM(cache_create_lru)(opt->cache_bytes);
	e->options = LSM(options_create)();
	e->reading = LSM(readoptions_create)();
	e->writing = LSM(writeoptions_create)();
	e->writing_durably = LSM(writeoptions_create)();
	LSM(writeoptions_set_sync)(e->writing_durably, 1);
	LSM(options_set_create_if_missing)(e->options, 1);
	LSM(options_set_write_buffer_size)(e->options, opt->log_bytes);
	tune(e, opt);
	e->db = LSM(open)(e->options, path, &error);
	int rc = check(error, "open");
	if (rc)
		close_store(e);
	else
		*out = e;
	return rc;
}

static int session_open(struct engine *e, struct engine_session **out)
{
	struct engine_session *s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct engine_session){.engine = e, .batch = LSM(writebatch_create)()};
	*out = s;
	return 0;
}

static void session_close(struct engine_session *s)
{
	LSM(writebatch_destroy)(s->batch);
	free(s);
}

static int commit(struct engine_session *s, const struct engine_op *ops, unsigned n, bool durable)
{
	struct engine *e = s->engine;
	char *error = NULL;
	LSM(writebatch_clear)(s->batch);
	for (unsigned i = 0; i < n; i++) {
		struct engine_bytes key = ops[i].key, value = ops[i].value;
		if (ops[i].remove)
			LSM(writebatch_delete)(s->batch, key.data, key.bytes);
		else
			LSM(writebatch_put)
		(s->batch, key.data, key.bytes, value.data, value.bytes);
	}
	LSM(write)(e->db, durable ? e->writing_durably : e->writing, s->batch, &error);
	return check(error, "write");
}

static int entry_here(struct engine_session *s, struct engine_entry *out)
{
	char *error = NULL;
	if (!LSM(iter_valid)(s->walk)) {
		LSM(iter_get_error)(s->walk, &error);
		return check(error, "iterator");
	}
	out->key.data = LSM(iter_key)(s->walk, &out->key.bytes);
	out->value.data = LSM(iter_value)(s->walk, &out->value.bytes);
	return 1;
}

static int seek(struct engine_session *s, struct engine_bytes key, struct engine_entry *out)
{
	if (!s->walk)
		s->walk = LSM(create_iterator)(s->engine->db, s->engine->reading);
	LSM(iter_seek)(s->walk, key.data, key.bytes);
	return entry_here(s, out);
}

static int next(struct engine_session *s, struct engine_entry *out)
{
	LSM(iter_next)(s->walk);
	return entry_here(s, out);
}

static void rest(struct engine_session *s)
{
	LSM(iter_destroy)(s->walk);
	s->walk = NULL;
}

static int compact(struct engine *e)
{
	LSM(compact_range)(e->db, NULL, 0, NULL, 0);
	return 0;
}

#endif

/*
 * peer_artfs.c - the dictionary of art/.
 *
 * Tuning: the frame cache, and the log between checkpoints, are what all engines get. A checkpointer
 * runs in the background. Everything else is as `artfs mount` has it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "art/art.h"
#include "tests/bench/engine.h"

struct engine {
	struct io *io;
	struct art *art;
};

struct engine_session {
	struct art *art;
	struct art_op ops[ENGINE_BATCH_MAX];
};

struct art *peer_artfs_art(struct engine *e)
{
	return e->art;
}

static struct art_bytes view(struct engine_bytes b)
{
	return (struct art_bytes){b.data, b.bytes};
}

static int open_store(const char *path, const struct engine_options *opt, struct engine **out)
{
	struct why w = {.text = ""};
	const struct art_options art_opt = {
	        .cache_bytes = opt->cache_bytes,
	        .checkpoint_bytes = opt->log_bytes,
	        .background = true,
	        .lock_wait_ms = IO_LOCK_WAIT_MS,
	};
	struct engine *e = malloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	bool fresh = access(path, F_OK) < 0;
	int rc = io_open(path, IO_AUTO, fresh, &e->io, &w);
	if (rc)
		goto out_engine;
	if (fresh)
		rc = art_format(e->io, &(struct art_format){.frame_bytes = 0}, &w);
	if (!rc)
		rc = art_open(e->io, &art_opt, &e->art, &w);
	if (rc)
		goto out_io;
	*out = e;
	return 0;
out_io:
	e->io->ops->destroy(e->io);
out_engine:
	free(e);
	engine_error("artfs", "open", w.text);
	return rc;
}

static int close_store(struct engine *e)
{
	int rc = art_close(e->art);
	e->io->ops->destroy(e->io);
	free(e);
	return rc;
}

static int session_open(struct engine *e, struct engine_session **out)
{
	struct engine_session *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->art = e->art;
	*out = s;
	return 0;
}

static void session_close(struct engine_session *s)
{
	free(s);
}

static int commit(struct engine_session *s, const struct engine_op *ops, unsigned n, bool durable)
{
	uint64_t lsn;
	for (unsigned i = 0; i < n; i++)
		s->ops[i] = (struct art_op){.type = ops[i].remove ? ART_REMOVE : ART_PUT,
		        .key = view(ops[i].key),
		        .value = view(ops[i].value)};
	int rc = art_commit(s->art, s->ops, n, &lsn);
	return rc || !durable ? rc : art_sync(s->art, lsn);
}

static int get(
        struct engine_session *s, struct engine_bytes key, void *value, size_t cap, size_t *bytes)
{
	return art_get(s->art, view(key), 0, value, cap, bytes);
}

static int list(struct engine_session *s, struct engine_bytes prefix, int delimiter,
        struct engine_tally *out)
{
	struct engine_tally tally = {0};
	struct art_cursor *c;
	struct art_entry e;
	int rc = art_cursor_open(s->art, view(prefix), delimiter, &c);
	if (rc)
		return rc;
	while ((rc = art_cursor_next(c, &e)) > 0) {
		tally.entries++;
		tally.value_bytes += e.present ? e.value_bytes : 0;
	}
	art_cursor_close(c);
	if (!rc)
		*out = tally;
	return rc;
}

static int checkpoint(struct engine *e)
{
	return art_checkpoint(e->art);
}

const struct engine_ops peer_artfs = {
        .name = "artfs",
        .open = open_store,
        .close = close_store,
        .session_open = session_open,
        .session_close = session_close,
        .commit = commit,
        .get = get,
        .list = list,
        .checkpoint = checkpoint,
        .compact = checkpoint,
};

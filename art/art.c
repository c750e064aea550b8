/*
 * art.c - the life of a dictionary: format, open with recovery, close; and its numbers.
 *
 * Recovery: lock, manifest, then every record behind the image through the same code that applies
 * live transactions. When the log is longer than the cache can hold, a checkpoint on the way makes
 * room; a crash then finds that later image, and the log from there.
 */
#include "art/art.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "art/tree.h"

enum {
	CACHE_DEFAULT = 256 * 1024 * 1024,
	CHECKPOINT_DEFAULT = 64 * 1024 * 1024,
};

int art_format(struct io *io, const struct art_format *fmt, struct why *w)
{
	struct store_format sf = {.frame_bytes = fmt->frame_bytes, .size_max = fmt->size_max};
	struct wal_options wo = {.segment_bytes = fmt->segment_bytes};

	if (getrandom(sf.uuid, sizeof(sf.uuid), 0) != sizeof(sf.uuid))
		return why(w, -EIO, "the system gives no random numbers");
	memcpy(wo.uuid, sf.uuid, sizeof(wo.uuid));
	int err = store_format(io, &sf, w);
	return err ? err : wal_format(io, &wo, 0, w);
}

static int validate(const void *data, uint32_t bytes, uint64_t id, enum store_kind kind)
{
	return kind == STORE_ARENA ? arena_validate(data, bytes, id)
	                           : frame_validate(data, bytes, id);
}

/* An arena is written whole, for its directory is at its end. */
static uint32_t seal(void *arg, const void *data, void *image, enum store_kind kind)
{
	struct art *a = arg;

	if (kind == STORE_TREE)
		return frame_pack(&a->seal_scratch, image, (void *)data);
	memcpy(image, data, a->frame_bytes);
	return a->frame_bytes;
}

static int flush_data(void *arg)
{
	struct art *a = arg;

	return store_data_flush(a->store);
}

struct replay {
	struct art *a;
	uint64_t begin, end;
};

static int replay(void *arg, uint64_t lsn, uint16_t type, const void *record, size_t bytes)
{
	struct replay *r = arg;
	struct art *a = r->a;

	if (type != RECORD_TXN)
		return -EUCLEAN;
	int err = txn_replay(a, lsn, record, bytes);
	for (int tries = 0; (err == -EAGAIN || err == -ENOSPC) && tries < 3; tries++) {
		if ((err = checkpoint_run(a)) == 0)
			err = txn_replay(a, lsn, record, bytes);
	}
	if (!err && a->opt.progress)
		a->opt.progress(a->opt.progress_arg, lsn - r->begin, r->end - r->begin);
	return err == -EROFS || err == -EAGAIN ? -ENOMEM : err;
}

/* An empty tree is one frame without a subtree. */
static int make_root(struct art *a)
{
	int err = store_frame_reserve(a->store, 1, STORE_NORMAL);

	if (err)
		return err;
	struct frame *f = store_frame_new(a->store, STORE_TREE);
	frame_init(f->data, f->id);
	a->root = f->id;
	store_frame_put(a->store, f);
	return 0;
}

static int recover(struct art *a, struct why *w)
{
	const struct store_root *root = store_root(a->store);
	struct wal_options wo = {
	        .read_only = a->opt.read_only, .barrier = flush_data, .barrier_arg = a};
	struct wal_stat ws;
	int err;

	a->root = root->tree;
	a->keys = root->keys;
	a->arena = root->user[0];
	atomic_store(&a->lsn, root->lsn);
	atomic_store(&a->checkpoint_lsn, root->lsn);
	if (a->root == 0 && (err = make_root(a)) != 0)
		return why(w, err, "no room for the first frame: %s", strerror(-err));
	memcpy(wo.uuid, store_uuid(a->store), sizeof(wo.uuid));
	if ((err = wal_open(a->io, &wo, &a->wal, w)) != 0)
		return err;
	wal_stat(a->wal, &ws);
	struct replay r = {a, root->lsn, ws.end > root->lsn ? ws.end : root->lsn};
	if (w)
		w->text[0] = 0;
	a->replaying = true;
	err = wal_replay(a->wal, root->lsn, replay, &r, w);
	a->replaying = false;
	if (err) {
		if (!w || w->text[0])
			return err;
		return why(w, err,
		        "the log could not be replayed behind LSN %llu: %s; run artfs fsck on the "
		        "store",
		        (unsigned long long)atomic_load(&a->lsn), strerror(-err));
	}
	store_replay_done(a->store);
	return 0;
}

static void free_all(struct art *a)
{
	if (a->wal)
		wal_close(a->wal);
	if (a->store)
		store_close(a->store);
	frame_scratch_fini(&a->scratch);
	frame_scratch_fini(&a->seal_scratch);
	free(a->leaf_copy);
	free(a->room.pin);
	free(a->room.crumb);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->wake_lock);
	pthread_mutex_destroy(&a->checkpoint_lock);
	pthread_mutex_destroy(&a->commit_lock);
	free(a);
}

static struct art *new_art(struct io *io, const struct art_options *opt)
{
	struct art *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->io = io;
	a->opt = *opt;
	if (a->opt.cache_bytes == 0)
		a->opt.cache_bytes = CACHE_DEFAULT;
	if (a->opt.checkpoint_bytes == 0)
		a->opt.checkpoint_bytes = CHECKPOINT_DEFAULT;
	pthread_mutex_init(&a->commit_lock, NULL);
	pthread_mutex_init(&a->checkpoint_lock, NULL);
	pthread_mutex_init(&a->wake_lock, NULL);
	pthread_cond_init(&a->wake, NULL);
	return a;
}

int art_open(struct io *io, const struct art_options *opt, struct art **out, struct why *w)
{
	struct art *a = new_art(io, opt);
	int err = -ENOMEM;

	if (!a)
		return why(w, err, "out of memory");
	struct store_options so = {.cache_bytes = a->opt.cache_bytes,
	        .read_only = opt->read_only,
	        .lock_wait_ms = opt->lock_wait_ms,
	        .validate = validate,
	        .seal = seal,
	        .seal_arg = a};
	if ((err = store_open(io, &so, &a->store, w)) != 0)
		goto fail;
	a->frame_bytes = store_frame_bytes(a->store);
	a->leaf_bytes_max = a->frame_bytes / 8;
	a->inline_bytes_max = a->frame_bytes / 16;
	a->arena_bytes_max = a->frame_bytes / 4;
	a->leaf_copy = malloc(a->leaf_bytes_max);
	err = a->leaf_copy ? frame_scratch_init(&a->scratch, a->frame_bytes) : -ENOMEM;
	if (!err)
		err = frame_scratch_init(&a->seal_scratch, a->frame_bytes);
	if (err) {
		why(w, err, "out of memory");
		goto fail;
	}
	if ((err = recover(a, w)) != 0)
		goto fail;
	if (opt->background && !opt->read_only && (err = checkpoint_start(a)) != 0) {
		why(w, err, "the checkpointer cannot be started: %s", strerror(-err));
		goto fail;
	}
	*out = a;
	return 0;
fail:
	free_all(a);
	return err;
}

int art_close(struct art *a)
{
	checkpoint_stop(a);
	int err = a->opt.read_only ? 0 : checkpoint_run(a);
	/* The image holds everything: what is left of the log would only take space. */
	if (!err && !a->opt.read_only)
		err = wal_shrink(a->wal, atomic_load(&a->checkpoint_lsn));
	free_all(a);
	return err;
}

uint64_t art_lsn(struct art *a)
{
	return atomic_load(&a->lsn);
}

int art_sync(struct art *a, uint64_t lsn)
{
	if (a->opt.read_only)
		return 0;
	if (lsn > wal_durable(a->wal) && store_failed(a->store))
		return -EIO;
	int err = wal_sync(a->wal, lsn);
	if (err)
		store_fail(a->store);
	return err;
}

size_t art_inline_bytes_max(const struct art *a)
{
	return a->inline_bytes_max;
}

const uint8_t *art_uuid(const struct art *a)
{
	return store_uuid(a->store);
}

bool art_failed(const struct art *a)
{
	return store_failed(a->store) || wal_failed(a->wal);
}

void art_stat(struct art *a, struct art_stat *out)
{
	pthread_mutex_lock(&a->commit_lock);
	*out = (struct art_stat){
	        .keys = a->keys, .commits = a->commits, .frames_dirtied = a->frames_dirtied};
	pthread_mutex_unlock(&a->commit_lock);
	out->frames_split = atomic_load(&a->frames_split);
	out->frames_merged = atomic_load(&a->frames_merged);
	out->frames_compacted = atomic_load(&a->frames_compacted);
	out->checkpoints = atomic_load(&a->checkpoints);
	out->checkpoint_lsn = atomic_load(&a->checkpoint_lsn);
	store_stat(a->store, &out->store);
	wal_stat(a->wal, &out->wal);
}

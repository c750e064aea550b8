/*
 * frames.c - frames as the room above sees them: get, write, reserve, new, drop.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "store/state.h"

#define FRAME_ID_END (UINT64_C(1) << 48)

static struct cached *cached_of(struct frame *f)
{
	return (struct cached *)f;
}

/* Reads, checks (S2) and validates; touches nothing but the buffer. */
static int load(struct store *s, void *buf, const struct blob *snapshot, const uint64_t *sum)
{
	uint32_t frame_bytes = s->m.frame_bytes;
	uint64_t found[ENTRY_SUMS_MAX];
	uint32_t bytes = snapshot->nslots * (uint32_t)STORE_SLOT_BYTES;
	int rc = io_read(s->io, s->blobs_file, buf, bytes, snapshot->slot * STORE_SLOT_BYTES);

	if (rc)
		return rc;
	atomic_fetch_add_explicit(&s->read_bytes, bytes, memory_order_relaxed);
	store_image_sums(s, buf, bytes, found);
	memset((char *)buf + bytes, 0, frame_bytes - bytes);
	if (memcmp(found, sum, s->blobs.sums * sizeof(*sum)))
		return -EBADMSG;
	if (!s->opt.validate)
		return 0;
	return s->opt.validate(buf, frame_bytes, snapshot->id, snapshot->kind);
}

/* Lock held, and let go of while reading. The frame is pinned once, and gone if this fails. */
static int load_into_cache(struct store *s, struct blob *e, struct cached **out)
{
	struct cache *c = &s->cache;
	void *buf = cache_buf_take(c);
	uint64_t sum[ENTRY_SUMS_MAX];
	struct blob snapshot = *e; /* the entry may go while we read */
	struct cached *f;
	int rc;

	if (!buf)
		return -EAGAIN;
	memcpy(sum, e->sum, s->blobs.sums * sizeof(*sum));
	assert(e->slot != SLOT_NONE);
	f = cache_add(c, buf);
	f->f.id = e->id;
	f->blob = e;
	cache_pin(f);
	f->loading = true;
	e->frame = f;
	c->misses++;
	pthread_mutex_unlock(&s->lock);
	rc = load(s, buf, &snapshot, sum);
	pthread_mutex_lock(&s->lock);
	/* Who reads a blob that is being dropped may find anything in its slots: say that it is
	 * gone. */
	f->err = f->dropped ? -ENOENT : rc;
	f->loading = false;
	pthread_cond_broadcast(&c->loaded);
	rc = f->err;
	if (rc) {
		if (!f->dropped)
			cache_drop(c, f);
		cache_unpin(c, f);
		return rc;
	}
	cache_show(c, f);
	*out = f;
	return 0;
}

/* Pins a frame that is in memory, without the lock; NULL if that is not certain. */
static struct cached *try_pin(struct store *s, uint64_t id)
{
	struct cached *f = cache_find(&s->cache, id);

	if (!f)
		return NULL;
	if (!(cache_pin(f) & CACHE_NO_PIN) &&
	        atomic_load_explicit(&f->shown, memory_order_acquire) == id) {
		cache_touch(f);
		return f;
	}
	store_frame_put(s, &f->f);
	return NULL;
}

static int get_locked(struct store *s, uint64_t id, struct cached **out)
{
	struct blob *e = blobs_current(&s->blobs, false, id);
	struct cached *f;
	int rc;

	if (!e)
		return -ENOENT;
	if (!e->frame)
		return load_into_cache(s, e, out);
	f = e->frame;
	cache_pin(f);
	atomic_fetch_add_explicit(&s->cache.hits, 1, memory_order_relaxed);
	while (f->loading)
		pthread_cond_wait(&s->cache.loaded, &s->lock);
	rc = f->err;
	if (rc) {
		cache_unpin(&s->cache, f);
		return rc;
	}
	cache_touch(f);
	*out = f;
	return 0;
}

int store_frame_get(struct store *s, uint64_t id, struct frame **out)
{
	struct cached *f = try_pin(s, id);
	int rc = 0;

	if (f) {
		atomic_fetch_add_explicit(&s->cache.hits, 1, memory_order_relaxed);
		*out = &f->f;
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	rc = get_locked(s, id, &f);
	if (!rc) {
		cache_hint(&s->cache, f);
		*out = &f->f;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

struct frame *store_frame_peek(struct store *s, uint64_t id)
{
	struct cached *f = try_pin(s, id);
	struct blob *e;

	if (f)
		return &f->f;
	pthread_mutex_lock(&s->lock);
	e = blobs_current(&s->blobs, false, id);
	if (e && e->frame && !e->frame->loading) {
		f = e->frame;
		cache_pin(f);
		cache_touch(f);
	}
	pthread_mutex_unlock(&s->lock);
	return f ? &f->f : NULL;
}

struct frame *store_frame_pinned(struct store *s, uint64_t id)
{
	struct cached *f = cache_find(&s->cache, id);

	return f ? &f->f : NULL;
}

void store_frame_put(struct store *s, struct frame *frame)
{
	struct cached *f = cached_of(frame);

	if (cache_let_go(f))
		return;
	pthread_mutex_lock(&s->lock);
	cache_collect(&s->cache, f);
	pthread_mutex_unlock(&s->lock);
}

/* Gives the frame a buffer of its own and leaves the frozen bytes to the commit. Lock held, and let
 * go of while copying: the caller's latch keeps the bytes as they are, but the commit may end
 * meanwhile. */
static int copy_frozen(struct store *s, struct cached *f)
{
	void *copy = cache_buf_take(&s->cache);

	if (!copy)
		return -EAGAIN;
	pthread_mutex_unlock(&s->lock);
	memcpy(copy, f->f.data, s->m.frame_bytes);
	pthread_mutex_lock(&s->lock);
	if (f->frozen) {
		/* Who looks at the old bytes must not go on when the commit gives them away. */
		atomic_fetch_add(&f->version, 2);
		f->image = f->f.data;
		f->f.data = copy;
	} else {
		cache_buf_give(&s->cache, copy);
	}
	return 0;
}

int store_frame_write(struct store *s, struct frame *frame, enum store_need need)
{
	struct cached *f = cached_of(frame);
	int rc = 0;

	/* Only a freeze makes it clean, and none happens meanwhile. */
	if (f->dirty && !atomic_load_explicit(&s->failed, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&s->lock);
	assert(f->pins && !f->dropped);
	if (atomic_load(&s->failed)) {
		rc = -EIO;
		goto out;
	}
	if (f->dirty)
		goto out;
	if (!s->opt.read_only) {
		rc = store_log_room(s, 1);
		if (!rc)
			rc = store_set_aside(s, 1, need);
		if (rc)
			goto out;
	}
	if (f->frozen)
		rc = copy_frozen(s, f);
	if (rc) {
		space_give_back(&s->space, !s->opt.read_only);
		goto out;
	}
	f->dirty = true;
	s->cache.ndirty++;
	blobs_change(&s->blobs, f->blob);
out:
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static void spares_drop(struct cache *c, size_t keep)
{
	while (c->nspares > keep) {
		struct cached *f = cache_spare_take(c);
		atomic_store_explicit(&f->dropped, true, memory_order_relaxed);
		cache_collect(c, f);
	}
}

void store_frame_release(struct store *s, unsigned keep)
{
	pthread_mutex_lock(&s->lock);
	if (s->cache.nspares > keep) {
		space_give_back(&s->space, s->opt.read_only ? 0 : s->cache.nspares - keep);
		spares_drop(&s->cache, keep);
	}
	pthread_mutex_unlock(&s->lock);
}

int store_frame_reserve(struct store *s, unsigned n, enum store_need need)
{
	struct cache *c = &s->cache;
	size_t before, more;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	before = c->nspares;
	more = n > before ? n - before : 0;
	if (atomic_load(&s->failed))
		rc = -EIO;
	else if (FRAME_ID_END - s->next_frame_id < n)
		rc = -ENOSPC;
	if (!rc && more && !s->opt.read_only) {
		rc = store_log_room(s, more);
		if (!rc)
			rc = store_set_aside(s, more, need);
	}
	if (rc)
		goto out;
	rc = blobs_ensure(&s->blobs, before + more);
	while (!rc && c->nspares < before + more) {
		void *buf = cache_buf_take(c);
		if (buf)
			cache_spare_add(c, buf);
		else
			rc = -EAGAIN;
	}
	if (rc) {
		spares_drop(c, before);
		space_give_back(&s->space, s->opt.read_only ? 0 : more);
	}
out:
	pthread_mutex_unlock(&s->lock);
	return rc;
}

struct frame *store_frame_new(struct store *s, enum store_kind kind)
{
	struct cached *f;
	struct blob *e;

	assert(kind == STORE_TREE || kind == STORE_ARENA);
	pthread_mutex_lock(&s->lock);
	f = cache_spare_take(&s->cache);
	e = blobs_add(&s->blobs, kind, s->next_frame_id++);
	e->attached = true;
	e->frame = f;
	s->blobs.live[kind - 1]++;
	blobs_change(&s->blobs, e);
	f->f.id = e->id;
	f->blob = e;
	cache_pin(f);
	f->dirty = true;
	cache_touch(f);
	s->cache.ndirty++;
	pthread_mutex_unlock(&s->lock);
	memset(f->f.data, 0, s->m.frame_bytes);
	cache_show(&s->cache, f);
	return &f->f;
}

static bool view(struct cached *f, uint64_t id, struct store_view *out)
{
	out->version = &f->version;
	out->seen = atomic_load_explicit(out->version, memory_order_acquire);
	/* Asked once more: the place may have gone to another frame before the version was taken. */
	if (out->seen & 1 || atomic_load_explicit(&f->shown, memory_order_relaxed) != id)
		return false;
	out->data = f->f.data;
	return store_view_valid(out);
}

bool store_frame_view(struct store *s, uint64_t id, struct store_view *out)
{
	struct cached *f = cache_find(&s->cache, id);

	if (!f || !view(f, id, out))
		return false;
	cache_touch(f);
	return true;
}

bool store_frame_view_pinned(struct frame *f, struct store_view *out)
{
	return view(cached_of(f), f->id, out);
}

bool store_wait_clean(struct store *s)
{
	bool waited = false;

	pthread_mutex_lock(&s->lock);
	if (s->cache.nfrozen && !atomic_load(&s->failed)) {
		pthread_cond_wait(&s->cache.cleaned, &s->lock);
		waited = true;
	}
	pthread_mutex_unlock(&s->lock);
	return waited;
}

bool store_view_valid(const struct store_view *v)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(v->version, memory_order_relaxed) == v->seen;
}

void store_frame_change(struct store *s, struct frame *f)
{
	(void)s;
	_Atomic uint64_t *version = &cached_of(f)->version;
	uint64_t v = atomic_load_explicit(version, memory_order_relaxed);

	assert(!(v & 1));
	atomic_store_explicit(version, v + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

void store_frame_changed(struct store *s, struct frame *f)
{
	(void)s;
	_Atomic uint64_t *version = &cached_of(f)->version;
	uint64_t v = atomic_load_explicit(version, memory_order_relaxed);

	assert(v & 1);
	atomic_store_explicit(version, v + 1, memory_order_release);
}

void store_drop(struct store *s, struct blob *e)
{
	if (e->frame) {
		if (e->frame->dirty && !s->opt.read_only)
			space_give_back(&s->space, 1);
		cache_drop(&s->cache, e->frame);
	}
	s->blobs.live[e->kind - 1]--;
	e->dead = true;
	/* A frame blob that no freeze has seen was never on disk; data blobs may be named by the
	 * log. */
	if (e->kind != STORE_DATA && !e->durable && !e->frozen)
		blobs_remove(&s->blobs, e);
	else
		blobs_change(&s->blobs, e);
}

void store_frame_drop(struct store *s, struct frame *frame)
{
	struct cached *f = cached_of(frame);

	pthread_mutex_lock(&s->lock);
	assert(f->pins && !f->dropped);
	store_drop(s, f->blob);
	cache_unpin(&s->cache, f);
	pthread_mutex_unlock(&s->lock);
}

void store_blob_drop(struct store *s, uint64_t id)
{
	struct blob *e;

	pthread_mutex_lock(&s->lock);
	e = blobs_current(&s->blobs, false, id);
	if (e)
		store_drop(s, e);
	pthread_mutex_unlock(&s->lock);
}

uint32_t store_blob_count(struct store *s, uint64_t id)
{
	struct blob *e;
	uint32_t count;

	pthread_mutex_lock(&s->lock);
	e = blobs_current(&s->blobs, false, id);
	count = e ? e->value : 0;
	pthread_mutex_unlock(&s->lock);
	return count;
}

void store_blob_count_add(struct store *s, uint64_t id, int32_t d)
{
	struct blob *e;

	pthread_mutex_lock(&s->lock);
	e = blobs_current(&s->blobs, false, id);
	if (e) {
		e->value += (uint32_t)d;
		blobs_change(&s->blobs, e);
	}
	pthread_mutex_unlock(&s->lock);
}

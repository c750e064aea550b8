/*
 * data.c - data blobs: written once to fresh slots, named by the log, then by the manifest.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/state.h"

static uint32_t slots_for(uint32_t bytes)
{
	return (bytes + STORE_SLOT_BYTES - 1) / STORE_SLOT_BYTES;
}

static uint32_t io_bytes(uint32_t bytes)
{
	return (bytes + IO_ALIGN - 1) / IO_ALIGN * IO_ALIGN;
}

void *store_bounce_take(struct store *s)
{
	void *buf = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->nbounce)
		buf = s->bounce[--s->nbounce];
	pthread_mutex_unlock(&s->lock);
	return buf ? buf : aligned_alloc(IO_ALIGN, STORE_DATA_MAX);
}

void store_bounce_give(struct store *s, void *buf)
{
	pthread_mutex_lock(&s->lock);
	if (s->nbounce < BOUNCE_KEPT) {
		s->bounce[s->nbounce++] = buf;
		buf = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	free(buf);
}

/* Whole aligned blocks, zero behind the end, so that the write may bypass the page cache. */
static int write_blocks(struct store *s, uint64_t slot, const void *buf, uint32_t bytes)
{
	bool aligned = (uintptr_t)buf % IO_ALIGN == 0;
	uint32_t direct = aligned ? bytes / IO_ALIGN * IO_ALIGN : 0, rest = bytes - direct;
	struct io_req reqs[2];
	unsigned n = 0;
	char *bounce = NULL;
	int rc;

	if (direct)
		reqs[n++] = (struct io_req){.op = IO_WRITE,
		        .file = s->blobs_file,
		        .buf = (void *)buf,
		        .bytes = direct,
		        .offset = slot * (uint64_t)STORE_SLOT_BYTES};
	if (rest) {
		bounce = store_bounce_take(s);
		if (!bounce)
			return -ENOMEM;
		memcpy(bounce, (const char *)buf + direct, rest);
		memset(bounce + rest, 0, io_bytes(rest) - rest);
		reqs[n++] = (struct io_req){.op = IO_WRITE,
		        .file = s->blobs_file,
		        .buf = bounce,
		        .bytes = io_bytes(rest),
		        .offset = slot * (uint64_t)STORE_SLOT_BYTES + direct};
	}
	rc = s->io->ops->submit(s->io, reqs, n);
	if (bounce)
		store_bounce_give(s, bounce);
	/* Lack of space on a host that copies on write has harmed nothing: nobody names these slots
	 * (W5). */
	if (rc && rc != -ENOSPC)
		return store_latch(s, rc);
	atomic_fetch_add_explicit(&s->written_bytes, io_bytes(bytes), memory_order_relaxed);
	return rc;
}

int store_data_write(struct store *s, const void *buf, uint32_t bytes, struct store_data *out)
{
	struct store_data d = {.bytes = bytes};
	struct blob *e;
	int rc;

	if (s->opt.read_only)
		return -EROFS;
	if (!bytes || bytes > STORE_DATA_MAX)
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	rc = atomic_load(&s->failed) ? -EIO : store_log_room(s, 1);
	if (!rc)
		rc = store_take_run(s, slots_for(bytes), &d.slot);
	if (!rc) {
		rc = blobs_ensure(&s->blobs, s->cache.nspares + 1);
		if (rc)
			space_release(&s->space, d.slot, slots_for(bytes));
	}
	if (rc) {
		pthread_mutex_unlock(&s->lock);
		return rc;
	}
	if (s->space.floor && !s->replay_ids) {
		s->next_data_id += REPLAY_IDS;
		s->replay_ids = true;
	}
	d.id = s->next_data_id++;
	e = blobs_add(&s->blobs, STORE_DATA, d.id);
	e->slot = d.slot;
	e->nslots = (uint16_t)slots_for(bytes);
	e->value = bytes;
	s->unattached++;
	pthread_mutex_unlock(&s->lock);

	store_sums(buf, bytes, d.sum);
	rc = write_blocks(s, d.slot, buf, bytes);
	if (rc) {
		store_data_abort(s, d.id);
		return rc;
	}
	atomic_fetch_add(&s->data_written, 1);
	*out = d;
	return 0;
}

void store_data_abort(struct store *s, uint64_t id)
{
	struct blob *e;

	pthread_mutex_lock(&s->lock);
	e = blobs_find(&s->blobs, true, id);
	assert(e && !e->attached);
	space_release(&s->space, e->slot, e->nslots);
	blobs_remove(&s->blobs, e);
	s->unattached--;
	pthread_mutex_unlock(&s->lock);
}

void store_data_attach(struct store *s, uint64_t id)
{
	struct blob *e;

	pthread_mutex_lock(&s->lock);
	e = blobs_find(&s->blobs, true, id);
	assert(e && !e->attached);
	e->attached = true;
	s->unattached--;
	s->blobs.live[STORE_DATA - 1]++;
	blobs_change(&s->blobs, e);
	pthread_mutex_unlock(&s->lock);
}

void store_data_drop(struct store *s, uint64_t id)
{
	struct blob *e;

	pthread_mutex_lock(&s->lock);
	e = blobs_current(&s->blobs, true, id);
	if (e)
		store_drop(s, e);
	pthread_mutex_unlock(&s->lock);
}

int store_flush_blobs(struct store *s, bool frames)
{
	uint64_t written = atomic_load(&s->data_written), flushed = atomic_load(&s->data_flushed);
	int rc;

	if (!frames && flushed >= written)
		return 0;
	rc = store_sync_file(s, s->blobs_file);
	while (!rc && flushed < written &&
	        !atomic_compare_exchange_weak(&s->data_flushed, &flushed, written))
		;
	return rc;
}

int store_data_flush(struct store *s)
{
	return atomic_load(&s->failed) ? -EIO : store_flush_blobs(s, false);
}

int store_data_claim(struct store *s, const struct store_data *d)
{
	struct blob *e;
	int rc;

	if (!d->id || d->id >> 48 || !d->bytes || d->bytes > STORE_DATA_MAX)
		return -EUCLEAN;
	pthread_mutex_lock(&s->lock);
	rc = blobs_find(&s->blobs, true, d->id) ? -EUCLEAN : 0;
	if (!rc)
		rc = blobs_ensure(&s->blobs, s->cache.nspares + 1);
	/* Slots beyond the floor are handed out by this run itself; no log can name them. */
	if (!rc)
		rc = space_claim(&s->space, d->slot, slots_for(d->bytes), s->space.floor);
	if (!rc) {
		e = blobs_add(&s->blobs, STORE_DATA, d->id);
		e->slot = d->slot;
		e->nslots = (uint16_t)slots_for(d->bytes);
		e->value = d->bytes;
		s->unattached++;
		if (s->next_data_id <= d->id)
			s->next_data_id = d->id + 1;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* The reference, as it came from a record, against what we know. */
static int find_data(struct store *s, const struct store_data *d)
{
	struct blob *e;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	e = blobs_find(&s->blobs, true, d->id);
	if (!e || e->dead)
		rc = -ENOENT;
	else if (e->slot != d->slot || e->value != d->bytes)
		rc = -EUCLEAN;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int store_data_read(
        struct store *s, const struct store_data *d, uint32_t offset, uint32_t bytes, void *buf)
{
	uint32_t first = offset / STORE_SUM_BYTES * STORE_SUM_BYTES, end, pieces_bytes;
	uint64_t sum[STORE_DATA_SUMS];
	char *bounce;
	int rc = find_data(s, d);

	if (rc)
		return rc;
	if (offset > d->bytes || bytes > d->bytes - offset)
		return -EINVAL;
	if (!bytes)
		return 0;
	end = (offset + bytes + STORE_SUM_BYTES - 1) / STORE_SUM_BYTES * STORE_SUM_BYTES;
	end = end < d->bytes ? end : d->bytes;
	pieces_bytes = end - first;
	bounce = store_bounce_take(s);
	if (!bounce)
		return -ENOMEM;
	rc = io_read(s->io, s->blobs_file, bounce, io_bytes(pieces_bytes),
	        d->slot * (uint64_t)STORE_SLOT_BYTES + first);
	if (!rc) {
		atomic_fetch_add_explicit(
		        &s->read_bytes, io_bytes(pieces_bytes), memory_order_relaxed);
		store_sums(bounce, pieces_bytes, sum);
		if (memcmp(sum, d->sum + first / STORE_SUM_BYTES,
		            (pieces_bytes + STORE_SUM_BYTES - 1) / STORE_SUM_BYTES * sizeof(*sum)))
			rc = -EBADMSG;
	}
	if (!rc)
		memcpy(buf, bounce + (offset - first), bytes);
	else if (find_data(s, d))
		rc = -ENOENT; /* dropped while we read: its slots may hold anything by now */
	store_bounce_give(s, bounce);
	return rc;
}

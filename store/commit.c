/*
 * commit.c - from a frozen image to a durable one.
 *
 *      freeze ──► frames to fresh slots ──► flush blobs.dat ──► batch to the log ──► flush
 *                                                                                     │
 *             give space back ◄── snapshot, if the log is long ◄── free old slots ◄───┘
 *
 * S1: old slots are released only behind the second flush. S3: the batch is one checksummed unit.
 * W4: any failure before the end is final; the durable state is then the former commit or this one,
 * whole. Nothing here asks for memory or for disk space: that was set aside when the changes were
 * reserved.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "store/state.h"

enum {
	LOG_STEP_BYTES = 64 * 1024,
	LOG_SLACK_BYTES_MAX = 2 * 1024 * 1024,
	LOG_BYTES_MIN = 256 * 1024, /* a log shorter than this is not worth a snapshot */
	LOG_OF_SNAPSHOT = 2,
	PLACES_AT_ONCE = 64, /* so that a snapshot of many blobs never holds the lock for long */
};

/* ---- room in the log -------------------------------------------------------------------- */

static uint64_t entries_room(const struct store *s, uint64_t entries, uint64_t slack)
{
	uint64_t entry_bytes = manifest_entry_bytes(ENTRY_SET, STORE_TREE, s->m.frame_bytes);
	return manifest_round(manifest_batch_bytes(entries * entry_bytes + slack));
}

/* How long the log can become by the frozen batch, and by the next one with `n` more entries. Drops
 * and changes of counts reserve nothing, so there is slack for touching every blob that exists, up
 * to a limit that no single transaction reaches. */
static uint64_t log_need(const struct store *s, uint64_t n)
{
	uint64_t slack = entries_room(s, s->blobs.used_count, 0);
	uint64_t frozen = s->freezing ? entries_room(s, s->blobs.nfrozen, 0) : 0;

	if (slack > LOG_SLACK_BYTES_MAX)
		slack = LOG_SLACK_BYTES_MAX;
	n += s->blobs.nchanged + s->unattached + s->cache.nspares;
	return s->m.log_bytes + frozen + entries_room(s, n, slack);
}

/* Before the first append: the name of the snapshot is made durable, and the tail is cut (S3). Grow
 * lock held. */
static int log_clean(struct store *s)
{
	int rc;

	if (s->log_ready)
		return 0;
	rc = store_latch(s, s->io->ops->sync_dir(s->io, ""));
	if (!rc && s->m.log_dirty) {
		rc = store_latch(s, s->io->ops->truncate(s->io, s->log_file, s->m.log_bytes));
		if (!rc)
			rc = store_sync_file(s, s->log_file);
	}
	s->log_ready = !rc;
	return rc;
}

/* Grow lock held. */
static int log_extend(struct store *s, uint64_t need)
{
	uint64_t room = s->log_room, bytes;
	int rc = log_clean(s);

	if (rc || need <= room)
		return rc;
	bytes = (need - room + LOG_STEP_BYTES - 1) / LOG_STEP_BYTES * LOG_STEP_BYTES;
	rc = s->io->ops->allocate(s->io, s->log_file, room, bytes);
	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	s->log_room = room + bytes;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_log_room(struct store *s, size_t entries)
{
	int rc = 0;

	while (!rc && log_need(s, entries) > s->log_room) {
		uint64_t need = log_need(s, entries);
		pthread_mutex_unlock(&s->lock);
		pthread_mutex_lock(&s->grow_lock);
		rc = log_extend(s, need);
		pthread_mutex_unlock(&s->grow_lock);
		pthread_mutex_lock(&s->lock);
	}
	return rc;
}

/* ---- freeze ----------------------------------------------------------------------------- */

void store_freeze(struct store *s, const struct store_root *root)
{
	struct blob *e;

	pthread_mutex_lock(&s->lock);
	assert(!s->freezing);
	s->freezing = true;
	TAILQ_FOREACH(e, &s->blobs.changed, change)
	if (e->frame && e->frame->dirty)
		cache_freeze(&s->cache, e->frame);
	blobs_freeze(&s->blobs);
	s->frozen_point = (struct manifest_point){
	        .commit = s->m.point.commit + 1,
	        .root = *root,
	        .next_frame_id = s->next_frame_id,
	        .next_data_id = s->next_data_id,
	};
	memcpy(s->frozen_point.blobs, s->blobs.live, sizeof(s->blobs.live));
	pthread_mutex_unlock(&s->lock);
}

/* ---- commit ----------------------------------------------------------------------------- */

/* Sealed images on their way: packed one behind the other in s->images. */
struct outgoing {
	unsigned n;
	size_t bytes;
	struct {
		struct cached *frame;
		char *image;
		uint32_t nslots;
		uint64_t slot;
		uint64_t sum[ENTRY_SUMS_MAX];
	} of[IO_BATCH_MAX];
};

static void seal(struct store *s, struct outgoing *o, struct cached *f)
{
	char *image = s->images + o->bytes;
	uint32_t bytes = s->m.frame_bytes, whole;
	const void *data;

	/* A writer may be giving the frame a copy just now; the frozen bytes stay where they are. */
	pthread_mutex_lock(&s->lock);
	data = f->image ? f->image : f->f.data;
	pthread_mutex_unlock(&s->lock);
	if (s->opt.seal)
		bytes = s->opt.seal(s->opt.seal_arg, data, image, f->frozen_blob->kind);
	else
		memcpy(image, data, bytes);
	assert(bytes > 0 && bytes <= s->m.frame_bytes);
	whole = (bytes + STORE_SLOT_BYTES - 1) / STORE_SLOT_BYTES * STORE_SLOT_BYTES;
	memset(image + bytes, 0, whole - bytes);
	o->of[o->n].frame = f;
	o->of[o->n].image = image;
	o->of[o->n].nslots = whole / STORE_SLOT_BYTES;
	store_image_sums(s, image, whole, o->of[o->n].sum);
	o->n++;
	o->bytes += whole;
}

/* What lies side by side in the file is one request. */
static unsigned requests(struct store *s, const struct outgoing *o, struct io_req *reqs)
{
	unsigned n = 0;

	for (unsigned i = 0; i < o->n; i++) {
		uint64_t offset = o->of[i].slot * STORE_SLOT_BYTES;
		size_t bytes = o->of[i].nslots * (size_t)STORE_SLOT_BYTES;
		if (n > 0 && reqs[n - 1].offset + reqs[n - 1].bytes == offset)
			reqs[n - 1].bytes += bytes;
		else
			reqs[n++] = (struct io_req){.op = IO_WRITE,
			        .file = s->blobs_file,
			        .buf = o->of[i].image,
			        .bytes = bytes,
			        .offset = offset};
	}
	return n;
}

static int write_some(struct store *s, struct outgoing *o)
{
	struct io_req reqs[IO_BATCH_MAX];
	int rc;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < o->n; i++)
		o->of[i].slot = space_take_image(&s->space, o->of[i].nslots);
	pthread_mutex_unlock(&s->lock);
	rc = store_latch(s, s->io->ops->submit(s->io, reqs, requests(s, o, reqs)));
	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < o->n; i++) {
		struct blob *e = o->of[i].frame->frozen_blob;
		e->old_slot = e->slot;
		e->old_nslots = e->nslots;
		e->slot = o->of[i].slot;
		e->nslots = (uint16_t)o->of[i].nslots;
		memcpy(e->sum, o->of[i].sum, s->blobs.sums * sizeof(e->sum[0]));
		/* From now on it may be changed without a copy, or be evicted and read from its new
		 * place. */
		cache_thaw(&s->cache, o->of[i].frame);
	}
	pthread_cond_broadcast(&s->cache.cleaned);
	pthread_mutex_unlock(&s->lock);
	atomic_fetch_add_explicit(&s->written_bytes, o->bytes, memory_order_relaxed);
	o->n = 0;
	o->bytes = 0;
	return 0;
}

static int write_images(struct store *s)
{
	struct outgoing o = {.n = 0};
	struct cached *f, *next;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	space_fit_again(&s->space);
	pthread_mutex_unlock(&s->lock);
	/* The list is ours, but for those that write_some() has thawed. */
	for (f = TAILQ_FIRST(&s->cache.frozen); f; f = next) {
		if (o.n == IO_BATCH_MAX || o.bytes + s->m.frame_bytes > IMAGES_BYTES)
			rc = write_some(s, &o);
		if (rc)
			return rc;
		next = TAILQ_NEXT(f, link);
		seal(s, &o, f);
	}
	return o.n ? write_some(s, &o) : 0;
}

static struct manifest_entry entry_of(
        const struct store *s, const struct blob *e, enum entry_op op, uint32_t value)
{
	struct manifest_entry out = {
	        .op = op,
	        .kind = e->kind,
	        .id = e->id,
	        .slot = e->slot,
	        .nslots = e->nslots,
	        .value = value,
	};

	if (op == ENTRY_SET && e->kind != STORE_DATA)
		memcpy(out.sum, e->sum, s->blobs.sums * sizeof(e->sum[0]));
	return out;
}

/* What the batch says about a frozen blob: false if nothing. */
static bool frozen_entry(const struct store *s, const struct blob *e, struct manifest_entry *out)
{
	if (e->frozen_dead && !e->durable)
		return false;
	*out = entry_of(s, e, e->frozen_dead ? ENTRY_DELETE : ENTRY_SET, e->frozen_count);
	return true;
}

static int write_batch(struct store *s, uint64_t *batch_bytes)
{
	uint32_t frame_bytes = s->m.frame_bytes;
	uint64_t entries = 0, bytes = 0;
	struct manifest_entry entry;
	struct blob *e;
	int rc;

	TAILQ_FOREACH(e, &s->blobs.frozen, freeze)
	if (frozen_entry(s, e, &entry)) {
		entries++;
		bytes += manifest_entry_bytes(entry.op, entry.kind, frame_bytes);
	}
	manifest_batch_begin(&s->stream, s->log_file, s->m.log_bytes, &s->m, s->frozen_point.commit,
	        entries, bytes);
	TAILQ_FOREACH(e, &s->blobs.frozen, freeze)
	if (frozen_entry(s, e, &entry))
		manifest_put_entry(&s->stream, &entry, frame_bytes);
	rc = store_latch(s, manifest_batch_end(&s->stream, &s->frozen_point));
	if (rc)
		return rc;
	*batch_bytes = manifest_round(manifest_batch_bytes(bytes));
	atomic_fetch_add_explicit(&s->written_bytes, *batch_bytes, memory_order_relaxed);
	return store_sync_file(s, s->log_file);
}

/* The image is durable: only now are the slots free that the former one named (S1). */
static void settle(struct store *s, uint64_t batch_bytes)
{
	struct blob *e;

	pthread_mutex_lock(&s->lock);
	while ((e = TAILQ_FIRST(&s->blobs.frozen))) {
		blobs_thaw(&s->blobs, e);
		if (e->frozen_dead) {
			space_release(&s->space, e->slot, e->nslots);
			blobs_remove(&s->blobs, e);
			continue;
		}
		if (e->old_slot != SLOT_NONE)
			space_release(&s->space, e->old_slot, e->old_nslots);
		e->old_slot = SLOT_NONE;
		e->durable = true;
		e->durable_count = e->frozen_count;
	}
	s->m.point = s->frozen_point;
	s->m.log_bytes += batch_bytes;
	s->freezing = false;
	s->commits++;
	pthread_mutex_unlock(&s->lock);
}

/* ---- snapshot of the manifest ----------------------------------------------------------- */

/* Streams what is durable. Only a commit changes that, so it stands still while the lock is let go.
 */
static uint64_t put_durable(struct store *s)
{
	struct manifest_entry entries[PLACES_AT_ONCE];
	uint64_t total = 0;

	for (size_t at = 0;; at += PLACES_AT_ONCE) {
		size_t places, n = 0;

		pthread_mutex_lock(&s->lock);
		places = blobs_places(&s->blobs);
		for (size_t i = at; i < at + PLACES_AT_ONCE && i < places; i++) {
			const struct blob *e = blobs_place(&s->blobs, i);
			if (e && e->durable)
				entries[n++] = entry_of(s, e, ENTRY_SET, e->durable_count);
		}
		pthread_mutex_unlock(&s->lock);
		if (at >= places)
			return total;
		for (size_t i = 0; i < n; i++)
			manifest_put_entry(&s->stream, &entries[i], s->m.frame_bytes);
		total += n;
	}
}

/* A new manifest.bin, and with it a new life of the log. If there is no room for it the log just
 * goes on. */
static int snapshot(struct store *s)
{
	uint64_t entry_bytes = manifest_entry_bytes(ENTRY_SET, STORE_TREE, s->m.frame_bytes);
	struct manifest m = s->m;
	struct io_file *file;
	uint64_t room;
	int rc;

	if (getrandom(&m.log_salt, sizeof(m.log_salt), 0) != sizeof(m.log_salt) ||
	        s->io->ops->open(s->io, "manifest.tmp", IO_CREATE | IO_DIRECT, &file))
		return 0;
	pthread_mutex_lock(&s->lock);
	room = manifest_round(sizeof(struct manifest_head) + s->blobs.used_count * entry_bytes);
	pthread_mutex_unlock(&s->lock);
	if (s->io->ops->truncate(s->io, file, 0) || s->io->ops->allocate(s->io, file, 0, room)) {
		s->io->ops->close(s->io, file);
		s->io->ops->unlink(s->io, "manifest.tmp");
		return 0;
	}
	manifest_bin_begin(&s->stream, file);
	rc = manifest_bin_end(&s->stream, &m, put_durable(s));
	if (!rc)
		rc = manifest_bin_install(s->io, file, "manifest.tmp");
	s->io->ops->close(s->io, file);
	if (store_latch(s, rc))
		return rc;
	pthread_mutex_lock(&s->lock);
	s->m.log_salt = m.log_salt;
	s->m.bin_bytes = sizeof(struct manifest_head) + s->stream.bytes;
	s->m.log_bytes = 0;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static bool log_is_long(const struct store *s)
{
	uint64_t limit = LOG_OF_SNAPSHOT * s->m.bin_bytes;
	return s->m.log_bytes > (limit < LOG_BYTES_MIN ? LOG_BYTES_MIN : limit);
}

static int write_last_again(struct store *s)
{
	int rc = 0;

	for (uint64_t at = s->m.log_last; !rc && at < s->m.log_bytes; at += MANIFEST_BLOCK_BYTES) {
		rc = io_read(s->io, s->log_file, s->stream.buf, MANIFEST_BLOCK_BYTES, at);
		if (!rc)
			rc = io_write(s->io, s->log_file, s->stream.buf, MANIFEST_BLOCK_BYTES, at);
	}
	return store_latch(s, rc) ? rc : store_sync_file(s, s->log_file);
}

/* W4: the last thing that a predecessor wrote may be what its last flush failed on. Then it can be
 * read, and yet is not on disk, nor would a flush bring it there. So it is written again, with the
 * same bytes, before anything is put behind it: the last batch, or, where there is none, the
 * snapshot. */
static int trust_what_was_found(struct store *s)
{
	int rc = 0;

	if (!s->trusted)
		rc = s->m.log_bytes ? write_last_again(s) : snapshot(s);
	s->trusted = !rc;
	return rc;
}

int store_commit(struct store *s)
{
	uint64_t batch_bytes;
	bool frames;
	int rc;

	assert(s->freezing);
	if (atomic_load(&s->failed))
		return -EIO;
	frames = !TAILQ_EMPTY(&s->cache.frozen);
	/* Only a batch of nothing but drops may find that nobody has made room for it yet. */
	pthread_mutex_lock(&s->grow_lock);
	rc = store_latch(s, log_extend(s, s->m.log_bytes + entries_room(s, s->blobs.nfrozen, 0)));
	pthread_mutex_unlock(&s->grow_lock);
	if (!rc)
		rc = trust_what_was_found(s);
	if (!rc)
		rc = write_images(s);
	if (!rc)
		rc = store_flush_blobs(s, frames);
	if (!rc)
		rc = write_batch(s, &batch_bytes);
	if (rc)
		return rc;
	settle(s, batch_bytes);
	if (log_is_long(s))
		rc = snapshot(s);
	if (!rc) {
		pthread_mutex_lock(&s->grow_lock);
		space_trim(&s->space, false);
		pthread_mutex_unlock(&s->grow_lock);
	}
	return rc;
}

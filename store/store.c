/*
 * store.c - the life of a store: format, open, close; and what all its parts share.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "store/state.h"

enum { CACHE_FRAMES_MIN = 16, CACHE_BYTES_DEFAULT = 256 * 1024 * 1024 };

/* ---- shared by the files of this room --------------------------------------------------- */

void store_sums(const void *data, uint64_t bytes, uint64_t *sum)
{
	const char *at = data;

	for (; bytes > STORE_SUM_BYTES; bytes -= STORE_SUM_BYTES, at += STORE_SUM_BYTES)
		*sum++ = XXH3_64bits(at, STORE_SUM_BYTES);
	*sum = XXH3_64bits(at, bytes);
}

void store_image_sums(const struct store *s, const void *image, uint32_t bytes, uint64_t *sum)
{
	memset(sum, 0, s->blobs.sums * sizeof(*sum));
	store_sums(image, bytes, sum);
}

int store_latch(struct store *s, int rc)
{
	if (rc)
		store_fail(s);
	return rc;
}

int store_sync_file(struct store *s, struct io_file *file)
{
	atomic_fetch_add_explicit(&s->flushes, 1, memory_order_relaxed);
	return store_latch(s, io_sync(s->io, file));
}

/* Makes more slots ready until `enough` is; lock held, let go of while growing. */
static int grow(struct store *s, uint64_t n, bool run)
{
	int rc;

	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&s->grow_lock);
	rc = space_grow(&s->space, n, run);
	pthread_mutex_unlock(&s->grow_lock);
	pthread_mutex_lock(&s->lock);
	return rc;
}

int store_set_aside(struct store *s, size_t frames, enum store_need need)
{
	uint64_t missing, group = s->space.group;
	int rc;

	while (!(rc = space_set_aside(&s->space, frames, need, &missing)) && missing) {
		rc = grow(s, missing * group, true);
		if (rc == -ENOSPC && missing > 1)
			rc = grow(s, group, true); /* there may be shorter runs */
		if (rc)
			break;
	}
	return rc;
}

int store_take_run(struct store *s, uint32_t nslots, uint64_t *slot)
{
	for (;;) {
		/* The reserve is always there first: what is ready may all be taken. */
		int rc = store_set_aside(s, 0, STORE_NORMAL);
		uint64_t taken = rc ? SLOT_NONE : space_take_run(&s->space, nslots);
		if (taken != SLOT_NONE) {
			*slot = taken;
			return 0;
		}
		if (rc || (rc = grow(s, nslots, true)) != 0)
			return rc;
	}
}

/* ---- format ----------------------------------------------------------------------------- */

static int refuse_entry(void *arg, const char *name)
{
	/* What an interrupted mkfs leaves behind does not stop the next one. */
	static const char *const ours[] = {
	        "lock", "manifest.tmp", "manifest.log", "blobs.dat", NULL};

	if (!strcmp(name, "manifest.bin"))
		return why(arg, -EEXIST, "there is a store already");
	for (int i = 0; ours[i]; i++)
		if (!strcmp(name, ours[i]))
			return 0;
	return why(arg, -ENOTEMPTY, "the directory is not empty: it holds \"%s\"", name);
}

/* Creates an empty file; one with content may be the remains of a damaged store. */
static int create_empty(struct io *io, const char *name, struct why *w)
{
	struct io_file *file;
	uint64_t bytes;
	int rc = io->ops->open(io, name, IO_CREATE, &file);

	if (rc)
		return why(w, rc, "cannot create %s: %s", name, strerror(-rc));
	rc = io->ops->size(io, file, &bytes);
	if (!rc && bytes)
		rc = why(w, -ENOTEMPTY, "the directory is not empty: %s has content", name);
	else if (rc)
		rc = why(w, rc, "cannot look at %s: %s", name, strerror(-rc));
	io->ops->close(io, file);
	return rc;
}

static int write_first_manifest(struct io *io, const struct manifest *m)
{
	struct manifest_stream stream;
	struct io_file *file;
	int rc = manifest_stream_init(&stream, io);

	if (rc)
		return rc;
	rc = io->ops->open(io, "manifest.tmp", IO_CREATE | IO_DIRECT, &file);
	if (rc)
		goto out;
	rc = io->ops->truncate(io, file, 0);
	manifest_bin_begin(&stream, file);
	if (!rc)
		rc = manifest_bin_end(&stream, m, 0);
	if (!rc)
		rc = manifest_bin_install(io, file, "manifest.tmp");
	io->ops->close(io, file);
out:
	manifest_stream_fini(&stream);
	return rc;
}

int store_format(struct io *io, const struct store_format *fmt, struct why *w)
{
	static const uint8_t zero[16];
	uint32_t frame_bytes = fmt->frame_bytes ? fmt->frame_bytes : STORE_FRAME_DEFAULT;
	struct manifest m = {
	        .frame_bytes = frame_bytes,
	        .size_max = fmt->size_max,
	        .point = {.commit = 1, .next_frame_id = 1, .next_data_id = 1},
	};
	int rc;

	if (frame_bytes < STORE_FRAME_MIN || frame_bytes > STORE_FRAME_MAX ||
	        frame_bytes & (frame_bytes - 1))
		return why(w, -EINVAL,
		        "frames of %" PRIu32 " bytes: must be a power of two, %d to %d",
		        frame_bytes, STORE_FRAME_MIN, STORE_FRAME_MAX);
	rc = store_lock(io, true, 0, w);
	if (rc)
		return rc == -ENOENT ? -EWOULDBLOCK : rc;
	rc = io->ops->list(io, "", refuse_entry, w);
	if (rc == -EEXIST || rc == -ENOTEMPTY)
		return rc;
	if (rc)
		return why(w, rc, "cannot list the directory: %s", strerror(-rc));
	memcpy(m.uuid, fmt->uuid, sizeof(m.uuid));
	if ((!memcmp(m.uuid, zero, sizeof(zero)) &&
	            getrandom(m.uuid, sizeof(m.uuid), 0) != sizeof(m.uuid)) ||
	        getrandom(&m.log_salt, sizeof(m.log_salt), 0) != sizeof(m.log_salt))
		return why(w, -EIO, "the kernel gives no random numbers");
	rc = create_empty(io, "blobs.dat", w);
	if (!rc)
		rc = create_empty(io, "manifest.log", w);
	if (rc)
		return rc;
	/* The store exists from the moment that manifest.bin has its name. */
	rc = write_first_manifest(io, &m);
	return rc ? why(w, rc, "cannot write manifest.bin: %s", strerror(-rc)) : 0;
}

/* ---- open ------------------------------------------------------------------------------- */

static int read_whole(struct io *io, struct io_file *file, void **out, size_t *bytes)
{
	uint64_t size;
	void *buf;
	int rc = io->ops->size(io, file, &size);

	if (rc)
		return rc;
	buf = aligned_alloc(IO_ALIGN, manifest_round(size + 1));
	if (!buf)
		return -ENOMEM;
	rc = size ? io_read(io, file, buf, size, 0) : 0;
	if (rc) {
		free(buf);
		return rc;
	}
	*out = buf;
	*bytes = size;
	return 0;
}

static int load_entry(void *arg, const struct manifest_entry *m)
{
	struct store *s = arg;
	bool data = m->kind == STORE_DATA;
	struct blob *e = blobs_find(&s->blobs, data, m->id);
	int rc;

	if (e && e->kind != m->kind)
		return -EUCLEAN;
	if (m->op == ENTRY_DELETE) {
		if (!e || e->slot != m->slot)
			return -EUCLEAN;
		blobs_remove(&s->blobs, e);
		s->blobs.live[m->kind - 1]--;
		return 0;
	}
	if (e && data)
		return -EUCLEAN; /* written once */
	if (!e) {
		rc = blobs_ensure(&s->blobs, 1);
		if (rc)
			return rc;
		e = blobs_add(&s->blobs, m->kind, m->id);
		s->blobs.live[m->kind - 1]++;
	}
	e->slot = m->slot;
	e->nslots = (uint16_t)m->nslots;
	e->value = e->durable_count = m->value;
	e->attached = e->durable = true;
	if (!data)
		memcpy(e->sum, m->sum, s->blobs.sums * sizeof(e->sum[0]));
	return 0;
}

static int load_first_entry(void *arg, const struct manifest_entry *m)
{
	struct store *s = arg;

	if (m->op != ENTRY_SET || blobs_find(&s->blobs, m->kind == STORE_DATA, m->id))
		return -EUCLEAN;
	return load_entry(arg, m);
}

/* What single entries cannot tell: ids below the next one, counters, slots in bounds and named once
 * (S4). */
static int check_loaded(struct store *s, struct why *w)
{
	const struct manifest_point *p = &s->m.point;

	if (memcmp(p->blobs, s->blobs.live, sizeof(p->blobs)))
		return why(w, -EUCLEAN,
		        "the manifest does not hold as many blobs as it says: the store is "
		        "damaged");
	for (size_t i = 0; i < blobs_places(&s->blobs); i++) {
		struct blob *e = blobs_place(&s->blobs, i);
		if (!e)
			continue;
		if (e->id >= (e->kind == STORE_DATA ? p->next_data_id : p->next_frame_id))
			return why(w, -EUCLEAN,
			        "the manifest is damaged: it names blob %" PRIu64
			        ", which was never made",
			        e->id);
		if (space_claim(&s->space, e->slot, e->nslots, s->space.total))
			return why(w, -EUCLEAN,
			        "the manifest is damaged: it puts blob %" PRIu64
			        " into slot %" PRIu64
			        ", beyond the end of blobs.dat or where another one is",
			        e->id, e->slot);
	}
	return 0;
}

static int load_log(struct store *s, struct why *w)
{
	void *buf;
	size_t bytes;
	int rc = read_whole(s->io, s->log_file, &buf, &bytes);

	if (rc)
		return why(w, rc, "cannot read manifest.log: %s", strerror(-rc));
	rc = manifest_decode_log(buf, bytes, &s->m, load_entry, s, w);
	free(buf);
	return rc;
}

static int load_manifest(struct store *s, struct why *w)
{
	struct io_file *file;
	struct manifest_head head;
	void *buf;
	size_t bytes;
	int rc = s->io->ops->open(s->io, "manifest.bin", IO_READONLY | IO_DIRECT, &file);

	if (rc == -ENOENT)
		return why(w, rc, "this is not a store: it has no manifest.bin");
	if (rc)
		return why(w, rc, "cannot open manifest.bin: %s", strerror(-rc));
	rc = read_whole(s->io, file, &buf, &bytes);
	s->io->ops->close(s->io, file);
	if (rc)
		return why(w, rc, "cannot read manifest.bin: %s", strerror(-rc));
	/* The map must know how large its entries are; whether the head is sound comes next. */
	memset(&head, 0, sizeof(head));
	memcpy(&head, buf, bytes < sizeof(head) ? bytes : sizeof(head));
	rc = blobs_init(&s->blobs, manifest_sums(le32_get(head.frame_bytes) > STORE_FRAME_MAX
	                                                 ? STORE_FRAME_MAX
	                                                 : le32_get(head.frame_bytes)));
	if (!rc)
		rc = manifest_decode_bin(
		        buf, bytes, s->opt.read_only, &s->m, load_first_entry, s, w);
	free(buf);
	return rc == -ENOMEM ? why(w, rc, "not enough memory") : rc;
}

static int open_file(struct store *s, const char *name, struct io_file **out, struct why *w)
{
	unsigned flags = IO_DIRECT | (s->opt.read_only ? IO_READONLY : 0);
	int rc = s->io->ops->open(s->io, name, flags, out);

	if (rc == -ENOENT)
		return why(w, -EUCLEAN, "%s is missing: the store is damaged", name);
	return rc ? why(w, rc, "cannot open %s: %s", name, strerror(-rc)) : 0;
}

static size_t cache_bytes_of(const struct store *s)
{
	size_t least = (size_t)CACHE_FRAMES_MIN * s->m.frame_bytes;
	size_t bytes = s->opt.cache_bytes ? s->opt.cache_bytes : CACHE_BYTES_DEFAULT;
	return bytes < least ? least : bytes;
}

/* Frees whatever there is; every part can be fini'd when it is all zero. */
static void destroy(struct store *s)
{
	if (s->cache.arena) {
		s->io->ops->register_buffers(s->io, NULL, 0);
		cache_fini(&s->cache);
	}
	space_fini(&s->space);
	blobs_fini(&s->blobs);
	manifest_stream_fini(&s->stream);
	free(s->images);
	while (s->nbounce)
		free(s->bounce[--s->nbounce]);
	if (s->log_file)
		s->io->ops->close(s->io, s->log_file);
	if (s->blobs_file)
		s->io->ops->close(s->io, s->blobs_file);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->grow_lock);
	free(s);
}

int store_open(struct io *io, const struct store_options *opt, struct store **out, struct why *w)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return why(w, -ENOMEM, "not enough memory");
	s->io = io;
	s->opt = *opt;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->grow_lock, NULL);
	rc = store_lock(io, !opt->read_only, opt->lock_wait_ms, w);
	if (!rc)
		rc = load_manifest(s, w);
	if (!rc)
		rc = open_file(s, "blobs.dat", &s->blobs_file, w);
	if (!rc)
		rc = open_file(s, "manifest.log", &s->log_file, w);
	if (!rc)
		rc = load_log(s, w);
	if (rc)
		goto out;
	rc = space_init(&s->space, io, s->blobs_file, &s->lock, s->m.frame_bytes / STORE_SLOT_BYTES,
	        s->m.size_max);
	if (!rc)
		rc = manifest_stream_init(&s->stream, io);
	if (!rc)
		rc = cache_init(&s->cache, cache_bytes_of(s), s->m.frame_bytes);
	if (!rc && !opt->read_only) {
		s->images = aligned_alloc(IO_ALIGN, IMAGES_BYTES);
		rc = s->images ? 0 : -ENOMEM;
	}
	if (rc) {
		why(w, rc, "cannot open the store: %s", strerror(-rc));
		goto out;
	}
	rc = check_loaded(s, w);
	if (rc)
		goto out;
	s->next_frame_id = s->m.point.next_frame_id;
	s->next_data_id = s->m.point.next_data_id;
	s->log_room = s->m.log_bytes;
	io->ops->register_buffers(io, s->cache.arena, s->cache.nbufs * s->m.frame_bytes);
	if (!opt->read_only)
		store_lock_note(io);
	*out = s;
	return 0;
out:
	destroy(s);
	return rc;
}

void store_replay_done(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	space_floor_lift(&s->space);
	pthread_mutex_unlock(&s->lock);
}

void store_close(struct store *s)
{
	if (!s->opt.read_only && !atomic_load(&s->failed)) {
		space_give_back(&s->space, s->space.set_aside); /* nothing more will be written */
		space_trim(&s->space, true);
	}
	if (!s->opt.read_only)
		store_lock_note_remove(s->io);
	destroy(s);
}

/* ---- small questions -------------------------------------------------------------------- */

uint32_t store_frame_bytes(const struct store *s)
{
	return s->m.frame_bytes;
}

const uint8_t *store_uuid(const struct store *s)
{
	return s->m.uuid;
}

const struct store_root *store_root(const struct store *s)
{
	return &s->m.point.root;
}

struct io *store_io(struct store *s)
{
	return s->io;
}

bool store_is_dirty(const struct store *s)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&s->lock;
	bool dirty;

	pthread_mutex_lock(lock);
	dirty = s->blobs.nchanged > 0;
	pthread_mutex_unlock(lock);
	return dirty;
}

size_t store_dirty_bytes(const struct store *s)
{
	return atomic_load_explicit(&s->cache.ndirty, memory_order_relaxed) * s->m.frame_bytes;
}

bool store_failed(const struct store *s)
{
	return atomic_load(&s->failed);
}

void store_fail(struct store *s)
{
	atomic_store(&s->failed, true);
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->cache.cleaned);
	pthread_mutex_unlock(&s->lock);
}

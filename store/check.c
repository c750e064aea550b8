/*
 * check.c - looking at a store: counters, the list of blobs, and fsck of this room.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/state.h"

void store_stat(struct store *s, struct store_stat *out)
{
	uint64_t host_bytes = 0, host_slots;

	s->io->ops->host_free(s->io, &host_bytes);
	pthread_mutex_lock(&s->lock);
	host_slots = s->space.total + host_bytes / STORE_SLOT_BYTES;
	*out = (struct store_stat){
	        .frame_bytes = s->m.frame_bytes,
	        .slots_total = s->space.total,
	        .slots_used = space_named(&s->space),
	        .slots_max = host_slots < s->space.limit ? host_slots : s->space.limit,
	        .cache_bytes = s->cache.nbufs * s->m.frame_bytes,
	        .cache_used = (s->cache.nbufs - s->cache.nfree) * s->m.frame_bytes,
	        .cache_dirty = (s->cache.ndirty + s->cache.nfrozen) * s->m.frame_bytes,
	        .cache_hits = atomic_load(&s->cache.hits),
	        .cache_misses = s->cache.misses,
	        .evictions = s->cache.evictions,
	        .read_bytes = atomic_load_explicit(&s->read_bytes, memory_order_relaxed),
	        .written_bytes = atomic_load_explicit(&s->written_bytes, memory_order_relaxed),
	        .flushes = atomic_load_explicit(&s->flushes, memory_order_relaxed),
	        .commits = s->commits,
	        .manifest_log_bytes = s->m.log_bytes,
	        .io_name = s->io->ops->name,
	};
	memcpy(out->blobs + 1, s->blobs.live, sizeof(s->blobs.live));
	pthread_mutex_unlock(&s->lock);
}

struct line {
	uint64_t id, slot;
	uint32_t nslots;
	uint8_t kind;
};

static int compare(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* The current state at one instant, sorted. */
static int list_blobs(struct store *s, struct line **out, size_t *count)
{
	struct line *lines;
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	lines = malloc((s->blobs.used_count + 1) * sizeof(*lines));
	for (size_t i = 0; lines && i < blobs_places(&s->blobs); i++) {
		struct blob *e = blobs_place(&s->blobs, i);
		if (e && e->attached && !e->dead)
			lines[n++] = (struct line){e->id, e->slot, e->nslots, e->kind};
	}
	pthread_mutex_unlock(&s->lock);
	if (!lines)
		return -ENOMEM;
	qsort(lines, n, sizeof(*lines), compare);
	*out = lines;
	*count = n;
	return 0;
}

int store_each_blob(struct store *s,
        int (*each)(void *arg, enum store_kind kind, uint64_t id, uint64_t slot, uint32_t nslots),
        void *arg)
{
	struct line *lines;
	size_t n;
	int rc = list_blobs(s, &lines, &n);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < n; i++)
		rc = each(arg, lines[i].kind, lines[i].id, lines[i].slot, lines[i].nslots);
	free(lines);
	return rc;
}

struct findings {
	void (*say)(void *arg, const char *line);
	void *arg;
	int count;
};

__attribute__((format(printf, 2, 3))) static void found(struct findings *f, const char *fmt, ...)
{
	char line[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	f->say(f->arg, line);
	f->count++;
}

/* Marks what one name in the map takes; lock held. */
static void mark(
        struct store *s, uint64_t *seen, uint64_t id, uint64_t slot, uint64_t n, struct findings *f)
{
	for (uint64_t i = slot; i < slot + n; i++) {
		uint64_t bit = UINT64_C(1) << (i % 64);
		if (i >= s->space.total) {
			found(f, "blob %" PRIu64 ": slot %" PRIu64 " is beyond the end", id, i);
			continue;
		}
		if (seen[i / 64] & bit)
			found(f, "blob %" PRIu64 ": slot %" PRIu64 " is named twice", id, i);
		seen[i / 64] |= bit;
	}
}

/* S4: the slots in use are exactly those that some blob names. */
static int check_slots(struct store *s, struct findings *f)
{
	uint64_t *seen;

	pthread_mutex_lock(&s->lock);
	seen = calloc(s->space.words + 1, sizeof(*seen));
	for (size_t i = 0; seen && i < blobs_places(&s->blobs); i++) {
		struct blob *e = blobs_place(&s->blobs, i);
		if (e && e->slot != SLOT_NONE)
			mark(s, seen, e->id, e->slot, e->nslots, f);
		if (e && e->old_slot != SLOT_NONE)
			mark(s, seen, e->id, e->old_slot, e->old_nslots, f);
	}
	for (size_t i = 0; seen && i < s->space.asides; i++)
		mark(s, seen, 0, space_aside(&s->space, i), s->space.group, f);
	for (size_t i = 0; seen && i < s->space.words; i++)
		if (seen[i] != s->space.used[i] && !s->freezing)
			found(f, "slots %zu to %zu: in use and named do not agree", i * 64,
			        i * 64 + 63);
	pthread_mutex_unlock(&s->lock);
	free(seen);
	return seen ? 0 : -ENOMEM;
}

/* The image on disk, whatever the cache holds; not judged if a commit moves it meanwhile. */
static int check_frame(struct store *s, const struct line *l, char *buf, struct findings *f)
{
	uint64_t found_sum[ENTRY_SUMS_MAX];
	struct blob *e;
	bool bad = false;
	uint32_t bytes = l->nslots * (uint32_t)STORE_SLOT_BYTES;
	int rc = io_read(s->io, s->blobs_file, buf, bytes, l->slot * STORE_SLOT_BYTES);

	if (rc && rc != -EIO)
		return rc;
	if (!rc)
		store_image_sums(s, buf, bytes, found_sum);
	memset(buf + bytes, 0, s->m.frame_bytes - bytes);
	pthread_mutex_lock(&s->lock);
	e = blobs_current(&s->blobs, false, l->id);
	if (e && e->slot == l->slot)
		bad = rc || memcmp(found_sum, e->sum, s->blobs.sums * sizeof(e->sum[0]));
	pthread_mutex_unlock(&s->lock);
	if (bad)
		found(f, "blob %" PRIu64 ": slot %" PRIu64 " %s", l->id, l->slot,
		        rc ? "cannot be read" : "has a bad checksum");
	else if (e && s->opt.validate && !rc &&
	         s->opt.validate(buf, s->m.frame_bytes, l->id, l->kind))
		found(f, "blob %" PRIu64 ": slot %" PRIu64 " has a valid checksum but is not valid",
		        l->id, l->slot);
	return 0;
}

int store_check(struct store *s, void (*say)(void *arg, const char *line), void *arg)
{
	struct findings f = {say, arg, 0};
	struct line *lines;
	size_t n;
	char *buf;
	int rc = list_blobs(s, &lines, &n);

	if (rc)
		return rc;
	buf = store_bounce_take(s);
	rc = buf ? check_slots(s, &f) : -ENOMEM;
	for (size_t i = 0; !rc && i < n; i++)
		if (lines[i].kind != STORE_DATA && lines[i].slot != SLOT_NONE)
			rc = check_frame(s, &lines[i], buf, &f);
	if (buf)
		store_bounce_give(s, buf);
	free(lines);
	return rc ? rc : f.count;
}

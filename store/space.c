/*
 * space.c - the slot allocator. Low addresses first, so that the end of the file becomes free.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/space.h"

enum {
	WORD_BITS = 64,
	STEP_GROUPS_MIN = 64,
	STEP_BYTES_MAX = 64 * 1024 * 1024,
	STEP_OF_TOTAL = 8,      /* grow by this fraction of the file */
	STEP_OF_HOST_FREE = 16, /* but never by more than this fraction of what the host has left */
	RESERVE_GROUPS_MIN = 16,
	RESERVE_GROUPS_MAX = 1024,
	RESERVE_OF_USED = 64,
	RESERVE_OF_LIMIT = 4,
	PUNCH_RUN_MIN = 16,          /* shorter runs are not worth a system call */
	FIT_SLOTS_MAX = 1024 * 1024, /* how far an image looks for a place between others */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool bit_get(const uint64_t *map, uint64_t i)
{
	return map[i / WORD_BITS] >> (i % WORD_BITS) & 1;
}

static void bits_set(uint64_t *map, uint64_t from, uint64_t n, bool on)
{
	for (uint64_t i = from; i < from + n; i++) {
		uint64_t bit = UINT64_C(1) << (i % WORD_BITS);
		if (on)
			map[i / WORD_BITS] |= bit;
		else
			map[i / WORD_BITS] &= ~bit;
	}
}

/* Which slots a search is for. */
enum want { READY, HOLE, FREE };

static uint64_t word_of(const struct space *sp, enum want want, uint64_t i)
{
	uint64_t free_bits = ~sp->used[i];
	return want == READY  ? free_bits & sp->backed[i]
	       : want == HOLE ? free_bits & ~sp->backed[i]
	                      : free_bits;
}

/* The first wanted slot in [from, end), or end. */
static uint64_t find_next(const struct space *sp, enum want want, uint64_t from, uint64_t end)
{
	while (from < end) {
		uint64_t word = word_of(sp, want, from / WORD_BITS) >> (from % WORD_BITS);
		if (word)
			return min_u64(from + (uint64_t)__builtin_ctzll(word), end);
		from = (from / WORD_BITS + 1) * WORD_BITS;
	}
	return end;
}

/* Where the row of wanted slots that begins at `from` ends. */
static uint64_t find_end(const struct space *sp, enum want want, uint64_t from, uint64_t end)
{
	while (from < end) {
		uint64_t word = ~word_of(sp, want, from / WORD_BITS) >> (from % WORD_BITS);
		if (word)
			return min_u64(from + (uint64_t)__builtin_ctzll(word), end);
		from = (from / WORD_BITS + 1) * WORD_BITS;
	}
	return end;
}

/* The first row of n wanted slots in [from, end), or SLOT_NONE. */
static uint64_t find_run(
        const struct space *sp, enum want want, uint64_t n, uint64_t from, uint64_t end)
{
	for (;;) {
		uint64_t stop;
		from = find_next(sp, want, from, end);
		if (from + n > end)
			return SLOT_NONE;
		stop = find_end(sp, want, from, from + n);
		if (stop == from + n)
			return from;
		from = stop;
	}
}

static int words_ensure(struct space *sp, uint64_t slots)
{
	uint64_t words = (slots + WORD_BITS - 1) / WORD_BITS, *used, *backed;

	if (words <= sp->words)
		return 0;
	words = words < 2 * sp->words ? 2 * sp->words : words;
	used = realloc(sp->used, words * sizeof(*used));
	if (!used)
		return -ENOMEM;
	sp->used = used;
	backed = realloc(sp->backed, words * sizeof(*backed));
	if (!backed)
		return -ENOMEM;
	sp->backed = backed;
	memset(used + sp->words, 0, (words - sp->words) * sizeof(*used));
	memset(backed + sp->words, 0, (words - sp->words) * sizeof(*backed));
	sp->words = words;
	return 0;
}

int space_init(struct space *sp, struct io *io, struct io_file *file, pthread_mutex_t *lock,
        uint32_t group, uint64_t size_max)
{
	uint64_t bytes;
	int rc = io->ops->size(io, file, &bytes);

	if (rc)
		return rc;
	*sp = (struct space){
	        .io = io,
	        .file = file,
	        .lock = lock,
	        .group = group,
	        .limit = (size_max ? size_max : INT64_MAX) / STORE_SLOT_BYTES,
	        .total = bytes / STORE_SLOT_BYTES,
	        .floor = bytes / STORE_SLOT_BYTES,
	};
	sp->hint = sp->run_hint = sp->fit_hint = sp->floor;
	return words_ensure(sp, sp->total);
}

void space_fini(struct space *sp)
{
	free(sp->used);
	free(sp->backed);
	free(sp->aside);
	*sp = (struct space){0};
}

int space_claim(struct space *sp, uint64_t slot, uint64_t n, uint64_t end)
{
	if (slot >= end || n > end - slot || find_end(sp, FREE, slot, slot + n) != slot + n)
		return -EUCLEAN;
	for (uint64_t i = slot; i < slot + n; i++)
		sp->ready -= bit_get(sp->backed, i);
	bits_set(sp->used, slot, n, true);
	bits_set(sp->backed, slot, n, true);
	sp->used_slots += n;
	return 0;
}

void space_release(struct space *sp, uint64_t slot, uint64_t n)
{
	bits_set(sp->used, slot, n, false);
	sp->used_slots -= n;
	if (slot < sp->floor) {
		bits_set(sp->backed, slot, n, false);
		return;
	}
	sp->ready += n;
	sp->hint = min_u64(sp->hint, slot);
	sp->run_hint = min_u64(sp->run_hint, slot);
}

void space_floor_lift(struct space *sp)
{
	sp->floor = 0;
	sp->run_hint = sp->fit_hint = 0;
}

uint64_t space_named(const struct space *sp)
{
	return sp->used_slots - sp->asides * sp->group;
}

uint64_t space_reserve(const struct space *sp)
{
	uint64_t n = space_named(sp) / sp->group / RESERVE_OF_USED;

	n = n < RESERVE_GROUPS_MIN ? RESERVE_GROUPS_MIN : min_u64(n, RESERVE_GROUPS_MAX);
	return min_u64(n, sp->limit / sp->group / RESERVE_OF_LIMIT);
}

static void take(struct space *sp, uint64_t slot, uint64_t n)
{
	bits_set(sp->used, slot, n, true);
	sp->used_slots += n;
	sp->ready -= n;
}

/* ---- groups set aside ------------------------------------------------------------------- */

static int aside_room(struct space *sp, size_t n)
{
	size_t max = sp->aside_max ? sp->aside_max : 64;

	while (max < n)
		max *= 2;
	if (max == sp->aside_max)
		return 0;
	uint64_t *ring = malloc(max * sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (size_t i = 0; i < sp->asides; i++)
		ring[i] = sp->aside[(sp->aside_first + i) % sp->aside_max];
	free(sp->aside);
	sp->aside = ring;
	sp->aside_first = 0;
	sp->aside_max = max;
	return 0;
}

static uint64_t aside_pop(struct space *sp)
{
	uint64_t slot = sp->aside[sp->aside_first];

	assert(sp->asides > 0);
	sp->aside_first = (sp->aside_first + 1) % sp->aside_max;
	sp->asides--;
	return slot;
}

/* Moves ready groups into the stock until it holds n. */
static int gather(struct space *sp, uint64_t n)
{
	int rc = aside_room(sp, n);

	while (!rc && sp->asides < n) {
		uint64_t slot = find_run(sp, READY, sp->group, sp->run_hint, sp->total);
		if (slot == SLOT_NONE && sp->run_hint > sp->hint)
			slot = find_run(sp, READY, sp->group, sp->hint, sp->total);
		if (slot == SLOT_NONE)
			break;
		take(sp, slot, sp->group);
		sp->run_hint = slot + sp->group;
		sp->aside[(sp->aside_first + sp->asides++) % sp->aside_max] = slot;
	}
	return rc;
}

int space_set_aside(struct space *sp, uint64_t n, enum store_need need, uint64_t *missing)
{
	uint64_t want = sp->set_aside + n + (need == STORE_NORMAL ? space_reserve(sp) : 0);
	int rc = sp->asides < want ? gather(sp, want) : 0;

	*missing = want > sp->asides ? want - sp->asides : 0;
	if (!rc && !*missing)
		sp->set_aside += n;
	return rc;
}

void space_give_back(struct space *sp, uint64_t n)
{
	assert(sp->set_aside >= n);
	sp->set_aside -= n;
}

uint64_t space_take_image(struct space *sp, uint32_t n)
{
	uint64_t own = aside_pop(sp), from = sp->fit_hint, slot;

	assert(sp->set_aside > 0 && n <= sp->group);
	sp->set_aside--;
	sp->taken++;
	space_release(sp, own, sp->group);
	from = from < sp->hint || from >= sp->total ? sp->hint : from;
	slot = find_run(sp, READY, n, from, min_u64(sp->total, from + FIT_SLOTS_MAX));
	if (slot == SLOT_NONE) {
		/* Its own group is there in any case; close up to what is before it. */
		slot = own;
		while (slot > sp->floor && own - slot < n &&
		        word_of(sp, READY, (slot - 1) / WORD_BITS) >> ((slot - 1) % WORD_BITS) & 1)
			slot--;
	}
	take(sp, slot, n);
	sp->fit_hint = slot + n;
	if (slot == sp->hint)
		sp->hint = slot + n;
	return slot;
}

void space_fit_again(struct space *sp)
{
	sp->fit_hint = sp->hint;
}

uint64_t space_take_run(struct space *sp, uint32_t n)
{
	uint64_t slot = find_run(sp, READY, n, sp->run_hint, sp->total);

	if (slot == SLOT_NONE)
		slot = find_run(sp, READY, n, sp->hint, sp->total);
	if (slot == SLOT_NONE)
		return SLOT_NONE;
	take(sp, slot, n);
	sp->run_hint = slot + n;
	return slot;
}

/* ---- growing and giving back, with I/O -------------------------------------------------- */

static int back(struct space *sp, uint64_t slot, uint64_t n)
{
	int rc = sp->io->ops->allocate(
	        sp->io, sp->file, slot * STORE_SLOT_BYTES, n * STORE_SLOT_BYTES);

	if (rc)
		return rc;
	pthread_mutex_lock(sp->lock);
	bits_set(sp->backed, slot, n, true);
	sp->ready += n;
	sp->hint = min_u64(sp->hint, slot);
	sp->run_hint = min_u64(sp->run_hint, slot);
	if (slot + n > sp->total)
		sp->total = slot + n;
	pthread_mutex_unlock(sp->lock);
	return 0;
}

/* Backs holes inside the file: the lowest ones, or those in the first free run of n. */
static int grow_inside(struct space *sp, uint64_t n, bool run, uint64_t *done)
{
	uint64_t from = sp->floor, end = sp->total, left = n;
	int rc = 0;

	*done = 0;
	pthread_mutex_lock(sp->lock);
	if (run) {
		from = find_run(sp, FREE, n, from, end);
		end = from == SLOT_NONE ? from : from + n;
	}
	while (!rc && left && from < end) {
		uint64_t stop;
		from = find_next(sp, HOLE, from, end);
		stop = find_end(sp, HOLE, from, min_u64(end, from + left));
		if (from == stop)
			break;
		pthread_mutex_unlock(sp->lock);
		rc = back(sp, from, stop - from);
		pthread_mutex_lock(sp->lock);
		if (!rc) {
			*done += stop - from;
			left -= stop - from;
			from = stop;
		}
	}
	if (run && !rc && end != SLOT_NONE)
		*done = n;
	pthread_mutex_unlock(sp->lock);
	return rc;
}

/* How far to extend the file for `n` more slots: coarsely, but gently on a host that is nearly
 * full. */
static uint64_t step_of(const struct space *sp, uint64_t n)
{
	uint64_t host_bytes, step = sp->total / STEP_OF_TOTAL;

	step = min_u64(step, STEP_BYTES_MAX / STORE_SLOT_BYTES);
	step = step < STEP_GROUPS_MIN * sp->group ? STEP_GROUPS_MIN * sp->group : step;
	if (!sp->io->ops->host_free(sp->io, &host_bytes))
		step = min_u64(step, host_bytes / STEP_OF_HOST_FREE / STORE_SLOT_BYTES);
	return step < n ? n : step;
}

static int grow_outside(struct space *sp, uint64_t n)
{
	uint64_t step = min_u64(step_of(sp, n), sp->limit < sp->total ? 0 : sp->limit - sp->total);
	int rc;

	if (step < n)
		return -ENOSPC;
	pthread_mutex_lock(sp->lock);
	rc = words_ensure(sp, sp->total + step);
	pthread_mutex_unlock(sp->lock);
	if (rc)
		return rc;
	rc = back(sp, sp->total, step);
	if (rc == -ENOSPC && step > n)
		rc = back(sp, sp->total, n);
	return rc;
}

int space_grow(struct space *sp, uint64_t n, bool run)
{
	uint64_t done, tail;
	int rc = grow_inside(sp, n, run, &done);

	if (rc || done == n)
		return rc;
	if (!run)
		return grow_outside(sp, n - done);
	/* No row of n inside: the free slots at the very end are its beginning. */
	pthread_mutex_lock(sp->lock);
	for (tail = sp->total; tail > sp->floor && !bit_get(sp->used, tail - 1);)
		tail--;
	tail = sp->total - tail;
	pthread_mutex_unlock(sp->lock);
	rc = grow_outside(sp, n - min_u64(tail, n - 1));
	return rc ? rc : grow_inside(sp, n, true, &done);
}

/* Cuts up to `n` free slots off the end of the file. */
static uint64_t cut_tail(struct space *sp, uint64_t n)
{
	uint64_t end, ready = 0;

	pthread_mutex_lock(sp->lock);
	for (end = sp->total; end > 0 && !bit_get(sp->used, end - 1); end--) {
		bool backed = bit_get(sp->backed, end - 1);
		if (backed && ready == n)
			break;
		ready += backed;
	}
	if (end < sp->total) {
		bits_set(sp->backed, end, sp->total - end, false);
		sp->ready -= ready;
		sp->total = end;
		sp->hint = min_u64(sp->hint, end);
		sp->run_hint = min_u64(sp->run_hint, end);
		pthread_mutex_unlock(sp->lock);
		/* If it fails the file is longer than it need be, and no harm done. */
		sp->io->ops->truncate(sp->io, sp->file, end * STORE_SLOT_BYTES);
		return ready;
	}
	pthread_mutex_unlock(sp->lock);
	return 0;
}

static void punch_holes(struct space *sp, uint64_t n)
{
	uint64_t from = 0;

	while (n && !sp->punch_refused) {
		uint64_t stop;
		pthread_mutex_lock(sp->lock);
		from = find_run(sp, READY, PUNCH_RUN_MIN, from, sp->total);
		if (from == SLOT_NONE) {
			pthread_mutex_unlock(sp->lock);
			return;
		}
		stop = find_end(sp, READY, from, min_u64(sp->total, from + n));
		bits_set(sp->backed, from, stop - from, false);
		sp->ready -= stop - from;
		pthread_mutex_unlock(sp->lock);
		if (sp->io->ops->punch(sp->io, sp->file, from * STORE_SLOT_BYTES,
		            (stop - from) * STORE_SLOT_BYTES))
			sp->punch_refused = true;
		n -= stop - from;
		from = stop;
	}
}

void space_trim(struct space *sp, bool all)
{
	uint64_t groups, keep, excess;

	pthread_mutex_lock(sp->lock);
	/* The next commit will probably write as much as this one. */
	sp->pace = sp->taken > sp->pace / 2 ? sp->taken : sp->pace / 2;
	sp->taken = 0;
	groups = sp->set_aside + (all ? 0 : space_reserve(sp));
	while (sp->asides > groups)
		space_release(sp, aside_pop(sp), sp->group);
	keep = all ? 0 : (STEP_GROUPS_MIN + sp->pace) * sp->group;
	excess = sp->ready > keep ? sp->ready - keep : 0;
	/* Hysteresis: giving back what the next minute takes again costs more than it saves. */
	if (sp->floor || (!all && excess < keep + sp->total / STEP_OF_TOTAL))
		excess = 0;
	pthread_mutex_unlock(sp->lock);
	if (excess) {
		excess -= cut_tail(sp, excess);
		punch_holes(sp, excess);
	}
}

/*
 * power.c - what a simulated disk holds after the power was gone.
 *
 * Each change since the last sync is kept, lost or torn, by policy; what is kept is applied in its
 * order.
 */
#include <assert.h>

#include "tests/harness/simdisk_state.h"

const char *const simdisk_keep_name[SIMDISK_KEEPS] = {
        [SIMDISK_KEEP] = "keep",
        [SIMDISK_DROP] = "drop",
        [SIMDISK_PREFIX] = "prefix",
        [SIMDISK_NAMES] = "names",
        [SIMDISK_DATA] = "data",
        [SIMDISK_SUBSET] = "subset",
        [SIMDISK_TORN] = "torn",
};

enum fate { LOST, KEPT, TORN };

/* One moment for the whole disk, for the policies that keep a prefix. */
struct verdict {
	enum simdisk_keep keep;
	uint64_t before; /* in order of changes */
	struct rng *rng;
};

static enum fate fate_of_change(const struct verdict *v, uint64_t order)
{
	switch (v->keep) {
	case SIMDISK_KEEP:
	case SIMDISK_DATA:
		return KEPT;
	case SIMDISK_PREFIX:
		return order < v->before ? KEPT : LOST;
	case SIMDISK_SUBSET:
		return rng_one_in(v->rng, 2) ? KEPT : LOST;
	case SIMDISK_TORN:
		return (enum fate)rng_below(v->rng, 3);
	default:
		return LOST;
	}
}

static bool naming_is_kept(const struct verdict *v, uint64_t order)
{
	switch (v->keep) {
	case SIMDISK_KEEP:
	case SIMDISK_NAMES:
		return true;
	case SIMDISK_PREFIX:
	case SIMDISK_SUBSET:
		return order < v->before;
	case SIMDISK_TORN:
		return rng_one_in(v->rng, 2);
	default:
		return false;
	}
}

static void tear(const struct sim_change *c, struct pages *to, struct rng *r)
{
	for (uint64_t done = 0; done < c->bytes;) {
		const uint64_t at = c->offset + done;
		uint64_t n = SIMDISK_SECTOR - at % SIMDISK_SECTOR;
		if (n > c->bytes - done)
			n = c->bytes - done;
		if (rng_one_in(r, 2))
			pages_write(to, at, c->payload->bytes + done, n);
		done += n;
	}
}

static void lose(const struct sim_change *c, struct pages *to, const struct verdict *v)
{
	const uint64_t end = c->offset + c->bytes;
	const bool extends = c->type == SIM_WRITE || c->type == SIM_ALLOCATE;

	if (extends && end > to->bytes && v->keep != SIMDISK_DROP && v->keep != SIMDISK_PREFIX &&
	        rng_one_in(v->rng, 2))
		pages_resize(to, end);
}

static void survive(const struct sim_inode *from, struct sim_inode *to, const struct verdict *v)
{
	pages_fini(&to->now);
	pages_copy(&to->now, &from->durable);
	for (unsigned i = 0; i < from->nchanges; i++) {
		const struct sim_change *c = &from->change[i];
		enum fate fate = fate_of_change(v, c->order);
		if (fate == TORN && c->type == SIM_WRITE)
			tear(c, &to->now, v->rng);
		else if (fate == LOST)
			lose(c, &to->now, v);
		else
			sim_change_apply(c, &to->now);
	}
	pages_copy(&to->durable, &to->now);
}

struct simdisk *simdisk_crash(const struct simdisk *d, enum simdisk_keep keep, struct rng *r)
{
	struct simdisk *to = simdisk_new();
	struct verdict v = {.keep = keep, .rng = r};

	v.before = d->order ? rng_below(r, d->order + 1) : 0;
	/* Most changes are synced: let the moment fall among those that are not. */
	if (simdisk_unsynced(d)) {
		uint64_t oldest = d->order;
		for (unsigned i = 0; i < d->nnamings; i++)
			if (d->naming[i].order < oldest)
				oldest = d->naming[i].order;
		for (uint32_t i = 0; i < d->ninodes; i++)
			if (d->inode[i]->nchanges && d->inode[i]->change[0].order < oldest)
				oldest = d->inode[i]->change[0].order;
		v.before = rng_between(r, oldest, d->order);
	}
	for (unsigned i = 0; i < d->durable.n; i++)
		sim_names_set(&to->now, &d->durable.v[i]);
	for (unsigned i = 0; i < d->nnamings; i++)
		if (naming_is_kept(&v, d->naming[i].order))
			for (unsigned j = 0; j < d->naming[i].n; j++)
				sim_names_set(&to->now, &d->naming[i].set[j]);
	for (unsigned i = 0; i < to->now.n; i++)
		sim_names_set(&to->durable, &to->now.v[i]);
	for (uint32_t i = 1; i < d->ninodes; i++) {
		uint32_t ino;
		struct sim_inode *inode = sim_inode_new(to, d->inode[i]->dir, &ino);
		bool named = false;
		assert(ino == i);
		for (unsigned j = 0; j < to->now.n && !named; j++)
			named = to->now.v[j].ino == i;
		if (named && !inode->dir)
			survive(d->inode[i], inode, &v);
	}
	to->capacity = d->capacity;
	return to;
}

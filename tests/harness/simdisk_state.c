/*
 * simdisk_state.c - names, inodes and changes of a simulated disk, and its life; simdisk_state.h draws them.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/simdisk_state.h"

/* ---- names ---- */

uint32_t sim_names_find(const struct sim_names *names, uint32_t dir, const char *name)
{
	for (unsigned i = 0; i < names->n; i++)
		if (names->v[i].dir == dir && !strcmp(names->v[i].name, name))
			return names->v[i].ino;
	return SIM_NONE;
}

void sim_names_set(struct sim_names *names, const struct sim_name *set)
{
	unsigned i = 0;

	while (i < names->n && (names->v[i].dir != set->dir || strcmp(names->v[i].name, set->name)))
		i++;
	if (set->ino == SIM_NONE) {
		if (i < names->n)
			names->v[i] = names->v[--names->n];
		return;
	}
	if (i == names->max) {
		names->max = names->max ? 2 * names->max : 16;
		names->v = pages_memory(names->v, names->max * sizeof(*names->v));
	}
	names->v[i] = *set;
	names->n += i == names->n;
}

/* Finds the directory that `path` lies in, and fills in directory and name. */
int sim_split_path(const struct simdisk *d, const char *path, struct sim_name *out)
{
	const char *slash;

	out->dir = SIM_ROOT;
	while ((slash = strchr(path, '/'))) {
		char part[SIM_NAME_BYTES] = {0};
		assert((size_t)(slash - path) < sizeof(part));
		memcpy(part, path, (size_t)(slash - path));
		out->dir = sim_names_find(&d->now, out->dir, part);
		if (out->dir == SIM_NONE)
			return -ENOENT;
		if (!d->inode[out->dir]->dir)
			return -ENOTDIR;
		path = slash + 1;
	}
	assert(*path && strlen(path) < sizeof(out->name));
	strcpy(out->name, path);
	out->ino = sim_names_find(&d->now, out->dir, out->name);
	return 0;
}

void sim_names_change(struct simdisk *d, const struct sim_name *set, unsigned n)
{
	struct sim_naming *naming;

	if (d->nnamings == d->namings_max) {
		d->namings_max = d->namings_max ? 2 * d->namings_max : 16;
		d->naming = pages_memory(d->naming, d->namings_max * sizeof(*d->naming));
	}
	naming = &d->naming[d->nnamings++];
	*naming = (struct sim_naming){.order = d->order++, .n = n};
	for (unsigned i = 0; i < n; i++) {
		naming->set[i] = set[i];
		sim_names_set(&d->now, &set[i]);
	}
}

/* ---- inodes and changes ---- */

struct sim_inode *sim_inode_new(struct simdisk *d, bool dir, uint32_t *ino)
{
	struct sim_inode *inode = pages_memory(NULL, sizeof(*inode));

	*inode = (struct sim_inode){.dir = dir};
	d->inode = pages_memory(d->inode, (d->ninodes + 1) * sizeof(*d->inode));
	*ino = d->ninodes;
	d->inode[d->ninodes++] = inode;
	return inode;
}

void sim_change_fini(struct sim_change *c)
{
	if (c->payload && --c->payload->refs == 0)
		free(c->payload);
}

void sim_inode_clear(struct sim_inode *inode)
{
	for (unsigned i = 0; i < inode->nchanges; i++)
		sim_change_fini(&inode->change[i]);
	free(inode->change);
	inode->change = NULL;
	inode->nchanges = inode->changes_max = 0;
	pages_fini(&inode->now);
	pages_fini(&inode->durable);
}

void sim_change_apply(const struct sim_change *c, struct pages *to)
{
	switch (c->type) {
	case SIM_WRITE:
		pages_write(to, c->offset, c->payload->bytes, c->bytes);
		break;
	case SIM_TRUNCATE:
		pages_resize(to, c->bytes);
		break;
	case SIM_ALLOCATE:
		pages_allocate(to, c->offset, c->bytes);
		break;
	case SIM_PUNCH:
		pages_punch(to, c->offset, c->bytes);
		break;
	}
}

void sim_note(struct simdisk *d, struct sim_inode *inode, struct sim_change c, const void *data)
{
	if (inode->nchanges == inode->changes_max) {
		inode->changes_max = inode->changes_max ? 2 * inode->changes_max : 8;
		inode->change =
		        pages_memory(inode->change, inode->changes_max * sizeof(*inode->change));
	}
	if (c.type == SIM_WRITE) {
		c.payload = pages_memory(NULL, sizeof(*c.payload) + c.bytes);
		c.payload->refs = 1;
		memcpy(c.payload->bytes, data, c.bytes);
	}
	c.order = d->order++;
	c.chain = d->chain;
	sim_change_apply(&c, &inode->now);
	inode->change[inode->nchanges++] = c;
}

static bool is_named(const struct simdisk *d, uint32_t ino)
{
	for (unsigned i = 0; i < d->now.n; i++)
		if (d->now.v[i].ino == ino)
			return true;
	return false;
}

static bool is_reachable(const struct simdisk *d, uint32_t ino)
{
	if (d->inode[ino]->opens || is_named(d, ino))
		return true;
	for (unsigned i = 0; i < d->durable.n; i++)
		if (d->durable.v[i].ino == ino)
			return true;
	for (unsigned i = 0; i < d->nnamings; i++)
		for (unsigned j = 0; j < d->naming[i].n; j++)
			if (d->naming[i].set[j].ino == ino)
				return true;
	return false;
}

void sim_sweep(struct simdisk *d)
{
	for (uint32_t i = 1; i < d->ninodes; i++)
		if (d->inode[i]->now.n + d->inode[i]->durable.n + d->inode[i]->nchanges &&
		        !is_reachable(d, i))
			sim_inode_clear(d->inode[i]);
}

/* Bytes that are left; the blocks of a file go with its last name and its last handle. */
uint64_t sim_room(const struct simdisk *d)
{
	uint64_t used = 0;

	if (!d->capacity)
		return 1ULL << 40;
	for (uint32_t i = 1; i < d->ninodes; i++)
		if (d->inode[i]->opens || is_named(d, i))
			used += (uint64_t)d->inode[i]->now.used * PAGE_BYTES;
	return used < d->capacity ? d->capacity - used : 0;
}

bool sim_has_room(const struct simdisk *d, const struct pages *p, uint64_t offset, uint64_t bytes)
{
	return !d->capacity || pages_missing(p, offset, bytes) * PAGE_BYTES <= sim_room(d);
}

/* ---- the disk itself ---- */

struct simdisk *simdisk_new(void)
{
	struct simdisk *d = pages_memory(NULL, sizeof(*d));
	uint32_t root;

	*d = (struct simdisk){0};
	sim_inode_new(d, true, &root);
	assert(root == SIM_ROOT);
	return d;
}

void simdisk_free(struct simdisk *d)
{
	if (!d)
		return;
	assert(d->handles == 0);
	for (uint32_t i = 0; i < d->ninodes; i++) {
		sim_inode_clear(d->inode[i]);
		free(d->inode[i]);
	}
	free(d->inode);
	free(d->now.v);
	free(d->durable.v);
	free(d->naming);
	free(d);
}

static void *copy_of(const void *p, size_t bytes)
{
	return bytes ? memcpy(pages_memory(NULL, bytes), p, bytes) : NULL;
}

static void names_copy(struct sim_names *to, const struct sim_names *from)
{
	*to = (struct sim_names){copy_of(from->v, from->n * sizeof(*from->v)), from->n, from->n};
}

static struct sim_inode *inode_copy(const struct sim_inode *from)
{
	struct sim_inode *to = copy_of(from, sizeof(*from));

	to->opens = 0;
	pages_copy(&to->now, &from->now);
	pages_copy(&to->durable, &from->durable);
	to->change = copy_of(from->change, from->nchanges * sizeof(*from->change));
	to->changes_max = from->nchanges;
	for (unsigned i = 0; i < to->nchanges; i++)
		if (to->change[i].payload)
			to->change[i].payload->refs++;
	return to;
}

struct simdisk *simdisk_clone(const struct simdisk *d)
{
	struct simdisk *to = copy_of(d, sizeof(*d));

	to->inode = pages_memory(NULL, d->ninodes * sizeof(*to->inode));
	for (uint32_t i = 0; i < d->ninodes; i++)
		to->inode[i] = inode_copy(d->inode[i]);
	names_copy(&to->now, &d->now);
	names_copy(&to->durable, &d->durable);
	to->naming = copy_of(d->naming, d->nnamings * sizeof(*d->naming));
	to->namings_max = d->nnamings;
	to->handles = to->sharers = 0;
	to->owner = NULL;
	simdisk_set_hook(to, NULL, NULL);
	simdisk_fail(to, 0, 0, 0, 0);
	return to;
}

uint64_t simdisk_steps(const struct simdisk *d)
{
	return d->steps;
}

unsigned simdisk_unsynced(const struct simdisk *d)
{
	unsigned n = d->nnamings;

	for (uint32_t i = 0; i < d->ninodes; i++)
		n += d->inode[i]->nchanges;
	return n;
}

void simdisk_set_hook(struct simdisk *d, simdisk_hook *hook, void *arg)
{
	d->hook = hook;
	d->hook_arg = arg;
}

void simdisk_fail(struct simdisk *d, unsigned calls, uint64_t skip, uint64_t times, int error)
{
	d->fault.calls = calls;
	d->fault.skip = skip;
	d->fault.times = times;
	d->fault.done = 0;
	d->fault.error = error;
}

uint64_t simdisk_failures(const struct simdisk *d)
{
	return d->fault.done;
}

void simdisk_set_capacity(struct simdisk *d, uint64_t bytes)
{
	d->capacity = bytes;
}

int simdisk_rot(struct simdisk *d, const char *path, uint64_t offset, uint8_t bits)
{
	struct sim_name name;
	const int rc = sim_split_path(d, path, &name);

	if (rc || name.ino == SIM_NONE)
		return rc ? rc : -ENOENT;
	struct pages *layers[] = {&d->inode[name.ino]->now, &d->inode[name.ino]->durable};
	for (unsigned i = 0; i < 2; i++) {
		uint8_t byte;
		if (offset >= layers[i]->bytes)
			continue;
		pages_read(layers[i], offset, &byte, 1);
		byte ^= bits;
		pages_write(layers[i], offset, &byte, 1);
	}
	return 0;
}

const struct simdisk_stat *simdisk_stat(const struct simdisk *d)
{
	return &d->stat;
}

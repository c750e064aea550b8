/*
 * simdisk.c - the io table of a simulated disk; simdisk.h says what it promises.
 *
 * Each call has the same shape: step() counts it, calls the hook and asks for a fault; then it
 * takes effect on what programs see, and is noted as a change that only a sync makes durable.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/simdisk_state.h"

struct sim_io { /* a handle */
	struct io io;
	struct simdisk *disk;
	unsigned files;
	bool shares;
};

struct io_file {
	struct sim_inode *inode;
	bool read_only;
};

static struct simdisk *disk_of(struct io *io)
{
	return ((struct sim_io *)io)->disk;
}

/* Counts a call, lets the hook see the disk before it, and says whether it fails. */
static int step(struct simdisk *d, enum simdisk_call call)
{
	if (!(call & (SIMDISK_READ | SIMDISK_LIST | SIMDISK_SIZE))) {
		if (d->hook)
			d->hook(d->hook_arg, d, d->steps);
		d->steps++;
	}
	if (!(d->fault.calls & call) || !d->fault.times)
		return 0;
	if (d->fault.skip) {
		d->fault.skip--;
		return 0;
	}
	if (d->fault.times != SIMDISK_FOREVER)
		d->fault.times--;
	d->fault.done++;
	return d->fault.error;
}

static int do_open(struct io *io, const char *path, unsigned flags, struct io_file **out)
{
	struct simdisk *d = disk_of(io);
	struct sim_name name;
	struct io_file *file;
	int rc = step(d, SIMDISK_OPEN);

	if (!rc)
		rc = sim_split_path(d, path, &name);
	if (rc)
		return rc;
	if (name.ino == SIM_NONE) {
		if (!(flags & IO_CREATE))
			return -ENOENT;
		sim_inode_new(d, false, &name.ino);
		sim_names_change(d, &name, 1);
	} else if (d->inode[name.ino]->dir) {
		return -EISDIR;
	} else if (flags & IO_CREATE && flags & IO_EXCL) {
		return -EEXIST;
	}
	file = pages_memory(NULL, sizeof(*file));
	*file = (struct io_file){d->inode[name.ino], flags & IO_READONLY};
	file->inode->opens++;
	((struct sim_io *)io)->files++;
	*out = file;
	return 0;
}

static void do_close(struct io *io, struct io_file *file)
{
	file->inode->opens--;
	((struct sim_io *)io)->files--;
	free(file);
}

static int do_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
	const int rc = step(disk_of(io), SIMDISK_SIZE);

	if (!rc)
		*bytes = file->inode->now.bytes;
	return rc;
}

static int do_read(struct simdisk *d, struct io_req *req)
{
	const int rc = step(d, SIMDISK_READ);

	if (rc)
		return rc;
	if (req->offset + req->bytes > req->file->inode->now.bytes)
		return -EIO;
	pages_read(&req->file->inode->now, req->offset, req->buf, req->bytes);
	d->stat.reads++;
	d->stat.read_bytes += req->bytes;
	return 0;
}

static int do_write(struct simdisk *d, struct io_req *req)
{
	struct sim_inode *inode = req->file->inode;
	struct sim_change c = {.type = SIM_WRITE, .offset = req->offset, .bytes = req->bytes};
	const int rc = step(d, SIMDISK_WRITE);

	if (req->file->read_only)
		return -EBADF;
	if (rc == -EIO)
		c.bytes /= 2;
	else if (rc)
		return rc;
	if (!sim_has_room(d, &inode->now, c.offset, c.bytes))
		return -ENOSPC;
	sim_note(d, inode, c, req->buf);
	d->stat.writes++;
	d->stat.written_bytes += c.bytes;
	return rc;
}

static int do_sync(struct simdisk *d, struct sim_inode *inode, uint64_t before)
{
	const int rc = step(d, SIMDISK_SYNC);
	unsigned left = 0;

	d->stat.syncs++;
	for (unsigned i = 0; i < inode->nchanges; i++) {
		struct sim_change *c = &inode->change[i];
		const bool covered = c->order < before || c->chain == d->chain;
		if (rc)
			c->doomed |= covered;
		if (rc || !covered) {
			inode->change[left++] = *c;
			continue;
		}
		if (!c->doomed)
			sim_change_apply(c, &inode->durable);
		sim_change_fini(c);
	}
	inode->nchanges = left;
	return rc;
}

static int do_submit(struct io *io, struct io_req *reqs, unsigned n)
{
	struct simdisk *d = disk_of(io);
	const uint64_t before = d->order;
	int first = 0;

	for (unsigned i = 0; i < n; i++) {
		struct io_req *req = &reqs[i];
		const bool linked = i > 0 && reqs[i - 1].link;
		if (!linked)
			d->chain++;
		if (linked && reqs[i - 1].result)
			req->result = -ECANCELED;
		else if (req->op == IO_SYNC)
			req->result = do_sync(d, req->file->inode, before);
		else
			req->result = req->op == IO_READ ? do_read(d, req) : do_write(d, req);
		if (req->result && !first)
			first = req->result;
	}
	return first;
}

static int change(struct io *io, struct io_file *file, enum simdisk_call call, struct sim_change c)
{
	struct simdisk *d = disk_of(io);
	const int rc = step(d, call);

	if (rc)
		return rc;
	if (file->read_only)
		return -EBADF;
	if (c.type == SIM_ALLOCATE && !sim_has_room(d, &file->inode->now, c.offset, c.bytes))
		return -ENOSPC;
	d->chain++;
	sim_note(d, file->inode, c, NULL);
	return 0;
}

static int do_truncate(struct io *io, struct io_file *file, uint64_t bytes)
{
	return change(io, file, SIMDISK_TRUNCATE,
	        (struct sim_change){.type = SIM_TRUNCATE, .bytes = bytes});
}

static int do_allocate(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	return change(io, file, SIMDISK_ALLOCATE,
	        (struct sim_change){.type = SIM_ALLOCATE, .offset = offset, .bytes = bytes});
}

static int do_punch(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	return change(io, file, SIMDISK_PUNCH,
	        (struct sim_change){.type = SIM_PUNCH, .offset = offset, .bytes = bytes});
}

static int do_rename(struct io *io, const char *from, const char *to)
{
	struct simdisk *d = disk_of(io);
	struct sim_name set[2];
	int rc = step(d, SIMDISK_RENAME);

	if (!rc)
		rc = sim_split_path(d, from, &set[0]);
	if (!rc)
		rc = sim_split_path(d, to, &set[1]);
	if (!rc && set[0].ino == SIM_NONE)
		rc = -ENOENT;
	if (rc || set[0].ino == set[1].ino)
		return rc;
	assert(!d->inode[set[0].ino]->dir);
	set[1].ino = set[0].ino;
	set[0].ino = SIM_NONE;
	sim_names_change(d, set, 2);
	sim_sweep(d);
	return 0;
}

static int do_unlink(struct io *io, const char *path)
{
	struct simdisk *d = disk_of(io);
	struct sim_name name;
	int rc = step(d, SIMDISK_UNLINK);

	if (!rc)
		rc = sim_split_path(d, path, &name);
	if (rc)
		return rc;
	if (name.ino == SIM_NONE)
		return -ENOENT;
	if (d->inode[name.ino]->dir)
		return -EISDIR;
	name.ino = SIM_NONE;
	sim_names_change(d, &name, 1);
	return 0;
}

static int do_mkdir(struct io *io, const char *path)
{
	struct simdisk *d = disk_of(io);
	struct sim_name name;
	int rc = step(d, SIMDISK_MKDIR);

	if (!rc)
		rc = sim_split_path(d, path, &name);
	if (rc)
		return rc;
	if (name.ino != SIM_NONE)
		return -EEXIST;
	sim_inode_new(d, true, &name.ino);
	sim_names_change(d, &name, 1);
	return 0;
}

static int find_dir(const struct simdisk *d, const char *path, uint32_t *ino)
{
	struct sim_name name = {.ino = SIM_ROOT};
	const int rc = *path ? sim_split_path(d, path, &name) : 0;

	if (rc)
		return rc;
	if (name.ino == SIM_NONE)
		return -ENOENT;
	*ino = name.ino;
	return d->inode[name.ino]->dir ? 0 : -ENOTDIR;
}

static int do_sync_dir(struct io *io, const char *path)
{
	struct simdisk *d = disk_of(io);
	uint32_t dir = SIM_NONE;
	unsigned left = 0;
	const int rc = step(d, SIMDISK_SYNC_DIR), found = find_dir(d, path, &dir);

	if (found)
		return found;
	d->stat.dir_syncs++;
	for (unsigned i = 0; i < d->nnamings; i++) {
		struct sim_naming *n = &d->naming[i];
		const bool covered = n->set[0].dir == dir || n->set[n->n - 1].dir == dir;
		if (rc)
			n->doomed |= covered;
		if (rc || !covered)
			d->naming[left++] = *n;
		else if (!n->doomed)
			for (unsigned j = 0; j < n->n; j++)
				sim_names_set(&d->durable, &n->set[j]);
	}
	d->nnamings = left;
	sim_sweep(d);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int do_list(
        struct io *io, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	struct simdisk *d = disk_of(io);
	char(*list)[SIM_NAME_BYTES] = pages_memory(NULL, (d->now.n + 1) * sizeof(*list));
	uint32_t dir = SIM_NONE;
	unsigned n = 0;
	int rc = step(d, SIMDISK_LIST);

	if (!rc)
		rc = find_dir(d, path, &dir);
	for (unsigned i = 0; !rc && i < d->now.n; i++)
		if (d->now.v[i].dir == dir)
			strcpy(list[n++], d->now.v[i].name);
	qsort(list, n, sizeof(*list), by_name);
	for (unsigned i = 0; !rc && i < n; i++)
		rc = each(arg, list[i]);
	free(list);
	return rc;
}

static int do_lock(struct io *io, bool exclusive, unsigned wait_ms)
{
	struct sim_io *handle = (struct sim_io *)io;
	struct simdisk *d = handle->disk;
	const bool others = d->sharers > (handle->shares ? 1 : 0);

	(void)wait_ms; /* nobody could let go meanwhile */
	if ((d->owner && d->owner != io) || (exclusive && others))
		return -EWOULDBLOCK;
	d->sharers -= handle->shares;
	handle->shares = !exclusive;
	d->sharers += handle->shares;
	d->owner = exclusive ? io : NULL;
	return 0;
}

static int do_host_free(struct io *io, uint64_t *bytes)
{
	*bytes = sim_room(disk_of(io));
	return 0;
}

static void do_destroy(struct io *io)
{
	struct sim_io *handle = (struct sim_io *)io;

	assert(handle->files == 0);
	if (handle->disk->owner == io)
		handle->disk->owner = NULL;
	handle->disk->sharers -= handle->shares;
	handle->disk->handles--;
	free(handle);
}

static void do_register_buffers(struct io *io, void *base, size_t bytes)
{
	(void)io;
	(void)base;
	(void)bytes;
}

static const struct io_ops sim_ops = {
        .name = "simdisk",
        .open = do_open,
        .close = do_close,
        .size = do_size,
        .submit = do_submit,
        .truncate = do_truncate,
        .allocate = do_allocate,
        .punch = do_punch,
        .rename = do_rename,
        .unlink = do_unlink,
        .mkdir = do_mkdir,
        .sync_dir = do_sync_dir,
        .list = do_list,
        .lock = do_lock,
        .host_free = do_host_free,
        .register_buffers = do_register_buffers,
        .destroy = do_destroy,
};

struct io *simdisk_open(struct simdisk *d)
{
	struct sim_io *handle = pages_memory(NULL, sizeof(*handle));

	*handle = (struct sim_io){.io.ops = &sim_ops, .disk = d};
	d->handles++;
	return &handle->io;
}

/*
 * box.h - a mounted store on a simulated disk, and the operations of fs_model.h on it by path.
 */
#ifndef TESTS_CRASH_BOX_H
#define TESTS_CRASH_BOX_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "tests/harness/fs_model.h"
#include "tests/harness/pages.h"
#include "tests/harness/simdisk.h"

#define RENAME_EXCHANGE_FLAG 2u /* renameat2(2) */

struct box { /* a mounted store */
	struct io *io;
	struct art *art;
	struct fs *fs;
};

static const struct fs_cred cred = {0, 0};

static int mount_box(struct simdisk *d, struct box *b)
{
	const struct art_options opt = {
	        .cache_bytes = 2 * 1024 * 1024, .checkpoint_bytes = 128 * 1024};
	const struct fs_options fs_opt = {.data_buffer_bytes = 256 * 1024};
	struct why w = {""};
	int err;

	b->io = simdisk_open(d);
	err = art_open(b->io, &opt, &b->art, &w);
	if (!err)
		err = fs_open(b->art, &fs_opt, &b->fs, &w);
	if (err)
		printf("# mount: %d %s\n", err, w.text);
	return err;
}

static int unmount_box(struct box *b)
{
	const int err = fs_close(b->fs), closed = art_close(b->art);

	b->io->ops->destroy(b->io);
	if (err || closed)
		printf("# unmount: %d %d\n", err, closed);
	return err ? err : closed;
}

/* The inode of a path, known to us (forget it once), or -errno. `last` receives the last name when
 * the parent is wanted instead. */
static int find(struct fs *fs, const char *path, const char **last, struct fs_attr *out)
{
	uint64_t at = FS_ROOT;
	int err = last ? 0 : fs_getattr(fs, FS_ROOT, out);

	while (!err && *path) {
		char part[FS_MODEL_PATH_BYTES];
		const char *slash = strchr(path, '/');
		const uint64_t parent = at;
		if (last && !slash)
			break;
		snprintf(part, sizeof(part), "%.*s", slash ? (int)(slash - path) : 99, path);
		err = fs_lookup(fs, parent, part, out);
		if (parent != FS_ROOT)
			fs_forget(fs, parent, 1);
		at = err ? FS_ROOT : out->ino;
		path = slash ? slash + 1 : "";
	}
	if (last) {
		*last = path;
		out->ino = at;
	}
	return err;
}

static void forget(struct fs *fs, uint64_t ino)
{
	if (ino != FS_ROOT)
		fs_forget(fs, ino, 1);
}

static int on_file(struct box *b, const struct fs_op *op)
{
	struct fs_attr attr = {0}, set = {.size = op->bytes};
	uint8_t *buf;
	int err = find(b->fs, op->path, NULL, &attr);

	if (err)
		return err;
	if (S_ISDIR(attr.mode)) {
		err = -EISDIR;
	} else if (op->type == FS_OP_TRUNCATE) {
		err = fs_setattr(b->fs, attr.ino, FS_SET_SIZE, &set, NULL);
	} else if (op->type == FS_OP_FSYNC) {
		err = fs_fsync(b->fs, attr.ino);
	} else {
		buf = pages_memory(NULL, op->bytes);
		fs_model_pattern(op, buf);
		const ssize_t n = fs_write(b->fs, attr.ino, op->offset, buf, op->bytes);
		err = n < 0 ? (int)n : n == (ssize_t)op->bytes ? 0 : -EIO;
		free(buf);
	}
	/* As the kernel does, which need not forget at once: the buffer outlives the operation. */
	return err;
}

static int on_names(struct box *b, const struct fs_op *op, uint64_t *ino)
{
	const char *name, *toname;
	struct fs_attr dir, todir, attr = {0};
	int err = find(b->fs, op->path, &name, &dir);

	if (err)
		return err;
	switch (op->type) {
	case FS_OP_CREATE:
	case FS_OP_MKDIR:
		err = fs_mknod(b->fs, &cred, dir.ino, name,
		        op->type == FS_OP_MKDIR ? S_IFDIR | 0755 : S_IFREG | 0644, 0, &attr);
		if (!err)
			*ino = attr.ino;
		break;
	case FS_OP_UNLINK:
		err = fs_unlink(b->fs, dir.ino, name);
		break;
	case FS_OP_RMDIR:
		err = fs_rmdir(b->fs, dir.ino, name);
		break;
	default:
		err = find(b->fs, op->to, &toname, &todir);
		if (err)
			break;
		if (op->type == FS_OP_LINK) {
			struct fs_attr linked;
			err = find(b->fs, op->path, NULL, &attr);
			if (!err)
				err = fs_link(b->fs, attr.ino, todir.ino, toname, &linked);
		} else {
			err = fs_rename(b->fs, dir.ino, name, todir.ino, toname,
			        op->type == FS_OP_EXCHANGE ? RENAME_EXCHANGE_FLAG : 0);
		}
		forget(b->fs, todir.ino);
		break;
	}
	forget(b->fs, dir.ino);
	return err;
}

static int apply(struct box *b, const struct fs_op *op, uint64_t *ino)
{
	switch (op->type) {
	case FS_OP_WRITE:
	case FS_OP_TRUNCATE:
	case FS_OP_FSYNC:
		return on_file(b, op);
	case FS_OP_SYNC:
		return fs_sync(b->fs);
	case FS_OP_CHECKPOINT:
		return fs_checkpoint(b->fs);
	default:
		return on_names(b, op, ino);
	}
}

#endif

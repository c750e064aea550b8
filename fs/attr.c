/*
 * attr.c - attributes of inodes: get, set, readlink.
 */
#include <errno.h>
#include <sys/stat.h>

#include "fs/data.h"

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *out)
{
	pthread_rwlock_rdlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	if (i) {
		pthread_rwlock_rdlock(&i->lock);
		fs_inode_attr(i, out);
		pthread_rwlock_unlock(&i->lock);
	}
	pthread_rwlock_unlock(&fs->ns);
	return i ? 0 : -ESTALE;
}

static void set_times(struct fs_record *r, unsigned set, const struct fs_attr *in)
{
	int64_t now = fs_record_now(r);
	if (set & FS_SET_ATIME)
		r->atime = fs_time_ns(&in->atime);
	if (set & FS_SET_ATIME_NOW)
		r->atime = now;
	if (set & FS_SET_MTIME)
		r->mtime = fs_time_ns(&in->mtime);
	else if (set & (FS_SET_MTIME_NOW | FS_SET_SIZE))
		r->mtime = now;
	r->ctime = set & FS_SET_CTIME ? fs_time_ns(&in->ctime) : now;
}

static int set_locked(struct fs *fs, struct fs_inode *i, unsigned set, const struct fs_attr *in)
{
	struct fs_record r = i->rec;
	if ((set & FS_SET_SIZE) && !fs_inode_is_reg(i))
		return fs_is_dir(&r) ? -EISDIR : -EINVAL;
	if (set & FS_SET_MODE)
		r.mode = (r.mode & S_IFMT) | (in->mode & 07777);
	if (set & FS_SET_UID)
		r.uid = in->uid;
	if (set & FS_SET_GID)
		r.gid = in->gid;
	set_times(&r, set, in);
	if (set & FS_SET_SIZE)
		return fs_resize(fs, i, &r, in->size);
	struct fs_txn t = {0};
	fs_stage(fs, &t, i, &r, fs_key_of(i));
	int err = fs_txn_commit(fs->art, &t);
	if (!err)
		fs_staged(fs, i, &r);
	return err;
}

int fs_setattr(
        struct fs *fs, uint64_t ino, unsigned set, const struct fs_attr *in, struct fs_attr *out)
{
	if (fs->read_only)
		return -EROFS;
	pthread_rwlock_rdlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	int err = i ? 0 : -ESTALE;
	if (i) {
		pthread_rwlock_wrlock(&i->lock);
		if (set)
			err = set_locked(fs, i, set, in);
		if (!err && out)
			fs_inode_attr(i, out);
		pthread_rwlock_unlock(&i->lock);
	}
	pthread_rwlock_unlock(&fs->ns);
	return err;
}

int fs_readlink(struct fs *fs, uint64_t ino, char *buf, size_t cap)
{
	int n = -EINVAL;
	pthread_rwlock_rdlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	if (!i)
		n = -ESTALE;
	if (i && S_ISLNK(i->type)) {
		pthread_rwlock_rdlock(&i->lock);
		n = (int)(i->rec.size < cap ? i->rec.size : cap);
		int err = fs_tail_read(fs, i, 0, buf, (size_t)n);
		pthread_rwlock_unlock(&i->lock);
		if (err)
			n = err;
		else
			fs_atime_touch(fs, i);
	}
	pthread_rwlock_unlock(&fs->ns);
	return n;
}

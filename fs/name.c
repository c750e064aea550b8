/*
 * name.c - making and removing names. Moving them is in rename.c.
 *
 * Each of these is one transaction: the child's key, and the record of the directory with its new
 * times and link count. All that can fail comes before the commit, so that the table follows
 * without failing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/name.h"
#include "fs/orphan.h"

int fs_name_new(struct fs *fs, const struct fs_inode *dir, const char *name, bool slash)
{
	struct fs_record r;
	enum fs_home home;
	int err = fs_child_read(fs, dir, name, &r, &home);
	if (err != -ENOENT)
		return err ? err : -EEXIST;
	struct fs_key key = fs_key_child(dir, name, true);
	if (!key.data)
		return -ENOMEM;
	free(key.data);
	/* a directory's key must leave room for at least one child of one byte */
	return key.bytes + (slash ? 2 : 0) > ART_KEY_BYTES_MAX ? -ENAMETOOLONG : 0;
}

int fs_dir_empty(struct fs *fs, const struct fs_inode *dir)
{
	struct fs_key prefix = fs_key_prefix(dir);
	if (!prefix.data)
		return -ENOMEM;
	struct art_cursor *c;
	struct art_entry e;
	int err = art_cursor_open(fs->art, fs_key_view(prefix), ART_NO_DELIMITER, &c);
	free(prefix.data);
	if (err)
		return err;
	err = art_cursor_next(c, &e);
	if (err == 1 && e.name.bytes == 0) /* its own record */
		err = art_cursor_next(c, &e);
	art_cursor_close(c);
	return err == 1 ? -ENOTEMPTY : err;
}

void fs_dir_touch(
        struct fs *fs, struct fs_txn *t, struct fs_inode *dir, int nlink, struct fs_record *r)
{
	*r = dir->rec;
	r->nlink += (uint32_t)nlink;
	r->mtime = r->ctime = fs_record_now(r);
	fs_stage(fs, t, dir, r, fs_key_of(dir));
}

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fs_attr *out)
{
	int err = fs_name_check(name);
	if (err)
		return err;
	struct fs_inode *dir, *i;
	pthread_rwlock_rdlock(&fs->ns);
	err = fs_dir_find(fs, parent, &dir);
	if (!err && fs_name_is_dots(name)) {
		i = name[1] == '.' && dir->parent ? dir->parent : dir;
		pthread_mutex_lock(&fs->table_lock);
		i->lookups++;
		pthread_mutex_unlock(&fs->table_lock);
	} else if (!err) {
		err = fs_child_get(fs, dir, name, 1, &i);
	}
	if (!err) {
		pthread_rwlock_rdlock(&i->lock);
		fs_inode_attr(i, out);
		pthread_rwlock_unlock(&i->lock);
	}
	pthread_rwlock_unlock(&fs->ns);
	return err;
}

void fs_forget(struct fs *fs, uint64_t ino, uint64_t count)
{
	if (ino == FS_ROOT)
		return;
	pthread_rwlock_rdlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	bool last = i && fs_inode_less(fs, i, count, 0);
	pthread_rwlock_unlock(&fs->ns);
	if (last)
		fs_drop(fs, ino);
}

void fs_drop(struct fs *fs, uint64_t ino)
{
	uint64_t orphan = 0;
	pthread_rwlock_wrlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	if (i)
		orphan = fs_inode_settle(fs, i);
	pthread_rwlock_unlock(&fs->ns);
	if (orphan) /* if this fails, its mark stays until the next open */
		fs_orphan_purge(fs->art, orphan);
}

/* The common part of everything that makes an inode. Needs ns for writing. */
static int make(struct fs *fs, const struct fs_cred *cred, uint64_t parent, const char *name,
        const struct fs_record *like, const char *target, struct fs_attr *out)
{
	struct fs_inode *dir, *i;
	struct fs_record r = *like, p;
	int err = fs_dir_find(fs, parent, &dir);
	if (!err && fs_name_is_dots(name))
		err = -EEXIST;
	if (!err)
		err = fs_name_new(fs, dir, name, fs_is_dir(&r));
	if (!err)
		err = fs_ino_next(fs, &r.ino);
	if (err)
		return err;
	r.nlink = fs_is_dir(&r) ? 2 : 1;
	r.uid = cred->uid;
	r.gid = cred->gid;
	if (dir->rec.mode & S_ISGID) {
		r.gid = dir->rec.gid;
		r.mode |= fs_is_dir(&r) ? S_ISGID : 0;
	}
	r.atime = r.mtime = r.ctime = r.btime = fs_record_now(&r);
	i = fs_inode_new(&r, FS_HOME_PATH, name);
	if (!i)
		return -ENOMEM;

	struct fs_txn t = {0};
	fs_txn_put(&t, fs_key_child(dir, name, fs_is_dir(&r)),
	        fs_record_encode(&r, target, fs_tail_bytes(&r)));
	fs_dir_touch(fs, &t, dir, fs_is_dir(&r), &p);
	err = fs_txn_commit(fs->art, &t);
	if (err) {
		fs_inode_free(i);
		return err;
	}
	fs_staged(fs, dir, &p);
	fs_inode_attr(fs_inode_add(fs, i, dir, 1), out);
	return 0;
}

int fs_mknod(struct fs *fs, const struct fs_cred *cred, uint64_t parent, const char *name,
        mode_t mode, uint64_t rdev, struct fs_attr *out)
{
	struct fs_record r = {.mode = mode & (S_IFMT | 07777)};
	switch (mode & S_IFMT) {
	case S_IFCHR:
	case S_IFBLK:
		r.rdev = rdev;
		break;
	case S_IFREG:
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return -EINVAL;
	}
	int err = fs_name_check(name);
	if (err)
		return err;
	if (fs->read_only)
		return -EROFS;
	pthread_rwlock_wrlock(&fs->ns);
	err = make(fs, cred, parent, name, &r, NULL, out);
	pthread_rwlock_unlock(&fs->ns);
	return err;
}

int fs_symlink(struct fs *fs, const struct fs_cred *cred, uint64_t parent, const char *name,
        const char *target, struct fs_attr *out)
{
	size_t n = strnlen(target, FS_SYMLINK_BYTES_MAX + 1);
	struct fs_record r = {.mode = S_IFLNK | 0777, .size = n};
	int err = fs_name_check(name);
	if (!err && n == 0)
		err = -ENOENT;
	if (!err && n > FS_SYMLINK_BYTES_MAX)
		err = -ENAMETOOLONG;
	if (!err && fs->read_only)
		err = -EROFS;
	if (err)
		return err;
	pthread_rwlock_wrlock(&fs->ns);
	err = make(fs, cred, parent, name, &r, target, out);
	pthread_rwlock_unlock(&fs->ns);
	return err;
}

static int link_locked(
        struct fs *fs, struct fs_inode *i, uint64_t parent, const char *name, struct fs_attr *out)
{
	struct fs_inode *dir;
	int err = fs_dir_find(fs, parent, &dir);
	if (!err && fs_inode_is_dir(i))
		err = -EPERM;
	if (!err && i->rec.nlink == 0)
		err = -ENOENT;
	if (!err && fs_name_is_dots(name))
		err = -EEXIST;
	if (!err)
		err = fs_name_new(fs, dir, name, false);
	if (err)
		return err;

	struct fs_txn t = {0};
	struct fs_record r = i->rec, p;
	r.nlink++;
	r.ctime = fs_record_now(&r);
	fs_stage(fs, &t, i, &r, fs_key_ino(FS_SPACE_INODE, i->ino));
	if (i->home ==
	        FS_HOME_PATH) /* its record leaves the path, which becomes a link as any other */
		fs_txn_put(&t, fs_key_of(i), fs_link_encode(&r));
	fs_txn_put(&t, fs_key_child(dir, name, false), fs_link_encode(&r));
	fs_dir_touch(fs, &t, dir, 0, &p);
	err = fs_txn_commit(fs->art, &t);
	if (err)
		return err;
	fs_staged(fs, dir, &p);
	fs_staged(fs, i, &r);
	if (i->home == FS_HOME_PATH) {
		i->home = FS_HOME_INO;
		fs_inode_settle(fs, fs_inode_move(fs, i, NULL, NULL));
	}
	pthread_mutex_lock(&fs->table_lock);
	i->lookups++;
	pthread_mutex_unlock(&fs->table_lock);
	fs_inode_attr(i, out);
	return 0;
}

int fs_link(struct fs *fs, uint64_t ino, uint64_t parent, const char *name, struct fs_attr *out)
{
	int err = fs_name_check(name);
	if (err)
		return err;
	if (fs->read_only)
		return -EROFS;
	pthread_rwlock_wrlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	err = i ? link_locked(fs, i, parent, name, out) : -ESTALE;
	pthread_rwlock_unlock(&fs->ns);
	return err;
}

void fs_unname_stage(
        struct fs *fs, struct fs_txn *t, struct fs_inode *i, struct fs_record *r, uint8_t **tail)
{
	*r = i->rec;
	r->nlink = fs_is_dir(r) ? 0 : r->nlink - 1;
	r->ctime = fs_record_now(r);
	if (fs_is_dir(r))
		return;
	if (r->nlink > 0)
		fs_stage(fs, t, i, r, fs_key_of(i));
	else
		fs_orphan_stage(fs, t, i, r, tail);
}

void fs_unname_staged(struct fs *fs, struct fs_inode *i, const struct fs_record *r, uint8_t *tail)
{
	if (r->nlink > 0)
		fs_staged(fs, i, r);
	else
		fs_orphan_staged(fs, i, r, tail);
}

static int unname(struct fs *fs, struct fs_inode *dir, const char *name, struct fs_inode *i)
{
	struct fs_txn t = {0};
	struct fs_record r, p;
	uint8_t *tail = NULL;
	bool slash = fs_inode_is_dir(i);
	fs_txn_remove(&t, fs_key_child(dir, name, slash));
	fs_unname_stage(fs, &t, i, &r, &tail);
	fs_dir_touch(fs, &t, dir, slash ? -1 : 0, &p);
	int err = fs_txn_commit(fs->art, &t);
	if (err) {
		free(tail);
		return err;
	}
	fs_staged(fs, dir, &p);
	fs_unname_staged(fs, i, &r, tail);
	return 0;
}

static int unlink_or_rmdir(struct fs *fs, uint64_t parent, const char *name, bool rmdir)
{
	struct fs_inode *dir, *i = NULL;
	uint64_t orphan = 0;
	pthread_rwlock_wrlock(&fs->ns);
	int err = fs_dir_find(fs, parent, &dir);
	if (!err)
		err = fs_child_get(fs, dir, name, 0, &i);
	if (!err && fs_inode_is_dir(i) != rmdir)
		err = rmdir ? -ENOTDIR : -EISDIR;
	if (!err && rmdir)
		err = fs_dir_empty(fs, i);
	if (!err)
		err = unname(fs, dir, name, i);
	if (i)
		orphan = fs_inode_settle(fs, i);
	pthread_rwlock_unlock(&fs->ns);
	if (orphan)
		fs_orphan_purge(fs->art, orphan);
	return err;
}

int fs_unlink(struct fs *fs, uint64_t parent, const char *name)
{
	int err = fs_name_check(name);
	if (!err && fs_name_is_dots(name))
		err = -EISDIR;
	if (!err && fs->read_only)
		err = -EROFS;
	return err ? err : unlink_or_rmdir(fs, parent, name, false);
}

int fs_rmdir(struct fs *fs, uint64_t parent, const char *name)
{
	int err = fs_name_check(name);
	if (!err && fs_name_is_dots(name))
		err = name[1] == '.' ? -ENOTEMPTY : -EINVAL;
	if (!err && fs->read_only)
		err = -EROFS;
	return err ? err : unlink_or_rmdir(fs, parent, name, true);
}

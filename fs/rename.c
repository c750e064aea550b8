/*
 * rename.c - moving names: one transaction, whatever is moved.
 *
 *   file              { remove src, put dst }
 *   directory         { graft "a/x/" -> "b/y/", put "b/y/" }         the graft carries all that is
 * below exchange          files { put, put }, directories { exchange, put, put }, mixed { graft
 * "x/" -> "y/", remove "y", put "x", put "y/" }
 *
 * and in each case the records of the parents, and what the target that is replaced becomes.
 *
 * Parents never move with it: the new parent is not below what is moved (-EINVAL), and the old one
 * cannot be.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/name.h"
#include "fs/orphan.h"

struct move {
	struct fs_inode *from, *to; /* directories */
	const char *name, *newname;
	struct fs_inode *src, *dst; /* dst may be NULL */
	bool exchange;
};

static bool is_below(const struct fs_inode *i, const struct fs_inode *top)
{
	while (i && i != top)
		i = i->parent;
	return i;
}

static int allowed(struct fs *fs, const struct move *m, bool noreplace)
{
	bool src_dir = fs_inode_is_dir(m->src), dst_dir = m->dst && fs_inode_is_dir(m->dst);
	if (m->dst && noreplace)
		return -EEXIST;
	if (src_dir && is_below(m->to, m->src))
		return -EINVAL;
	if (m->exchange)
		return dst_dir && is_below(m->from, m->dst) ? -EINVAL : 0;
	if (!m->dst)
		return fs_name_new(fs, m->to, m->newname, src_dir);
	if (src_dir && !dst_dir)
		return -ENOTDIR;
	if (!src_dir && dst_dir)
		return -EISDIR;
	return dst_dir ? fs_dir_empty(fs, m->dst) : 0;
}

/* The entry for `i` as `name` in `dir`. The content of the record is read at the old key. */
static void place(struct fs *fs, struct fs_txn *t, struct fs_inode *i, struct fs_record *r,
        const struct fs_inode *dir, const char *name)
{
	*r = i->rec;
	r->ctime = fs_record_now(r);
	struct fs_key key = fs_key_child(dir, name, fs_is_dir(r));
	if (i->home == FS_HOME_PATH) {
		fs_stage(fs, t, i, r, key);
		return;
	}
	fs_txn_put(t, key, fs_link_encode(r));
	fs_stage(fs, t, i, r, fs_key_of(i));
}

static void stage_keys(struct fs_txn *t, const struct move *m)
{
	bool src_dir = fs_inode_is_dir(m->src), dst_dir = m->dst && fs_inode_is_dir(m->dst);
	struct fs_key src = fs_key_child(m->from, m->name, src_dir);
	if (!m->exchange) {
		if (src_dir)
			fs_txn_graft(t, src, fs_key_child(m->to, m->newname, true), dst_dir);
		else
			fs_txn_remove(t, src);
		return;
	}
	struct fs_key dst = fs_key_child(m->to, m->newname, dst_dir);
	if (src_dir && dst_dir) {
		fs_txn_exchange(t, src, dst);
	} else if (src_dir) {
		fs_txn_graft(t, src, fs_key_child(m->to, m->newname, true), false);
		fs_txn_remove(t, dst);
	} else if (dst_dir) {
		fs_txn_graft(t, dst, fs_key_child(m->from, m->name, true), false);
		fs_txn_remove(t, src);
	} else { /* both keys are put again */
		free(src.data);
		free(dst.data);
	}
}

static int move(struct fs *fs, const struct move *m)
{
	struct fs_txn t = {0};
	struct fs_record src, dst, from, to;
	uint8_t *tail = NULL;
	int src_dir = fs_inode_is_dir(m->src), dst_dir = m->dst && fs_inode_is_dir(m->dst);
	/* link counts: what leaves and what arrives */
	int from_nlink = -src_dir + (m->exchange ? dst_dir : 0), to_nlink = src_dir - dst_dir;
	char *src_name = strdup(m->newname), *dst_name = strdup(m->name);
	if (!src_name || !dst_name)
		fs_txn_fail(&t, -ENOMEM);

	stage_keys(&t, m);
	if (m->exchange)
		place(fs, &t, m->dst, &dst, m->from, m->name);
	else if (m->dst)
		fs_unname_stage(fs, &t, m->dst, &dst, &tail);
	place(fs, &t, m->src, &src, m->to, m->newname);
	fs_dir_touch(fs, &t, m->from, m->from == m->to ? from_nlink + to_nlink : from_nlink, &from);
	if (m->from != m->to)
		fs_dir_touch(fs, &t, m->to, to_nlink, &to);
	int err = fs_txn_commit(fs->art, &t);
	if (err) {
		free(tail);
		goto out;
	}

	fs_staged(fs, m->from, &from);
	if (m->from != m->to)
		fs_staged(fs, m->to, &to);
	fs_staged(fs, m->src, &src);
	if (m->src->home == FS_HOME_PATH) {
		fs_inode_move(fs, m->src, m->to, src_name);
		src_name = NULL;
	}
	if (m->exchange) {
		fs_staged(fs, m->dst, &dst);
		if (m->dst->home == FS_HOME_PATH) {
			fs_inode_move(fs, m->dst, m->from, dst_name);
			dst_name = NULL;
		}
	} else if (m->dst) {
		fs_unname_staged(fs, m->dst, &dst, tail);
	}
out:
	free(src_name);
	free(dst_name);
	return err;
}

static int rename_locked(
        struct fs *fs, uint64_t parent, uint64_t newparent, struct move *m, bool noreplace)
{
	int err = fs_dir_find(fs, parent, &m->from);
	if (!err)
		err = fs_dir_find(fs, newparent, &m->to);
	if (!err)
		err = fs_child_get(fs, m->from, m->name, 0, &m->src);
	if (err)
		return err;
	err = fs_child_get(fs, m->to, m->newname, 0, &m->dst);
	if (err == -ENOENT && !m->exchange)
		err = 0;
	if (!err)
		err = m->src == m->dst && !noreplace ? 0 : allowed(fs, m, noreplace);
	if (!err && m->src != m->dst)
		err = move(fs, m);
	return err;
}

int fs_rename(struct fs *fs, uint64_t parent, const char *name, uint64_t newparent,
        const char *newname, unsigned flags)
{
	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
	        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	int err = fs_name_check(name);
	if (!err)
		err = fs_name_check(newname);
	if (!err && (fs_name_is_dots(name) || fs_name_is_dots(newname)))
		err = -EINVAL;
	if (!err && fs->read_only)
		err = -EROFS;
	if (err)
		return err;
	struct move m = {.name = name, .newname = newname, .exchange = flags & RENAME_EXCHANGE};
	uint64_t orphan = 0;
	pthread_rwlock_wrlock(&fs->ns);
	err = rename_locked(fs, parent, newparent, &m, flags & RENAME_NOREPLACE);
	if (m.src)
		fs_inode_settle(fs, m.src);
	if (m.dst && m.dst != m.src)
		orphan = fs_inode_settle(fs, m.dst);
	pthread_rwlock_unlock(&fs->ns);
	if (orphan)
		fs_orphan_purge(fs->art, orphan);
	return err;
}

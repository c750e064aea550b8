/*
 * txn.c - a transaction while it is put together, and the writing of an inode's record.
 *
 * Rule T1: whoever writes the record of an inode writes its dirty window in the same transaction,
 * so size and times on disk never tell of data that is not there.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/txn.h"
#include "fs/window.h"

static void add(struct fs_txn *t, enum art_op_type type, struct fs_key key, struct art_bytes to,
        struct art_bytes value)
{
	assert(t->n < FS_TXN_OPS_MAX);
	t->op[t->n++] =
	        (struct art_op){.type = type, .key = fs_key_view(key), .to = to, .value = value};
	if (!key.data)
		fs_txn_fail(t, -ENOMEM);
}

void fs_txn_fail(struct fs_txn *t, int err)
{
	if (!t->err)
		t->err = err;
}

void fs_txn_put(struct fs_txn *t, struct fs_key key, struct art_bytes value)
{
	add(t, ART_PUT, key, (struct art_bytes){0}, value);
	if (!value.data)
		fs_txn_fail(t, -ENOMEM);
}

void fs_txn_put_borrowed(struct fs_txn *t, struct fs_key key, struct art_bytes value)
{
	t->borrowed |= UINT32_C(1) << t->n;
	add(t, ART_PUT, key, (struct art_bytes){0}, value);
}

void fs_txn_put_empty(struct fs_txn *t, struct fs_key key)
{
	fs_txn_put_borrowed(t, key, (struct art_bytes){"", 0});
}

void fs_txn_remove(struct fs_txn *t, struct fs_key key)
{
	add(t, ART_REMOVE, key, (struct art_bytes){0}, (struct art_bytes){0});
}

void fs_txn_graft(struct fs_txn *t, struct fs_key from, struct fs_key to, bool replace)
{
	add(t, ART_GRAFT, from, fs_key_view(to), (struct art_bytes){0});
	t->op[t->n - 1].replace = replace;
	if (!to.data)
		fs_txn_fail(t, -ENOMEM);
}

void fs_txn_exchange(struct fs_txn *t, struct fs_key a, struct fs_key b)
{
	add(t, ART_EXCHANGE, a, fs_key_view(b), (struct art_bytes){0});
	if (!b.data)
		fs_txn_fail(t, -ENOMEM);
}

int fs_txn_commit(struct art *a, struct fs_txn *t)
{
	int err = t->err;
	if (!err && t->n)
		err = art_commit(a, t->op, t->n, NULL);
	for (unsigned i = 0; i < t->n; i++) {
		free((void *)t->op[i].key.data);
		free((void *)t->op[i].to.data);
		if (!(t->borrowed >> i & 1))
			free((void *)t->op[i].value.data);
	}
	*t = (struct fs_txn){0};
	return err;
}

int fs_tail_read(struct fs *fs, const struct fs_inode *i, size_t offset, void *buf, size_t bytes)
{
	assert(offset + bytes <= fs_tail_bytes(&i->rec));
	if (bytes == 0)
		return 0;
	if (i->home == FS_HOME_MEMORY) {
		memcpy(buf, i->tail + offset, bytes);
		return 0;
	}
	struct fs_key key = fs_key_of(i);
	if (!key.data)
		return -ENOMEM;
	size_t all;
	int err = art_get(
	        fs->art, fs_key_view(key), sizeof(struct fs_inode_disk) + offset, buf, bytes, &all);
	free(key.data);
	if (err == -ENOENT || (!err && all != sizeof(struct fs_inode_disk) + i->rec.size))
		return -EUCLEAN;
	return err;
}

void fs_stage(
        struct fs *fs, struct fs_txn *t, struct fs_inode *i, struct fs_record *r, struct fs_key key)
{
	if (i->home == FS_HOME_MEMORY) {
		free(key.data);
		return;
	}
	size_t bytes = fs_tail_bytes(r);
	void *tail = NULL;
	if (bytes) {
		assert(bytes == fs_tail_bytes(&i->rec));
		tail = malloc(bytes);
		fs_txn_fail(t, tail ? fs_tail_read(fs, i, 0, tail, bytes) : -ENOMEM);
	}
	fs_window_stage(fs, t, i, r);
	fs_txn_put(t, key, t->err ? (struct art_bytes){0} : fs_record_encode(r, tail, bytes));
	free(tail);
	if (r->nlink == 0)
		fs_txn_put_empty(t, fs_key_ino(FS_SPACE_ORPHAN, i->ino));
}

void fs_staged(struct fs *fs, struct fs_inode *i, const struct fs_record *r)
{
	i->rec = *r;
	if (i->home == FS_HOME_MEMORY)
		return;
	i->atime_dirty = false;
	fs_window_staged(i);
	fs_inode_relist(fs, i);
}

int fs_inode_flush(struct fs *fs, struct fs_inode *i)
{
	if (!i->atime_dirty && !fs_window_dirty(i))
		return 0;
	struct fs_txn t = {0};
	struct fs_record r = i->rec;
	fs_stage(fs, &t, i, &r, fs_key_of(i));
	int err = fs_txn_commit(fs->art, &t);
	if (!err)
		fs_staged(fs, i, &r);
	return err;
}

/*
 * txn.h - a transaction while it is put together.
 *
 * Every fs_txn_*() takes over the keys and values given to it (on the heap), unless it says
 * otherwise. What goes wrong on the way (no memory) is kept until fs_txn_commit(), which frees
 * everything in any case:
 *
 *      struct fs_txn t = {0};
 *      fs_txn_put(&t, key, value);
 *      err = fs_txn_commit(fs->art, &t);
 *
 * fs_stage() and fs_staged() are the two halves of writing an inode: before the commit and after
 * it.
 */
#ifndef FS_TXN_H
#define FS_TXN_H

#include "fs/inode.h"

enum { FS_TXN_OPS_MAX = 16 };

struct fs_txn {
	struct art_op op[FS_TXN_OPS_MAX];
	unsigned n;
	uint32_t borrowed; /* bit i: the value of op[i] stays the caller's */
	int err;
};

void fs_txn_put(struct fs_txn *t, struct fs_key key, struct art_bytes value);
void fs_txn_put_borrowed(struct fs_txn *t, struct fs_key key, struct art_bytes value);
void fs_txn_put_empty(struct fs_txn *t, struct fs_key key);
void fs_txn_remove(struct fs_txn *t, struct fs_key key); /* whether it is there or not */
void fs_txn_graft(struct fs_txn *t, struct fs_key from, struct fs_key to, bool replace);
void fs_txn_exchange(struct fs_txn *t, struct fs_key a, struct fs_key b);
void fs_txn_fail(struct fs_txn *t, int err);
int fs_txn_commit(struct art *a, struct fs_txn *t);

/* The record `r` of `i`, to be found at `key` from now on, with what is behind it and what its
 * window holds. `key` is taken over. Adds to r->stored. Nothing for HOME_MEMORY. */
void fs_stage(struct fs *fs, struct fs_txn *t, struct fs_inode *i, struct fs_record *r,
        struct fs_key key);
/* After the commit: `r` is what `i` is now, and its window is clean. */
void fs_staged(struct fs *fs, struct fs_inode *i, const struct fs_record *r);

/* Writes the record and the window, if there is anything to write. Needs the inode's lock. */
int fs_inode_flush(struct fs *fs, struct fs_inode *i);

/* Copies [offset, offset+bytes) of what is behind the record. -EUCLEAN if that is not there. */
int fs_tail_read(struct fs *fs, const struct fs_inode *i, size_t offset, void *buf, size_t bytes);

#endif

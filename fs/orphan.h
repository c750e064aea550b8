/*
 * orphan.h - inodes without a name, and chunks without a use.
 *
 * Rule O1: chunks that nothing reaches any more are named by a mark (00 'o' ino: all of them; 00
 * 't' ino: those from a number on) that was committed with the change that made them unreachable,
 * and that goes with the last of them. So a crash anywhere leaves either use or mark.
 */
#ifndef FS_ORPHAN_H
#define FS_ORPHAN_H

#include "fs/txn.h"

enum { FS_PURGE_BATCH = 256 /* chunks removed in one transaction */ };

/* The last name of `i` goes in transaction `t`: what its record becomes. `tail` receives its data,
 * if it can live in memory alone and anybody may still ask. `r` is its record with nlink 0. */
void fs_orphan_stage(struct fs *fs, struct fs_txn *t, struct fs_inode *i, const struct fs_record *r,
        uint8_t **tail);
/* After the commit; takes `tail`. Needs ns for writing. */
void fs_orphan_staged(struct fs *fs, struct fs_inode *i, const struct fs_record *r, uint8_t *tail);

/* Removes chunks, record and mark of an orphan that is not in the table. No locks. */
int fs_orphan_purge(struct art *a, uint64_t ino);

/* The chunks of `ino` from `first` on, up to `max` of them: how many, their bytes, and the numbers
 * of the first FS_PURGE_BATCH. */
struct fs_chunks {
	uint64_t count, bytes;
	unsigned n;
	uint64_t chunk[FS_PURGE_BATCH];
};
int fs_chunks_from(
        struct art *a, uint64_t ino, uint64_t first, uint64_t max, struct fs_chunks *out);

/* Removes the chunks that a trim mark names, and the mark. */
int fs_trim_purge(struct art *a, uint64_t ino, uint64_t first);
/* The same for an inode, if it is still due. Needs its lock. */
int fs_trim_finish(struct fs *fs, struct fs_inode *i);

/* What a crash has left. */
int fs_orphans_purge_all(struct art *a);

#endif

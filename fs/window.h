/*
 * window.h - the write buffer of one inode: a view of one chunk.
 *
 *      0                lo          hi              disk_bytes         chunk_bytes
 *      ├────────────────┼███████████┼───────────────────┤                   │
 *                         written, not yet in the log
 *
 * As long as it is not `whole`, only [lo, hi) of `data` means anything; when a write does not touch
 * that range, or at the flush, the rest is read from the dictionary. When whole, data[0, bytes) is
 * the chunk. Clean (lo == hi) it is a cache of the chunk, until memory presses or the file is
 * released.
 *
 * All functions need the inode's lock.
 */
#ifndef FS_WINDOW_H
#define FS_WINDOW_H

#include "fs/txn.h"

struct fs_window {
	uint64_t chunk;
	uint8_t *data;
	uint32_t cap;        /* bytes allocated */
	uint32_t disk_bytes; /* length of the chunk in the dictionary, 0 if absent */
	uint32_t lo, hi;
	uint32_t bytes;
	bool whole;
};

static inline bool fs_window_dirty(const struct fs_inode *i)
{
	return i->window && i->window->lo < i->window->hi;
}

/* Puts the window over `chunk`, after writing what another one holds. */
int fs_window_open(struct fs *fs, struct fs_inode *i, uint64_t chunk);
int fs_window_write(
        struct fs *fs, struct fs_inode *i, uint32_t offset, const void *buf, uint32_t bytes);
void fs_window_close(struct fs *fs, struct fs_inode *i); /* forgets what it holds */

/* Bytes [offset, offset+bytes) of any chunk, as they are with the window laid over the dictionary.
 */
int fs_window_read(struct fs *fs, const struct fs_inode *i, uint64_t chunk, uint32_t offset,
        void *buf, uint32_t bytes);

/* The two halves of writing it; see fs_stage(). */
void fs_window_stage(struct fs *fs, struct fs_txn *t, struct fs_inode *i, struct fs_record *r);
void fs_window_staged(struct fs_inode *i);

#endif

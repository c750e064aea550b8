/*
 * data.h - what attributes need of file data. Private to this room.
 */
#ifndef FS_DATA_H
#define FS_DATA_H

#include "fs/txn.h"

/* Gives a regular file another size; `r` is what its record becomes otherwise, in the same
 * transaction. Needs the inode's lock. -EFBIG. */
int fs_resize(struct fs *fs, struct fs_inode *i, struct fs_record *r, uint64_t size);

/* It was read. Needs ns, not the inode's lock. */
void fs_atime_touch(struct fs *fs, struct fs_inode *i);

#endif

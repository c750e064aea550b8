/*
 * name.h - what making, removing and moving names have in common. Private to this room.
 *
 * All of it needs ns for writing.
 */
#ifndef FS_NAME_H
#define FS_NAME_H

#include "fs/txn.h"

/* 0 if `name` can be made in `dir`: -EEXIST, -ENAMETOOLONG (the path). */
int fs_name_new(struct fs *fs, const struct fs_inode *dir, const char *name, bool slash);

int fs_dir_empty(struct fs *fs, const struct fs_inode *dir); /* 0 or -ENOTEMPTY */

/* Stages the record of a directory whose entries change: `r`, with new times and link count. */
void fs_dir_touch(
        struct fs *fs, struct fs_txn *t, struct fs_inode *dir, int nlink, struct fs_record *r);

/* `i` loses a name: the two halves of it, apart from the name's own key. The name must not be used
 * after the second one if it was the last. */
void fs_unname_stage(
        struct fs *fs, struct fs_txn *t, struct fs_inode *i, struct fs_record *r, uint8_t **tail);
void fs_unname_staged(struct fs *fs, struct fs_inode *i, const struct fs_record *r, uint8_t *tail);

/* Drops an inode that may have become idle, and purges what goes with it. Takes ns itself. */
void fs_drop(struct fs *fs, uint64_t ino);

#endif

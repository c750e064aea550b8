/*
 * inode.h - the inodes that somebody knows, and the locks over them. Private to this room.
 *
 *   ino ──► hash ──► inode ── parent ──► inode ── parent ──► root
 *                      "b"                 "a"
 *
 * A path key is built by walking parents, so renaming a directory moves one pointer and everything
 * below it follows. An inode in the table keeps its parent there.
 *
 * Where the record of an inode lives (its home):
 *
 *   HOME_PATH    at the path key           one name
 *   HOME_INO     at 00 'i' ino             it has, or had, several names, or is a chunked orphan
 *   HOME_MEMORY  nowhere                   no name left, and nothing on disk: a removed directory,
 * an unlinked file whose data fits behind its record
 *
 * Locks (fs/README.md has the table): `ns` (rank 1), `inode.lock` (rank 2), `table_lock` (rank 3).
 * Who holds ns for writing is alone with all inodes and need not take their locks. An inode is
 * freed only under ns for writing, so a pointer stays good as long as ns is held.
 */
#ifndef FS_INODE_H
#define FS_INODE_H

#include <pthread.h>

#include "fs/key.h"
#include "fs/record.h"

enum fs_home { FS_HOME_PATH, FS_HOME_INO, FS_HOME_MEMORY };

struct fs_window;

struct fs_inode {
	uint64_t ino;  /* immutable */
	uint32_t type; /* immutable: mode's */

	/* guarded by table_lock */
	struct fs_inode *hash_next;
	struct fs_inode *older, *newer; /* list of inodes with something to write or a window */
	bool listed;
	uint64_t lookups;
	uint64_t opens;
	uint64_t children; /* inodes in the table whose parent this is */

	/* guarded by ns */
	struct fs_inode *parent; /* NULL for the root and without HOME_PATH */
	char *name;

	/* guarded by lock */
	pthread_rwlock_t lock;
	enum fs_home home;
	bool atime_dirty;
	struct fs_record rec; /* as on disk, but for atime_dirty and what a dirty window implies */
	struct fs_window *window;
	uint8_t *tail;      /* HOME_MEMORY: data or target, rec.size bytes */
	uint64_t trim_from; /* chunks from here on are still to be purged; UINT64_MAX: none */
};

static inline bool fs_inode_is_dir(const struct fs_inode *i)
{
	return i->type == FS_TYPE_DIR;
}
static inline bool fs_inode_is_reg(const struct fs_inode *i)
{
	return i->type == FS_TYPE_REG;
}

struct fs {
	struct art *art; /* these are immutable after open */
	bool read_only;
	uint32_t chunk_bytes;
	size_t inline_bytes_max; /* longer files are chunked */
	size_t data_buffer_bytes;
	struct fs_inode *root;

	pthread_rwlock_t ns;
	struct fs_super super; /* guarded by ns */
	uint64_t ino_next;     /* guarded by ns; below super.next_ino: reserved, unused */

	pthread_mutex_t table_lock;
	struct fs_inode **bucket; /* the rest is guarded by table_lock */
	size_t buckets, inodes;
	struct fs_inode *oldest, *newest;
	size_t buffered_bytes;
	bool retained; /* an inode nobody knows stays, for it could not be written */
};

int fs_table_init(struct fs *fs);
void fs_table_fini(struct fs *fs); /* frees all inodes as they are */

/* NULL if it is not known. Needs ns. */
struct fs_inode *fs_inode_find(struct fs *fs, uint64_t ino);

/* Allocates, not yet in the table. `name` of HOME_PATH (not the root's); may be NULL otherwise. */
struct fs_inode *fs_inode_new(const struct fs_record *r, enum fs_home home, const char *name);
void fs_inode_free(struct fs_inode *i);

/* Puts `i` below `parent` into the table with so many lookups, or frees it and counts on the one
 * that is there. Needs ns. Cannot fail. */
struct fs_inode *fs_inode_add(
        struct fs *fs, struct fs_inode *i, struct fs_inode *parent, uint64_t lookups);

void fs_inode_opened(struct fs *fs, struct fs_inode *i);
/* Gives back lookups and opens; true if that may have been the last reason to keep it. */
bool fs_inode_less(struct fs *fs, struct fs_inode *i, uint64_t lookups, uint64_t opens);

/* Needs ns for writing. Takes it away from its parent, to `parent` under `name` (owned from now
 * on), or to nothing. Returns the former parent. */
struct fs_inode *fs_inode_move(
        struct fs *fs, struct fs_inode *i, struct fs_inode *parent, char *name);

/* Needs ns for writing. Drops it from the table if nobody needs it, and then its parents likewise,
 * writing what they have to write. Returns the number of an orphan to be purged without locks, or
 * 0. */
uint64_t fs_inode_settle(struct fs *fs, struct fs_inode *i);

/* On or off the list of those with something to write or to free. Needs the inode's lock. */
void fs_inode_relist(struct fs *fs, struct fs_inode *i);

/* The next number, reserving a block of them when needed. Needs ns for writing. */
int fs_ino_next(struct fs *fs, uint64_t *ino);

/* A directory that can be used: -ESTALE, -ENOTDIR, -ENOENT if it was removed. Needs ns. */
int fs_dir_find(struct fs *fs, uint64_t ino, struct fs_inode **out);

/* The record of `name` in `dir` as the dictionary has it. -ENOENT. Needs ns. */
int fs_child_read(struct fs *fs, const struct fs_inode *dir, const char *name,
        struct fs_record *out, enum fs_home *home);
/* Its inode in the table, with so many lookups more. With 0, settle it afterwards. Needs ns. */
int fs_child_get(struct fs *fs, struct fs_inode *dir, const char *name, uint64_t lookups,
        struct fs_inode **out);
/* The record at 00 'i' ino. -EUCLEAN if there is none. */
int fs_ino_read(struct fs *fs, uint64_t ino, struct fs_record *out);

/* Attributes as a caller shall see them. Needs the inode's lock. */
void fs_inode_attr(const struct fs_inode *i, struct fs_attr *out);

#endif

/*
 * fs.h - POSIX names and inodes on a dictionary.
 *
 * A file `a/b` is the key "a/b"; a directory `a` is the key "a/", and everything that begins with
 * it; the root's own record is the key "/". The record at that key is the inode. Key spaces that no
 * path can begin with hold the rest (fs/format.h): inodes with several names or none, data chunks,
 * counters.
 *
 * No FUSE types here: the mount and the tests call the same functions. An inode is named by its
 * number, which is persistent and never reused. As with FUSE, a caller must know an inode (through
 * fs_lookup() or a call that makes one, each of which adds one to its lookup count) before it may
 * use its number, and gives the count back with fs_forget(). The root (FS_ROOT) is always known.
 *
 * All functions return 0 or -errno as POSIX names it for the corresponding call; those that
 * transfer bytes return their number. -ESTALE: the inode number is not known. Permission is the
 * caller's business (the kernel's default_permissions), except for what the format of an operation
 * implies (setgid inheritance, clearing of suid/sgid).
 *
 * Durability: an operation that has returned is in the log within fs_sync() or fs_fsync() of
 * anything; file data may wait in a buffer of its inode until then, never longer than the caller's
 * fs_sync() interval, and never behind a rename of that file.
 *
 * Threads: all functions may be called at once by many threads.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "art/art.h"

enum {
	FS_ROOT = 1,
	FS_NAME_BYTES_MAX = 255,
	FS_SYMLINK_BYTES_MAX = 4095,
};

struct fs_attr {
	uint64_t ino;
	uint64_t size;   /* bytes */
	uint64_t blocks; /* of 512 bytes, as stat(2) reports them */
	uint32_t mode;   /* type and permission */
	uint32_t nlink;
	uint32_t uid, gid;
	uint64_t rdev;
	struct timespec atime, mtime, ctime, btime;
};

struct fs_cred {
	uid_t uid;
	gid_t gid;
};

struct fs;

struct fs_options {
	bool read_only;
	size_t data_buffer_bytes; /* for file data not yet in the log, all inodes together; 0 = 64
	                             MiB */
};

/* mkfs: the root directory. */
int fs_format(struct art *a, const struct fs_cred *owner, mode_t mode);

/* Checks the format, purges orphans left by a crash. `a` stays the caller's. -EPROTONOSUPPORT a
 * newer format, -EUCLEAN no root record. */
int fs_open(struct art *a, const struct fs_options *opt, struct fs **out, struct why *w);
/* Writes buffered data to the log, purges orphans, frees. The caller then closes the dictionary. */
int fs_close(struct fs *fs);

/* ---- names ---------------------------------------------------------------------------- */

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fs_attr *out);
void fs_forget(struct fs *fs, uint64_t ino, uint64_t count);

/* mode holds type and permission: S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK. */
int fs_mknod(struct fs *fs, const struct fs_cred *cred, uint64_t parent, const char *name,
        mode_t mode, uint64_t rdev, struct fs_attr *out);
int fs_symlink(struct fs *fs, const struct fs_cred *cred, uint64_t parent, const char *name,
        const char *target, struct fs_attr *out);
int fs_readlink(struct fs *fs, uint64_t ino, char *buf, size_t cap); /* bytes, no NUL added */
int fs_link(struct fs *fs, uint64_t ino, uint64_t parent, const char *name, struct fs_attr *out);
int fs_unlink(struct fs *fs, uint64_t parent, const char *name);
int fs_rmdir(struct fs *fs, uint64_t parent, const char *name);
/* flags as renameat2(2): 0, RENAME_NOREPLACE, RENAME_EXCHANGE; others -EINVAL. One log record. */
int fs_rename(struct fs *fs, uint64_t parent, const char *name, uint64_t newparent,
        const char *newname, unsigned flags);

/* ---- inodes --------------------------------------------------------------------------- */

enum fs_set {
	FS_SET_MODE = 1,
	FS_SET_UID = 2,
	FS_SET_GID = 4,
	FS_SET_SIZE = 8,
	FS_SET_ATIME = 16,
	FS_SET_MTIME = 32,
	FS_SET_ATIME_NOW = 64,
	FS_SET_MTIME_NOW = 128,
	FS_SET_CTIME = 256,
};

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *out);
/* Takes the fields of `in` that `set` (enum fs_set) names; `out` receives the result (may be NULL).
 */
int fs_setattr(
        struct fs *fs, uint64_t ino, unsigned set, const struct fs_attr *in, struct fs_attr *out);

/* An open file keeps its inode alive without a name. Optional: a known inode is alive too. release
 * writes its buffered data to the log. */
int fs_open_file(struct fs *fs, uint64_t ino);
void fs_release_file(struct fs *fs, uint64_t ino);

ssize_t fs_read(struct fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t bytes);
ssize_t fs_write(struct fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t bytes);

/* Durable: this inode's data, and every operation that returned before. */
int fs_fsync(struct fs *fs, uint64_t ino);
int fs_sync(struct fs *fs);       /* all buffered data of all inodes, and everything before */
int fs_checkpoint(struct fs *fs); /* fs_sync, and the image on disk holds it all */

/* ---- directories ---------------------------------------------------------------------- */

struct fs_dir; /* an open directory; used by one thread at a time */

struct fs_dirent {
	const char *name;
	uint64_t next;       /* the offset to continue with behind this entry; below 2^63 */
	struct fs_attr attr; /* complete with fs_readdirplus, otherwise ino and mode only */
};

int fs_opendir(struct fs *fs, uint64_t ino, struct fs_dir **out);
/* Calls each() for the entries from `offset` (0 = beginning) on, "." and ".." first, in byte order
 * of names as keys order them, until it answers nonzero (that entry counts as not taken) or the
 * end. With `plus`, each() that answers 0 takes one lookup count of the inode (not for "." and
 * ".."). each() is called with locks held and must not call functions of this header. */
int fs_readdir(struct fs_dir *dir, uint64_t offset, bool plus,
        int (*each)(void *arg, const struct fs_dirent *e), void *arg);
void fs_closedir(struct fs_dir *dir);

/* ---- the whole ------------------------------------------------------------------------ */

struct fs_statfs {
	uint32_t block_bytes;
	uint64_t blocks, blocks_free, blocks_available;
	uint64_t files, files_free;
	uint32_t name_bytes_max;
};
int fs_statfs(struct fs *fs, struct fs_statfs *out);

struct art *fs_art(struct fs *fs);

/* fsck of this room and those below: every record decodes, every name has a directory above it,
 * link counts, directory counts, sizes against chunks, no chunk without an inode, no number used
 * twice, counters ahead of all numbers. Returns the number of findings, or -errno. */
int fs_check(struct art *a, void (*say)(void *arg, const char *line), void *arg);

#endif

/*
 * ops.c - the messages of the kernel.
 *
 * The mount is the only owner of its store, so the kernel may believe what it once heard until it
 * changes it itself: infinite timeouts, for names that are not there too. What it knows to have
 * changed (sizes and times by a write, link counts by an unlink, times of a directory) it corrects
 * or asks for again.
 *
 * Not answered (ENOSYS, once, then the kernel does without):
 *   OPEN, RELEASE, FLUSH   an inode lives while the kernel knows it, so there is nothing to do
 *   CREATE                 the kernel sends MKNOD; a file needs no handle
 *   GETXATTR and family    no extended attributes
 *   ACCESS                 the kernel checks (default_permissions)
 * ATOMIC_O_TRUNC must be off, or the kernel would leave O_TRUNC to the OPEN that it does not send.
 * HANDLE_KILLPRIV must be off: the kernel clears setuid and setgid itself, with a SETATTR, where
 * POSIX wants it.
 *
 * A reply that the kernel does not take (the connection is gone) is not followed up: no lookup
 * count matters any more.
 */
#include "mount/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MESSAGE_BYTES_MAX = 1024 * 1024,
	STAT_BLOCK_BYTES = 4096, /* st_blksize */
};

static const double for_ever = 1e9; /* seconds */

/* ---- replies --------------------------------------------------------------------------------- */

static struct fs *fs_of(fuse_req_t req)
{
	return ((struct mnt_ctx *)fuse_req_userdata(req))->fs;
}

static void reply_rc(fuse_req_t req, int rc)
{
	if (rc == -EIO)
		mnt_say_if_failed(fs_of(req));
	fuse_reply_err(req, rc == -EBADMSG ? EIO : -rc);
}

static struct stat stat_of(const struct fs_attr *a)
{
	return (struct stat){
	        .st_ino = a->ino,
	        .st_size = (off_t)a->size,
	        .st_blocks = (blkcnt_t)a->blocks,
	        .st_blksize = STAT_BLOCK_BYTES,
	        .st_mode = a->mode,
	        .st_nlink = a->nlink,
	        .st_uid = a->uid,
	        .st_gid = a->gid,
	        .st_rdev = a->rdev,
	        .st_atim = a->atime,
	        .st_mtim = a->mtime,
	        .st_ctim = a->ctime,
	};
}

static struct fuse_entry_param entry_of(const struct fs_attr *a)
{
	return (struct fuse_entry_param){
	        .ino = a->ino,
	        .attr = stat_of(a),
	        .attr_timeout = for_ever,
	        .entry_timeout = for_ever,
	};
}

static void reply_entry(fuse_req_t req, int rc, const struct fs_attr *a)
{
	if (rc) {
		reply_rc(req, rc);
		return;
	}
	struct fuse_entry_param e = entry_of(a);
	fuse_reply_entry(req, &e);
}

static void reply_attr(fuse_req_t req, int rc, const struct fs_attr *a)
{
	if (rc) {
		reply_rc(req, rc);
		return;
	}
	struct stat st = stat_of(a);
	fuse_reply_attr(req, &st, for_ever);
}

/* One buffer a thread, for the answers to READ and READDIR. */
static _Thread_local struct {
	void *data;
	size_t bytes;
} scratch;

static void *scratch_get(size_t bytes)
{
	if (scratch.bytes < bytes) {
		void *data = malloc(bytes);
		if (!data)
			return NULL;
		free(scratch.data);
		scratch.data = data;
		scratch.bytes = bytes;
	}
	return scratch.data;
}

void mnt_ops_thread_fini(void)
{
	free(scratch.data);
	scratch.data = NULL;
	scratch.bytes = 0;
}

/* ---- the session ----------------------------------------------------------------------------- */

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want &= ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_HANDLE_KILLPRIV |
	                          FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
	                          FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->want |= conn->capable & (FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA);
	conn->max_write = MESSAGE_BYTES_MAX;
	conn->time_gran = 1;
}

static void do_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs_statfs s;
	(void)ino;
	int rc = fs_statfs(fs_of(req), &s);
	if (rc) {
		reply_rc(req, rc);
		return;
	}
	struct statvfs v = {
	        .f_bsize = s.block_bytes,
	        .f_frsize = s.block_bytes,
	        .f_blocks = s.blocks,
	        .f_bfree = s.blocks_free,
	        .f_bavail = s.blocks_available,
	        .f_files = s.files,
	        .f_ffree = s.files_free,
	        .f_favail = s.files_free,
	        .f_namemax = s.name_bytes_max,
	};
	fuse_reply_statfs(req, &v);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs_attr a;
	int rc = fs_lookup(fs_of(req), parent, name, &a);
	if (rc == -ENOENT) {
		struct fuse_entry_param none = {.entry_timeout = for_ever};
		fuse_reply_entry(req, &none);
		return;
	}
	reply_entry(req, rc, &a);
}

static void do_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	fs_forget(fs_of(req), ino, count);
	fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fs_forget(fs_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static struct fs_cred cred_of(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);
	return (struct fs_cred){.uid = c->uid, .gid = c->gid};
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct fs_cred cred = cred_of(req);
	struct fs_attr a;
	int rc = fs_mknod(fs_of(req), &cred, parent, name, mode, rdev, &a);
	reply_entry(req, rc, &a);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	do_mknod(req, parent, name, S_IFDIR | (mode & 07777), 0);
}

static void do_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct fs_cred cred = cred_of(req);
	struct fs_attr a;
	int rc = fs_symlink(fs_of(req), &cred, parent, name, target, &a);
	reply_entry(req, rc, &a);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[FS_SYMLINK_BYTES_MAX + 1];
	int n = fs_readlink(fs_of(req), ino, target, FS_SYMLINK_BYTES_MAX);
	if (n < 0) {
		reply_rc(req, n);
		return;
	}
	target[n] = 0;
	fuse_reply_readlink(req, target);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct fs_attr a;
	int rc = fs_link(fs_of(req), ino, parent, name, &a);
	reply_entry(req, rc, &a);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_rc(req, fs_unlink(fs_of(req), parent, name));
}

static void do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_rc(req, fs_rmdir(fs_of(req), parent, name));
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
        const char *newname, unsigned flags)
{
	reply_rc(req, fs_rename(fs_of(req), parent, name, newparent, newname, flags));
}

/* ---- inodes ---------------------------------------------------------------------------------- */

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_attr a;
	(void)fi;
	int rc = fs_getattr(fs_of(req), ino, &a);
	reply_attr(req, rc, &a);
}

static void do_setattr(
        fuse_req_t req, fuse_ino_t ino, struct stat *st, int valid, struct fuse_file_info *fi)
{
	/* "now" comes together with the plain flag, and goes before it */
	static const struct {
		int from;
		unsigned to, instead_of;
	} flags[] = {
	        {FUSE_SET_ATTR_MODE, FS_SET_MODE, 0},
	        {FUSE_SET_ATTR_UID, FS_SET_UID, 0},
	        {FUSE_SET_ATTR_GID, FS_SET_GID, 0},
	        {FUSE_SET_ATTR_SIZE, FS_SET_SIZE, 0},
	        {FUSE_SET_ATTR_ATIME, FS_SET_ATIME, 0},
	        {FUSE_SET_ATTR_MTIME, FS_SET_MTIME, 0},
	        {FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW, FS_SET_ATIME},
	        {FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW, FS_SET_MTIME},
	        {FUSE_SET_ATTR_CTIME, FS_SET_CTIME, 0},
	};
	struct fs_attr out, in = {
	                            .mode = st->st_mode,
	                            .uid = st->st_uid,
	                            .gid = st->st_gid,
	                            .size = (uint64_t)st->st_size,
	                            .atime = st->st_atim,
	                            .mtime = st->st_mtim,
	                            .ctime = st->st_ctim,
	                    };
	unsigned set = 0;
	(void)fi;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (valid & flags[i].from)
			set = (set & ~flags[i].instead_of) | flags[i].to;
	int rc = fs_setattr(fs_of(req), ino, set, &in, &out);
	reply_attr(req, rc, &out);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void do_read(
        fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset, struct fuse_file_info *fi)
{
	void *buf = scratch_get(bytes);
	(void)fi;
	ssize_t n = buf ? fs_read(fs_of(req), ino, (uint64_t)offset, buf, bytes) : -ENOMEM;
	if (n < 0)
		reply_rc(req, (int)n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t bytes, off_t offset,
        struct fuse_file_info *fi)
{
	(void)fi;
	ssize_t n = fs_write(fs_of(req), ino, (uint64_t)offset, buf, bytes);
	if (n < 0)
		reply_rc(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void fsync_job(void *arg, uint64_t ino)
{
	fuse_req_t req = arg;
	reply_rc(req, fs_fsync(fs_of(req), ino));
}

static void checkpoint_job(void *arg, uint64_t ino)
{
	fuse_req_t req = arg;
	(void)ino;
	reply_rc(req, fs_checkpoint(fs_of(req)));
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct mnt_ctx *ctx = fuse_req_userdata(req);
	(void)datasync;
	(void)fi;
	mnt_syncer_run(ctx->syncer, fsync_job, req, ino);
}

/* On the root directory it asks for more: the image on disk holds everything. */
static void do_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct mnt_ctx *ctx = fuse_req_userdata(req);
	(void)datasync;
	(void)fi;
	mnt_syncer_run(ctx->syncer, ino == FS_ROOT ? checkpoint_job : fsync_job, req, ino);
}

/* ---- directories ----------------------------------------------------------------------------- */

/* The kernel holds the file position's lock during READDIR, so one thread at a time uses a handle.
 */
static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_dir *d;
	int rc = fs_opendir(fs_of(req), ino, &d);
	if (rc) {
		reply_rc(req, rc);
		return;
	}
	fi->fh = (uintptr_t)d;
	if (fuse_reply_open(req, fi))
		fs_closedir(d);
}

static void do_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fs_closedir((struct fs_dir *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

struct listing {
	fuse_req_t req;
	char *buf;
	size_t bytes, used;
	bool plus;
};

static int list_entry(void *arg, const struct fs_dirent *e)
{
	struct listing *l = arg;
	struct fuse_entry_param p = entry_of(&e->attr);
	size_t left = l->bytes - l->used, n;
	if (e->name[0] == '.' && (!e->name[1] || (e->name[1] == '.' && !e->name[2])))
		p.ino = 0; /* the kernel takes no lookup count for these two */
	if (l->plus)
		n = fuse_add_direntry_plus(
		        l->req, l->buf + l->used, left, e->name, &p, (off_t)e->next);
	else
		n = fuse_add_direntry(
		        l->req, l->buf + l->used, left, e->name, &p.attr, (off_t)e->next);
	if (n > left)
		return 1;
	l->used += n;
	return 0;
}

static void list(
        fuse_req_t req, size_t bytes, off_t offset, const struct fuse_file_info *fi, bool plus)
{
	struct listing l = {.req = req, .buf = scratch_get(bytes), .bytes = bytes, .plus = plus};
	int rc = l.buf ? 0 : -ENOMEM;
	if (!rc)
		rc = fs_readdir(
		        (struct fs_dir *)(uintptr_t)fi->fh, (uint64_t)offset, plus, list_entry, &l);
	/* Entries that were taken before an error are counted, so they must reach the kernel; it
	 * meets the error when it goes on. */
	if (rc && !l.used)
		reply_rc(req, rc);
	else
		fuse_reply_buf(req, l.buf, l.used);
}

static void do_readdir(
        fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset, struct fuse_file_info *fi)
{
	(void)ino;
	list(req, bytes, offset, fi, false);
}

static void do_readdirplus(
        fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset, struct fuse_file_info *fi)
{
	(void)ino;
	list(req, bytes, offset, fi, true);
}

const struct fuse_lowlevel_ops mnt_ops = {
        .init = do_init,
        .statfs = do_statfs,
        .lookup = do_lookup,
        .forget = do_forget,
        .forget_multi = do_forget_multi,
        .mknod = do_mknod,
        .mkdir = do_mkdir,
        .symlink = do_symlink,
        .readlink = do_readlink,
        .link = do_link,
        .unlink = do_unlink,
        .rmdir = do_rmdir,
        .rename = do_rename,
        .getattr = do_getattr,
        .setattr = do_setattr,
        .open = do_open,
        .read = do_read,
        .write = do_write,
        .fsync = do_fsync,
        .fsyncdir = do_fsyncdir,
        .opendir = do_opendir,
        .releasedir = do_releasedir,
        .readdir = do_readdir,
        .readdirplus = do_readdirplus,
};

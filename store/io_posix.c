/*
 * io_posix.c - a store directory through plain system calls.
 *
 * An IO_DIRECT file has two descriptors: one with O_DIRECT for aligned requests, and a buffered one
 * for the rest. The kernel keeps them coherent: a direct write drops the cached pages under it, and
 * a direct read first writes them out.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "store/io_posix.h"

enum { LOCK_POLL_MS = 10, ZEROES_BYTES = 64 * 1024 };

static int dir_of(struct io *io)
{
	return ((struct posix_io *)io)->dir_fd;
}

static int open_at(int dir_fd, const char *name, int flags)
{
	int fd;
	do
		fd = openat(dir_fd, name, flags | O_CLOEXEC, 0600);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int posix_open(struct io *io, const char *name, unsigned flags, struct io_file **out)
{
	int rc, access = flags & IO_READONLY ? O_RDONLY : O_RDWR;
	int create = (flags & IO_CREATE ? O_CREAT : 0) | (flags & IO_EXCL ? O_EXCL : 0);
	struct io_file *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	rc = file->fd_buffered = open_at(dir_of(io), name, access | create);
	if (rc < 0)
		goto out_free;
	file->fd = file->fd_buffered;
	if (flags & IO_DIRECT) {
		rc = open_at(dir_of(io), name, access | O_DIRECT);
		if (rc >= 0) {
			file->fd = rc;
			file->direct = true;
		} else if (rc != -EINVAL) {
			goto out_close;
		}
	}
	*out = file;
	return 0;
out_close:
	close(file->fd_buffered);
out_free:
	free(file);
	return rc;
}

static void posix_close(struct io *io, struct io_file *file)
{
	(void)io;
	if (file->direct)
		close(file->fd);
	close(file->fd_buffered);
	free(file);
}

static int posix_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
	struct stat st;
	(void)io;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	*bytes = (uint64_t)st.st_size;
	return 0;
}

int posix_io_fd(const struct io_file *file, const void *buf, size_t bytes, uint64_t offset)
{
	bool aligned = ((uintptr_t)buf | bytes | offset) % IO_ALIGN == 0;
	return aligned ? file->fd : file->fd_buffered;
}

static int transfer(struct io_req *req)
{
	size_t done = 0;

	while (done < req->bytes) {
		char *buf = (char *)req->buf + done;
		size_t bytes = req->bytes - done;
		off_t offset = (off_t)(req->offset + done);
		int fd = posix_io_fd(req->file, buf, bytes, (uint64_t)offset);
		ssize_t n = req->op == IO_READ ? pread(fd, buf, bytes, offset)
		                               : pwrite(fd, buf, bytes, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int posix_io_submit(struct io *io, struct io_req *reqs, unsigned n)
{
	int first = 0;

	(void)io;
	for (unsigned i = 0; i < n; i++) {
		struct io_req *req = &reqs[i];
		if (i > 0 && reqs[i - 1].link && reqs[i - 1].result)
			req->result = -ECANCELED;
		else if (req->op == IO_SYNC)
			req->result = fdatasync(req->file->fd) < 0 ? -errno : 0;
		else
			req->result = transfer(req);
		if (req->result && !first)
			first = req->result;
	}
	return first;
}

static int posix_truncate(struct io *io, struct io_file *file, uint64_t bytes)
{
	int rc;
	(void)io;
	do
		rc = ftruncate(file->fd_buffered, (off_t)bytes);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int punch_or_allocate(struct io_file *file, int mode, uint64_t offset, uint64_t bytes)
{
	int rc;
	do
		rc = fallocate(file->fd_buffered, mode, (off_t)offset, (off_t)bytes);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int posix_allocate(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	int rc = punch_or_allocate(file, 0, offset, bytes);
	void *zeroes;

	if (rc != -EOPNOTSUPP && rc != -ENOSYS)
		return rc;
	zeroes = calloc(1, ZEROES_BYTES);
	if (!zeroes)
		return -ENOMEM;
	for (rc = 0; bytes && !rc;) {
		size_t n = bytes < ZEROES_BYTES ? bytes : ZEROES_BYTES;
		rc = io_write(io, file, zeroes, n, offset);
		offset += n;
		bytes -= n;
	}
	free(zeroes);
	return rc;
}

static int posix_punch(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	(void)io;
	return punch_or_allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
}

static int posix_rename(struct io *io, const char *from, const char *to)
{
	return renameat(dir_of(io), from, dir_of(io), to) < 0 ? -errno : 0;
}

static int posix_unlink(struct io *io, const char *name)
{
	return unlinkat(dir_of(io), name, 0) < 0 ? -errno : 0;
}

static int posix_mkdir(struct io *io, const char *name)
{
	return mkdirat(dir_of(io), name, 0700) < 0 ? -errno : 0;
}

static int posix_sync_dir(struct io *io, const char *name)
{
	int rc, fd = open_at(dir_of(io), *name ? name : ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int posix_list(
        struct io *io, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
	int rc, fd = open_at(dir_of(io), *dir ? dir : ".", O_RDONLY | O_DIRECTORY);
	DIR *d;

	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		rc = -errno;
		close(fd);
		return rc;
	}
	for (rc = 0; !rc;) {
		struct dirent *e;
		errno = 0;
		e = readdir(d);
		if (!e) {
			rc = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			rc = each(arg, e->d_name);
	}
	closedir(d);
	return rc;
}

static int posix_lock(struct io *io, bool exclusive, unsigned wait_ms)
{
	const struct timespec poll = {.tv_nsec = LOCK_POLL_MS * 1000000L};

	for (unsigned waited_ms = 0;; waited_ms += LOCK_POLL_MS) {
		if (!flock(dir_of(io), (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (waited_ms >= wait_ms)
			return -EWOULDBLOCK;
		nanosleep(&poll, NULL);
	}
}

static int posix_host_free(struct io *io, uint64_t *bytes)
{
	struct statvfs st;
	if (fstatvfs(dir_of(io), &st) < 0)
		return -errno;
	*bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static void posix_register_buffers(struct io *io, void *base, size_t bytes)
{
	(void)io;
	(void)base;
	(void)bytes;
}

void posix_io_destroy(struct io *io)
{
	close(dir_of(io));
	free(io);
}

const struct io_ops posix_io_ops = {
        .name = "posix",
        .open = posix_open,
        .close = posix_close,
        .size = posix_size,
        .submit = posix_io_submit,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .punch = posix_punch,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .mkdir = posix_mkdir,
        .sync_dir = posix_sync_dir,
        .list = posix_list,
        .lock = posix_lock,
        .host_free = posix_host_free,
        .register_buffers = posix_register_buffers,
        .destroy = posix_io_destroy,
};

/*
 * io.c - opens a store directory and chooses how to reach it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/io_posix.h"

static int posix_io_new(int dir_fd, struct io **out)
{
	struct posix_io *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->io.ops = &posix_io_ops;
	p->dir_fd = dir_fd;
	*out = &p->io;
	return 0;
}

int io_open(const char *dir, enum io_kind kind, bool create, struct io **out, struct why *w)
{
	int rc, fd;

	if (create && mkdir(dir, 0700) < 0 && errno != EEXIST)
		return why(w, -errno, "cannot make directory %s: %s", dir, strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return why(w, -errno, "cannot open directory %s: %s", dir, strerror(errno));
	rc = kind == IO_POSIX ? posix_io_new(fd, out) : uring_io_new(fd, out);
	if (rc && kind == IO_AUTO)
		rc = posix_io_new(fd, out);
	else if (rc && kind == IO_URING && rc != -ENOMEM)
		rc = why(w, -ENOSYS, "this kernel does not let us use io_uring: %s", strerror(-rc));
	if (rc) {
		close(fd);
		if (rc != -ENOSYS)
			return why(w, rc, "cannot open %s: %s", dir, strerror(-rc));
	}
	return rc;
}

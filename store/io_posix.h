/*
 * io_posix.h - what the two real implementations of struct io_ops share.
 *
 * io_posix.c implements the whole table; io_uring.c replaces submit, register_buffers and destroy.
 */
#ifndef STORE_IO_POSIX_H
#define STORE_IO_POSIX_H

#include "store/io.h"

struct io_file {
	int fd;          /* O_DIRECT if `direct` */
	int fd_buffered; /* for requests that O_DIRECT does not take; equals fd if not `direct` */
	bool direct;
};

struct posix_io {
	struct io io; /* first: a struct io * of ours is a struct posix_io * */
	int dir_fd;
};

extern const struct io_ops posix_io_ops;

/* The file descriptor that takes a transfer like this one. */
int posix_io_fd(const struct io_file *file, const void *buf, size_t bytes, uint64_t offset);

int posix_io_submit(struct io *io, struct io_req *reqs, unsigned n);
void posix_io_destroy(struct io *io);

/* The io_uring table over an open directory. -ENOSYS or what the kernel said; then dir_fd stays
 * open. */
int uring_io_new(int dir_fd, struct io **out);

#endif

/*
 * transport.c - the hooks around read and writev of /dev/fuse.
 */
#include "mount/transport.h"

#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mount/ops.h"

static const uint32_t added_features = FUSE_PARALLEL_DIROPS;

static ssize_t receive(int fd, void *buf, size_t bytes, void *userdata)
{
	struct transport *t = &((struct mnt_ctx *)userdata)->transport;
	ssize_t n = read(fd, buf, bytes);
	const struct fuse_in_header *in = buf;
	const struct fuse_init_in *init = (const void *)(in + 1);
	if (n >= (ssize_t)(sizeof(*in) + offsetof(struct fuse_init_in, flags) +
	                   sizeof(init->flags)) &&
	        in->opcode == FUSE_INIT) {
		t->init_unique = in->unique;
		t->offered = init->flags;
	}
	return n;
}

static ssize_t reply(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct transport *t = &((struct mnt_ctx *)userdata)->transport;
	const struct fuse_out_header *out = iov[0].iov_base;
	if (count == 2 && t->init_unique && out->unique == t->init_unique && !out->error &&
	        iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof(uint32_t)) {
		struct fuse_init_out *init = iov[1].iov_base;
		init->flags |= added_features & t->offered;
	}
	return writev(fd, iov, count);
}

int mnt_transport_attach(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {.read = receive, .writev = reply};
	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

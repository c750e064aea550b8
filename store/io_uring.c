/*
 * io_uring.c - batches of requests through io_uring; all else as io_posix.c does it.
 *
 * A batch belongs to one ring from its first request to its last completion, so threads that submit
 * at once take different rings of a small pool and do not meet. A single request is one system call
 * either way, and goes straight to pread or pwrite.
 *
 * The kernel breaks a chain of links at a short transfer as it does at an error. So a batch is
 * driven round by round: what is unfinished is submitted again, until every request has succeeded,
 * has failed, or stands behind a failed link.
 */
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "store/io_posix.h"

enum {
	RINGS = 4,
	/* Registering pins every page at once. For 256 MiB that took 0.1 to 0.2 s at open and made
	 * all of it resident, and commits of 125 MiB became faster by less than their spread (0.10
	 * to 0.12 s). */
	REGISTER_BYTES_MAX = 64 * 1024 * 1024,
};

struct ring {
	pthread_mutex_t lock; /* held across I/O; guards all below */
	struct io_uring ring;
	bool broken;   /* the kernel refused to take requests: use system calls */
	char *buffers; /* registered as buffer 0, or NULL */
	size_t buffers_bytes;
};

struct uring_io {
	struct posix_io posix;
	atomic_uint next; /* spreads callers over the rings; any value is right */
	struct ring rings[RINGS];
};

static struct ring *ring_take(struct uring_io *u)
{
	unsigned first = atomic_fetch_add_explicit(&u->next, 1, memory_order_relaxed);
	struct ring *r = &u->rings[first % RINGS];

	for (unsigned i = 0; i < RINGS; i++) {
		struct ring *other = &u->rings[(first + i) % RINGS];
		if (!pthread_mutex_trylock(&other->lock))
			return other;
	}
	pthread_mutex_lock(&r->lock);
	return r;
}

static void prepare(struct ring *r, struct io_uring_sqe *sqe, const struct io_req *req, size_t done)
{
	char *buf = (char *)req->buf + done;
	size_t bytes = req->bytes - done;
	uint64_t offset = req->offset + done;
	bool fixed =
	        r->buffers && buf >= r->buffers && buf + bytes <= r->buffers + r->buffers_bytes;
	int fd;

	if (req->op == IO_SYNC) {
		io_uring_prep_fsync(sqe, req->file->fd, IORING_FSYNC_DATASYNC);
		return;
	}
	fd = posix_io_fd(req->file, buf, bytes, offset);
	if (req->op == IO_READ && fixed)
		io_uring_prep_read_fixed(sqe, fd, buf, (unsigned)bytes, offset, 0);
	else if (req->op == IO_READ)
		io_uring_prep_read(sqe, fd, buf, (unsigned)bytes, offset);
	else if (fixed)
		io_uring_prep_write_fixed(sqe, fd, buf, (unsigned)bytes, offset, 0);
	else
		io_uring_prep_write(sqe, fd, buf, (unsigned)bytes, offset);
}

struct progress {
	size_t done;
	bool completed; /* this round */
	bool finished;
};

/* Submits the `n` prepared requests and collects their completions; fewer only if the ring breaks.
 */
static void drive(struct ring *r, unsigned n, struct io_req *reqs, struct progress *progress)
{
	unsigned taken = 0, completed = 0;

	while (completed < (r->broken ? taken : n)) {
		struct io_uring_cqe *cqe;
		if (taken < n && !r->broken) {
			int rc = io_uring_submit_and_wait(&r->ring, n);
			if (rc > 0)
				taken += (unsigned)rc;
			else if (rc == -EAGAIN || rc == -EBUSY)
				sched_yield();
			else if (rc < 0 && rc != -EINTR)
				r->broken = true;
		} else {
			io_uring_wait_cqe(&r->ring, &cqe);
		}
		while (!io_uring_peek_cqe(&r->ring, &cqe)) {
			unsigned i = (unsigned)io_uring_cqe_get_data64(cqe);
			reqs[i].result = cqe->res;
			progress[i].completed = true;
			io_uring_cqe_seen(&r->ring, cqe);
			completed++;
		}
	}
}

/* What a completion means; the request stays unfinished if it is to be submitted again. */
static void judge(struct io_req *reqs, struct progress *progress, unsigned i)
{
	struct io_req *req = &reqs[i];
	struct progress *p = &progress[i];
	int res = req->result;

	if (!p->completed || res == -EINTR || res == -EAGAIN)
		return;
	p->completed = false;
	if (res == -ECANCELED) {
		p->finished = i > 0 && reqs[i - 1].link && progress[i - 1].finished &&
		              reqs[i - 1].result < 0;
		return;
	}
	if (res < 0) {
		p->finished = true;
		return;
	}
	p->done += (size_t)res;
	if (req->op == IO_SYNC || p->done == req->bytes) {
		p->finished = true;
		req->result = 0;
	} else if (res == 0) {
		p->finished = true;
		req->result = -EIO;
	}
}

/* Runs up to IO_BATCH_MAX requests, of which the first is not behind a link. */
static void run(struct ring *r, struct io_req *reqs, unsigned n)
{
	struct progress progress[IO_BATCH_MAX] = {{0}};

	for (;;) {
		unsigned queued[IO_BATCH_MAX], pending = 0;
		struct io_uring_sqe *last = NULL;

		for (unsigned i = 0; i < n; i++) {
			struct io_uring_sqe *sqe;
			if (progress[i].finished)
				continue;
			if (r->broken) {
				reqs[i].result = -EIO;
				progress[i].finished = true;
				continue;
			}
			if (i > 0 && reqs[i - 1].link && progress[i - 1].finished &&
			        reqs[i - 1].result) {
				reqs[i].result = -ECANCELED;
				progress[i].finished = true;
				continue;
			}
			if (last && i > 0 && reqs[i - 1].link && queued[pending - 1] == i - 1)
				last->flags |= IOSQE_IO_LINK;
			sqe = io_uring_get_sqe(&r->ring);
			assert(sqe); /* the queue holds IO_BATCH_MAX and is empty between rounds */
			prepare(r, sqe, &reqs[i], progress[i].done);
			io_uring_sqe_set_data64(sqe, i);
			queued[pending++] = i;
			last = sqe;
		}
		if (!pending)
			return;
		drive(r, pending, reqs, progress);
		for (unsigned k = 0; k < pending; k++)
			judge(reqs, progress, queued[k]);
	}
}

static int uring_submit(struct io *io, struct io_req *reqs, unsigned n)
{
	struct ring *r;
	int first = 0;

	if (n < 2)
		return posix_io_submit(io, reqs, n);
	r = ring_take((struct uring_io *)io);
	for (unsigned at = 0; at < n;) {
		unsigned window = n - at < IO_BATCH_MAX ? n - at : IO_BATCH_MAX;
		if (at > 0 && reqs[at - 1].link && reqs[at - 1].result) {
			reqs[at++].result =
			        -ECANCELED; /* the chain was cut here, and its head failed */
			continue;
		}
		if (r->broken)
			posix_io_submit(io, reqs + at, window);
		else
			run(r, reqs + at, window);
		at += window;
	}
	pthread_mutex_unlock(&r->lock);
	for (unsigned i = 0; i < n && !first; i++)
		first = reqs[i].result;
	return first;
}

static void uring_register_buffers(struct io *io, void *base, size_t bytes)
{
	struct uring_io *u = (struct uring_io *)io;
	struct iovec all = {.iov_base = base, .iov_len = bytes};

	for (unsigned i = 0; i < RINGS; i++) {
		struct ring *r = &u->rings[i];
		pthread_mutex_lock(&r->lock);
		if (r->buffers)
			io_uring_unregister_buffers(&r->ring);
		r->buffers = NULL;
		if (bytes && bytes <= REGISTER_BYTES_MAX &&
		        !io_uring_register_buffers(&r->ring, &all, 1)) {
			r->buffers = base;
			r->buffers_bytes = bytes;
		}
		pthread_mutex_unlock(&r->lock);
	}
}

static void rings_exit(struct uring_io *u, unsigned n)
{
	while (n-- > 0) {
		io_uring_queue_exit(&u->rings[n].ring);
		pthread_mutex_destroy(&u->rings[n].lock);
	}
}

static void uring_destroy(struct io *io)
{
	rings_exit((struct uring_io *)io, RINGS);
	posix_io_destroy(io);
}

static struct io_ops uring_ops;
static pthread_once_t uring_ops_once = PTHREAD_ONCE_INIT;

static void uring_ops_fill(void)
{
	uring_ops = posix_io_ops;
	uring_ops.name = "io_uring";
	uring_ops.submit = uring_submit;
	uring_ops.register_buffers = uring_register_buffers;
	uring_ops.destroy = uring_destroy;
}

int uring_io_new(int dir_fd, struct io **out)
{
	struct uring_io *u = calloc(1, sizeof(*u));
	unsigned n;
	int rc = 0;

	if (!u)
		return -ENOMEM;
	for (n = 0; n < RINGS && !rc; n++) {
		rc = io_uring_queue_init(IO_BATCH_MAX, &u->rings[n].ring, 0);
		if (rc)
			break;
		pthread_mutex_init(&u->rings[n].lock, NULL);
	}
	if (rc) {
		rings_exit(u, n);
		free(u);
		return rc;
	}
	pthread_once(&uring_ops_once, uring_ops_fill);
	u->posix.io.ops = &uring_ops;
	u->posix.dir_fd = dir_fd;
	*out = &u->posix.io;
	return 0;
}

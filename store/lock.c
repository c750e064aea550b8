/*
 * lock.c - one writer (S5). The lock is flock on the directory; the file `lock` only tells people
 * who has it, and may be stale, missing or nonsense without harm.
 */
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "store/state.h"

enum { NOTE_BYTES_MAX = 256 };

/* Copies the value of "name value\n" out of the note, as far as it is printable. */
static void note_field(const char *note, const char *name, char *out, size_t out_bytes)
{
	const char *at = note;
	size_t n = 0, name_bytes = strlen(name);

	while (at && strncmp(at, name, name_bytes)) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	for (at = at ? at + name_bytes : ""; *at > ' ' && *at < 127 && n + 1 < out_bytes; at++)
		out[n++] = *at;
	out[n] = 0;
}

static int refuse(struct io *io, struct why *w)
{
	char note[NOTE_BYTES_MAX + 1] = "", pid[24], host[80], started[40];
	struct io_file *file;
	uint64_t bytes;
	int rc = io->ops->open(io, "manifest.bin", IO_READONLY, &file);

	if (!rc)
		io->ops->close(io, file);
	if (rc == -ENOENT)
		return why(w, -ENOENT,
		        "this is not a store yet: it has no manifest.bin, and another process "
		        "holds it");
	if (!io->ops->open(io, "lock", IO_READONLY, &file)) {
		if (io->ops->size(io, file, &bytes) || bytes > NOTE_BYTES_MAX ||
		        io_read(io, file, note, bytes, 0))
			note[0] = 0;
		io->ops->close(io, file);
	}
	note_field(note, "pid ", pid, sizeof(pid));
	note_field(note, "host ", host, sizeof(host));
	note_field(note, "started ", started, sizeof(started));
	if (!*pid || !*host || !*started)
		return why(w, -EWOULDBLOCK, "the store is in use by another process");
	return why(w, -EWOULDBLOCK, "the store is in use by process %s on host %s, started %s", pid,
	        host, started);
}

int store_lock(struct io *io, bool exclusive, unsigned wait_ms, struct why *w)
{
	int rc = io->ops->lock(io, exclusive, wait_ms);

	if (rc == -EWOULDBLOCK)
		return refuse(io, w);
	return rc ? why(w, rc, "cannot lock the store: %s", strerror(-rc)) : 0;
}

void store_lock_note(struct io *io)
{
	char note[NOTE_BYTES_MAX], host[72] = "", started[32];
	time_t now = time(NULL);
	struct tm tm;
	struct io_file *file;
	int n;

	gethostname(host, sizeof(host) - 1);
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	n = snprintf(note, sizeof(note), "pid %ld\nhost %s\nstarted %s\n", (long)getpid(), host,
	        started);
	/* What fails here is not worth refusing to work. */
	if (io->ops->open(io, "lock", IO_CREATE, &file))
		return;
	if (!io->ops->truncate(io, file, 0))
		io_write(io, file, note, (size_t)n, 0);
	io->ops->close(io, file);
}

void store_lock_note_remove(struct io *io)
{
	io->ops->unlink(io, "lock");
}

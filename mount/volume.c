/*
 * volume.c - opening and closing a store from top to bottom.
 */
#include "mount/volume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { QUIET_S = 2 }; /* a replay shorter than this is nobody's concern */

struct progress {
	time_t begin, said;
};

static void progress(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
	struct progress *p = arg;
	time_t now = time(NULL);
	if (now - p->begin < QUIET_S || now == p->said || !all_bytes || !isatty(STDERR_FILENO))
		return;
	p->said = now;
	dprintf(STDERR_FILENO, "artfs: replaying the log, %" PRIu64 " of %" PRIu64 " MiB\n",
	        done_bytes >> 20, all_bytes >> 20);
}

static int check_directory(const char *store, struct why *w)
{
	struct stat st;
	if (stat(store, &st) < 0) {
		int err = errno == ENOENT ? ENOTDIR : errno;
		return why(w, -err, "cannot use %s: %s%s", store, strerror(errno),
		        errno == ENOENT ? "; artfs mkfs makes a store" : "");
	}
	if (!S_ISDIR(st.st_mode))
		return why(w, -ENOTDIR, "cannot use %s: it is not a directory, and a store is one",
		        store);
	return 0;
}

/* The rooms below speak of "the store"; the person may have several. */
static int named(const char *store, int rc, const struct why *below, struct why *w)
{
	const char *text = *below->text ? below->text : strerror(-rc);
	if (strstr(text, store))
		return why(w, rc, "%s", text);
	return why(w, rc, "%s: %s", store, text);
}

int mnt_volume_open(
        const char *store, const struct volume_options *opt, struct volume *out, struct why *w)
{
	struct volume v = {0};
	struct why below = {0};
	struct progress p = {.begin = time(NULL)};
	struct art_options ao = opt->art;
	struct fs_options fo = {.read_only = ao.read_only};
	ao.progress = progress;
	ao.progress_arg = &p;

	int rc = check_directory(store, w);
	if (rc)
		return rc;
	rc = io_open(store, opt->io, false, &v.io, &below);
	if (rc)
		goto out;
	rc = art_open(v.io, &ao, &v.art, &below);
	if (rc)
		goto out_io;
	rc = fs_open(v.art, &fo, &v.fs, &below);
	if (rc)
		goto out_art;
	*out = v;
	return 0;
out_art:
	art_close(v.art);
out_io:
	v.io->ops->destroy(v.io);
out:
	return named(store, rc, &below, w);
}

int mnt_volume_close(struct volume *v)
{
	int rc = fs_close(v->fs);
	int rc_art = art_close(v->art);
	v->io->ops->destroy(v->io);
	return rc ? rc : rc_art;
}

/*
 * cmd_mkfs.c - artfs mkfs: an empty store with a root directory.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount/command.h"
#include "mount/exit.h"
#include "mount/volume.h"

enum { SEGMENT_MAX = 1024 * 1024 * 1024 };

static const struct option names[] = {
        {"frame-size", required_argument, NULL, 's'},
        {"size", required_argument, NULL, 'S'},
        {"segment-size", required_argument, NULL, 'g'},
        {0},
};

static int parse(int argc, char **argv, struct art_format *fmt, const char **store)
{
	uint64_t n;
	for (int c; (c = mnt_getopt(argc, argv, "", names)) != -1;) {
		if (c == '?')
			return mnt_bad_option(MNT_USAGE, argv);
		if (!mnt_parse_size(optarg, &n) || n == 0 || (c != 'S' && n > UINT32_MAX))
			return mnt_fail(MNT_USAGE,
			        "mkfs: %s is no size: give a number with or without K, M, G or T "
			        "behind it",
			        optarg);
		if (c == 's')
			fmt->frame_bytes = (uint32_t)n;
		else if (c == 'S')
			fmt->size_max = n;
		else if (n >= WAL_SEGMENT_MIN && n <= SEGMENT_MAX && n % IO_ALIGN == 0)
			fmt->segment_bytes = (uint32_t)n;
		else /* found out only after the first files were written, otherwise */
			return mnt_fail(MNT_USAGE,
			        "mkfs: segments of %s: must be a multiple of 4K, 64K to 1G",
			        optarg);
	}
	if (argc - optind != 1)
		return mnt_fail(
		        MNT_USAGE, "mkfs: give one directory for the store: see artfs help");
	*store = argv[optind];
	return MNT_OK;
}

static int make(struct io *io, const struct art_format *fmt, struct why *w)
{
	struct art_options opt = {0};
	struct fs_cred owner = {.uid = geteuid(), .gid = getegid()};
	struct art *a;
	int rc = art_format(io, fmt, w);
	if (rc)
		return rc;
	rc = art_open(io, &opt, &a, w);
	if (rc)
		return rc;
	rc = fs_format(a, &owner, 0755);
	int rc_close = art_close(a);
	rc = rc ? rc : rc_close;
	return rc ? why(w, rc, "cannot write the root directory: %s", strerror(-rc)) : 0;
}

int mnt_cmd_mkfs(int argc, char **argv)
{
	struct art_format fmt = {0};
	const char *store = NULL;
	struct why w = {0};
	struct stat st;
	struct io *io;

	int code = parse(argc, argv, &fmt, &store);
	if (code)
		return code;
	bool was_there = stat(store, &st) == 0;
	if (was_there && !S_ISDIR(st.st_mode))
		return mnt_fail(MNT_NO_STORE,
		        "cannot make a store of %s: it is not a directory; name one that is empty "
		        "or missing",
		        store);
	int rc = io_open(store, IO_AUTO, true, &io, &w);
	if (rc)
		return mnt_fail(rc == -ENOENT ? MNT_NO_STORE : mnt_exit_of(rc), "%s",
		        *w.text ? w.text : strerror(-rc));
	rc = make(io, &fmt, &w);
	io->ops->destroy(io);
	if (!rc)
		return MNT_OK;
	if (!was_there)
		rmdir(store); /* refused if anything was written before it went wrong */
	return mnt_fail(mnt_exit_of(rc), "cannot make a store in %s: %s", store,
	        *w.text ? w.text : strerror(-rc));
}

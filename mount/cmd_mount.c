/*
 * cmd_mount.c - artfs mount, and mount.artfs as mount(8) calls it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mount/command.h"
#include "mount/daemon.h"
#include "mount/exit.h"
#include "mount/options.h"
#include "mount/place.h"
#include "mount/session.h"
#include "mount/volume.h"

struct request {
	const char *store, *mountpoint;
	struct mnt_options opt;
	bool foreground, fake;
};

/* -f is "foreground" to us and "fake" to mount(8). */
static int parse(int argc, char **argv, bool helper, struct request *r)
{
	static const struct option names[] = {{0}};
	bool sloppy = false;
	int code = MNT_OK;
	/* -s must hold for every -o, wherever it stands */
	for (int i = 1; helper && i < argc; i++)
		sloppy |= argv[i][0] == '-' && argv[i][1] != '-' && argv[i][1] != 'o' &&
		          strchr(argv[i], 's');
	for (int c; !code &&
	            (c = mnt_getopt(argc, argv, helper ? "sfnvo:N:t:" : "fo:", names)) != -1;) {
		if (c == 'o')
			code = mnt_options_parse(&r->opt, optarg, sloppy);
		else if (c == 'f' && helper)
			r->fake = true;
		else if (c == 'f')
			r->foreground = true;
		else if (c == '?')
			code = mnt_bad_option(MNT_USAGE, argv);
	}
	if (!code && argc - optind != 2)
		code = mnt_fail(MNT_USAGE,
		        "mount: give a store and a mount point, in this order: see artfs help");
	if (code)
		return code;
	r->store = argv[optind];
	r->mountpoint = argv[optind + 1];
	return MNT_OK;
}

/* In the process that stays. Returns its exit code. */
static int serve(const struct place *place, const struct mnt_options *opt)
{
	struct volume_options vo = {
	        .io = opt->io,
	        .art =
	                {
	                        .cache_bytes = opt->cache_bytes,
	                        .checkpoint_bytes = opt->checkpoint_bytes,
	                        .read_only = opt->read_only,
	                        .background = true,
	                        .lock_wait_ms = MNT_LOCK_WAIT_MS,
	                },
	};
	struct volume v;
	struct session *s;
	struct why w = {0};

	mnt_session_block_signals();
	int rc = mnt_volume_open(place->store, &vo, &v, &w);
	if (rc) {
		mnt_daemon_ready(mnt_exit_of(rc), w.text);
		return mnt_exit_of(rc);
	}
	rc = mnt_session_start(v.fs, place, opt, &s, &w);
	if (rc) {
		mnt_volume_close(&v);
		int code = rc == -ENOMEM  ? MNT_NO_MEMORY
		           : rc == -EPERM ? MNT_PERMISSION
		                          : MNT_ERROR;
		mnt_daemon_ready(code, w.text);
		return code;
	}
	mnt_daemon_ready(MNT_OK, "");
	mnt_session_wait(s);
	mnt_session_stop(s);
	rc = mnt_volume_close(&v);
	if (rc)
		mnt_say("%s: unmounted, but the last checkpoint failed: %s; the next mount "
		        "recovers from "
		        "the log what is on the disk",
		        place->store, strerror(-rc));
	return mnt_exit_of(rc);
}

static int run(int argc, char **argv, bool helper)
{
	struct request r = {0};
	struct place place = {0};
	mnt_options_init(&r.opt);
	int code = parse(argc, argv, helper, &r);
	if (!code)
		code = mnt_place_find(r.store, r.mountpoint, r.opt.allow_other, &place);
	if (!code && !r.fake && !r.foreground)
		code = mnt_daemon_fork();
	if (!code && !r.fake)
		code = serve(&place, &r.opt);
	mnt_place_fini(&place);
	mnt_options_fini(&r.opt);
	return code;
}

int mnt_cmd_mount(int argc, char **argv)
{
	return run(argc, argv, false);
}

int mnt_cmd_mount_helper(int argc, char **argv)
{
	return run(argc, argv, true);
}

/*
 * cmd_fsck.c - artfs fsck: reads everything, changes nothing.
 *
 * There is no repair: recovery is part of opening a store, and what a checksum refuses cannot be
 * guessed. The letters of fsck(8) that ask for one, or forbid it, are accepted because fsck(8)
 * passes them on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mount/command.h"
#include "mount/exit.h"
#include "mount/volume.h"

static const struct option names[] = {{0}};

static void say(void *arg, const char *line)
{
	(void)arg;
	printf("%s\n", line);
}

static bool is_damage(int rc)
{
	return rc == -EUCLEAN || rc == -EBADMSG;
}

int mnt_cmd_fsck(int argc, char **argv)
{
	struct volume_options opt = {.art = {.read_only = true, .lock_wait_ms = MNT_LOCK_WAIT_MS}};
	struct volume v;
	struct why w = {0};

	for (int c; (c = mnt_getopt(argc, argv, "nfaprytTMRVvC:", names)) != -1;)
		if (c == '?')
			return mnt_bad_option(MNT_FSCK_USAGE, argv);
	if (argc - optind != 1)
		return mnt_fail(MNT_FSCK_USAGE, "fsck: give one store: see artfs help");
	const char *store = argv[optind];

	int rc = mnt_volume_open(store, &opt, &v, &w);
	if (rc) {
		mnt_fail(0, "%s", w.text);
		return is_damage(rc) ? MNT_FSCK_ERRORS_LEFT : MNT_FSCK_OPERATIONAL;
	}
	struct art_stat st;
	art_stat(v.art, &st);
	int found = fs_check(v.art, say, NULL);
	rc = mnt_volume_close(&v);
	if (found >= 0 && rc)
		found = rc;
	if (found < 0) {
		mnt_fail(0, "%s: the check could not be finished: %s", store, strerror(-found));
		return is_damage(found) ? MNT_FSCK_ERRORS_LEFT : MNT_FSCK_OPERATIONAL;
	}
	if (found > 0)
		printf("%s: %d findings; artfs does not repair: restore a backup\n", store, found);
	else
		printf("%s: clean, %llu keys\n", store, (unsigned long long)st.keys);
	if (fflush(stdout))
		return MNT_FSCK_OPERATIONAL;
	return found ? MNT_FSCK_ERRORS_LEFT : MNT_FSCK_CLEAN;
}

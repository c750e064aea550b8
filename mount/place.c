/*
 * place.c - looking at the world before a mount.
 */
#include "mount/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mount/exit.h"

/* mountinfo writes space, tab, newline and backslash as three octal digits. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

bool mnt_is_mounted(const char *path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *where = NULL;
	size_t room = 0;
	bool found = false;
	while (f && !found && getline(&line, &room, f) > 0) {
		if (sscanf(line, "%*s %*s %*s %*s %ms", &where) != 1)
			continue;
		unescape(where);
		found = !strcmp(where, path);
		free(where);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

const char *mnt_fusermount(void)
{
	static const char *const paths[] = {
	        "/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"};
	for (unsigned i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

/* `inner` lies in the directory `outer`, or is it. Both absolute, without links. */
static bool is_within(const char *inner, const char *outer)
{
	size_t n = strlen(outer);
	if (outer[n - 1] == '/')
		return true;
	return !strncmp(inner, outer, n) && (inner[n] == '/' || !inner[n]);
}

static int check_fuse(bool allow_other)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int err = errno;
	if (fd >= 0)
		close(fd);
	else if (err == ENOENT || err == ENODEV || err == ENXIO)
		return mnt_fail(MNT_NO_FUSE,
		        "cannot mount: there is no FUSE here (/dev/fuse: %s); load the "
		        "kernel module with modprobe fuse, or give the container the device",
		        strerror(err));
	else
		return mnt_fail(err == EACCES || err == EPERM ? MNT_PERMISSION : MNT_NO_FUSE,
		        "cannot mount: cannot open /dev/fuse: %s", strerror(err));
	if (geteuid() == 0)
		return MNT_OK;
	if (!mnt_fusermount())
		return mnt_fail(MNT_NO_FUSERMOUNT,
		        "cannot mount: fusermount3 is missing, which everyone but root "
		        "needs; install the package fuse3");
	if (allow_other) {
		/* The file is readable by all, and a word that stands alone on its line. */
		FILE *f = fopen("/etc/fuse.conf", "re");
		char line[256];
		bool allowed = false;
		while (f && fgets(line, sizeof(line), f))
			allowed |= !strncmp(line, "user_allow_other", 16);
		if (f)
			fclose(f);
		if (!allowed)
			return mnt_fail(MNT_PERMISSION,
			        "cannot mount with allow_other: only root may, unless "
			        "/etc/fuse.conf holds the line user_allow_other");
	}
	return MNT_OK;
}

static int find_store(const char *path, char **out)
{
	struct stat st;
	char *real = realpath(path, NULL);
	if (!real)
		return mnt_fail(errno == EACCES ? MNT_PERMISSION : MNT_NO_STORE,
		        "cannot use the store %s: %s%s", path, strerror(errno),
		        errno == ENOENT ? "; artfs mkfs makes one" : "");
	int code = MNT_OK;
	if (stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
		code = mnt_fail(MNT_NO_STORE,
		        "cannot use the store %s: it is not a directory, and a store is one", path);
	else if (access(real, R_OK | X_OK) < 0)
		code = mnt_fail(
		        MNT_PERMISSION, "cannot use the store %s: %s", path, strerror(errno));
	if (code)
		free(real);
	else
		*out = real;
	return code;
}

static int find_mountpoint(const char *path, char **out)
{
	struct stat st;
	struct statvfs v;
	char *real = realpath(path, NULL);
	if (!real)
		return mnt_fail(errno == EACCES ? MNT_PERMISSION : MNT_MOUNT_POINT,
		        "cannot mount on %s: %s%s", path, strerror(errno),
		        errno == ENOENT ? "; make the directory first" : "");
	int code = MNT_OK;
	/* asks the process behind the mount, where stat(2) may be answered by the kernel alone */
	if (statvfs(real, &v) < 0 && errno == ENOTCONN)
		code = mnt_fail(MNT_MOUNT_POINT,
		        "cannot mount on %s: a mount whose process is gone is still there; first "
		        "run "
		        "fusermount3 -u %s",
		        path, path);
	else if (mnt_is_mounted(real))
		code = mnt_fail(MNT_MOUNT_POINT,
		        "cannot mount on %s: something is mounted there already; unmount it first "
		        "with "
		        "fusermount3 -u %s",
		        path, path);
	else if (stat(real, &st) < 0)
		code = mnt_fail(MNT_MOUNT_POINT, "cannot mount on %s: %s", path, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		code = mnt_fail(MNT_MOUNT_POINT, "cannot mount on %s: it is not a directory", path);
	if (code)
		free(real);
	else
		*out = real;
	return code;
}

int mnt_place_find(const char *store, const char *mountpoint, bool allow_other, struct place *out)
{
	struct place p = {0};
	int code = find_store(store, &p.store);
	if (!code)
		code = find_mountpoint(mountpoint, &p.mountpoint);
	if (!code && is_within(p.mountpoint, p.store))
		code = mnt_fail(MNT_MOUNT_POINT,
		        "cannot mount on %s: it is the store %s or lies in it; choose a directory "
		        "elsewhere",
		        mountpoint, store);
	if (!code && is_within(p.store, p.mountpoint))
		code = mnt_fail(MNT_MOUNT_POINT,
		        "cannot mount on %s: the mount would hide its own store %s; choose a "
		        "directory elsewhere",
		        mountpoint, store);
	if (!code)
		code = check_fuse(allow_other);
	if (code)
		mnt_place_fini(&p);
	else
		*out = p;
	return code;
}

void mnt_place_fini(struct place *p)
{
	free(p->store);
	free(p->mountpoint);
	*p = (struct place){0};
}

/*
 * session.c - the life of one mount.
 *
 * Unmounting comes first and ends everything else: while it is under way the workers go on, so that
 * what the kernel still has to write is taken. Only a mount that stays busy is left, after
 * GRACE_MS.
 */
#include "mount/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mount/daemon.h"
#include "mount/ops.h"

enum { GRACE_MS = 2000 };

struct session {
	struct fuse_session *se;
	struct mnt_ctx ctx;
	const struct place *place;
	int signal_fd, ended_fd; /* ended_fd counts the workers that have ended */
	pthread_t worker[MNT_THREADS_MAX];
	unsigned workers;
};

/* ---- workers --------------------------------------------------------------------------------- */

static void free_message(void *arg)
{
	struct fuse_buf *buf = arg;
	free(buf->mem);
	mnt_ops_thread_fini();
}

/* Can be cancelled only while it waits for a message. */
static void *work(void *arg)
{
	struct session *s = arg;
	struct fuse_buf buf = {0};
	int was;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
	pthread_cleanup_push(free_message, &buf);
	while (!fuse_session_exited(s->se)) {
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &was);
		int n = fuse_session_receive_buf(s->se, &buf);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		fuse_session_process_buf(s->se, &buf);
	}
	eventfd_write(s->ended_fd, 1);
	pthread_cleanup_pop(1);
	return NULL;
}

static int start_workers(struct session *s, unsigned n)
{
	int err = 0;
	while (!err && s->workers < n) {
		err = pthread_create(&s->worker[s->workers], NULL, work, s);
		s->workers += !err;
	}
	return -err;
}

/* ---- unmounting ------------------------------------------------------------------------------ */

static int run_fusermount(const char *mountpoint, const char *how)
{
	extern char **environ;
	const char *program = mnt_fusermount();
	char *argv[] = {"fusermount3", (char *)how, "--", (char *)mountpoint, NULL};
	pid_t child;
	int status;
	if (!program || posix_spawn(&child, program, NULL, NULL, argv, environ))
		return -ENOENT;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

static void unmount(const char *mountpoint)
{
	int rc;
	if (geteuid() == 0) {
		rc = umount2(mountpoint, UMOUNT_NOFOLLOW);
		if (rc < 0 && errno == EBUSY)
			rc = umount2(mountpoint, UMOUNT_NOFOLLOW | MNT_DETACH);
	} else {
		rc = run_fusermount(mountpoint, "-uq");
		if (rc)
			rc = run_fusermount(mountpoint, "-uqz");
	}
	if (rc)
		mnt_say("cannot unmount %s: do it with fusermount3 -u %s", mountpoint, mountpoint);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void log_libfuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[400];
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = 0;
	if (level <= FUSE_LOG_WARNING && *text)
		mnt_say("%s", text);
}

static int session_new(struct session *s, const struct mnt_options *opt)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char *list = NULL, *fsname = NULL;
	int rc = -ENOMEM;
	if (asprintf(&fsname, "fsname=%s", opt->fsname ? opt->fsname : s->place->store) < 0) {
		fsname = NULL;
		goto out;
	}
	if (fuse_opt_add_opt(&list, "subtype=artfs") || fuse_opt_add_opt_escaped(&list, fsname))
		goto out;
	if (!opt->single_user && fuse_opt_add_opt(&list, "default_permissions"))
		goto out;
	if (opt->pass && fuse_opt_add_opt(&list, opt->pass))
		goto out;
	if (fuse_opt_add_arg(&args, "artfs") || fuse_opt_add_arg(&args, "-o") ||
	        fuse_opt_add_arg(&args, list))
		goto out;
	s->se = fuse_session_new(&args, &mnt_ops, sizeof(mnt_ops), &s->ctx);
	rc = s->se ? 0 : -EINVAL;
out:
	fuse_opt_free_args(&args);
	free(list);
	free(fsname);
	return rc;
}

/* libfuse and fusermount3 print what is wrong; it becomes part of our one sentence. */
static int mount_quietly(struct session *s, const struct mnt_options *opt, struct why *w)
{
	char said[200] = "";
	int err_fd = dup(STDERR_FILENO), text_fd = memfd_create("artfs-mount", MFD_CLOEXEC);
	if (text_fd >= 0)
		dup2(text_fd, STDERR_FILENO);
	int rc = session_new(s, opt);
	if (!rc && fuse_session_mount(s->se, s->place->mountpoint))
		rc = -EPERM;
	if (err_fd >= 0)
		dup2(err_fd, STDERR_FILENO);
	if (text_fd >= 0 && pread(text_fd, said, sizeof(said) - 1, 0) > 0)
		said[strcspn(said, "\n")] = 0;
	if (err_fd >= 0)
		close(err_fd);
	if (text_fd >= 0)
		close(text_fd);
	return rc ? why(w, rc, "cannot mount on %s: %s", s->place->mountpoint,
	                    *said ? said : strerror(-rc))
	          : 0;
}

static sigset_t end_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

void mnt_session_block_signals(void)
{
	sigset_t set = end_signals();
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int open_events(struct session *s)
{
	sigset_t set = end_signals();
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	s->ended_fd = eventfd(0, EFD_CLOEXEC);
	return s->signal_fd < 0 || s->ended_fd < 0 ? -errno : 0;
}

/* The kernel lets this wait until INIT has been answered. */
static int ask(const char *mountpoint)
{
	struct stat st;
	struct statvfs v;
	if (stat(mountpoint, &st) < 0 || statvfs(mountpoint, &v) < 0)
		return -errno;
	return st.st_ino == FS_ROOT && S_ISDIR(st.st_mode) ? 0 : -EIO;
}

int mnt_session_start(struct fs *fs, const struct place *place, const struct mnt_options *opt,
        struct session **out, struct why *w)
{
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return why(w, -ENOMEM, "out of memory");
	s->ctx.fs = fs;
	s->place = place;
	s->signal_fd = s->ended_fd = -1;
	int rc = open_events(s);
	if (!rc)
		rc = mnt_syncer_start(
		        fs, opt->threads, opt->read_only ? 0 : opt->commit_s, &s->ctx.syncer);
	if (rc) {
		why(w, rc, "cannot start: %s", strerror(-rc));
		goto fail;
	}
	rc = mount_quietly(s, opt, w);
	if (rc)
		goto fail;
	fuse_set_log_func(log_libfuse);
	rc = mnt_transport_attach(s->se);
	if (!rc)
		rc = start_workers(s, opt->threads);
	if (!rc)
		rc = ask(place->mountpoint);
	if (rc) {
		why(w, rc, "the mount on %s does not answer: %s", place->mountpoint, strerror(-rc));
		if (s->workers)
			unmount(place->mountpoint);
		goto fail;
	}
	*out = s;
	return 0;
fail:
	mnt_session_stop(s);
	return rc;
}

/* ---- end ------------------------------------------------------------------------------------- */

void mnt_session_wait(struct session *s)
{
	struct pollfd p[] = {
	        {.fd = s->ended_fd, .events = POLLIN},
	        {.fd = s->signal_fd, .events = POLLIN},
	};
	struct statvfs v;
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (!(p[0].revents & POLLIN)) {
		unmount(s->place->mountpoint);
		poll(p, 1, GRACE_MS);
	} else if (statvfs(s->place->mountpoint, &v) < 0 && errno == ENOTCONN) {
		unmount(s->place->mountpoint); /* not unmounted, but aborted */
	}
}

void mnt_session_stop(struct session *s)
{
	if (s->se)
		fuse_session_exit(s->se);
	for (unsigned i = 0; i < s->workers; i++)
		pthread_cancel(s->worker[i]);
	while (s->workers)
		pthread_join(s->worker[--s->workers], NULL);
	if (s->ctx.syncer)
		mnt_syncer_stop(s->ctx.syncer);
	if (s->se) {
		fuse_session_unmount(s->se);
		fuse_session_destroy(s->se);
	}
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	if (s->ended_fd >= 0)
		close(s->ended_fd);
	free(s);
}

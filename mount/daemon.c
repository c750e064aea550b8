/*
 * daemon.c - going to the background.
 */
#include "mount/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "mount/exit.h"

struct answer {
	int code;
	char sentence[600];
};

static int answer_fd = -1;   /* the child's end of the pipe; used by the main thread only */
static atomic_bool detached; /* set once, before the main thread starts to wait */

static _Noreturn void wait_for_answer(int fd, pid_t child)
{
	struct answer a;
	ssize_t n;
	int status;
	do
		n = read(fd, &a, sizeof(a));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(a)) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		_exit(mnt_fail(MNT_ERROR,
		        "the mount process ended before its mount answered (%s %d)",
		        WIFSIGNALED(status) ? "signal" : "exit code",
		        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
	}
	if (a.code)
		mnt_fail(a.code, "%s", a.sentence);
	_exit(a.code);
}

int mnt_daemon_fork(void)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return mnt_fail(MNT_ERROR, "cannot go to the background: %s", strerror(errno));
	pid_t child = fork();
	if (child < 0)
		return mnt_fail(MNT_ERROR, "cannot go to the background: %s", strerror(errno));
	if (child > 0) {
		close(p[1]);
		wait_for_answer(p[0], child);
	}
	close(p[0]);
	answer_fd = p[1];
	/* Interrupting the parent while it waits must not end in a mount that nobody owns up to, so
	 * the session is left only when the answer is out. */
	return MNT_OK;
}

static void detach(void)
{
	setsid();
	if (chdir("/") < 0)
		mnt_say("cannot change to /: %s", strerror(errno));
	openlog("artfs", LOG_PID, LOG_DAEMON);
	atomic_store(&detached, true);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

void mnt_daemon_ready(int code, const char *sentence)
{
	struct answer a = {.code = code};
	if (answer_fd < 0) {
		if (code)
			mnt_fail(code, "%s", sentence);
		return;
	}
	snprintf(a.sentence, sizeof(a.sentence), "%s", sentence);
	if (!code)
		detach();
	/* Whoever waited may be gone; the mount stays. */
	ssize_t n = write(answer_fd, &a, sizeof(a));
	(void)n;
	close(answer_fd);
	answer_fd = -1;
}

void mnt_say(const char *fmt, ...)
{
	va_list ap;
	char text[600];
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (atomic_load(&detached))
		syslog(LOG_ERR, "%s", text);
	else
		mnt_fail(0, "%s", text);
}

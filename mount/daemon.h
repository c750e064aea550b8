/*
 * daemon.h - going to the background, and who is told what.
 *
 *    shell            parent                       child
 *      │ artfs mount ──► │ mnt_daemon_fork() ───────► │  opens the store and takes the lock (S5),
 * mounts │                 │ waits                      │  asks its own mount for an answer │ ◄──
 * exit code ──│ ◄─────────── mnt_daemon_ready(): 0, or a code and a sentence │ │  lets go of the
 * terminal; from here on: syslog
 *
 * The parent prints the sentence, so that one failure is one sentence, whoever met it.
 */
#ifndef MOUNT_DAEMON_H
#define MOUNT_DAEMON_H

#include <stdbool.h>

/* Forks. Returns in the child only; the parent waits for mnt_daemon_ready() there and exits as it
 * says. 0, or an exit code after its sentence was printed, if there is no child. */
int mnt_daemon_fork(void);

/* In the child, once. A nonzero code is printed with the sentence; the caller then exits with it.
 * Without a fork the sentence goes to stderr. */
void mnt_daemon_ready(int code, const char *sentence);

/* What nobody waits for: to syslog when detached, to stderr otherwise. */
__attribute__((format(printf, 1, 2))) void mnt_say(const char *fmt, ...);

#endif

/*
 * session.h - the life of one mount.
 *
 *     main thread                        workers (threads=)             others
 *     mnt_session_start() ── mount ──►   receive, answer                syncer: pool and timer
 *        asks the mount for an answer ──► INIT, STATFS
 *     mnt_session_wait()  ◄── SIGTERM, SIGINT, SIGHUP: unmounts, lazily if busy
 *                         ◄── the workers end: unmounted by somebody
 *     mnt_session_stop()
 */
#ifndef MOUNT_SESSION_H
#define MOUNT_SESSION_H

#include "fs/fs.h"
#include "mount/options.h"
#include "mount/place.h"
#include "store/why.h"

struct session;

/* Holds back SIGTERM, SIGINT and SIGHUP until mnt_session_wait() looks for them. To be called
 * before any thread is started, the checkpointer of the dictionary included: a thread that does not
 * know would let the signal end the process. */
void mnt_session_block_signals(void);

/* Mounts, and returns when the mount has answered. 0 or -errno; then nothing is mounted. `fs` and
 * `place` outlive the session. */
int mnt_session_start(struct fs *fs, const struct place *place, const struct mnt_options *opt,
        struct session **out, struct why *w);

/* Returns when it is no longer mounted, or at least has no path any more. */
void mnt_session_wait(struct session *s);

/* Ends all threads and frees; whoever still uses the mount gets ENOTCONN. */
void mnt_session_stop(struct session *s);

#endif

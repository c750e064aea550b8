/*
 * syncer.h - who waits for the disk, so that the workers need not.
 *
 * fsync waits for a flush. If every worker waited, later calls of other clients would wait behind
 * them, and a group commit could never be larger than the number of workers. So a worker runs an
 * fsync itself only while another worker is left to receive; the last one hands it to a pool:
 *
 *     worker 1 ── fsync a ──► runs it                          (one client: no change of threads)
 *     worker 2 ── fsync b ──► is the last ──► queue ──► pool   b, c, d meet in one flush
 *              ── fsync c ──► is the last ──► queue ──► pool
 *
 * A thread of its own calls fs_sync() every commit_s seconds.
 */
#ifndef MOUNT_SYNCER_H
#define MOUNT_SYNCER_H

#include <stdint.h>

#include "fs/fs.h"

struct syncer;

/* One wait for the disk: run(arg, ino) does it, and replies. */
typedef void sync_job_fn(void *arg, uint64_t ino);

/* `workers` threads will call mnt_syncer_run(). Returns 0 or -errno. */
int mnt_syncer_start(struct fs *fs, unsigned workers, unsigned commit_s, struct syncer **out);

/* Waits for all jobs, ends the threads, frees. The workers have ended. */
void mnt_syncer_stop(struct syncer *s);

/* Runs the job, here or in the pool; returns when it is done or handed over. */
void mnt_syncer_run(struct syncer *s, sync_job_fn *run, void *arg, uint64_t ino);

/* W4: if the volume has failed, says so, the first time. */
void mnt_say_if_failed(struct fs *fs);

#endif

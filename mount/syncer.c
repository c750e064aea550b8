/*
 * syncer.c - fsync beside the workers, and the periodic commit.
 *
 * Lock: `lock` guards the queue and `stop`; nothing else is held with it, no job runs under it.
 */
#include "mount/syncer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mount/daemon.h"

enum { POOL = 16 };

struct job {
	struct job *next;
	sync_job_fn *run;
	void *arg;
	uint64_t ino;
};

struct syncer {
	struct fs *fs;           /* immutable */
	unsigned commit_s;       /* immutable; 0: no timer */
	atomic_int free_workers; /* those that do not wait for the disk in mnt_syncer_run() */
	pthread_mutex_t lock;
	pthread_cond_t work, tick;
	struct job *first, **last; /* guarded by lock */
	bool stop;                 /* guarded by lock */
	pthread_t timer, pool[POOL];
	unsigned pool_n; /* threads that were started; main thread only */
	bool timer_on;   /* main thread only */
};

void mnt_say_if_failed(struct fs *fs)
{
	static atomic_bool said;
	if (art_failed(fs_art(fs)) && !atomic_exchange(&said, true))
		mnt_say("a write to the disk failed: the filesystem is read-only from now on; what "
		        "was not "
		        "yet durable may be lost; unmount it, look to the disk, and mount it "
		        "again");
}

static void *pool_thread(void *arg)
{
	struct syncer *s = arg;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->first && !s->stop)
			pthread_cond_wait(&s->work, &s->lock);
		struct job *j = s->first;
		if (!j)
			break;
		s->first = j->next;
		if (!s->first)
			s->last = &s->first;
		pthread_mutex_unlock(&s->lock);
		j->run(j->arg, j->ino);
		free(j);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void *timer_thread(void *arg)
{
	struct syncer *s = arg;
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		at.tv_sec += s->commit_s;
		while (!s->stop && pthread_cond_timedwait(&s->tick, &s->lock, &at) != ETIMEDOUT)
			;
		if (s->stop)
			break;
		pthread_mutex_unlock(&s->lock);
		/* What fails is told to whoever calls fsync; a failed volume also here. */
		fs_sync(s->fs);
		mnt_say_if_failed(s->fs);
		clock_gettime(CLOCK_MONOTONIC, &at);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int mnt_syncer_start(struct fs *fs, unsigned workers, unsigned commit_s, struct syncer **out)
{
	pthread_condattr_t monotonic;
	struct syncer *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fs = fs;
	s->commit_s = commit_s;
	s->last = &s->first;
	atomic_init(&s->free_workers, (int)workers);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->tick, &monotonic);
	pthread_condattr_destroy(&monotonic);

	int err = commit_s ? pthread_create(&s->timer, NULL, timer_thread, s) : 0;
	s->timer_on = commit_s && !err;
	while (!err && s->pool_n < POOL) {
		err = pthread_create(&s->pool[s->pool_n], NULL, pool_thread, s);
		s->pool_n += !err;
	}
	if (err)
		mnt_syncer_stop(s);
	else
		*out = s;
	return -err;
}

void mnt_syncer_stop(struct syncer *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->work);
	pthread_cond_broadcast(&s->tick);
	pthread_mutex_unlock(&s->lock);
	while (s->pool_n)
		pthread_join(s->pool[--s->pool_n], NULL);
	if (s->timer_on)
		pthread_join(s->timer, NULL);
	pthread_cond_destroy(&s->tick);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void mnt_syncer_run(struct syncer *s, sync_job_fn *run, void *arg, uint64_t ino)
{
	bool last = atomic_fetch_sub(&s->free_workers, 1) <= 1;
	struct job *j = last ? malloc(sizeof(*j)) : NULL;
	if (j) {
		*j = (struct job){.run = run, .arg = arg, .ino = ino};
		pthread_mutex_lock(&s->lock);
		*s->last = j;
		s->last = &j->next;
		pthread_cond_signal(&s->work);
		pthread_mutex_unlock(&s->lock);
	} else {
		run(arg, ino); /* for want of memory it may be the last worker that waits: slow, not
		                  wrong */
	}
	atomic_fetch_add(&s->free_workers, 1);
}

/*
 * log_bench.c - the log alone: what a durable commit costs with 1, 8 and 32 threads, and what a record costs that
 * nobody waits for. `make bench-wal`; DIR is a directory on a disk (default build/), SECONDS per figure (default 1).
 *
 *   committer:  lock ─ reserve ─ append 128 bytes ─ unlock ─ sync        as art/ does it, without a tree
 *   loader:     reserve ─ append 128 bytes, trimmed every 64 MiB         the clock is read for every one
 *
 * The disk beside it, in the same run: 4 KiB written to a zero-filled file with O_DIRECT | O_DSYNC.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wal/wal.h"

enum {
	PAYLOAD = 128,
	THREADS_MAX = 32,
	BARE_FILE_BYTES = 16 * 1024 * 1024,
	TRIM_BYTES = 64 * 1024 * 1024,
	BUCKETS = 64 * 16, /* of a latency: sixteenths of powers of two, in ns */
};

static double seconds = 1;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void check(int r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

struct latencies {
	uint64_t n, max, buckets[BUCKETS];
};

static void note(struct latencies *l, uint64_t ns)
{
	const unsigned power = 63 - (unsigned)__builtin_clzll(ns | 16);
	l->buckets[power * 16 + ((ns >> (power - 4)) & 15)]++;
	l->n++;
	if (ns > l->max)
		l->max = ns;
}

static double quantile_us(const struct latencies *l, double q)
{
	uint64_t left = (uint64_t)((double)l->n * q);
	unsigned i = 0;
	while (i < BUCKETS - 1 && left >= l->buckets[i])
		left -= l->buckets[i++];
	return (double)((16 + i % 16) * (1ULL << (i / 16)) / 16) / 1000;
}

static double bare_disk(void)
{
	uint8_t *block = aligned_alloc(IO_ALIGN, 1024 * 1024);
	const int fd = open("bare", O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
	check(fd < 0 || !block ? -errno : 0, "bare file");
	memset(block, 0, 1024 * 1024);
	for (off_t at = 0; at < BARE_FILE_BYTES; at += 1024 * 1024)
		check(pwrite(fd, block, 1024 * 1024, at) < 0 ? -errno : 0, "zero-fill");
	const uint64_t start = now_ns();
	uint64_t n = 0;
	while ((double)(now_ns() - start) < seconds * 1e9) {
		const off_t at = (off_t)(n++ % (BARE_FILE_BYTES / IO_ALIGN)) * IO_ALIGN;
		check(pwrite(fd, block, IO_ALIGN, at) < 0 ? -errno : 0, "write");
	}
	const double rate = (double)n / ((double)(now_ns() - start) / 1e9);
	close(fd);
	unlink("bare");
	free(block);
	return rate;
}

struct crowd {
	struct wal *w;
	pthread_mutex_t lock; /* the caller's */
	uint64_t end_ns;
};

struct committer {
	struct crowd *crowd;
	struct latencies latencies;
	pthread_t thread;
};

static uint64_t append(struct wal *w)
{
	static const uint8_t payload[PAYLOAD] = "not all zero";
	const struct iovec piece = {(void *)payload, PAYLOAD};
	check(wal_reserve(w, PAYLOAD), "reserve");
	return wal_append(w, 1, &piece, 1);
}

static void *committer(void *arg)
{
	struct committer *c = arg;
	struct wal *w = c->crowd->w;
	for (uint64_t start = now_ns(), end; start < c->crowd->end_ns; start = end) {
		pthread_mutex_lock(&c->crowd->lock);
		const uint64_t lsn = append(w);
		pthread_mutex_unlock(&c->crowd->lock);
		check(wal_sync(w, lsn), "sync");
		end = now_ns();
		note(&c->latencies, end - start);
	}
	return NULL;
}

static void commits(struct wal *w, unsigned threads)
{
	static struct committer committers[THREADS_MAX];
	static struct latencies all;
	struct wal_stat before, after;
	struct crowd crowd = {.w = w, .lock = PTHREAD_MUTEX_INITIALIZER};
	memset(committers, 0, sizeof(committers));
	memset(&all, 0, sizeof(all));
	wal_stat(w, &before);
	crowd.end_ns = now_ns() + (uint64_t)(seconds * 1e9);
	for (unsigned i = 0; i < threads; i++) {
		committers[i].crowd = &crowd;
		check(-pthread_create(&committers[i].thread, NULL, committer, &committers[i]),
		        "thread");
	}
	for (unsigned i = 0; i < threads; i++) {
		const struct latencies *l = &committers[i].latencies;
		pthread_join(committers[i].thread, NULL);
		for (unsigned k = 0; k < BUCKETS; k++)
			all.buckets[k] += l->buckets[k];
		all.n += l->n;
		if (l->max > all.max)
			all.max = l->max;
	}
	wal_stat(w, &after);
	printf("commits, %2u threads: %8.0f /s  median %6.1f us  p99 %6.1f us  p99.9 %7.1f us  "
	       "max %7.1f us  %.1f commits a flush\n",
	        threads, (double)all.n / seconds, quantile_us(&all, 0.5), quantile_us(&all, 0.99),
	        quantile_us(&all, 0.999), (double)all.max / 1000,
	        (double)all.n / (double)(after.flushes - before.flushes));
	fflush(stdout);
	check(wal_trim(w, wal_durable(w)), "trim");
}

static void load(struct wal *w)
{
	static struct latencies l;
	uint64_t trimmed = wal_end(w);
	const uint64_t start = now_ns();
	uint64_t last = start, in_trim = 0;
	while ((double)(last - start) < seconds * 1e9) {
		const uint64_t lsn = append(w);
		const uint64_t t = now_ns();
		note(&l, t - last);
		last = t;
		if (lsn - trimmed < TRIM_BYTES)
			continue;
		check(wal_sync(w, lsn), "sync");
		check(wal_trim(w, lsn), "trim");
		trimmed = lsn;
		last = now_ns();
		in_trim += last - t;
	}
	printf("records, no sync:    %8.0f /s  %6.0f ns each  p99.9 %7.1f us  max %7.1f us; "
	       "syncs and trims took %.0f %% of the time besides\n",
	        (double)l.n / ((double)(last - start - in_trim) / 1e9),
	        (double)(last - start - in_trim) / (double)l.n, quantile_us(&l, 0.999),
	        (double)l.max / 1000, 100 * (double)in_trim / (double)(last - start));
	fflush(stdout);
}

static int skip(void *arg, uint64_t lsn, uint16_t type, const void *payload, size_t bytes)
{
	(void)arg, (void)lsn, (void)type, (void)payload, (void)bytes;
	return 0;
}

int main(void)
{
	const char *parent = getenv("DIR"), *given = getenv("SECONDS");
	char dir[200];
	const struct wal_options opt = {0};
	struct io *io;
	struct wal *w;
	struct why why = {{0}};
	if (given)
		seconds = strtod(given, NULL);
	snprintf(dir, sizeof(dir), "%s/log_bench.XXXXXX", parent ? parent : "build");
	check(mkdtemp(dir) && chdir(dir) == 0 ? 0 : -errno, dir);
	check(io_open(".", IO_AUTO, false, &io, &why), why.text);
	check(wal_format(io, &opt, 0, &why), why.text);
	check(wal_open(io, &opt, &w, &why), why.text);
	check(wal_replay(w, 0, skip, NULL, &why), why.text);

	printf("bare disk:           %8.0f /s\n", bare_disk());
	commits(w, 1);
	commits(w, 2);
	commits(w, 8);
	commits(w, 32);
	load(w);

	wal_close(w);
	io->ops->destroy(io);
	check(chdir("..") == 0 ? 0 : -errno, "..");
	char command[256];
	snprintf(command, sizeof(command), "rm -rf '%s'", strrchr(dir, '/') + 1);
	return system(command);
}

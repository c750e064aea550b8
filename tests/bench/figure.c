/*
 * figure.c - medians, their lines, and what every benchmark asks of the machine.
 */
#include "tests/bench/figure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

void figure_die(const char *what, int err)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(err));
	exit(1);
}

void figure_add(struct figure_series *s, double value)
{
	if (s->n < FIGURE_ROUNDS_MAX)
		s->value[s->n++] = value;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct figure_series sorted(const struct figure_series *s)
{
	struct figure_series r = *s;
	qsort(r.value, r.n, sizeof(r.value[0]), by_value);
	return r;
}

double figure_median(const struct figure_series *s)
{
	struct figure_series r = sorted(s);
	if (!r.n)
		return 0;
	return (r.value[(r.n - 1) / 2] + r.value[r.n / 2]) / 2;
}

/* Four digits or more, never an exponent. */
static void print_number(const char *label, double v)
{
	int decimals = v >= 1000 ? 0 : v >= 100 ? 1 : v >= 10 ? 2 : v >= 1 ? 3 : 5;
	printf(" %s=%.*f", label, decimals, v);
}

static void print_spread(const struct figure_series *s)
{
	struct figure_series r = sorted(s);
	double min = r.value[0], max = r.value[r.n - 1], median = figure_median(s);
	print_number("min", min);
	print_number("max", max);
	printf(" spread=%.0f%%", median > 0 ? 100 * (max - min) / median : 0);
}

void figure_print(const struct figure *f)
{
	bool alone = !f->peer_value;
	double peer = alone ? 0 : figure_median(f->peer_value);
	if (!f->value->n || (!alone && peer <= 0))
		return;
	double value = figure_median(f->value), judged = value;
	printf("figure %s", f->name);
	print_number("value", value);
	printf(" unit=%s peer=%s", f->unit, f->peer ? f->peer : "none");
	if (alone) {
		printf(" peer_value=- ratio=-");
	} else {
		judged = value / peer;
		print_number("peer_value", peer);
		print_number("ratio", judged);
	}
	if (f->at_least > 0)
		printf(" target=>=%g %s\n", f->at_least, judged >= f->at_least ? "met" : "short");
	else if (f->at_most > 0)
		printf(" target=<=%g %s\n", f->at_most, judged <= f->at_most ? "met" : "short");
	else
		printf(" target=-\n");
	printf("#   %s rounds=%u", f->name, f->value->n);
	print_spread(f->value);
	if (!alone) {
		printf(" | %s", f->peer);
		print_spread(f->peer_value);
	}
	printf("\n");
	fflush(stdout);
}

void figure_print_other(const struct figure *f, const char *peer, const struct figure_series *s)
{
	double value = figure_median(s);
	if (!s->n || !f->value->n || value <= 0)
		return;
	printf("#   %s %s", f->name, peer);
	print_number("value", value);
	print_number("ratio", figure_median(f->value) / value);
	print_spread(s);
	printf("\n");
	fflush(stdout);
}

void figure_note(const char *fmt, ...)
{
	va_list ap;
	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

void figure_note_machine(void)
{
	struct utsname u;
	double load[1] = {0};
	uname(&u);
	getloadavg(load, 1);
	figure_note("%s %s, %ld processors, load average %.2f before the first round", u.sysname,
	        u.release, sysconf(_SC_NPROCESSORS_ONLN), load[0]);
}

double figure_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct team {
	void (*body)(void *arg, unsigned thread);
	void *arg;
	pthread_barrier_t start;
};

struct member {
	struct team *team;
	unsigned number;
};

static void *run_member(void *arg)
{
	struct member *m = arg;
	pthread_barrier_wait(&m->team->start);
	m->team->body(m->team->arg, m->number);
	return NULL;
}

double figure_threads(unsigned threads, void (*body)(void *arg, unsigned thread), void *arg)
{
	struct team team = {.body = body, .arg = arg};
	struct member members[FIGURE_THREADS_MAX];
	pthread_t ids[FIGURE_THREADS_MAX];

	if (threads > FIGURE_THREADS_MAX)
		figure_die("too many threads", EINVAL);
	pthread_barrier_init(&team.start, NULL, threads + 1);
	for (unsigned i = 0; i < threads; i++) {
		members[i] = (struct member){&team, i};
		int err = pthread_create(&ids[i], NULL, run_member, &members[i]);
		if (err)
			figure_die("cannot start a thread", err);
	}
	/* Taken before the barrier: the threads may run, and even end, before we are scheduled
	 * again. */
	double begin = figure_now();
	pthread_barrier_wait(&team.start);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	double seconds = figure_now() - begin;
	pthread_barrier_destroy(&team.start);
	return seconds;
}

bool figure_refuses(const char *dir)
{
	struct statfs s;
	if (statfs(dir, &s) < 0)
		figure_die(dir, errno);
	if (s.f_type != TMPFS_MAGIC && s.f_type != RAMFS_MAGIC)
		return false;
	fprintf(stderr,
	        "%s: %s lies in memory (tmpfs), where a disk cannot be measured; name a directory "
	        "on a disk with BENCH_DIR=\n",
	        program_invocation_short_name, dir);
	return true;
}

bool figure_drop_caches(void)
{
	sync();
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool done = write(fd, "3", 1) == 1;
	close(fd);
	return done;
}

uint64_t figure_env(const char *name, uint64_t preset, uint64_t min, uint64_t max)
{
	const char *text = getenv(name);
	if (!text || !*text)
		return preset;
	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno || *end || *text == '-' || v < min || v > max) {
		fprintf(stderr, "%s: %s=%s must be a number from %llu to %llu\n",
		        program_invocation_short_name, name, text, (unsigned long long)min,
		        (unsigned long long)max);
		exit(2);
	}
	return v;
}

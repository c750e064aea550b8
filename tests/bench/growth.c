/*
 * growth.c - what an operation costs as the dictionary grows: artfs alone, 1,000 to N keys.
 *
 *   usage: growth > growth.tsv
 *
 *   N=10000000         the largest dictionary; each one is ten times as large as the one before
 *   STEP_MS=500        how long gets, listings and renames of one size go on
 *   CACHE_MIB=256      BENCH_DIR=build      SEED=1
 *
 * One line per size, one column per figure, a line of names first; contrib/plots/growth.py draws it.
 * Keys are made outside of what is timed. A rename moves the directory of a tenth of all keys.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "art/art.h"
#include "store/io.h"
#include "tests/bench/data.h"
#include "tests/bench/figure.h"

enum { VALUE_BYTES = 100, BLOCK = 1000, SAMPLES_MAX = 100 * 1000, OPEN_FILES = 16 };

struct sample {
	char key[DATA_KEY_BYTES_MAX];
	uint32_t bytes, directory_bytes;
	uint64_t i;
};

static char work_path[4096];
static double step_seconds;
static struct sample samples[SAMPLES_MAX];

static void must(int rc, const char *what)
{
	if (rc < 0)
		figure_die(what, -rc);
}

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void remove_work(void)
{
	nftw(work_path, remove_visit, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

static uint64_t disk_bytes;

static int size_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)type, (void)at;
	if (!strstr(path, "/wal/")) /* some preallocated segments, however many keys there are */
		disk_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

static struct sample sample_of(uint64_t i)
{
	struct sample s = {.i = i};
	s.bytes = (uint32_t)data_key(s.key, i, false);
	s.directory_bytes = (uint32_t)((char *)memrchr(s.key, '/', s.bytes) + 1 - s.key);
	return s;
}

/* Microseconds of one put. */
static double load(struct art *a, const uint32_t *order, uint32_t n)
{
	static uint8_t values[BLOCK][VALUE_BYTES];
	double seconds = 0;
	for (uint32_t at = 0; at < n; at += BLOCK) {
		for (uint32_t b = 0; b < BLOCK; b++) {
			samples[b] = sample_of(order[at + b]);
			data_value(values[b], VALUE_BYTES, samples[b].i);
		}
		double begin = figure_now();
		for (uint32_t b = 0; b < BLOCK; b++) {
			const struct art_op op = {.type = ART_PUT,
			        .key = {samples[b].key, samples[b].bytes},
			        .value = {values[b], VALUE_BYTES}};
			must(art_commit(a, &op, 1, NULL), "put");
		}
		seconds += figure_now() - begin;
	}
	return seconds / n * 1e6;
}

static void get(struct art *a, const struct sample *s)
{
	uint8_t value[VALUE_BYTES];
	size_t bytes;
	must(art_get(a, (struct art_bytes){s->key, s->bytes}, 0, value, sizeof(value), &bytes),
	        "get");
	if (bytes != VALUE_BYTES || memcmp(value, &s->i, sizeof(s->i)))
		figure_die("a value is wrong", EUCLEAN);
}

static void list(struct art *a, const struct sample *s)
{
	struct art_cursor *c;
	struct art_entry e;
	unsigned n = 0;
	int more;
	must(art_cursor_open(a, (struct art_bytes){s->key, s->directory_bytes}, '/', &c), "list");
	while ((more = art_cursor_next(c, &e)) > 0)
		n++;
	art_cursor_close(c);
	must(more, "list");
	if (n != DATA_FILES_PER_DIRECTORY)
		figure_die("a listing is wrong", EUCLEAN);
}

static void move(struct art *a, const char *from, const char *to)
{
	const struct art_op op = {
	        .type = ART_GRAFT, .key = {from, strlen(from)}, .to = {to, strlen(to)}};
	must(art_commit(a, &op, 1, NULL), "rename");
}

static void there_and_back(struct art *a, const struct sample *s)
{
	char area[DATA_KEY_BYTES_MAX];
	(void)s;
	data_area(area, 0);
	move(a, area, "elsewhere/");
	move(a, "elsewhere/", area);
}

static double microseconds(
        struct art *a, uint32_t n, void (*one)(struct art *, const struct sample *))
{
	uint64_t count = 0;
	double begin = figure_now(), now;
	do {
		for (unsigned i = 0; i < 16; i++)
			one(a, &samples[count++ % n]);
		now = figure_now();
	} while (now - begin < step_seconds);
	return (now - begin) / (double)count * 1e6;
}

/* Frames that one rename dirties in a clean store. The first may cut a frame and is not counted. */
static double frames_of_rename(struct art *a)
{
	struct art_stat before, after;
	there_and_back(a, NULL);
	must(art_checkpoint(a), "checkpoint");
	art_stat(a, &before);
	char area[DATA_KEY_BYTES_MAX];
	data_area(area, 0);
	move(a, area, "elsewhere/");
	art_stat(a, &after);
	move(a, "elsewhere/", area);
	return (double)(after.frames_dirtied - before.frames_dirtied);
}

static void measure(uint32_t n, size_t cache_bytes, uint64_t seed)
{
	char path[4200];
	struct io *io;
	struct art *a;
	struct why w = {""};
	const struct art_options opt = {.cache_bytes = cache_bytes, .background = true};
	uint32_t *order = data_shuffled(n, data_mix(seed));
	if (!order)
		figure_die("the keys", ENOMEM);
	snprintf(path, sizeof(path), "%s/%u", work_path, n);
	must(io_open(path, IO_AUTO, true, &io, &w), "open");
	must(art_format(io, &(struct art_format){.frame_bytes = 0}, &w), "format");
	must(art_open(io, &opt, &a, &w), "open");

	double put_us = load(a, order, n);
	uint32_t looks = n < SAMPLES_MAX ? n : SAMPLES_MAX;
	for (uint32_t j = 0; j < looks; j++) /* another order than that of the load */
		samples[j] = sample_of(data_mix(seed + 1 + j) % n);
	must(art_checkpoint(a), "checkpoint");
	double get_us = microseconds(a, looks, get);
	double list_us = microseconds(a, looks, list);
	double frames = frames_of_rename(a);
	double rename_us = microseconds(a, looks, there_and_back) / 2;
	must(art_close(a), "close");
	io->ops->destroy(io);
	disk_bytes = 0;
	nftw(path, size_visit, OPEN_FILES, FTW_PHYS);
	printf("%u\t%.3f\t%.3f\t%.3f\t%.3f\t%.0f\t%.1f\n", n, put_us, get_us, list_us, rename_us,
	        frames, (double)disk_bytes / n);
	fflush(stdout);
	nftw(path, remove_visit, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
	free(order);
}

int main(void)
{
	const char *base = getenv("BENCH_DIR");
	uint64_t most = figure_env("N", 10000000, BLOCK, 1000 * 1000 * 1000);
	uint64_t cache_mib = figure_env("CACHE_MIB", 256, 4, 1 << 20);
	uint64_t seed = figure_env("SEED", 1, 0, UINT32_MAX);
	step_seconds = (double)figure_env("STEP_MS", 500, 1, 3600000) / 1e3;
	base = base ? base : "build";
	if (figure_refuses(base))
		return 1;
	snprintf(work_path, sizeof(work_path), "%s/growth.XXXXXX", base);
	if (!mkdtemp(work_path))
		figure_die(work_path, errno);
	atexit(remove_work);
	printf("keys\tput_us\tget_us\tlist_us\trename_us\trename_frames\tbytes_per_key\n");
	for (uint64_t n = BLOCK; n <= most; n *= 10)
		measure((uint32_t)n, cache_mib << 20, seed);
	return 0;
}

/*
 * mount_bench.c - a mount beside the floor (nullfs) and the disk (a plain directory), step by step.
 *
 *   usage: mount_bench NAME=DIR FLOOR=DIR DISK=DIR
 *
 * in this order: what is measured, the floor, the disk. `tests/bench/mount.sh` makes all three and
 * calls this; the names are those of the figure lines.
 *
 *   FILES=50000        files of 100 bytes, 100 in each directory
 *   FSYNC_FILES=2000   files that are created with an fsync each
 *   SEQ_MIB=1024       size of the large file
 *   OVERWRITES=10000   random 4 KiB writes into it
 *   ROUNDS=3
 *   REMOUNT=COMMAND    `COMMAND NAME` takes the mount off and puts it back, before cold steps
 *
 * Each round goes through the steps, and in each step the places take turns. Before each turn all
 * places settle (fsync of the root, syncfs), outside the measured time, so that nobody pays for
 * what another one left to be written. Before a warm step a pass that does not count fills the
 * caches; before a cold one the mount is put back and all caches of the machine are dropped (root
 * only; cold figures are left out otherwise). Every byte that is read, and every count of entries,
 * is checked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/data.h"
#include "tests/bench/figure.h"

enum {
	FILE_BYTES = 100,
	BLOCK_BYTES = 4096,
	STREAM_BYTES = 1024 * 1024,
	RENAMES = 10000,
	MANY_THREADS = 8,
};

enum role { MEASURED, FLOOR, DISK, ROLES };

/* The names of the figures, in the order of enum step below. */
enum step {
	CREATE,
	STAT_WARM,
	WALK_WARM,
	READ_WARM,
	STAT_COLD,
	WALK_COLD,
	READ_COLD,
	OVERWRITE,
	RENAME_FILE,
	UNLINK,
	FSYNC_1,
	FSYNC_8,
	RENAME_SMALL,
	RENAME_LARGE,
	SEQ_WRITE,
	SEQ_READ,
	RANDOM_WRITE,
	STEPS,
};

struct place {
	const char *name;
	int root; /* descriptor; closed while remounting */
	char *path;
	struct figure_series series[STEPS];
};

static struct place places[ROLES];
static uint64_t files, fsync_files, seq_bytes, overwrites, rounds;
static const char *remount;
static bool cold_allowed;

/* ---- small things ------------------------------------------------------------------- */

static void directory_path(char *path, uint64_t d)
{
	sprintf(path, "small/d%05u", (unsigned)d);
}

static void file_path(char *path, uint64_t i)
{
	sprintf(path, "small/d%05u/file-%08u.txt", (unsigned)(i / DATA_FILES_PER_DIRECTORY),
	        (unsigned)i);
}

static int open_or_die(struct place *p, const char *path, int flags)
{
	int fd = openat(p->root, path, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		figure_die(path, errno);
	return fd;
}

static void write_or_die(int fd, const void *buf, size_t bytes, off_t at)
{
	ssize_t n = pwrite(fd, buf, bytes, at);
	if (n != (ssize_t)bytes)
		figure_die("write", n < 0 ? errno : EIO);
}

static void fsync_or_die(int fd)
{
	if (fsync(fd) < 0)
		figure_die("fsync", errno);
}

static void check(bool right, const char *what)
{
	if (!right)
		figure_die(what, EUCLEAN);
}

static void mkdir_or_die(struct place *p, const char *path)
{
	if (mkdirat(p->root, path, 0755) < 0)
		figure_die(path, errno);
}

static void rename_or_die(struct place *p, const char *from, const char *to)
{
	if (renameat(p->root, from, p->root, to) < 0)
		figure_die(from, errno);
}

static void unlink_or_die(struct place *p, const char *path, int flags)
{
	if (unlinkat(p->root, path, flags) < 0)
		figure_die(path, errno);
}

static void open_root(struct place *p)
{
	p->root = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->root < 0)
		figure_die(p->path, errno);
}

static void settle(void)
{
	for (enum role r = 0; r < ROLES; r++) {
		fsync_or_die(places[r].root);
		if (syncfs(places[r].root) < 0)
			figure_die("syncfs", errno);
	}
}

static void make_cold(struct place *p)
{
	if (remount && p == &places[MEASURED]) {
		char command[4096];
		close(p->root);
		snprintf(command, sizeof(command), "%s %s", remount, p->name);
		if (system(command) != 0)
			figure_die(command, ECHILD);
		open_root(p);
	}
	figure_drop_caches();
}

/* ---- small files -------------------------------------------------------------------- */

static double do_create(struct place *p)
{
	char path[64];
	uint8_t value[FILE_BYTES];
	mkdir_or_die(p, "small");
	for (uint64_t d = 0; d * DATA_FILES_PER_DIRECTORY < files; d++) {
		directory_path(path, d);
		mkdir_or_die(p, path);
	}
	double begin = figure_now();
	for (uint64_t i = 0; i < files; i++) {
		file_path(path, i);
		data_value(value, sizeof(value), i);
		int fd = open_or_die(p, path, O_WRONLY | O_CREAT | O_EXCL);
		write_or_die(fd, value, sizeof(value), 0);
		close(fd);
	}
	return (double)files / (figure_now() - begin);
}

static double do_stat(struct place *p)
{
	char path[64];
	struct stat st;
	double begin = figure_now();
	for (uint64_t i = 0; i < files; i++) {
		file_path(path, i);
		if (fstatat(p->root, path, &st, 0) < 0)
			figure_die(path, errno);
		check(st.st_size == FILE_BYTES, "a size is wrong");
	}
	return (double)files / (figure_now() - begin);
}

static double do_walk(struct place *p)
{
	char path[64];
	struct stat st;
	uint64_t seen = 0;
	double begin = figure_now();
	for (uint64_t d = 0; d * DATA_FILES_PER_DIRECTORY < files; d++) {
		directory_path(path, d);
		int fd = open_or_die(p, path, O_RDONLY | O_DIRECTORY);
		DIR *dir = fdopendir(fd);
		if (!dir)
			figure_die(path, errno);
		for (struct dirent *e; (e = readdir(dir));) {
			if (e->d_name[0] == '.')
				continue;
			if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
				figure_die(e->d_name, errno);
			seen++;
		}
		closedir(dir);
	}
	double seconds = figure_now() - begin;
	check(seen == files, "a walk met a wrong number of files");
	return (double)files / seconds;
}

static double do_read(struct place *p)
{
	char path[64];
	uint8_t value[FILE_BYTES], got[FILE_BYTES + 1];
	double begin = figure_now();
	for (uint64_t i = 0; i < files; i++) {
		file_path(path, i);
		int fd = open_or_die(p, path, O_RDONLY);
		ssize_t n = read(fd, got, sizeof(got));
		close(fd);
		data_value(value, sizeof(value), i);
		check(n == FILE_BYTES && !memcmp(got, value, FILE_BYTES), "a content is wrong");
	}
	return (double)files / (figure_now() - begin);
}

static double do_overwrite(struct place *p)
{
	char path[64];
	uint8_t value[FILE_BYTES];
	double begin = figure_now();
	for (uint64_t i = 0; i < files; i++) {
		file_path(path, i);
		data_value(value, sizeof(value), i);
		int fd = open_or_die(p, path, O_WRONLY | O_TRUNC);
		write_or_die(fd, value, sizeof(value), 0);
		close(fd);
	}
	return (double)files / (figure_now() - begin);
}

/* There, and back in a pass that does not count, so that the names stay. */
static double do_rename_file(struct place *p)
{
	char path[64], to[80];
	double seconds = 0;
	for (int back = 0; back < 2; back++) {
		double begin = figure_now();
		for (uint64_t i = 0; i < files; i++) {
			file_path(path, i);
			sprintf(to, "%s~", path);
			rename_or_die(p, back ? to : path, back ? path : to);
		}
		if (!back)
			seconds = figure_now() - begin;
	}
	return (double)files / seconds;
}

static double do_unlink(struct place *p)
{
	char path[64];
	double begin = figure_now();
	for (uint64_t i = 0; i < files; i++) {
		file_path(path, i);
		unlink_or_die(p, path, 0);
	}
	double seconds = figure_now() - begin;
	for (uint64_t d = 0; d * DATA_FILES_PER_DIRECTORY < files; d++) {
		directory_path(path, d);
		unlink_or_die(p, path, AT_REMOVEDIR);
	}
	unlink_or_die(p, "small", AT_REMOVEDIR);
	return (double)files / seconds;
}

/* ---- fsync -------------------------------------------------------------------------- */

struct fsync_job {
	struct place *place;
	atomic_uint_fast64_t next;
};

static void fsync_thread(void *arg, unsigned thread)
{
	struct fsync_job *job = arg;
	char path[64];
	uint8_t value[FILE_BYTES];
	(void)thread;
	for (uint64_t i; (i = atomic_fetch_add(&job->next, 1)) < fsync_files;) {
		sprintf(path, "fsync/%08u", (unsigned)i);
		data_value(value, sizeof(value), i);
		int fd = open_or_die(job->place, path, O_WRONLY | O_CREAT | O_EXCL);
		write_or_die(fd, value, sizeof(value), 0);
		fsync_or_die(fd);
		close(fd);
	}
}

static double fsync_with(struct place *p, unsigned threads)
{
	struct fsync_job job = {.place = p};
	char path[64];
	mkdir_or_die(p, "fsync");
	fsync_or_die(p->root);
	double seconds = figure_threads(threads, fsync_thread, &job);
	for (uint64_t i = 0; i < fsync_files; i++) {
		sprintf(path, "fsync/%08u", (unsigned)i);
		unlink_or_die(p, path, 0);
	}
	unlink_or_die(p, "fsync", AT_REMOVEDIR);
	return (double)fsync_files / seconds;
}

static double do_fsync_1(struct place *p)
{
	return fsync_with(p, 1);
}

static double do_fsync_8(struct place *p)
{
	return fsync_with(p, MANY_THREADS);
}

/* ---- renames ------------------------------------------------------------------------ */

/* rename/large holds half of `files` below it, rename/one is a file beside it. */
static void renames_prepare(struct place *p, bool make)
{
	char path[64];
	uint8_t value[FILE_BYTES];
	uint64_t below = files / 2, n = DATA_FILES_PER_DIRECTORY;
	if (make) {
		mkdir_or_die(p, "rename");
		mkdir_or_die(p, "rename/large");
		close(open_or_die(p, "rename/one", O_WRONLY | O_CREAT));
	}
	for (uint64_t i = 0; i < below; i++) {
		sprintf(path, "rename/large/%05u", (unsigned)(i / n));
		if (make && i % n == 0)
			mkdir_or_die(p, path);
		sprintf(path + strlen(path), "/%08u", (unsigned)i);
		if (make) {
			data_value(value, sizeof(value), i);
			int fd = open_or_die(p, path, O_WRONLY | O_CREAT);
			write_or_die(fd, value, sizeof(value), 0);
			close(fd);
		} else {
			unlink_or_die(p, path, 0);
		}
		*strrchr(path, '/') = 0;
		if (!make && (i % n == n - 1 || i == below - 1))
			unlink_or_die(p, path, AT_REMOVEDIR);
	}
	if (!make) {
		unlink_or_die(p, "rename/one", 0);
		unlink_or_die(p, "rename/large", AT_REMOVEDIR);
		unlink_or_die(p, "rename", AT_REMOVEDIR);
	}
}

static double microseconds_per_rename(struct place *p, const char *a, const char *b)
{
	double begin = figure_now();
	for (int i = 0; i < RENAMES / 2; i++) {
		rename_or_die(p, a, b);
		rename_or_die(p, b, a);
	}
	return (figure_now() - begin) / RENAMES * 1e6;
}

static double do_rename_small(struct place *p)
{
	return microseconds_per_rename(p, "rename/one", "rename/two");
}

static double do_rename_large(struct place *p)
{
	return microseconds_per_rename(p, "rename/large", "rename/grand");
}

/* ---- one large file ----------------------------------------------------------------- */

static double do_seq_write(struct place *p)
{
	uint8_t *buf = malloc(STREAM_BYTES);
	if (!buf)
		figure_die("memory", ENOMEM);
	data_value(buf, STREAM_BYTES, 1);
	double begin = figure_now();
	int fd = open_or_die(p, "large", O_WRONLY | O_CREAT | O_TRUNC);
	for (uint64_t at = 0; at < seq_bytes; at += STREAM_BYTES) {
		memcpy(buf, &at, sizeof(at));
		write_or_die(fd, buf, STREAM_BYTES, (off_t)at);
	}
	fsync_or_die(fd);
	close(fd);
	double seconds = figure_now() - begin;
	free(buf);
	return (double)seq_bytes / seconds / (1 << 20);
}

static double do_seq_read(struct place *p)
{
	uint8_t *buf = malloc(STREAM_BYTES);
	if (!buf)
		figure_die("memory", ENOMEM);
	double begin = figure_now();
	int fd = open_or_die(p, "large", O_RDONLY);
	for (uint64_t at = 0; at < seq_bytes; at += STREAM_BYTES) {
		ssize_t n = read(fd, buf, STREAM_BYTES);
		check(n == STREAM_BYTES && !memcmp(buf, &at, sizeof(at)),
		        "a block of the large file is wrong");
	}
	close(fd);
	double seconds = figure_now() - begin;
	free(buf);
	return (double)seq_bytes / seconds / (1 << 20);
}

static double do_random_write(struct place *p)
{
	uint8_t block[BLOCK_BYTES];
	int fd = open_or_die(p, "large", O_WRONLY);
	double begin = figure_now();
	for (uint64_t i = 0; i < overwrites; i++) {
		uint64_t at = data_mix(i) % (seq_bytes / BLOCK_BYTES) * BLOCK_BYTES;
		data_value(block, sizeof(block), at);
		write_or_die(fd, block, sizeof(block), (off_t)at);
	}
	fsync_or_die(fd);
	close(fd);
	return (double)overwrites / (figure_now() - begin);
}

/* ---- all of it ---------------------------------------------------------------------- */

static const struct {
	double (*run)(struct place *p);
	enum { COUNTS, WARM, COLD } before;
	bool floor; /* the floor takes part: it has no disk to be measured by */
} steps[STEPS] = {
        [CREATE] = {do_create, COUNTS, true},
        [STAT_WARM] = {do_stat, WARM, true},
        [WALK_WARM] = {do_walk, WARM, true},
        [READ_WARM] = {do_read, WARM, true},
        [STAT_COLD] = {do_stat, COLD, true},
        [WALK_COLD] = {do_walk, COLD, true},
        [READ_COLD] = {do_read, COLD, true},
        [OVERWRITE] = {do_overwrite, COUNTS, true},
        [RENAME_FILE] = {do_rename_file, COUNTS, true},
        [UNLINK] = {do_unlink, COUNTS, true},
        [FSYNC_1] = {do_fsync_1, COUNTS, false},
        [FSYNC_8] = {do_fsync_8, COUNTS, false},
        [RENAME_SMALL] = {do_rename_small, COUNTS, false},
        [RENAME_LARGE] = {do_rename_large, COUNTS, false},
        [SEQ_WRITE] = {do_seq_write, COUNTS, false},
        [SEQ_READ] = {do_seq_read, COLD, false},
        [RANDOM_WRITE] = {do_random_write, COUNTS, false},
};

static void run_step(enum step step, uint64_t round)
{
	if (steps[step].before == COLD && !cold_allowed)
		return;
	for (unsigned turn = 0; turn < ROLES; turn++) {
		enum role r = (enum role)((turn + round) % ROLES);
		struct place *p = &places[r];
		if (r == FLOOR && !steps[step].floor)
			continue;
		settle();
		if (steps[step].before == COLD)
			make_cold(p);
		else if (steps[step].before == WARM)
			steps[step].run(p);
		figure_add(&p->series[step], steps[step].run(p));
	}
}

static const struct {
	const char *name;
	const char *unit;
	enum step step;
	enum role peer;
	double at_least, at_most;
} bounds[] = {
        {"create_write_close", "files/s", CREATE, FLOOR, 0.9, 0},
        {"create_write_close", "files/s", CREATE, DISK, 1.0, 0},
        {"stat_warm", "files/s", STAT_WARM, FLOOR, 0, 0},
        {"stat_warm", "files/s", STAT_WARM, DISK, 0.95, 0},
        {"walk_warm", "files/s", WALK_WARM, FLOOR, 0, 0},
        {"walk_warm", "files/s", WALK_WARM, DISK, 0.95, 0},
        {"read_warm", "files/s", READ_WARM, FLOOR, 0, 0},
        {"read_warm", "files/s", READ_WARM, DISK, 0.95, 0},
        {"stat_cold", "files/s", STAT_COLD, FLOOR, 0.9, 0},
        {"stat_cold", "files/s", STAT_COLD, DISK, 0, 0},
        {"walk_cold", "files/s", WALK_COLD, FLOOR, 0, 0},
        {"walk_cold", "files/s", WALK_COLD, DISK, 2.0, 0},
        {"read_cold", "files/s", READ_COLD, FLOOR, 0, 0},
        {"read_cold", "files/s", READ_COLD, DISK, 1.5, 0},
        {"overwrite", "files/s", OVERWRITE, FLOOR, 0, 0},
        {"overwrite", "files/s", OVERWRITE, DISK, 2.0, 0},
        {"rename_file", "files/s", RENAME_FILE, FLOOR, 0.9, 0},
        {"rename_file", "files/s", RENAME_FILE, DISK, 0, 0},
        {"unlink", "files/s", UNLINK, FLOOR, 0.9, 0},
        {"unlink", "files/s", UNLINK, DISK, 0, 0},
        {"create_write_fsync_close_1_thread", "files/s", FSYNC_1, DISK, 3.0, 0},
        {"create_write_fsync_close_8_threads", "files/s", FSYNC_8, DISK, 1.5, 0},
        {"rename_small", "us", RENAME_SMALL, DISK, 0, 0},
        {"rename_large_directory", "us", RENAME_LARGE, DISK, 0, 0},
        {"sequential_write_fsync", "MiB/s", SEQ_WRITE, DISK, 0.95, 0},
        {"sequential_read_cold", "MiB/s", SEQ_READ, DISK, 0.95, 0},
        {"random_4k_overwrite_fsync", "writes/s", RANDOM_WRITE, DISK, 1.2, 0},
};

static void print_figures(void)
{
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		figure_print(&(struct figure){.name = bounds[i].name,
		        .unit = bounds[i].unit,
		        .value = &places[MEASURED].series[bounds[i].step],
		        .peer = places[bounds[i].peer].name,
		        .peer_value = &places[bounds[i].peer].series[bounds[i].step],
		        .at_least = bounds[i].at_least,
		        .at_most = bounds[i].at_most});
	}
	figure_print(&(struct figure){.name = "rename_large_directory",
	        .unit = "us",
	        .value = &places[MEASURED].series[RENAME_LARGE],
	        .peer = "rename_small",
	        .peer_value = &places[MEASURED].series[RENAME_SMALL],
	        .at_most = 1.5});
	/* Where the floor is below the disk, no FUSE filesystem can be above it. */
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		double floor = figure_median(&places[FLOOR].series[bounds[i].step]);
		double disk = figure_median(&places[DISK].series[bounds[i].step]);
		if (bounds[i].peer == DISK && floor > 0 && disk > 0)
			figure_note("the floor itself: %s %s/%s=%.2f", bounds[i].name,
			        places[FLOOR].name, places[DISK].name, floor / disk);
	}
}

int main(int argc, char **argv)
{
	if (argc != 1 + ROLES) {
		fprintf(stderr, "usage: mount_bench NAME=DIR FLOOR=DIR DISK=DIR\n");
		return 2;
	}
	files = figure_env("FILES", 50000, 2 * DATA_FILES_PER_DIRECTORY, 10 * 1000 * 1000);
	fsync_files = figure_env("FSYNC_FILES", 2000, 1, 10 * 1000 * 1000);
	seq_bytes = figure_env("SEQ_MIB", 1024, 1, 1 << 20) << 20;
	overwrites = figure_env("OVERWRITES", 10000, 1, 10 * 1000 * 1000);
	rounds = figure_env("ROUNDS", 3, 1, FIGURE_ROUNDS_MAX);
	remount = getenv("REMOUNT");

	for (enum role r = 0; r < ROLES; r++) {
		char *arg = argv[1 + r], *equals = strchr(arg, '=');
		if (!equals) {
			fprintf(stderr, "mount_bench: %s must be NAME=DIR\n", arg);
			return 2;
		}
		*equals = 0;
		places[r].name = arg;
		places[r].path = equals + 1;
		if (figure_refuses(places[r].path))
			return 1;
		open_root(&places[r]);
	}
	cold_allowed = figure_drop_caches();
	if (!cold_allowed)
		figure_note("not root: caches cannot be dropped, cold figures are left out");
	figure_note_machine();
	figure_note("files=%llu fsync_files=%llu large file=%llu MiB overwrites=%llu rounds=%llu",
	        (unsigned long long)files, (unsigned long long)fsync_files,
	        (unsigned long long)(seq_bytes >> 20), (unsigned long long)overwrites,
	        (unsigned long long)rounds);

	for (uint64_t round = 0; round < rounds; round++) {
		for (enum step s = 0; s < STEPS; s++) {
			if (s == RENAME_SMALL || s == RENAME_LARGE + 1) {
				renames_prepare(&places[MEASURED], s == RENAME_SMALL);
				renames_prepare(&places[DISK], s == RENAME_SMALL);
			}
			run_step(s, round);
		}
		unlink_or_die(&places[MEASURED], "large", 0);
		unlink_or_die(&places[DISK], "large", 0);
		figure_note("round %llu of %llu is done", (unsigned long long)round + 1,
		        (unsigned long long)rounds);
	}
	print_figures();
	return 0;
}

/*
 * acked_writer.c - writes files as fast as the mount takes them, and keeps a record of what fsync
 * promised.
 *
 *   write MOUNT LOG SEED    until the mount is gone: pick one of NAMES files, give it new content
 * and perhaps a new place, fsync; then one line to LOG (which lies elsewhere and is not lost) check
 * MOUNT LOG         what the last line about each file promised is there, or something that was
 *                           under way after it; files are whole, never half one and half another
 *
 * A file's content follows from its name and generation alone: a header, then a pattern. Content is
 * written under a temporary name and renamed over the old one; some files are then moved to the
 * other directory. The fsync behind it is of the file, or of the root: each makes durable all that
 * was done before.
 *
 *   LOG:  begin NAME GENERATION    before anything is done
 *         acked NAME GENERATION    fsync has returned 0
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES = 40, BYTES_MAX = 300 * 1024, HEADER_BYTES = 32, DIRS = 2 };

static uint8_t content[BYTES_MAX], found[BYTES_MAX + 1];

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * 0x7fb5d329728ea185ULL;
	x = (x ^ x >> 27) * 0x81dadef4bc2dd44dULL;
	return x ^ x >> 33;
}

static size_t make_content(unsigned name, unsigned long generation)
{
	uint64_t x = mix(generation * NAMES + name + 1);
	size_t bytes = HEADER_BYTES + x % (x >> 40 & 3 ? 2000 : BYTES_MAX - HEADER_BYTES);
	for (size_t i = 0; i < bytes; i++)
		content[i] = (uint8_t)(x >> (i % 7 * 8)) + (uint8_t)(i >> 8);
	memset(content, ' ', HEADER_BYTES);
	int n = snprintf((char *)content, HEADER_BYTES, "%u %lu", name, generation);
	content[n] = ' ';
	return bytes;
}

static void path_of(char *out, size_t n, const char *mount, unsigned dir, unsigned name)
{
	snprintf(out, n, "%s/%u/%u", mount, dir, name);
}

static int note(int log_fd, const char *what, unsigned name, unsigned long generation)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "%s %u %lu\n", what, name, generation);
	return write(log_fd, line, (size_t)n) == n ? 0 : -1;
}

static int put(const char *path, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return -1;
	size_t done = 0;
	while (done < bytes) {
		size_t n = bytes - done < 100000 ? bytes - done : 100000;
		ssize_t r = write(fd, content + done, n);
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	int rc = done == bytes ? fsync(fd) : -1;
	close(fd);
	return rc;
}

static int do_write(const char *mount, const char *log, uint64_t seed)
{
	static unsigned dir_of[NAMES]; /* where each file is */
	char path[4200], temp[4300], other[4200];
	int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (log_fd < 0)
		return 1;
	for (unsigned d = 0; d < DIRS; d++) {
		snprintf(path, sizeof(path), "%s/%u", mount, d);
		if (mkdir(path, 0755) && errno != EEXIST)
			return 1;
	}
	for (unsigned i = 0; i < NAMES; i++) {
		path_of(path, sizeof(path), mount, 1, i);
		dir_of[i] = access(path, F_OK) == 0;
	}
	for (unsigned long k = 1;; k++) {
		uint64_t x = mix(seed + k);
		unsigned name = x % NAMES, how = x >> 32 & 3;
		unsigned long generation = (unsigned long)seed + k;
		size_t bytes = make_content(name, generation);
		path_of(path, sizeof(path), mount, dir_of[name], name);
		path_of(other, sizeof(other), mount, !dir_of[name], name);
		snprintf(temp, sizeof(temp), "%s.new", path);
		if (note(log_fd, "begin", name, generation) || put(temp, bytes))
			return 0;
		/* what is durable under a temporary name counts once a later fsync covers its
		 * rename */
		if (rename(temp, path))
			return 0;
		if (how == 0) {
			if (rename(path, other))
				return 0;
			dir_of[name] = !dir_of[name];
		}
		int fd = open(how == 1 ? mount : how == 0 ? other : path, O_RDONLY);
		if (fd < 0 || fsync(fd))
			return 0;
		close(fd);
		if (note(log_fd, "acked", name, generation))
			return 1;
	}
}

/* The generation that a file holds, whole; 0 if there is no such file, -1 if it is not whole. */
static long generation_of(const char *mount, unsigned dir, unsigned name)
{
	char path[4200];
	unsigned long generation;
	unsigned its_name;
	path_of(path, sizeof(path), mount, dir, name);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	size_t n = 0;
	ssize_t r;
	while ((r = read(fd, found + n, BYTES_MAX + 1 - n)) > 0)
		n += (size_t)r;
	close(fd);
	if (r < 0 || n < HEADER_BYTES)
		return -1;
	found[HEADER_BYTES - 1] = 0;
	if (sscanf((char *)found, "%u %lu", &its_name, &generation) != 2 || its_name != name)
		return -1;
	found[HEADER_BYTES - 1] = ' ';
	return make_content(name, generation) == n && !memcmp(content, found, n) ? (long)generation
	                                                                         : -1;
}

static int do_check(const char *mount, const char *log)
{
	static unsigned long begun[NAMES], acked[NAMES];
	unsigned long generation, promised = 0;
	char what[8];
	unsigned name;
	int bad = 0;
	FILE *f = fopen(log, "r");
	if (!f)
		return 1;
	while (fscanf(f, "%7s %u %lu", what, &name, &generation) == 3 && name < NAMES)
		*(*what == 'b' ? &begun[name] : &acked[name]) = generation;
	fclose(f);
	for (unsigned i = 0; i < NAMES; i++) {
		long a = generation_of(mount, 0, i), b = generation_of(mount, 1, i);
		long got = a ? a : b;
		promised += acked[i] != 0;
		bool right = !(a && b) && got >= 0 &&
		             ((unsigned long)got == acked[i] || (unsigned long)got == begun[i]);
		if (!right)
			printf("# file %u: %ld and %ld in the directories (-1: not whole); %lu was "
			       "promised, "
			       "%lu begun\n",
			        i, a, b, acked[i], begun[i]);
		bad += !right;
	}
	printf("# %lu files promised, %d wrong\n", promised, bad);
	return bad != 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "write"))
		return do_write(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	if (argc == 4 && !strcmp(argv[1], "check"))
		return do_check(argv[2], argv[3]);
	fprintf(stderr, "usage: acked_writer write MOUNT LOG SEED | check MOUNT LOG\n");
	return 2;
}

/*
 * steps_artfs.c - what only artfs can do, or can tell; and the bare disk that it is held against.
 *
 * Renaming is a graft: half of the keys move there and back, as one directory, beside a directory
 * that holds one file. Areas are a tenth of the keys each, so five of them, moved below one
 * directory (by grafts, too), are the half.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "art/art.h"
#include "tests/bench/data.h"
#include "tests/bench/figure.h"
#include "tests/bench/steps.h"

enum { GRAFTS = 200, RAW_BYTES = 4096, RAW_FILE_BYTES = 16 * 1024 * 1024 };

void steps_artfs_density(struct run *r, enum measure density)
{
	struct art *art = peer_artfs_art(r->engine);
	struct art_stat st;
	steps_must(r, art_checkpoint(art), "art_checkpoint");
	art_stat(art, &st);
	if (st.keys != r->keys->n)
		steps_must(r, -EUCLEAN, "the dictionary holds a wrong number of keys");
	uint64_t user_bytes = r->keys->key_bytes + st.keys * VALUE_BYTES;
	uint64_t frames = st.store.blobs[STORE_TREE] + st.store.blobs[STORE_ARENA];
	r->result[density] = (double)user_bytes / ((double)frames * (double)st.store.frame_bytes);
	figure_note("artfs: %llu frames of %u bytes, %llu of %llu slots in use, io %s",
	        (unsigned long long)frames, st.store.frame_bytes,
	        (unsigned long long)st.store.slots_used, (unsigned long long)st.store.slots_total,
	        st.store.io_name);
}

/* 4 KiB blocks, O_DIRECT and O_DSYNC, over a zero-filled file: what a durable commit cannot beat
 * alone. */
void steps_artfs_bare_disk(struct run *r)
{
	char path[4300];
	void *block;
	snprintf(path, sizeof(path), "%s/bare", r->work_path);
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
	if (fd < 0 || posix_memalign(&block, RAW_BYTES, RAW_FILE_BYTES))
		figure_die(path, fd < 0 ? errno : ENOMEM);
	memset(block, 0, RAW_FILE_BYTES);
	if (pwrite(fd, block, RAW_FILE_BYTES, 0) != RAW_FILE_BYTES)
		figure_die(path, errno);
	data_value(block, RAW_BYTES, 1);
	uint64_t count = 0;
	double begin = figure_now(), end = begin + STEP_DURABLE * r->step_seconds, now;
	do {
		off_t at = (off_t)(count++ * RAW_BYTES % RAW_FILE_BYTES);
		if (pwrite(fd, block, RAW_BYTES, at) != RAW_BYTES)
			figure_die(path, errno);
		now = figure_now();
	} while (now < end);
	r->result[BARE_DISK] = (double)count / (now - begin);
	close(fd);
	free(block);
	unlink(path);
}

static uint64_t frames_dirtied(struct art *art)
{
	struct art_stat st;
	art_stat(art, &st);
	return st.frames_dirtied;
}

static void graft(struct run *r, const char *from, const char *to)
{
	const struct art_op op = {
	        .type = ART_GRAFT, .key = {from, strlen(from)}, .to = {to, strlen(to)}};
	steps_must(r, art_commit(peer_artfs_art(r->engine), &op, 1, NULL), "graft");
}

static void measure_graft(
        struct run *r, const char *a, const char *b, enum measure time, enum measure frames)
{
	struct art *art = peer_artfs_art(r->engine);
	/* The first time may cut a frame; every later one shows what a rename costs. */
	graft(r, a, b);
	graft(r, b, a);
	steps_must(r, art_checkpoint(art), "art_checkpoint");
	uint64_t before = frames_dirtied(art);
	graft(r, a, b);
	graft(r, b, a);
	r->result[frames] = (double)(frames_dirtied(art) - before);
	double begin = figure_now();
	for (unsigned i = 0; i < GRAFTS / 2; i++) {
		graft(r, a, b);
		graft(r, b, a);
	}
	r->result[time] = (figure_now() - begin) / GRAFTS * 1e6;
}

/* Moves every other area below "half/", or back. */
static void move_half(struct run *r, bool back)
{
	for (unsigned area = 0; area < DATA_AREAS; area += 2) {
		char path[DATA_KEY_BYTES_MAX], below[DATA_KEY_BYTES_MAX + sizeof("half/")];
		data_area(path, area);
		snprintf(below, sizeof(below), "half/%s", path);
		graft(r, back ? below : path, back ? path : below);
	}
}

void steps_artfs_graft(struct run *r)
{
	const struct art_bytes single = {"single/file", strlen("single/file")};
	struct art_op op = {.type = ART_PUT, .key = single, .value = {"x", 1}};
	steps_must(r, art_commit(peer_artfs_art(r->engine), &op, 1, NULL), "put");
	measure_graft(r, "single/", "solitary/", GRAFT_ONE, GRAFT_ONE_FRAMES);
	op = (struct art_op){.type = ART_REMOVE, .key = single};
	steps_must(r, art_commit(peer_artfs_art(r->engine), &op, 1, NULL), "remove");

	move_half(r, false);
	measure_graft(r, "half/", "elsewhere/", GRAFT_MANY, GRAFT_MANY_FRAMES);
	move_half(r, true);
}

/*
 * simdisk.h - a disk in memory that forgets what real disks forget.
 *
 *        struct io (simdisk_open)       what programs see                what a power loss leaves
 *             │
 *             ▼                  ┌── now ──────────────┐   sync    ┌── durable ─────────┐
 *        write, truncate ───────►│ content of each file │ ────────► │ content            │
 *        create, rename  ───────►│ names                │ ────────► │ names              │
 *                                └─────────────────────┘ sync_dir  └────────────────────┘
 *                                  changes, in order ───► simdisk_crash() keeps some of them
 *
 * Every call that changes or syncs something is one step, and each request of a batch is one of its
 * own. Before a step takes effect the hook is called; it may look at the disk, clone it or crash a
 * copy, so one run visits every crash point without being repeated.
 *
 * Stricter than most disks, so that nothing rests on luck:
 *   - a sync covers what was written before its batch was submitted, and what it is linked behind
 *   - fsync of a file says nothing about its name; a directory sync covers that directory's names
 * only
 *   - what was unsynced when a sync failed never becomes durable by a later sync, although reads
 * show it
 *   - a write that fails with -EIO has changed part of its range
 *
 * Deterministic, one thread. Misuse and lack of memory end the test.
 */
#ifndef TESTS_HARNESS_SIMDISK_H
#define TESTS_HARNESS_SIMDISK_H

#include <stdbool.h>
#include <stdint.h>

#include "store/io.h"
#include "tests/harness/rng.h"

enum { SIMDISK_SECTOR = 512 }; /* the most that a disk writes whole */

struct simdisk;

struct simdisk *simdisk_new(void);
void simdisk_free(struct simdisk *d); /* all handles are destroyed by now */

/* The same disk in another world: content and changes, but no handles, locks, hook or faults. */
struct simdisk *simdisk_clone(const struct simdisk *d);

/* An open store directory on it, as io_open() gives one. Several are several processes. */
struct io *simdisk_open(struct simdisk *d);

/* ---- power loss ---- */

enum simdisk_keep {
	SIMDISK_KEEP,   /* all of it had reached the disk */
	SIMDISK_DROP,   /* none of it */
	SIMDISK_PREFIX, /* what came before some moment */
	SIMDISK_NAMES,  /* the names, but no file content */
	SIMDISK_DATA,   /* file content, but no names */
	SIMDISK_SUBSET, /* any changes of content, a prefix of those of names */
	SIMDISK_TORN,   /* any sectors of each write, any changes of names */
	SIMDISK_KEEPS,
};
extern const char *const simdisk_keep_name[SIMDISK_KEEPS];

/* The disk after a power loss now. A lost extension of a file may leave the size, with zeroes. */
struct simdisk *simdisk_crash(const struct simdisk *d, enum simdisk_keep keep, struct rng *r);

uint64_t simdisk_steps(const struct simdisk *d);
/* Changes that a power loss could undo. */
unsigned simdisk_unsynced(const struct simdisk *d);

typedef void simdisk_hook(void *arg, const struct simdisk *d, uint64_t step);
void simdisk_set_hook(struct simdisk *d, simdisk_hook *hook, void *arg); /* NULL: none */

/* ---- faults ---- */

enum simdisk_call {
	SIMDISK_READ = 1,
	SIMDISK_WRITE = 2,
	SIMDISK_SYNC = 4, /* of a file */
	SIMDISK_SYNC_DIR = 8,
	SIMDISK_OPEN = 16,
	SIMDISK_ALLOCATE = 32,
	SIMDISK_TRUNCATE = 64,
	SIMDISK_PUNCH = 128,
	SIMDISK_RENAME = 256,
	SIMDISK_UNLINK = 512,
	SIMDISK_MKDIR = 1024,
	SIMDISK_LIST = 2048,
	SIMDISK_SIZE = 4096,
	SIMDISK_ANY = 8191,
};
#define SIMDISK_FOREVER UINT64_MAX

/* Of the calls in the mask, the next `skip` succeed and the `times` after them fail with `error`.
 * One fault at a time; times 0 heals. Power that goes off is SIMDISK_ANY, 0, SIMDISK_FOREVER, -EIO.
 */
void simdisk_fail(struct simdisk *d, unsigned calls, uint64_t skip, uint64_t times, int error);
uint64_t simdisk_failures(const struct simdisk *d); /* since simdisk_fail() */

/* Bytes that files may take, in pages of 4 KiB; beyond it -ENOSPC. 0 = no limit. */
void simdisk_set_capacity(struct simdisk *d, uint64_t bytes);

/* Flips bits of one byte of a file, as seen and as durable. -ENOENT. */
int simdisk_rot(struct simdisk *d, const char *name, uint64_t offset, uint8_t bits);

/* ---- looking ---- */

struct simdisk_stat {
	uint64_t reads, read_bytes, writes, written_bytes, syncs, dir_syncs;
};
const struct simdisk_stat *simdisk_stat(const struct simdisk *d);

#endif

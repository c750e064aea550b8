/*
 * simdisk_state.h - what a simulated disk consists of; for simdisk.c, simdisk_state.c and power.c alone.
 *
 *   inodes[]  by number; 0 is the store directory. Names refer to them, they do not know their
 * names. now, durable      (directory, name) -> inode, twice inode.now, .durable      content of a
 * file, twice; .changes lead from one to the other, in order namings           lead from the
 * durable names to those of now, in order
 *
 * A naming sets one or two names to absolute values, so that any part of the namings, applied in
 * order, is a state: what a rename replaced or left behind never hangs on another naming being
 * there.
 */
#ifndef TESTS_HARNESS_SIMDISK_STATE_H
#define TESTS_HARNESS_SIMDISK_STATE_H

#include "tests/harness/pages.h"
#include "tests/harness/simdisk.h"

enum { SIM_NAME_BYTES = 64, SIM_ROOT = 0 };
#define SIM_NONE UINT32_MAX

enum sim_change_type { SIM_WRITE, SIM_TRUNCATE, SIM_ALLOCATE, SIM_PUNCH };

struct sim_payload { /* shared by clones */
	unsigned refs;
	uint8_t bytes[];
};

struct sim_change {
	enum sim_change_type type;
	bool doomed;    /* a sync failed after it: no later one makes it durable */
	uint64_t order; /* among all changes and namings of the disk */
	uint64_t chain; /* of linked requests that it was part of */
	uint64_t offset, bytes;
	struct sim_payload *payload; /* SIM_WRITE */
};

struct sim_inode {
	bool dir;
	unsigned opens;
	struct pages now, durable;
	struct sim_change *change;
	unsigned nchanges, changes_max;
};

struct sim_name {
	uint32_t dir, ino; /* ino SIM_NONE, in a naming: the name is gone */
	char name[SIM_NAME_BYTES];
};

struct sim_names {
	struct sim_name *v;
	unsigned n, max;
};

struct sim_naming {
	uint64_t order;
	bool doomed;
	unsigned n;
	struct sim_name set[2];
};

struct simdisk {
	struct sim_inode **inode;
	uint32_t ninodes;
	struct sim_names now, durable;
	struct sim_naming *naming;
	unsigned nnamings, namings_max;
	uint64_t order, chain, steps, capacity;
	struct simdisk_stat stat;

	/* Of this world only, not cloned: */
	simdisk_hook *hook;
	void *hook_arg;
	struct {
		unsigned calls;
		uint64_t skip, times, done;
		int error;
	} fault;
	unsigned handles;
	unsigned sharers;
	const void *owner; /* the handle that holds the exclusive lock */
};

struct sim_inode *sim_inode_new(struct simdisk *d, bool dir, uint32_t *ino);
void sim_inode_clear(struct sim_inode *inode);

void sim_names_set(struct sim_names *names, const struct sim_name *set);
uint32_t sim_names_find(const struct sim_names *names, uint32_t dir, const char *name);
/* Fills in the directory that `path` lies in, its last name, and the inode or SIM_NONE. */
int sim_split_path(const struct simdisk *d, const char *path, struct sim_name *out);
/* Sets names as programs see them, and notes the naming. */
void sim_names_change(struct simdisk *d, const struct sim_name *set, unsigned n);

/* Applies a change to what programs see, and notes it. `data` is that of a SIM_WRITE. */
void sim_note(struct simdisk *d, struct sim_inode *inode, struct sim_change c, const void *data);
void sim_change_apply(const struct sim_change *c, struct pages *to);
void sim_change_fini(struct sim_change *c);

/* Bytes that are left; the blocks of a file go with its last name and its last handle. */
uint64_t sim_room(const struct simdisk *d);
bool sim_has_room(const struct simdisk *d, const struct pages *p, uint64_t offset, uint64_t bytes);

/* Drops the content of files that nothing can reach any more. */
void sim_sweep(struct simdisk *d);

#endif

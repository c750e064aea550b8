/*
 * fs_model.h - a tree of files as a list of paths, and the operations of a crash test on it.
 *
 * What fs/ is compared with: sorted paths without a leading slash, each naming an object; an object
 * is a directory or the bytes of a file. Copies share the bytes, so that the state after each
 * operation can be kept. Not modelled: permissions, times.
 */
#ifndef TESTS_HARNESS_FS_MODEL_H
#define TESTS_HARNESS_FS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FS_MODEL_PATH_BYTES = 96, FS_MODEL_NAMES_MAX = 64, FS_MODEL_OBJECTS_MAX = 256 };

enum fs_op_type {
	FS_OP_CREATE,
	FS_OP_MKDIR,
	FS_OP_WRITE, /* `bytes` of a pattern made from `seed`, at `offset` */
	FS_OP_TRUNCATE,
	FS_OP_RENAME,
	FS_OP_EXCHANGE,
	FS_OP_LINK,
	FS_OP_UNLINK,
	FS_OP_RMDIR,
	FS_OP_FSYNC,
	FS_OP_SYNC,
	FS_OP_CHECKPOINT,
};
extern const char *const fs_op_name[];

struct fs_op {
	enum fs_op_type type;
	const char *path, *to;
	uint32_t offset, bytes; /* TRUNCATE: the size is in `bytes` */
	uint32_t seed;
};

struct fs_model_bytes;

struct fs_model_object {
	bool dir;
	uint64_t ino; /* as it was told at creation; never changes */
	struct fs_model_bytes *data;
	long renamed; /* the number of the operation that renamed it last: what was written before
	               * is not behind that */
};

struct fs_model {
	struct {
		char path[FS_MODEL_PATH_BYTES];
		unsigned object;
	} name[FS_MODEL_NAMES_MAX];
	unsigned names;
	struct fs_model_object object[FS_MODEL_OBJECTS_MAX];
	unsigned objects;
	long ops; /* applied so far */
};

struct fs_model *fs_model_new(void);
struct fs_model *fs_model_clone(const struct fs_model *m);
void fs_model_free(struct fs_model *m);

/* Applies it whole or not at all: 0, or the error that is to be returned. */
int fs_model_apply(struct fs_model *m, const struct fs_op *op);
/* The index in m->name, or -1. */
int fs_model_find(const struct fs_model *m, const char *path);

size_t fs_model_size(const struct fs_model_object *o);
const uint8_t *fs_model_data(const struct fs_model_object *o);
void fs_model_pattern(const struct fs_op *op, uint8_t *buf); /* op->bytes of it */
void fs_model_print(const struct fs_op *op);

#endif

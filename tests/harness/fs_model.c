/*
 * fs_model.c - POSIX names on a sorted list of paths; fs_model.h says what for.
 */
#include "tests/harness/fs_model.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/pages.h"
#include "tests/harness/rng.h"

const char *const fs_op_name[] = {"create", "mkdir", "write", "truncate", "rename", "exchange",
        "link", "unlink", "rmdir", "fsync", "sync", "checkpoint"};

struct fs_model_bytes { /* immutable, shared by copies */
	unsigned refs;
	size_t bytes;
	uint8_t data[];
};

static struct fs_model_bytes *bytes_new(size_t bytes)
{
	struct fs_model_bytes *b = pages_memory(NULL, sizeof(*b) + bytes);

	b->refs = 1;
	b->bytes = bytes;
	memset(b->data, 0, bytes);
	return b;
}

static void bytes_put(struct fs_model_bytes *b)
{
	if (b && --b->refs == 0)
		free(b);
}

struct fs_model *fs_model_new(void)
{
	struct fs_model *m = pages_memory(NULL, sizeof(*m));

	memset(m, 0, sizeof(*m));
	return m;
}

struct fs_model *fs_model_clone(const struct fs_model *m)
{
	struct fs_model *to = pages_memory(NULL, sizeof(*to));

	memcpy(to, m, sizeof(*to));
	for (unsigned i = 0; i < to->objects; i++)
		if (to->object[i].data)
			to->object[i].data->refs++;
	return to;
}

void fs_model_free(struct fs_model *m)
{
	for (unsigned i = 0; i < m->objects; i++)
		bytes_put(m->object[i].data);
	free(m);
}

size_t fs_model_size(const struct fs_model_object *o)
{
	return o->data ? o->data->bytes : 0;
}

const uint8_t *fs_model_data(const struct fs_model_object *o)
{
	return o->data ? o->data->data : NULL;
}

int fs_model_find(const struct fs_model *m, const char *path)
{
	for (unsigned i = 0; i < m->names; i++)
		if (!strcmp(m->name[i].path, path))
			return (int)i;
	return -1;
}

static struct fs_model_object *object_of(struct fs_model *m, int name)
{
	return &m->object[m->name[name].object];
}

/* 0, -ENOENT or -ENOTDIR for the directory that the path lies in. */
static int check_parent(struct fs_model *m, const char *path)
{
	char parent[FS_MODEL_PATH_BYTES];
	const char *slash = strrchr(path, '/');
	int i, rc;

	if (!slash)
		return 0;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	rc = check_parent(m, parent);
	if (rc)
		return rc;
	i = fs_model_find(m, parent);
	return i < 0 ? -ENOENT : object_of(m, i)->dir ? 0 : -ENOTDIR;
}

static bool lies_in(const char *path, const char *dir)
{
	const size_t n = strlen(dir);
	return !strncmp(path, dir, n) && path[n] == '/';
}

static bool is_empty(const struct fs_model *m, const char *dir)
{
	for (unsigned i = 0; i < m->names; i++)
		if (lies_in(m->name[i].path, dir))
			return false;
	return true;
}

static void add_name(struct fs_model *m, const char *path, unsigned object)
{
	unsigned i = m->names++;

	assert(m->names <= FS_MODEL_NAMES_MAX && strlen(path) < FS_MODEL_PATH_BYTES);
	for (; i > 0 && strcmp(m->name[i - 1].path, path) > 0; i--)
		m->name[i] = m->name[i - 1];
	strcpy(m->name[i].path, path);
	m->name[i].object = object;
}

static void cut_name(struct fs_model *m, const char *path)
{
	const int i = fs_model_find(m, path);

	m->names--;
	memmove(&m->name[i], &m->name[i + 1], (m->names - (unsigned)i) * sizeof(m->name[0]));
}

static int by_path(const void *a, const void *b)
{
	return strcmp(a, b); /* the path is the first member */
}

/* Each path that is `from` or lies in it begins with `to` instead. */
static void move(struct fs_model *m, const char *from, const char *to)
{
	const size_t n = strlen(from);

	for (unsigned i = 0; i < m->names; i++) {
		char path[2 * FS_MODEL_PATH_BYTES];
		if (strcmp(m->name[i].path, from) && !lies_in(m->name[i].path, from))
			continue;
		snprintf(path, sizeof(path), "%s%s", to, m->name[i].path + n);
		assert(strlen(path) < FS_MODEL_PATH_BYTES);
		strcpy(m->name[i].path, path);
	}
	qsort(m->name, m->names, sizeof(m->name[0]), by_path);
}

static int create(struct fs_model *m, const struct fs_op *op)
{
	const int rc = check_parent(m, op->path);

	if (rc)
		return rc;
	if (fs_model_find(m, op->path) >= 0)
		return -EEXIST;
	assert(m->objects < FS_MODEL_OBJECTS_MAX);
	m->object[m->objects] = (struct fs_model_object){.dir = op->type == FS_OP_MKDIR};
	add_name(m, op->path, m->objects++);
	return 0;
}

static int find_file(struct fs_model *m, const char *path, struct fs_model_object **out)
{
	const int rc = check_parent(m, path), i = rc ? -1 : fs_model_find(m, path);

	if (rc || i < 0)
		return rc ? rc : -ENOENT;
	if (object_of(m, i)->dir)
		return -EISDIR;
	*out = object_of(m, i);
	return 0;
}

static int set_data(struct fs_model *m, const struct fs_op *op)
{
	struct fs_model_object *o;
	struct fs_model_bytes *new;
	const int rc = find_file(m, op->path, &o);
	size_t bytes, old;

	if (rc)
		return rc;
	old = fs_model_size(o);
	bytes = op->type == FS_OP_TRUNCATE     ? op->bytes
	        : op->offset + op->bytes > old ? op->offset + op->bytes
	                                       : old;
	new = bytes_new(bytes);
	if (o->data)
		memcpy(new->data, o->data->data, old < bytes ? old : bytes);
	if (op->type == FS_OP_WRITE)
		fs_model_pattern(op, new->data + op->offset);
	bytes_put(o->data);
	o->data = new;
	return 0;
}

/* What a rename may not do; `from` and `to` are indices, `to` may be -1. */
static int check_rename(struct fs_model *m, const struct fs_op *op, int from, int to)
{
	const bool dir = object_of(m, from)->dir;

	if (op->type == FS_OP_EXCHANGE && to < 0)
		return -ENOENT;
	if (lies_in(op->to, op->path) || (op->type == FS_OP_EXCHANGE && lies_in(op->path, op->to)))
		return -EINVAL;
	if (op->type == FS_OP_EXCHANGE)
		return 0;
	if (to < 0 || m->name[from].object == m->name[to].object)
		return 0;
	if (object_of(m, to)->dir)
		return !dir ? -EISDIR : is_empty(m, op->to) ? 0 : -ENOTEMPTY;
	return dir ? -ENOTDIR : 0;
}

static int rename_path(struct fs_model *m, const struct fs_op *op)
{
	int rc = check_parent(m, op->path), from, to;

	if (!rc)
		rc = check_parent(m, op->to);
	from = rc ? -1 : fs_model_find(m, op->path);
	if (rc || from < 0)
		return rc ? rc : -ENOENT;
	to = fs_model_find(m, op->to);
	rc = check_rename(m, op, from, to);
	if (rc || (to >= 0 && m->name[from].object == m->name[to].object))
		return rc;
	object_of(m, from)->renamed = m->ops + 1;
	if (op->type == FS_OP_EXCHANGE) {
		object_of(m, to)->renamed = m->ops + 1;
		move(m, op->to, "?");
		move(m, op->path, op->to);
		move(m, "?", op->path);
		return 0;
	}
	if (to >= 0)
		cut_name(m, op->to);
	move(m, op->path, op->to);
	return 0;
}

static int add_link(struct fs_model *m, const struct fs_op *op)
{
	int rc = check_parent(m, op->path), from;

	if (!rc)
		rc = check_parent(m, op->to);
	from = rc ? -1 : fs_model_find(m, op->path);
	if (rc || from < 0)
		return rc ? rc : -ENOENT;
	if (object_of(m, from)->dir)
		return -EPERM;
	if (fs_model_find(m, op->to) >= 0)
		return -EEXIST;
	add_name(m, op->to, m->name[from].object);
	return 0;
}

static int cut_path(struct fs_model *m, const struct fs_op *op)
{
	const int rc = check_parent(m, op->path), i = rc ? -1 : fs_model_find(m, op->path);

	if (rc || i < 0)
		return rc ? rc : -ENOENT;
	if (op->type == FS_OP_UNLINK && object_of(m, i)->dir)
		return -EISDIR;
	if (op->type == FS_OP_RMDIR && !object_of(m, i)->dir)
		return -ENOTDIR;
	if (op->type == FS_OP_RMDIR && !is_empty(m, op->path))
		return -ENOTEMPTY;
	cut_name(m, op->path);
	return 0;
}

static int apply(struct fs_model *m, const struct fs_op *op)
{
	struct fs_model_object *o;

	switch (op->type) {
	case FS_OP_CREATE:
	case FS_OP_MKDIR:
		return create(m, op);
	case FS_OP_WRITE:
	case FS_OP_TRUNCATE:
		return set_data(m, op);
	case FS_OP_RENAME:
	case FS_OP_EXCHANGE:
		return rename_path(m, op);
	case FS_OP_LINK:
		return add_link(m, op);
	case FS_OP_UNLINK:
	case FS_OP_RMDIR:
		return cut_path(m, op);
	case FS_OP_FSYNC:
		return find_file(m, op->path, &o);
	default:
		return 0;
	}
}

int fs_model_apply(struct fs_model *m, const struct fs_op *op)
{
	const int rc = apply(m, op);

	m->ops++;
	return rc;
}

void fs_model_pattern(const struct fs_op *op, uint8_t *buf)
{
	struct rng r = rng_of(op->seed);
	rng_fill(&r, buf, op->bytes);
}

void fs_model_print(const struct fs_op *op)
{
	printf("#   %s %s %s offset %u bytes %u\n", fs_op_name[op->type], op->path ? op->path : "",
	        op->to ? op->to : "", op->offset, op->bytes);
}

/*
 * dir.c - reading directories.
 *
 *   entry      .   ..   0    1    2   ...  255   256  ...          position of an entry = how many
 * came before its next   1   2    3    4    5   ...  258   259  ...          offset = position + 3
 *                       └───── group 0 ─────┘└─ group 1 ...
 *                                           ▲ anchor 0: the name of the last entry of group 0
 *
 * Going on is by name, not by number: behind the entry that came last, so what is created or
 * deleted meanwhile neither hides nor repeats another entry. An open directory remembers the names
 * of the group being read and one anchor for each group before it. An offset in an older group is
 * found again by counting from its anchor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/data.h"
#include "fs/name.h"

enum { GROUP = 256, DOTS = 2 };

struct fs_dir {
	struct fs *fs;
	struct fs_inode *inode;
	char *group[GROUP]; /* entry names as the cursor gives them, with '/' for directories */
	uint64_t first;     /* position of group[0], a multiple of GROUP */
	unsigned n;
	char **anchor; /* anchor[k]: last name of group k */
	size_t anchors, anchors_cap;
};

int fs_opendir(struct fs *fs, uint64_t ino, struct fs_dir **out)
{
	struct fs_dir *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->fs = fs;
	pthread_rwlock_rdlock(&fs->ns);
	d->inode = fs_inode_find(fs, ino);
	int err = d->inode ? 0 : -ESTALE;
	if (!err && !fs_inode_is_dir(d->inode))
		err = -ENOTDIR;
	if (!err)
		fs_inode_opened(fs, d->inode);
	pthread_rwlock_unlock(&fs->ns);
	if (err)
		free(d);
	else
		*out = d;
	return err;
}

static void cut(struct fs_dir *d, unsigned n)
{
	while (d->n > n)
		free(d->group[--d->n]);
}

void fs_closedir(struct fs_dir *d)
{
	struct fs *fs = d->fs;
	uint64_t ino = d->inode->ino;
	cut(d, 0);
	while (d->anchors)
		free(d->anchor[--d->anchors]);
	free(d->anchor);
	pthread_rwlock_rdlock(&fs->ns);
	bool last = fs_inode_less(fs, d->inode, 0, 1);
	pthread_rwlock_unlock(&fs->ns);
	if (last)
		fs_drop(fs, ino);
	free(d);
}

/* Remembers one more entry as passed. */
static int pass(struct fs_dir *d, const char *name)
{
	if (d->n == GROUP) {
		if (d->anchors == d->anchors_cap) {
			size_t cap = d->anchors_cap ? 2 * d->anchors_cap : 16;
			char **a = realloc(d->anchor, cap * sizeof(*a));
			if (!a)
				return -ENOMEM;
			d->anchor = a;
			d->anchors_cap = cap;
		}
		d->anchor[d->anchors++] = d->group[--d->n];
		cut(d, 0);
		d->first += GROUP;
	}
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	d->group[d->n++] = copy;
	return 0;
}

/* Makes the entries passed as many as `at`, or fewer if the rest must be counted again. */
static void rewind_to(struct fs_dir *d, uint64_t at)
{
	if (at >= d->first + d->n)
		return;
	if (at > d->first) {
		cut(d, (unsigned)(at - d->first));
		return;
	}
	cut(d, 0);
	while (d->anchors > at / GROUP)
		free(d->anchor[--d->anchors]);
	d->first = d->anchors * GROUP;
}

static const char *last_passed(const struct fs_dir *d)
{
	if (d->n)
		return d->group[d->n - 1];
	return d->anchors ? d->anchor[d->anchors - 1] : NULL;
}

static int cursor_at(struct fs_dir *d, struct art_cursor **out)
{
	/* in the root, keys that are not paths come first: all of them begin with 00 and a letter
	 */
	static const char behind_spaces[2] = {0, '\xff'};
	struct art_cursor *c;
	struct fs_key prefix = fs_key_prefix(d->inode);
	if (!prefix.data)
		return -ENOMEM;
	int err = art_cursor_open(d->fs->art, fs_key_view(prefix), '/', &c);
	free(prefix.data);
	if (err)
		return err;
	const char *last = last_passed(d);
	if (last)
		err = art_cursor_seek(c, (struct art_bytes){last, strlen(last)});
	else if (d->inode == d->fs->root)
		err = art_cursor_seek(c, (struct art_bytes){behind_spaces, sizeof(behind_spaces)});
	if (err)
		art_cursor_close(c);
	else
		*out = c;
	return err;
}

/* The record of an entry; of a file with several names its own only if `plus` and the table has not
 * got it. `out` receives what the caller shall see. */
static int entry_attr(struct fs *fs, const struct fs_inode *dir, const struct art_entry *e,
        bool plus, const char *name, struct fs_record *r, enum fs_home *home, struct fs_attr *out)
{
	enum fs_record_type type;
	int err = e->present ? 0 : -EUCLEAN;
	*home = FS_HOME_PATH;
	if (!err && e->value.data) {
		err = fs_record_decode(e->value.data, e->value.bytes, e->value_bytes, &type, r);
		if (!err && fs_is_dir(r) != e->rolled)
			err = -EUCLEAN;
		if (!err && type == FS_RECORD_LINK)
			*home = FS_HOME_INO;
	} else if (!err) {
		err = fs_child_read(fs, dir, name, r, home);
	}
	if (err)
		return err;
	struct fs_inode *i = fs_inode_find(fs, r->ino);
	if (i) { /* I2 */
		pthread_rwlock_rdlock(&i->lock);
		fs_inode_attr(i, out);
		pthread_rwlock_unlock(&i->lock);
		return 0;
	}
	if (plus && *home == FS_HOME_INO)
		err = fs_ino_read(fs, r->ino, r);
	if (!err)
		fs_record_attr(r, out);
	return err;
}

typedef int each_fn(void *arg, const struct fs_dirent *e);

/* 0 taken, 1 not taken. What can fail comes before each(). */
static int emit(
        struct fs_dir *d, const struct art_entry *entry, bool plus, each_fn *each, void *arg)
{
	struct fs *fs = d->fs;
	char raw[FS_NAME_BYTES_MAX + 2], name[FS_NAME_BYTES_MAX + 1];
	size_t n = entry->name.bytes - entry->rolled;
	if (n == 0 || n > FS_NAME_BYTES_MAX || memchr(entry->name.data, 0, n))
		return -EUCLEAN;
	memcpy(raw, entry->name.data, entry->name.bytes);
	raw[entry->name.bytes] = 0;
	memcpy(name, raw, n);
	name[n] = 0;

	struct fs_dirent e = {.name = name, .next = d->first + d->n + DOTS + 1};
	struct fs_record r;
	enum fs_home home;
	int err = entry_attr(fs, d->inode, entry, plus, name, &r, &home, &e.attr);
	if (err)
		return err;
	struct fs_inode *i = plus ? fs_inode_new(&r, home, name) : NULL;
	err = plus && !i ? -ENOMEM : pass(d, raw);
	if (err) {
		fs_inode_free(i);
		return err;
	}
	if (each(arg, &e) != 0) {
		cut(d, d->n - 1);
		fs_inode_free(i);
		return 1;
	}
	if (i)
		fs_inode_add(fs, i, d->inode, 1);
	return 0;
}

static int dots(struct fs_dir *d, uint64_t offset, each_fn *each, void *arg)
{
	const struct fs_inode *up = d->inode->parent ? d->inode->parent : d->inode;
	int stop = 0;
	for (unsigned k = 0; k < DOTS && !stop; k++) {
		if (offset > k)
			continue;
		struct fs_inode *i = (struct fs_inode *)(k ? up : d->inode);
		struct fs_dirent e = {.name = k ? ".." : ".", .next = k + 1};
		pthread_rwlock_rdlock(&i->lock);
		fs_inode_attr(i, &e.attr);
		pthread_rwlock_unlock(&i->lock);
		stop = each(arg, &e) != 0;
	}
	return stop;
}

static int walk(struct fs_dir *d, uint64_t at, bool plus, each_fn *each, void *arg)
{
	struct art_cursor *c;
	struct art_entry e;
	rewind_to(d, at);
	int err = cursor_at(d, &c);
	if (err)
		return err;
	while (!err && (err = art_cursor_next(c, &e)) == 1) {
		err = 0;
		if (e.name.bytes == e.rolled) /* the directory itself: "", in the root "/" */
			continue;
		if (d->first + d->n >= at) {
			err = emit(d, &e, plus, each, arg);
			continue;
		}
		char raw[FS_NAME_BYTES_MAX + 2];
		if (e.name.bytes >= sizeof(raw)) {
			err = -EUCLEAN;
			continue;
		}
		memcpy(raw, e.name.data, e.name.bytes);
		raw[e.name.bytes] = 0;
		err = pass(d, raw);
	}
	art_cursor_close(c);
	return err < 0 ? err : 0;
}

int fs_readdir(struct fs_dir *d, uint64_t offset, bool plus, each_fn *each, void *arg)
{
	struct fs *fs = d->fs;
	int err = 0;
	pthread_rwlock_rdlock(&fs->ns);
	bool removed = d->inode->home == FS_HOME_MEMORY;
	if (!dots(d, offset, each, arg) && !removed)
		err = walk(d, offset > DOTS ? offset - DOTS : 0, plus, each, arg);
	if (!err)
		fs_atime_touch(fs, d->inode);
	pthread_rwlock_unlock(&fs->ns);
	return err;
}

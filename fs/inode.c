/*
 * inode.c - the inodes that somebody knows (drawn in inode.h).
 *
 * Rule I1: an inode enters the table with the record that the dictionary has, read under the same
 * hold of ns; it leaves only under ns for writing. So whoever finds no entry and adds one cannot
 * add an old record. Rule I2: what is in the table wins over the dictionary: it may know more
 * (buffered data, atime).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/orphan.h"
#include "fs/txn.h"
#include "fs/window.h"

enum { BUCKETS_MIN = 1024 };

static size_t slot_of(const struct fs *fs, uint64_t ino)
{
	return (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (fs->buckets - 1);
}

int fs_table_init(struct fs *fs)
{
	fs->bucket = calloc(BUCKETS_MIN, sizeof(struct fs_inode *));
	if (!fs->bucket)
		return -ENOMEM;
	fs->buckets = BUCKETS_MIN;
	pthread_mutex_init(&fs->table_lock, NULL);
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	/* a stream of readers must not keep a rename waiting for ever */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&fs->ns, &attr);
	pthread_rwlockattr_destroy(&attr);
	return 0;
}

void fs_table_fini(struct fs *fs)
{
	for (size_t b = 0; b < fs->buckets; b++) {
		for (struct fs_inode *i = fs->bucket[b], *next; i; i = next) {
			next = i->hash_next;
			i->atime_dirty = false;
			fs_window_close(fs, i);
			fs_inode_relist(fs, i);
			fs_inode_free(i);
		}
	}
	free(fs->bucket);
	pthread_rwlock_destroy(&fs->ns);
	pthread_mutex_destroy(&fs->table_lock);
}

struct fs_inode *fs_inode_new(const struct fs_record *r, enum fs_home home, const char *name)
{
	struct fs_inode *i = calloc(1, sizeof(*i));
	if (!i)
		return NULL;
	if (home == FS_HOME_PATH && name) {
		i->name = strdup(name);
		if (!i->name) {
			free(i);
			return NULL;
		}
	}
	i->ino = r->ino;
	i->type = r->mode & FS_TYPE_MASK;
	i->rec = *r;
	i->home = home;
	i->trim_from = UINT64_MAX;
	pthread_rwlock_init(&i->lock, NULL);
	return i;
}

void fs_inode_free(struct fs_inode *i)
{
	if (!i)
		return;
	assert(!i->window);
	pthread_rwlock_destroy(&i->lock);
	free(i->name);
	free(i->tail);
	free(i);
}

static struct fs_inode *find(const struct fs *fs, uint64_t ino)
{
	struct fs_inode *i = fs->bucket[slot_of(fs, ino)];
	while (i && i->ino != ino)
		i = i->hash_next;
	return i;
}

struct fs_inode *fs_inode_find(struct fs *fs, uint64_t ino)
{
	pthread_mutex_lock(&fs->table_lock);
	struct fs_inode *i = find(fs, ino);
	pthread_mutex_unlock(&fs->table_lock);
	return i;
}

/* Best effort: long chains are slow, not wrong. */
static void grow(struct fs *fs)
{
	struct fs_inode **old = fs->bucket, **bucket = calloc(fs->buckets * 2, sizeof(*bucket));
	if (!bucket)
		return;
	size_t n = fs->buckets;
	fs->bucket = bucket;
	fs->buckets = n * 2;
	for (size_t b = 0; b < n; b++) {
		for (struct fs_inode *i = old[b], *next; i; i = next) {
			next = i->hash_next;
			struct fs_inode **to = &bucket[slot_of(fs, i->ino)];
			i->hash_next = *to;
			*to = i;
		}
	}
	free(old);
}

struct fs_inode *fs_inode_add(
        struct fs *fs, struct fs_inode *i, struct fs_inode *parent, uint64_t lookups)
{
	pthread_mutex_lock(&fs->table_lock);
	struct fs_inode *known = find(fs, i->ino);
	if (!known) {
		if (fs->inodes >= fs->buckets)
			grow(fs);
		struct fs_inode **to = &fs->bucket[slot_of(fs, i->ino)];
		i->hash_next = *to;
		*to = i;
		fs->inodes++;
		if (i->home == FS_HOME_PATH && parent) {
			i->parent = parent;
			parent->children++;
		}
	}
	struct fs_inode *out = known ? known : i;
	out->lookups += lookups;
	pthread_mutex_unlock(&fs->table_lock);
	if (known)
		fs_inode_free(i);
	return out;
}

static bool idle(const struct fs_inode *i)
{
	return i->lookups == 0 && i->opens == 0 && i->children == 0;
}

void fs_inode_opened(struct fs *fs, struct fs_inode *i)
{
	pthread_mutex_lock(&fs->table_lock);
	i->opens++;
	pthread_mutex_unlock(&fs->table_lock);
}

bool fs_inode_less(struct fs *fs, struct fs_inode *i, uint64_t lookups, uint64_t opens)
{
	pthread_mutex_lock(&fs->table_lock);
	i->lookups -= lookups < i->lookups ? lookups : i->lookups;
	i->opens -= opens < i->opens ? opens : i->opens;
	bool done = idle(i);
	pthread_mutex_unlock(&fs->table_lock);
	return done;
}

struct fs_inode *fs_inode_move(
        struct fs *fs, struct fs_inode *i, struct fs_inode *parent, char *name)
{
	struct fs_inode *from = i->parent;
	pthread_mutex_lock(&fs->table_lock);
	if (from)
		from->children--;
	if (parent)
		parent->children++;
	pthread_mutex_unlock(&fs->table_lock);
	free(i->name);
	i->name = name;
	i->parent = parent;
	return from;
}

static void unhash(struct fs *fs, struct fs_inode *i)
{
	pthread_mutex_lock(&fs->table_lock);
	struct fs_inode **at = &fs->bucket[slot_of(fs, i->ino)];
	while (*at != i)
		at = &(*at)->hash_next;
	*at = i->hash_next;
	fs->inodes--;
	if (i->parent)
		i->parent->children--;
	pthread_mutex_unlock(&fs->table_lock);
}

uint64_t fs_inode_settle(struct fs *fs, struct fs_inode *i)
{
	uint64_t purge = 0;
	while (i && i != fs->root && idle(i)) {
		if (i->rec.nlink == 0) {
			if (i->home == FS_HOME_INO)
				purge = i->ino;
		} else if (fs_inode_flush(fs, i) != 0 || fs_trim_finish(fs, i) != 0) {
			fs->retained = true;
			break;
		}
		struct fs_inode *parent = i->parent;
		i->atime_dirty = false;
		fs_window_close(fs, i);
		fs_inode_relist(fs, i);
		unhash(fs, i);
		fs_inode_free(i);
		i = parent;
	}
	return purge;
}

void fs_inode_relist(struct fs *fs, struct fs_inode *i)
{
	bool list = i->window || i->atime_dirty;
	pthread_mutex_lock(&fs->table_lock);
	if (list && !i->listed) {
		i->newer = NULL;
		i->older = fs->newest;
		*(fs->newest ? &fs->newest->newer : &fs->oldest) = i;
		fs->newest = i;
	} else if (!list && i->listed) {
		*(i->older ? &i->older->newer : &fs->oldest) = i->newer;
		*(i->newer ? &i->newer->older : &fs->newest) = i->older;
	}
	i->listed = list;
	pthread_mutex_unlock(&fs->table_lock);
}

int fs_ino_next(struct fs *fs, uint64_t *ino)
{
	if (fs->ino_next == fs->super.next_ino) {
		struct fs_super s = fs->super;
		s.next_ino += FS_INO_BLOCK;
		struct fs_txn t = {0};
		fs_txn_put(&t, fs_key_super(), fs_super_encode(&s));
		int err = fs_txn_commit(fs->art, &t);
		if (err)
			return err;
		fs->super = s;
	}
	*ino = fs->ino_next++;
	return 0;
}

int fs_dir_find(struct fs *fs, uint64_t ino, struct fs_inode **out)
{
	struct fs_inode *i = fs_inode_find(fs, ino);
	if (!i)
		return -ESTALE;
	if (!fs_inode_is_dir(i))
		return -ENOTDIR;
	if (i->home == FS_HOME_MEMORY)
		return -ENOENT;
	*out = i;
	return 0;
}

int fs_ino_read(struct fs *fs, uint64_t ino, struct fs_record *out)
{
	uint8_t key[FS_KEY_INO_BYTES], buf[sizeof(struct fs_inode_disk)];
	size_t bytes;
	enum fs_record_type type;
	struct fs_record r;
	int err = art_get(
	        fs->art, fs_key_ino_in(key, FS_SPACE_INODE, ino), 0, buf, sizeof(buf), &bytes);
	if (err == -ENOENT)
		return -EUCLEAN;
	if (!err)
		err = fs_record_decode(
		        buf, bytes < sizeof(buf) ? bytes : sizeof(buf), bytes, &type, &r);
	if (!err && (type != FS_RECORD_INODE || r.ino != ino))
		err = -EUCLEAN;
	if (!err)
		*out = r;
	return err;
}

int fs_child_read(struct fs *fs, const struct fs_inode *dir, const char *name,
        struct fs_record *out, enum fs_home *home)
{
	uint8_t buf[sizeof(struct fs_inode_disk)];
	size_t matched, bytes;
	enum fs_record_type type;
	struct fs_record r;
	struct fs_key key = fs_key_child(dir, name, true);
	if (!key.data)
		return -ENOMEM;
	/* one descent answers for the file "name" and the directory "name/" */
	int err = art_longest_prefix(fs->art, fs_key_view(key), &matched, buf, sizeof(buf), &bytes);
	free(key.data);
	if (!err && matched + 1 < key.bytes)
		err = -ENOENT;
	if (err)
		return err;
	err = fs_record_decode(buf, bytes < sizeof(buf) ? bytes : sizeof(buf), bytes, &type, &r);
	if (!err && fs_is_dir(&r) != (matched == key.bytes))
		err = -EUCLEAN;
	enum fs_home at = FS_HOME_PATH;
	if (!err && type == FS_RECORD_LINK) {
		at = FS_HOME_INO;
		err = fs_ino_read(fs, r.ino, &r);
	}
	if (err)
		return err;
	*out = r;
	*home = at;
	return 0;
}

int fs_child_get(struct fs *fs, struct fs_inode *dir, const char *name, uint64_t lookups,
        struct fs_inode **out)
{
	struct fs_record r;
	enum fs_home home;
	int err = fs_child_read(fs, dir, name, &r, &home);
	if (err)
		return err;
	struct fs_inode *i = fs_inode_new(&r, home, name);
	if (!i)
		return -ENOMEM;
	*out = fs_inode_add(fs, i, dir, lookups);
	return 0;
}

void fs_inode_attr(const struct fs_inode *i, struct fs_attr *out)
{
	fs_record_attr(&i->rec, out);
	if (fs_window_dirty(i)) {
		const struct fs_window *w = i->window;
		uint32_t end = w->whole ? w->bytes : w->hi;
		if (end > w->disk_bytes)
			out->blocks = (i->rec.stored + end - w->disk_bytes + 511) / 512;
	}
}

/*
 * fs.c - the life of the whole: making it, opening, closing, making durable.
 *
 * No lock of this room is held while waiting for durability.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/name.h"
#include "fs/orphan.h"
#include "fs/window.h"

enum {
	DATA_BUFFER_BYTES = 64 * 1024 * 1024,
	CHUNK_FRAMES =
	        16, /* a chunk is as long as this many frames, if that is not too long for a value */
	FILE_BYTES_TYPICAL = 256 /* record, name and links, to guess how many files fit */
};

int fs_format(struct art *a, const struct fs_cred *owner, mode_t mode)
{
	struct art_stat st;
	art_stat(a, &st);
	uint32_t chunk_bytes = CHUNK_FRAMES * st.store.frame_bytes;
	if (chunk_bytes > ART_VALUE_BYTES_MAX)
		chunk_bytes = ART_VALUE_BYTES_MAX;
	struct fs_super s = {.chunk_bytes = chunk_bytes, .next_ino = FS_ROOT + 1};
	struct fs_record r = {
	        .ino = FS_ROOT,
	        .mode = S_IFDIR | (mode & 07777),
	        .nlink = 2,
	        .uid = owner->uid,
	        .gid = owner->gid,
	};
	r.atime = r.mtime = r.ctime = r.btime = fs_record_now(&r);
	struct fs_txn t = {0};
	fs_txn_put(&t, fs_key_super(), fs_super_encode(&s));
	t.op[0].guard = ART_ABSENT;
	struct fs_key root = {malloc(1), 1};
	if (root.data)
		root.data[0] = '/';
	fs_txn_put(&t, root, fs_record_encode(&r, NULL, 0));
	return fs_txn_commit(a, &t);
}

static int super_read(struct art *a, struct fs_super *out, struct why *w)
{
	uint8_t buf[sizeof(struct fs_super_disk)];
	size_t bytes;
	int err = art_get(
	        a, (struct art_bytes){"\0c", FS_KEY_SPACE_BYTES}, 0, buf, sizeof(buf), &bytes);
	if (err == -ENOENT)
		return why(w, -EUCLEAN,
		        "this dictionary holds no filesystem: its super record is missing");
	if (!err)
		err = fs_super_decode(buf, bytes, out);
	if (err == -EPROTONOSUPPORT)
		return why(w, err,
		        "the filesystem was made by a newer artfs and cannot be read by this one");
	if (err)
		return why(w, err, "the super record of the filesystem cannot be read: %s",
		        strerror(-err));
	return 0;
}

static int root_read(struct art *a, struct fs_record *out, struct why *w)
{
	uint8_t buf[sizeof(struct fs_inode_disk)];
	size_t bytes;
	enum fs_record_type type;
	int err = art_get(a, (struct art_bytes){"/", 1}, 0, buf, sizeof(buf), &bytes);
	if (err == -ENOENT)
		err = -EUCLEAN;
	if (!err)
		err = fs_record_decode(
		        buf, bytes < sizeof(buf) ? bytes : sizeof(buf), bytes, &type, out);
	if (!err && (type != FS_RECORD_INODE || out->ino != FS_ROOT || !fs_is_dir(out)))
		err = -EUCLEAN;
	return err ? why(w, err,
	                     "the record of the root directory cannot be read: %s; see artfs fsck",
	                     strerror(-err))
	           : 0;
}

int fs_open(struct art *a, const struct fs_options *opt, struct fs **out, struct why *w)
{
	struct fs_record root;
	struct fs *fs = calloc(1, sizeof(*fs));
	if (!fs)
		return why(w, -ENOMEM, "out of memory");
	int err = super_read(a, &fs->super, w);
	if (!err && fs->super.ro_compat != 0 && !opt->read_only)
		err = why(w, -EROFS,
		        "the filesystem uses features that this artfs can only read: mount it "
		        "read-only");
	if (!err)
		err = root_read(a, &root, w);
	if (!err && !opt->read_only) {
		err = fs_orphans_purge_all(a);
		if (err)
			why(w, err, "cannot purge what a crash left behind: %s", strerror(-err));
	}
	if (err)
		goto out;
	fs->art = a;
	fs->read_only = opt->read_only;
	fs->chunk_bytes = fs->super.chunk_bytes;
	fs->data_buffer_bytes = opt->data_buffer_bytes ? opt->data_buffer_bytes : DATA_BUFFER_BYTES;
	fs->ino_next = fs->super.next_ino; /* what was reserved before is lost, never reused */
	size_t in_leaf = art_inline_bytes_max(a), head = sizeof(struct fs_inode_disk);
	fs->inline_bytes_max = in_leaf > head ? in_leaf - head : 0;
	err = fs_table_init(fs);
	if (err) {
		why(w, err, "out of memory");
		goto out;
	}
	fs->root = fs_inode_new(&root, FS_HOME_PATH, NULL);
	if (!fs->root) {
		err = why(w, -ENOMEM, "out of memory");
		fs_table_fini(fs);
		goto out;
	}
	fs_inode_add(fs, fs->root, NULL, 1);
	*out = fs;
	fs = NULL;
out:
	free(fs);
	return err;
}

/* The numbers of all inodes with something to write, or of those that `want` picks. */
static int collect(
        struct fs *fs, bool (*want)(const struct fs_inode *i), uint64_t **out, size_t *count)
{
	size_t n = 0;
	pthread_mutex_lock(&fs->table_lock);
	uint64_t *ino = malloc((fs->inodes + 1) * sizeof(*ino));
	for (struct fs_inode *i = fs->oldest; ino && !want && i; i = i->newer)
		ino[n++] = i->ino;
	for (size_t b = 0; ino && want && b < fs->buckets; b++)
		for (struct fs_inode *i = fs->bucket[b]; i; i = i->hash_next)
			if (want(i))
				ino[n++] = i->ino;
	pthread_mutex_unlock(&fs->table_lock);
	if (!ino)
		return -ENOMEM;
	*out = ino;
	*count = n;
	return 0;
}

static bool is_orphan(const struct fs_inode *i)
{
	return i->rec.nlink == 0 && i->home == FS_HOME_INO;
}

static bool is_unknown(const struct fs_inode *i)
{
	return i->lookups == 0 && i->opens == 0;
}

/* Writes the record and the data of one inode to the log. `close`: its buffer goes too. */
static int flush(struct fs *fs, uint64_t ino, bool close)
{
	pthread_rwlock_rdlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	int err = i ? 0 : -ESTALE;
	if (i) {
		pthread_rwlock_wrlock(&i->lock);
		err = fs_inode_flush(fs, i);
		if (!err && close)
			fs_window_close(fs, i);
		pthread_rwlock_unlock(&i->lock);
	}
	pthread_rwlock_unlock(&fs->ns);
	return err;
}

static int flush_all(struct fs *fs)
{
	uint64_t *ino;
	size_t n;
	int first = collect(fs, NULL, &ino, &n);
	if (first)
		return first;
	for (size_t k = 0; k < n; k++) {
		int err = flush(fs, ino[k], false);
		if (err && err != -ESTALE && !first)
			first = err;
	}
	free(ino);
	return first;
}

/* Inodes that nobody knows stayed because they could not be written: perhaps now. */
static void settle_retained(struct fs *fs)
{
	uint64_t *ino;
	size_t n = 0;
	pthread_rwlock_wrlock(&fs->ns);
	if (fs->retained && collect(fs, is_unknown, &ino, &n) == 0) {
		fs->retained = false;
		for (size_t k = 0; k < n; k++)
			fs_inode_settle(fs, fs_inode_find(fs, ino[k]));
		free(ino);
	}
	pthread_rwlock_unlock(&fs->ns);
}

int fs_sync(struct fs *fs)
{
	if (fs->read_only)
		return 0;
	int err = flush_all(fs);
	settle_retained(fs);
	int sync = art_sync(fs->art, art_lsn(fs->art));
	return err ? err : sync;
}

int fs_fsync(struct fs *fs, uint64_t ino)
{
	if (fs->read_only)
		return 0;
	int err = flush(fs, ino, false);
	if (!err)
		err = art_sync(fs->art, art_lsn(fs->art));
	if (!err)
		art_nudge(fs->art);
	return err;
}

int fs_checkpoint(struct fs *fs)
{
	if (fs->read_only)
		return 0;
	int err = fs_sync(fs);
	return err ? err : art_checkpoint(fs->art);
}

int fs_close(struct fs *fs)
{
	int err = fs->read_only ? 0 : flush_all(fs);
	uint64_t *ino;
	size_t n;
	int purge = collect(fs, is_orphan, &ino, &n);
	if (!purge) {
		for (size_t k = 0; k < n && !purge && !fs->read_only; k++)
			purge = fs_orphan_purge(fs->art, ino[k]);
		free(ino);
	}
	fs_table_fini(fs);
	free(fs);
	return err ? err : purge;
}

int fs_open_file(struct fs *fs, uint64_t ino)
{
	pthread_rwlock_rdlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	if (i)
		fs_inode_opened(fs, i);
	pthread_rwlock_unlock(&fs->ns);
	return i ? 0 : -ESTALE;
}

void fs_release_file(struct fs *fs, uint64_t ino)
{
	flush(fs, ino, true); /* if it cannot be written now, it stays, and fsync tells */
	pthread_rwlock_rdlock(&fs->ns);
	struct fs_inode *i = fs_inode_find(fs, ino);
	bool last = i && fs_inode_less(fs, i, 0, 1);
	pthread_rwlock_unlock(&fs->ns);
	if (last)
		fs_drop(fs, ino);
}

int fs_statfs(struct fs *fs, struct fs_statfs *out)
{
	struct art_stat st;
	art_stat(fs->art, &st);
	uint64_t all = st.store.slots_max, used = st.store.slots_used;
	uint64_t left = all > used ? all - used : 0;
	*out = (struct fs_statfs){
	        .block_bytes = STORE_SLOT_BYTES,
	        .blocks = all,
	        .blocks_free = left,
	        .blocks_available = left,
	        .files = st.keys + left * STORE_SLOT_BYTES / FILE_BYTES_TYPICAL,
	        .files_free = left * STORE_SLOT_BYTES / FILE_BYTES_TYPICAL,
	        .name_bytes_max = FS_NAME_BYTES_MAX,
	};
	return 0;
}

struct art *fs_art(struct fs *fs)
{
	return fs->art;
}

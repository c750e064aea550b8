/*
 * nullfs.c - a FUSE filesystem that answers every message from memory: the floor.
 *
 * What a mount costs here is the kernel's side, the round trips and libfuse, and nothing else; no
 * FUSE filesystem with the same messages can be faster. So it must send the same messages as a good
 * one would, and none more:
 *
 *   LOOKUP      infinite timeouts, also for names that are not there
 *   OPEN, OPENDIR, CREATE, FLUSH, ACCESS, GETXATTR
 *               ENOSYS once, and then the kernel does without: open costs nothing, create is MKNOD.
 *               ATOMIC_O_TRUNC is off, or O_TRUNC would be lost.
 *   LOOKUP and READDIR in one directory at once
 *               FUSE_PARALLEL_DIROPS, which libfuse 3.14 never sends: the INIT reply is patched
 *               on its way to the kernel.
 *
 * A node is a file or directory with its one name (no hard links: EPERM):
 *
 *     bucket[hash(parent, name)] ──► node ──► node ──► NULL
 *     directory: first ◄─► child ◄─► child ◄─► last
 *
 * Children stand in the order of their `order`, which only grows and is the readdir offset.
 * A node's inode number for the kernel is its address. It is freed when it has no name and the
 * kernel has forgotten it. One mutex guards the tree and all nodes; it is never held across a
 * reply.
 *
 *   usage: nullfs [-o OPTION[,OPTION]...] MOUNTPOINT
 *
 * mounts and goes to the background; ends at `fusermount3 -u MOUNTPOINT`, and all is gone then.
 * Options are libfuse's, e.g. default_permissions, allow_other.
 */
#define FUSE_USE_VERSION 314
#define XXH_INLINE_ALL

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	WORKERS = 2,
	MESSAGE_BYTES_MAX = 1024 * 1024,
	BUCKETS_MIN = 1 << 16,
};

static const double for_ever = 1e9; /* seconds */

struct node {
	struct node *parent, *chain; /* chain: next in its bucket */
	struct node *before, *after; /* siblings */
	struct node *first, *last;   /* children */
	struct node *resume;         /* the child that readdir gave out last, or NULL */
	uint64_t order, order_next;  /* among its siblings; for the next child */
	uint64_t hash, lookups;
	char *name;  /* NULL: unlinked */
	char *data;  /* content of a file, target of a symlink */
	size_t room; /* bytes allocated for data; from st_size on they are zero */
	struct stat st;
};

/* All guarded by tree_lock. */
static pthread_mutex_t tree_lock = PTHREAD_MUTEX_INITIALIZER;
static struct node root;
static struct node **buckets;
static size_t buckets_n, nodes_n;
static ino_t ino_next = FUSE_ROOT_ID;

/* ---- the tree ----------------------------------------------------------------------- */

static struct node *node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)ino;
}

static uint64_t hash_of(const struct node *parent, const char *name)
{
	return XXH3_64bits_withSeed(name, strlen(name), (uintptr_t)parent);
}

static struct node *find(const struct node *parent, const char *name)
{
	uint64_t h = hash_of(parent, name);
	struct node *n = buckets[h & (buckets_n - 1)];
	while (n && (n->hash != h || n->parent != parent || strcmp(n->name, name) != 0))
		n = n->chain;
	return n;
}

/* A table that cannot grow only gets slower. */
static void grow(void)
{
	size_t wider_n = buckets_n * 2;
	struct node **wider = calloc(wider_n, sizeof(struct node *));
	if (!wider)
		return;
	for (size_t i = 0; i < buckets_n; i++) {
		for (struct node *n = buckets[i], *next; n; n = next) {
			struct node **b = &wider[n->hash & (wider_n - 1)];
			next = n->chain;
			n->chain = *b;
			*b = n;
		}
	}
	free(buckets);
	buckets = wider;
	buckets_n = wider_n;
}

static void touch(struct node *dir)
{
	clock_gettime(CLOCK_REALTIME_COARSE, &dir->st.st_mtim);
	dir->st.st_ctim = dir->st.st_mtim;
}

/* Gives n the name (whose memory it takes over) in dir. */
static void attach(struct node *n, struct node *dir, char *name)
{
	if (nodes_n++ > buckets_n)
		grow();
	n->parent = dir;
	n->name = name;
	n->hash = hash_of(dir, name);
	struct node **b = &buckets[n->hash & (buckets_n - 1)];
	n->chain = *b;
	*b = n;

	n->order = dir->order_next++;
	n->before = dir->last;
	n->after = NULL;
	*(dir->last ? &dir->last->after : &dir->first) = n;
	dir->last = n;
	if (S_ISDIR(n->st.st_mode))
		dir->st.st_nlink++;
	touch(dir);
}

static void detach(struct node *n)
{
	struct node *dir = n->parent;
	struct node **link = &buckets[n->hash & (buckets_n - 1)];
	while (*link != n)
		link = &(*link)->chain;
	*link = n->chain;
	nodes_n--;

	*(n->before ? &n->before->after : &dir->first) = n->after;
	*(n->after ? &n->after->before : &dir->last) = n->before;
	if (dir->resume == n)
		dir->resume = n->before;
	if (S_ISDIR(n->st.st_mode))
		dir->st.st_nlink--;
	touch(dir);
	free(n->name);
	n->name = NULL;
	n->parent = NULL;
}

static void free_if_unused(struct node *n)
{
	if (n->name || n->lookups || n == &root)
		return;
	free(n->data);
	free(n);
}

static void remove_node(struct node *n)
{
	detach(n);
	n->st.st_nlink = 0;
	free_if_unused(n);
}

static int resize(struct node *n, size_t bytes)
{
	size_t size = (size_t)n->st.st_size;
	if (bytes > n->room) {
		size_t room = bytes < 4096 ? bytes : bytes + bytes / 2;
		char *data = realloc(n->data, room);
		if (!data)
			return -ENOMEM;
		memset(data + n->room, 0, room - n->room);
		n->data = data;
		n->room = room;
	} else if (bytes < size) {
		memset(n->data + bytes, 0, size - bytes);
	}
	n->st.st_size = (off_t)bytes;
	n->st.st_blocks = (blkcnt_t)((bytes + 511) / 512);
	return 0;
}

static void entry_of(struct node *n, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
	        .attr_timeout = for_ever,
	        .entry_timeout = for_ever,
	};
	if (!n)
		return;
	n->lookups++;
	e->ino = (uintptr_t)n;
	e->attr = n->st;
}

/* ---- messages ----------------------------------------------------------------------- */

static void do_init(void *arg, struct fuse_conn_info *conn)
{
	(void)arg;
	conn->want &= ~(unsigned)FUSE_CAP_ATOMIC_O_TRUNC;
	conn->max_write = MESSAGE_BYTES_MAX;
	conn->time_gran = 1;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	pthread_mutex_lock(&tree_lock);
	entry_of(find(node_of(parent), name), &e);
	pthread_mutex_unlock(&tree_lock);
	fuse_reply_entry(req, &e);
}

static void forget(fuse_ino_t ino, uint64_t count)
{
	struct node *n = node_of(ino);
	n->lookups -= n == &root ? 0 : count;
	free_if_unused(n);
}

static void do_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	pthread_mutex_lock(&tree_lock);
	forget(ino, count);
	pthread_mutex_unlock(&tree_lock);
	fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	pthread_mutex_lock(&tree_lock);
	for (size_t i = 0; i < count; i++)
		forget(forgets[i].ino, forgets[i].nlookup);
	pthread_mutex_unlock(&tree_lock);
	fuse_reply_none(req);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	pthread_mutex_lock(&tree_lock);
	struct stat st = node_of(ino)->st;
	pthread_mutex_unlock(&tree_lock);
	fuse_reply_attr(req, &st, for_ever);
}

static void do_setattr(
        fuse_req_t req, fuse_ino_t ino, struct stat *in, int set, struct fuse_file_info *fi)
{
	(void)fi;
	struct node *n = node_of(ino);
	struct timespec now;
	int rc = 0;
	clock_gettime(CLOCK_REALTIME, &now);

	pthread_mutex_lock(&tree_lock);
	if (set & FUSE_SET_ATTR_SIZE)
		rc = resize(n, (size_t)in->st_size);
	if (!rc) {
		if (set & FUSE_SET_ATTR_SIZE)
			n->st.st_mtim = now;
		if (set & FUSE_SET_ATTR_MODE)
			n->st.st_mode = (n->st.st_mode & S_IFMT) | (in->st_mode & 07777);
		if (set & FUSE_SET_ATTR_UID)
			n->st.st_uid = in->st_uid;
		if (set & FUSE_SET_ATTR_GID)
			n->st.st_gid = in->st_gid;
		if (set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW))
			n->st.st_atim = set & FUSE_SET_ATTR_ATIME_NOW ? now : in->st_atim;
		if (set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
			n->st.st_mtim = set & FUSE_SET_ATTR_MTIME_NOW ? now : in->st_mtim;
		n->st.st_ctim = now;
	}
	struct stat st = n->st;
	pthread_mutex_unlock(&tree_lock);
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_attr(req, &st, for_ever);
}

/* target: of a symlink, otherwise NULL */
static void make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev,
        const char *target)
{
	struct node *dir = node_of(parent), *n = calloc(1, sizeof(*n));
	char *own_name = strdup(name);
	struct fuse_entry_param e;
	int rc = -ENOMEM;
	if (!n || !own_name)
		goto out;
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	n->st = (struct stat){.st_mode = mode,
	        .st_nlink = S_ISDIR(mode) ? 2 : 1,
	        .st_uid = ctx->uid,
	        .st_gid = ctx->gid,
	        .st_rdev = rdev,
	        .st_blksize = 4096};
	n->order_next = 3; /* behind "." and ".." */
	touch(n);
	n->st.st_atim = n->st.st_mtim;
	if (target) {
		rc = resize(n, strlen(target));
		if (rc)
			goto out;
		memcpy(n->data, target, strlen(target));
	}

	pthread_mutex_lock(&tree_lock);
	rc = !dir->name && dir != &root ? -ENOENT : find(dir, name) ? -EEXIST : 0;
	if (!rc) {
		n->st.st_ino = ++ino_next;
		attach(n, dir, own_name);
		entry_of(n, &e);
	}
	pthread_mutex_unlock(&tree_lock);
out:
	if (!rc) {
		fuse_reply_entry(req, &e);
		return;
	}
	if (n)
		free(n->data);
	free(n);
	free(own_name);
	fuse_reply_err(req, -rc);
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	make(req, parent, name, mode, rdev, NULL);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, parent, name, S_IFDIR | mode, 0, NULL);
}

static void do_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	make(req, parent, name, S_IFLNK | 0777, 0, target);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = node_of(ino);
	pthread_mutex_lock(&tree_lock);
	char *target = strndup(n->data, (size_t)n->st.st_size);
	pthread_mutex_unlock(&tree_lock);
	if (target)
		fuse_reply_readlink(req, target);
	else
		fuse_reply_err(req, ENOMEM);
	free(target);
}

static void unlink_as(fuse_req_t req, fuse_ino_t parent, const char *name, bool as_dir)
{
	int err = 0;
	pthread_mutex_lock(&tree_lock);
	struct node *n = find(node_of(parent), name);
	bool dir = n && S_ISDIR(n->st.st_mode);
	if (!n)
		err = ENOENT;
	else if (dir != as_dir)
		err = dir ? EISDIR : ENOTDIR;
	else if (n->first)
		err = ENOTEMPTY;
	else
		remove_node(n);
	pthread_mutex_unlock(&tree_lock);
	fuse_reply_err(req, err);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	unlink_as(req, parent, name, false);
}

static void do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	unlink_as(req, parent, name, true);
}

static int rename_locked(
        struct node *from, const char *name, struct node *to, char *to_name, unsigned flags)
{
	struct node *n = find(from, name), *old = find(to, to_name);
	if (!n)
		return -ENOENT;
	if (old && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (old && S_ISDIR(old->st.st_mode) != S_ISDIR(n->st.st_mode))
		return S_ISDIR(old->st.st_mode) ? -EISDIR : -ENOTDIR;
	if (old && old->first)
		return -ENOTEMPTY;
	if (old)
		remove_node(old);
	detach(n);
	attach(n, to, to_name);
	clock_gettime(CLOCK_REALTIME_COARSE, &n->st.st_ctim);
	return 0;
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
        const char *newname, unsigned flags)
{
	char *to_name = strdup(newname);
	int rc = !to_name ? -ENOMEM : flags & ~(unsigned)RENAME_NOREPLACE ? -EINVAL : 0;
	if (!rc) {
		pthread_mutex_lock(&tree_lock);
		rc = rename_locked(node_of(parent), name, node_of(newparent), to_name, flags);
		pthread_mutex_unlock(&tree_lock);
	}
	if (rc)
		free(to_name);
	fuse_reply_err(req, -rc);
}

static void do_read(
        fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	struct node *n = node_of(ino);
	char small[8192], *buf = size <= sizeof(small) ? small : malloc(size);
	size_t got = 0;
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&tree_lock);
	if (offset < n->st.st_size) {
		got = (size_t)(n->st.st_size - offset);
		got = got < size ? got : size;
		memcpy(buf, n->data + offset, got);
	}
	pthread_mutex_unlock(&tree_lock);
	fuse_reply_buf(req, buf, got);
	if (buf != small)
		free(buf);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t offset,
        struct fuse_file_info *fi)
{
	(void)fi;
	struct node *n = node_of(ino);
	size_t end = (size_t)offset + size;
	int rc = 0;
	pthread_mutex_lock(&tree_lock);
	if (end > (size_t)n->st.st_size)
		rc = resize(n, end);
	if (!rc) {
		memcpy(n->data + offset, buf, size);
		touch(n);
		n->st.st_mode &= ~(mode_t)(S_ISUID | S_ISGID);
	}
	pthread_mutex_unlock(&tree_lock);
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_write(req, size);
}

/* The first child behind `offset`, from where readdir left off if that helps. */
static struct node *child_behind(struct node *dir, uint64_t offset)
{
	struct node *c = dir->resume && dir->resume->order <= offset ? dir->resume : dir->first;
	while (c && c->order <= offset)
		c = c->after;
	return c;
}

static void readdir_as(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
	struct node *dir = node_of(ino);
	char *buf = malloc(size);
	size_t used = 0;
	uint64_t at = (uint64_t)offset;
	struct fuse_entry_param e;
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&tree_lock);
	struct node *c = child_behind(dir, at);
	for (;;) {
		/* "." is 1, ".." is 2; the kernel wants no lookup count for them. */
		bool dot = at < 2;
		if (!dot && !c)
			break;
		const char *name = at == 0 ? "." : at == 1 ? ".." : c->name;
		uint64_t next = dot ? at + 1 : c->order;
		e = (struct fuse_entry_param){.attr = dot ? dir->st : c->st};
		if (plus && !dot) {
			e.ino = (uintptr_t)c;
			e.attr_timeout = e.entry_timeout = for_ever;
		}
		size_t left = size - used;
		size_t n =
		        plus ? fuse_add_direntry_plus(req, buf + used, left, name, &e, (off_t)next)
		             : fuse_add_direntry(req, buf + used, left, name, &e.attr, (off_t)next);
		if (n > left)
			break;
		used += n;
		at = next;
		if (!dot) {
			c->lookups += plus;
			dir->resume = c;
			c = c->after;
		}
	}
	pthread_mutex_unlock(&tree_lock);
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void do_readdir(
        fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	readdir_as(req, ino, size, offset, false);
}

static void do_readdirplus(
        fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	readdir_as(req, ino, size, offset, true);
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino, (void)datasync, (void)fi;
	fuse_reply_err(req, 0);
}

static void not_needed(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	(void)ino, (void)newparent, (void)newname;
	fuse_reply_err(req, EPERM);
}

/* What is left out (create, flush, access, getxattr) libfuse answers with ENOSYS. */
static const struct fuse_lowlevel_ops ops = {
        .init = do_init,
        .lookup = do_lookup,
        .forget = do_forget,
        .forget_multi = do_forget_multi,
        .getattr = do_getattr,
        .setattr = do_setattr,
        .mknod = do_mknod,
        .mkdir = do_mkdir,
        .symlink = do_symlink,
        .readlink = do_readlink,
        .link = do_link,
        .unlink = do_unlink,
        .rmdir = do_rmdir,
        .rename = do_rename,
        .open = not_needed,
        .opendir = not_needed,
        .read = do_read,
        .write = do_write,
        .readdir = do_readdir,
        .readdirplus = do_readdirplus,
        .fsync = do_fsync,
};

/* ---- the session -------------------------------------------------------------------- */

/* What the kernel offered in INIT. Written and read by the one thread that serves INIT, before
 * others. */
static uint64_t init_unique;
static uint32_t init_offered;

static ssize_t read_hook(int fd, void *buf, size_t bytes, void *userdata)
{
	(void)userdata;
	ssize_t n = read(fd, buf, bytes);
	const struct fuse_in_header *in = buf;
	if (n >= (ssize_t)(sizeof(*in) + sizeof(struct fuse_init_in)) && in->opcode == FUSE_INIT) {
		const struct fuse_init_in *init = (const void *)(in + 1);
		init_unique = in->unique;
		init_offered = init->flags;
	}
	return n;
}

static ssize_t writev_hook(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)userdata;
	const struct fuse_out_header *out = iov[0].iov_base;
	if (init_unique && out->unique == init_unique && count == 2 && !out->error) {
		struct fuse_init_out *init = iov[1].iov_base;
		init->flags |= init_offered & (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2);
		init_unique = 0;
	}
	return writev(fd, iov, count);
}

static int serve(struct fuse_args *args, const char *mountpoint)
{
	static const struct fuse_custom_io hooks = {.read = read_hook, .writev = writev_hook};
	int rc = 1;
	struct fuse_loop_config *loop = fuse_loop_cfg_create();
	struct fuse_session *se = fuse_session_new(args, &ops, sizeof(ops), NULL);
	if (!loop || !se)
		goto out;
	fuse_loop_cfg_set_max_threads(loop, WORKERS);
	fuse_loop_cfg_set_idle_threads(loop, WORKERS);
	fuse_loop_cfg_set_clone_fd(loop, 0);
	if (fuse_set_signal_handlers(se) < 0)
		goto out;
	if (fuse_session_mount(se, mountpoint) < 0)
		goto out_signals;
	if (fuse_session_custom_io(se, &hooks, fuse_session_fd(se)) == 0 && fuse_daemonize(0) == 0)
		rc = fuse_session_loop_mt(se, loop) != 0;
	fuse_session_unmount(se);
out_signals:
	fuse_remove_signal_handlers(se);
out:
	if (se)
		fuse_session_destroy(se);
	if (loop)
		fuse_loop_cfg_destroy(loop);
	return rc;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int c, rc = 2;

	fuse_opt_add_arg(&args, argv[0]);
	fuse_opt_add_arg(&args, "-ofsname=nullfs,subtype=nullfs");
	while ((c = getopt(argc, argv, "o:")) == 'o') {
		fuse_opt_add_arg(&args, "-o");
		fuse_opt_add_arg(&args, optarg);
	}
	buckets_n = BUCKETS_MIN;
	buckets = calloc(buckets_n, sizeof(struct node *));
	root.st = (struct stat){.st_ino = ino_next,
	        .st_mode = S_IFDIR | 0755,
	        .st_nlink = 2,
	        .st_uid = getuid(),
	        .st_gid = getgid(),
	        .st_blksize = 4096};
	root.order_next = 3;
	touch(&root);
	if (c != -1 || optind != argc - 1)
		fprintf(stderr, "usage: nullfs [-o OPTION[,OPTION]...] MOUNTPOINT\n");
	else if (buckets)
		rc = serve(&args, argv[optind]);
	free(buckets);
	fuse_opt_free_args(&args);
	return rc;
}

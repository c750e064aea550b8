/*
 * model_test.c - random operations on the filesystem and on a dumb model of POSIX, compared after
 * each.
 *
 * The model is a tree of nodes with arrays of children and flat buffers of data. Names are few, so
 * that most operations meet something. Now and then everything is compared, the filesystem is
 * closed and opened again, or a copy is opened as after a crash; at the end fsck must be content.
 *
 *      SEED=1 OPS=4000 build/plain/tests/fs/model_test      replays a run
 */
#include <sys/time.h>

#include "tests/fs/fixture.h"

enum { NAMES = 6, HANDLES = 6, CHILDREN_MAX = NAMES };

struct node {
	uint64_t ino;
	mode_t mode;
	unsigned links, opens;
	uint8_t *data; /* file or symlink */
	size_t size;
	struct node *parent;
	struct {
		const char *name;
		struct node *node;
	} child[CHILDREN_MAX];
	unsigned n;
};

static char long_name[201];
static const char *names[NAMES] = {"a", "b", "ab", "a.b", "c\xff", long_name};

static uint64_t rng;
static uint32_t draw(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % below;
}

struct run {
	struct fixture *f;
	struct node *root;
	struct node *handle[HANDLES];
	size_t size_max;
};

/* ---- the model ------------------------------------------------------------------------ */

static struct node *child(const struct node *d, const char *name)
{
	for (unsigned i = 0; i < d->n; i++)
		if (d->child[i].name == name)
			return d->child[i].node;
	return NULL;
}
static void attach(struct node *d, const char *name, struct node *n)
{
	d->child[d->n].name = name;
	d->child[d->n++].node = n;
	n->links++;
	if (S_ISDIR(n->mode))
		n->parent = d;
}
static void node_put(struct node *n)
{
	if (n->links == 0 && n->opens == 0) {
		free(n->data);
		free(n);
	}
}
static void detach(struct node *d, const char *name)
{
	for (unsigned i = 0; i < d->n; i++) {
		if (d->child[i].name == name) {
			d->child[i].node->links--;
			d->child[i] = d->child[--d->n];
			return;
		}
	}
}
static bool is_below(const struct node *n, const struct node *top)
{
	while (n && n != top)
		n = n->parent;
	return n;
}
static unsigned subdirs(const struct node *d)
{
	unsigned n = 0;
	for (unsigned i = 0; i < d->n; i++)
		n += S_ISDIR(d->child[i].node->mode);
	return n;
}
static void node_resize(struct node *n, size_t size)
{
	n->data = realloc(n->data, size ? size : 1);
	if (size > n->size)
		memset(n->data + n->size, 0, size - n->size);
	n->size = size;
}
static struct node *pick_dir(const struct run *r)
{
	struct node *d = r->root;
	for (unsigned tries = draw(6); tries; tries--) {
		struct node *c = child(d, names[draw(NAMES)]);
		if (c && S_ISDIR(c->mode))
			d = c;
	}
	return d;
}
static void free_tree(struct node *d)
{
	while (d->n) {
		struct node *c = d->child[0].node;
		if (S_ISDIR(c->mode))
			free_tree(c);
		detach(d, d->child[0].name);
		node_put(c);
	}
}

/* ---- reaching the same thing in the filesystem ---------------------------------------- */

/* Makes a directory and all above it known, by walking down. */
static void know(struct run *r, const struct node *d)
{
	struct fs_attr a;
	if (d == r->root)
		return;
	know(r, d->parent);
	for (unsigned i = 0; i < d->parent->n; i++) {
		if (d->parent->child[i].node == d) {
			ok(fs_lookup(r->f->fs, d->parent->ino, d->parent->child[i].name, &a));
			assert_int_equal(a.ino, d->ino);
			return;
		}
	}
	fail();
}
static void forget(struct run *r, const struct node *d)
{
	for (; d != r->root; d = d->parent)
		fs_forget(r->f->fs, d->ino, 1);
}

/* ---- operations ----------------------------------------------------------------------- */

static int made(const struct run *r, struct node *d, const char *name, mode_t mode,
        const struct fs_attr *a, int err)
{
	int want = child(d, name) ? -EEXIST : 0;
	assert_int_equal(err, want);
	if (err)
		return err;
	struct node *n = calloc(1, sizeof(*n));
	n->mode = mode;
	n->ino = a->ino;
	assert_int_equal(a->mode, mode);
	attach(d, name, n);
	fs_forget(r->f->fs, n->ino, 1);
	return 0;
}

static void op_make(struct run *r, struct node *d, const char *name)
{
	static const mode_t mode[] = {
	        S_IFREG | 0644, S_IFREG | 0600, S_IFDIR | 0755, S_IFDIR | 0700, S_IFIFO | 0600};
	mode_t m = mode[draw(5)];
	struct fs_attr a;
	made(r, d, name, m, &a, fs_mknod(r->f->fs, &owner, d->ino, name, m, 0, &a));
}

static void op_symlink(struct run *r, struct node *d, const char *name)
{
	char target[3000];
	size_t n = 1 + (draw(4) ? draw(50) : draw(2998));
	memset(target, 'a' + (int)draw(26), n);
	target[n] = 0;
	struct fs_attr a;
	if (made(r, d, name, S_IFLNK | 0777, &a,
	            fs_symlink(r->f->fs, &owner, d->ino, name, target, &a)) == 0) {
		struct node *l = child(d, name);
		l->data = (uint8_t *)strdup(target);
		l->size = n;
	}
}

static void op_link(struct run *r, struct node *d, const char *name)
{
	struct node *to = pick_dir(r), *n = child(d, name);
	const char *newname = names[draw(NAMES)];
	struct fs_attr a;
	int err = fs_lookup(r->f->fs, d->ino, name, &a);
	assert_int_equal(err, n ? 0 : -ENOENT);
	if (err)
		return;
	know(r, to);
	err = fs_link(r->f->fs, n->ino, to->ino, newname, &a);
	assert_int_equal(err, S_ISDIR(n->mode) ? -EPERM : child(to, newname) ? -EEXIST : 0);
	if (!err) {
		attach(to, newname, n);
		assert_int_equal(a.nlink, n->links);
		fs_forget(r->f->fs, n->ino, 1);
	}
	fs_forget(r->f->fs, n->ino, 1);
	forget(r, to);
}

static void op_remove(struct run *r, struct node *d, const char *name)
{
	struct node *n = child(d, name);
	bool rmdir = draw(2);
	int want = !n      ? -ENOENT
	           : rmdir ? (!S_ISDIR(n->mode) ? -ENOTDIR
	                             : n->n     ? -ENOTEMPTY
	                                        : 0)
	                   : (S_ISDIR(n->mode) ? -EISDIR : 0);
	int err = rmdir ? fs_rmdir(r->f->fs, d->ino, name) : fs_unlink(r->f->fs, d->ino, name);
	assert_int_equal(err, want);
	if (!err) {
		detach(d, name);
		node_put(n);
	}
}

static int rename_want(const struct node *d, const struct node *s, const struct node *to,
        const struct node *t, unsigned flags)
{
	if (!s || (!t && flags == 2))
		return -ENOENT;
	if (t && flags == 1)
		return -EEXIST;
	if (s == t)
		return 0;
	if ((S_ISDIR(s->mode) && is_below(to, s)) ||
	        (flags == 2 && S_ISDIR(t->mode) && is_below(d, t)))
		return -EINVAL;
	if (!t || flags == 2)
		return 0;
	if (S_ISDIR(s->mode) && !S_ISDIR(t->mode))
		return -ENOTDIR;
	if (!S_ISDIR(s->mode) && S_ISDIR(t->mode))
		return -EISDIR;
	return S_ISDIR(t->mode) && t->n ? -ENOTEMPTY : 0;
}

static void op_rename(struct run *r, struct node *d, const char *name)
{
	struct node *to = pick_dir(r), *s = child(d, name);
	const char *newname = names[draw(NAMES)];
	struct node *t = child(to, newname);
	unsigned flags = draw(2) ? 0 : draw(3);
	know(r, to);
	int err = fs_rename(r->f->fs, d->ino, name, to->ino, newname, flags);
	assert_int_equal(err, rename_want(d, s, to, t, flags));
	for (const struct node *k = to; k != r->root; k = k->parent)
		fs_forget(r->f->fs, k->ino, 1);
	if (err || s == t)
		return;
	detach(d, name);
	if (t)
		detach(to, newname);
	attach(to, newname, s);
	if (t && flags == 2)
		attach(d, name, t);
	else if (t)
		node_put(t);
}

static void write_some(struct run *r, struct node *n)
{
	size_t at = draw(3) ? n->size : draw((uint32_t)r->size_max);
	size_t bytes = draw(3) ? 1 + draw(200) : 1 + draw((uint32_t)r->size_max / 2);
	if (at + bytes > r->size_max)
		return;
	uint8_t *buf = malloc(bytes);
	unsigned salt = draw(1000);
	for (size_t i = 0; i < bytes; i++)
		buf[i] = byte_at(at + i, salt);
	put(r->f, n->ino, at, buf, bytes);
	if (n->size < at + bytes)
		node_resize(n, at + bytes);
	memcpy(n->data + at, buf, bytes);
	free(buf);
}

static void compare_file(struct run *r, const struct node *n)
{
	struct fs_attr a = stat_of(r->f, n->ino);
	assert_int_equal(a.mode, n->mode);
	assert_int_equal(a.nlink, S_ISDIR(n->mode) ? 2 + subdirs(n) : n->links);
	assert_int_equal(a.size, n->size);
	if (S_ISDIR(n->mode) || n->size == 0)
		return;
	uint8_t *buf = malloc(n->size + 1);
	if (S_ISLNK(n->mode))
		assert_int_equal(fs_readlink(r->f->fs, n->ino, (char *)buf, n->size + 1), n->size);
	else
		assert_int_equal(fs_read(r->f->fs, n->ino, 0, buf, n->size + 1), n->size);
	assert_memory_equal(buf, n->data, n->size);
	free(buf);
}

static void use(struct run *r, struct node *n)
{
	struct fs_attr a = {.mode = draw(07777)};
	size_t size;
	switch (S_ISREG(n->mode) ? draw(8) : 7) {
	case 0:
	case 1:
	case 2:
		write_some(r, n);
		break;
	case 3:
		size = draw(2) ? draw(300) : draw((uint32_t)r->size_max);
		resize(r->f, n->ino, size);
		node_resize(n, size);
		break;
	case 4:
		resize(r->f, n->ino, 0);
		node_resize(n, 0);
		break;
	case 5:
		ok(fs_fsync(r->f->fs, n->ino));
		break;
	case 6:
		ok(fs_setattr(r->f->fs, n->ino, FS_SET_MODE, &a, NULL));
		n->mode = (n->mode & S_IFMT) | a.mode;
		break;
	default:
		compare_file(r, n);
	}
}

static void op_use(struct run *r, struct node *d, const char *name)
{
	struct node *n = child(d, name);
	struct fs_attr a;
	int err = fs_lookup(r->f->fs, d->ino, name, &a);
	assert_int_equal(err, n ? 0 : -ENOENT);
	if (err)
		return;
	assert_int_equal(a.ino, n->ino);
	use(r, n);
	unsigned slot = draw(HANDLES);
	if (S_ISREG(n->mode) && !r->handle[slot] && draw(3) == 0) {
		ok(fs_open_file(r->f->fs, n->ino));
		r->handle[slot] = n;
		n->opens++;
	}
	fs_forget(r->f->fs, n->ino, 1);
}

static void op_handle(struct run *r)
{
	unsigned slot = draw(HANDLES);
	struct node *n = r->handle[slot];
	if (!n)
		return;
	use(r, n);
	if (draw(4) == 0) {
		fs_release_file(r->f->fs, n->ino);
		r->handle[slot] = NULL;
		n->opens--;
		node_put(n);
	}
}

/* ---- comparing all -------------------------------------------------------------------- */

struct seen {
	struct run *r;
	const struct node *dir;
	unsigned n;
};

static int take(void *arg, const struct fs_dirent *e)
{
	struct seen *s = arg;
	if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return 0;
	for (unsigned i = 0; i < s->dir->n; i++) {
		const struct node *n = s->dir->child[i].node;
		if (strcmp(s->dir->child[i].name, e->name) != 0)
			continue;
		assert_int_equal(e->attr.ino, n->ino);
		assert_int_equal(e->attr.mode, n->mode);
		assert_int_equal(e->attr.size, n->size);
		assert_int_equal(e->attr.nlink, S_ISDIR(n->mode) ? 2 + subdirs(n) : n->links);
		s->n++;
		return 0;
	}
	fail_msg("%s is there, but not in the model", e->name);
	return 0;
}

static void compare(struct run *r, const struct node *d)
{
	struct seen s = {.r = r, .dir = d};
	struct fs_dir *dir;
	ok(fs_opendir(r->f->fs, d->ino, &dir));
	ok(fs_readdir(dir, 0, true, take, &s));
	fs_closedir(dir);
	assert_int_equal(s.n, d->n);
	compare_file(r, d);
	for (unsigned i = 0; i < d->n; i++) {
		const struct node *n = d->child[i].node;
		if (S_ISDIR(n->mode))
			compare(r, n);
		else
			compare_file(r, n);
		fs_forget(r->f->fs, n->ino, 1);
	}
}

static void release_all(struct run *r)
{
	for (unsigned i = 0; i < HANDLES; i++) {
		struct node *n = r->handle[i];
		if (!n)
			continue;
		fs_release_file(r->f->fs, n->ino);
		r->handle[i] = NULL;
		n->opens--;
		node_put(n);
	}
}

static void op_whole(struct run *r)
{
	struct fixture copy, *f = r->f;
	switch (draw(4)) {
	case 0:
		ok(fs_sync(f->fs));
		fixture_crash(f, &copy);
		r->f = &copy;
		compare(r, r->root);
		ok(fs_check(copy.art, fixture_say, NULL));
		fixture_remove(&copy);
		r->f = f;
		break;
	case 1:
		release_all(r);
		fixture_reopen(f);
		break;
	case 2:
		ok(fs_checkpoint(f->fs));
		break;
	default:
		compare(r, r->root);
		ok(fs_sync(f->fs));
		ok(fs_check(f->art, fixture_say, NULL));
	}
}

static void random_operations_do_what_the_model_does(void **state)
{
	struct fixture *f = *state;
	struct node root = {.ino = FS_ROOT, .mode = S_IFDIR | 0755, .links = 1};
	struct run r = {.f = f, .root = &root, .size_max = 3 * chunk_bytes_of(f) + 1000};
	struct timeval tv;
	gettimeofday(&tv, NULL);
	uint64_t seed = (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 0);
	unsigned ops = getenv("OPS") ? (unsigned)atoi(getenv("OPS")) : 4000;
	print_message("replay: SEED=%llu OPS=%u build/plain/tests/fs/model_test\n",
	        (unsigned long long)seed, ops);
	rng = seed * 2 + 1;
	memset(long_name, 'l', sizeof(long_name) - 1);
	f->opt.data_buffer_bytes = 2 * chunk_bytes_of(f);
	fixture_reopen(f);
	for (unsigned i = 0; i < ops; i++) {
		struct node *d = pick_dir(&r);
		const char *name = names[draw(NAMES)];
		know(&r, d);
		/* the operation may move the directory, so what was made known is given back by
		 * number */
		uint64_t known[64];
		unsigned n = 0;
		for (const struct node *k = d; k != &root; k = k->parent)
			known[n++] = k->ino;
		switch (draw(16)) {
		case 0:
		case 1:
			op_make(&r, d, name);
			break;
		case 2:
			op_symlink(&r, d, name);
			break;
		case 3:
			op_link(&r, d, name);
			break;
		case 4:
		case 5:
			op_remove(&r, d, name);
			break;
		case 6:
		case 7:
		case 8:
			op_rename(&r, d, name);
			break;
		case 9:
		case 10:
			op_handle(&r);
			break;
		default:
			op_use(&r, d, name);
		}
		while (n)
			fs_forget(f->fs, known[--n], 1);
		if (draw(150) == 0)
			op_whole(&r);
	}
	compare(&r, &root);
	release_all(&r);
	compare(&r, &root);
	free_tree(&root);
}

int main(void)
{
	static const struct fixture_test test[] = {
	        TEST(random_operations_do_what_the_model_does),
	};
	return fixture_run("model", test, 1);
}

/*
 * check.c - fsck of this room: do names, inodes, chunks and counters agree?
 *
 * One walk over all keys in order. Key spaces come first, then paths, a directory always before
 * what is in it, so a stack of directories is enough to judge names. What concerns inode numbers is
 * noted as facts, sorted by number, and judged group by group:
 *
 *   ino 17   INO nlink 2   LINK   LINK   CHUNKS 3 MiB up to offset 5 MiB       agree
 *   ino 18   CHUNKS                                                            chunks without an
 * inode
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/key.h"
#include "fs/record.h"

enum fact_kind { PATH, INO, LINK, CHUNKS, ORPHAN, TRIM };

struct fact {
	uint64_t ino;
	uint64_t bytes; /* of PATH, INO: stored; of CHUNKS: all its chunks */
	uint64_t end; /* of PATH, INO: size; of CHUNKS: where the last one ends; of TRIM: the first
	                 chunk */
	uint32_t nlink;
	uint8_t kind;
	bool dir, chunked;
};

struct level {
	size_t bytes; /* of the directory's key */
	uint32_t nlink, subdirs;
};

struct check {
	struct art *a;
	void (*say)(void *arg, const char *line);
	void *arg;
	int findings;
	struct fs_super super;
	struct fact *fact;
	size_t facts, facts_cap;
	size_t trims, trim_at; /* fact[0..trims) are the trim marks, in order */
	uint8_t *path;         /* key of the innermost directory */
	size_t path_cap;
	struct level *level;
	size_t levels, levels_cap;
	bool root;
};

__attribute__((format(printf, 2, 3))) static void finding(struct check *c, const char *fmt, ...)
{
	char line[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	c->findings++;
	if (c->say)
		c->say(c->arg, line);
}

#define SHOW(key) (int)((key).bytes < 300 ? (key).bytes : 300), (const char *)(key).data

static int grown(void *array, size_t *cap, size_t n, size_t item_bytes)
{
	void **at = array;
	if (n < *cap)
		return 0;
	size_t to = n * 2 + 64;
	void *p = realloc(*at, to * item_bytes);
	if (!p)
		return -ENOMEM;
	*at = p;
	*cap = to;
	return 0;
}

static int note(struct check *c, const struct fact *f)
{
	int err = grown(&c->fact, &c->facts_cap, c->facts, sizeof(*f));
	if (!err)
		c->fact[c->facts++] = *f;
	return err;
}

/* ---- key spaces ----------------------------------------------------------------------- */

static int check_super(struct check *c)
{
	uint8_t buf[sizeof(struct fs_super_disk)];
	size_t bytes;
	int err = art_get(c->a, (struct art_bytes){"\0c", 2}, 0, buf, sizeof(buf), &bytes);
	if (err && err != -ENOENT)
		return err;
	if (err || fs_super_decode(buf, bytes, &c->super) != 0) {
		finding(c, "super record: %s", err ? "missing" : "cannot be decoded");
		c->super = (struct fs_super){
		        .chunk_bytes = ART_VALUE_BYTES_MAX, .next_ino = UINT64_MAX};
	}
	return 0;
}

static int check_trims(struct check *c)
{
	struct art_cursor *cur;
	struct art_entry e;
	int err = art_cursor_open(c->a, (struct art_bytes){"\0t", 2}, ART_NO_DELIMITER, &cur);
	if (err)
		return err;
	while (!err && (err = art_cursor_next(cur, &e)) == 1) {
		struct fact f = {.kind = TRIM};
		err = 0;
		if (e.name.bytes != 8 || !e.value.data ||
		        fs_trim_decode(e.value.data, e.value_bytes, &f.end) != 0) {
			finding(c, "trim mark: cannot be decoded");
			continue;
		}
		f.ino = fs_be64_get(e.name.data);
		err = note(c, &f);
	}
	art_cursor_close(cur);
	c->trims = c->facts;
	return err;
}

static int check_chunk(struct check *c, uint64_t ino, uint64_t chunk, size_t bytes)
{
	while (c->trim_at < c->trims && c->fact[c->trim_at].ino < ino)
		c->trim_at++;
	if (c->trim_at < c->trims && c->fact[c->trim_at].ino == ino &&
	        chunk >= c->fact[c->trim_at].end)
		return 0;
	if (bytes == 0 || bytes > c->super.chunk_bytes ||
	        chunk > INT64_MAX / c->super.chunk_bytes) {
		finding(c, "inode %llu: chunk %llu has %zu bytes", (unsigned long long)ino,
		        (unsigned long long)chunk, bytes);
		return 0;
	}
	uint64_t end = chunk * c->super.chunk_bytes + bytes;
	struct fact *last = c->facts ? &c->fact[c->facts - 1] : NULL;
	if (last && last->kind == CHUNKS && last->ino == ino) {
		last->bytes += bytes;
		last->end = end;
		return 0;
	}
	return note(c, &(struct fact){.ino = ino, .kind = CHUNKS, .bytes = bytes, .end = end});
}

static int entry_record(
        struct check *c, const struct art_entry *e, enum fs_record_type *type, struct fs_record *r)
{
	uint8_t buf[sizeof(struct fs_inode_disk)];
	if (e->value.data)
		return fs_record_decode(e->value.data, e->value.bytes, e->value_bytes, type, r);
	int err = art_get(c->a, e->name, 0, buf, sizeof(buf), NULL);
	if (err)
		return err;
	size_t have = e->value_bytes < sizeof(buf) ? e->value_bytes : sizeof(buf);
	return fs_record_decode(buf, have, e->value_bytes, type, r);
}

static int note_inode(struct check *c, enum fact_kind kind, const struct fs_record *r)
{
	struct fact f = {
	        .ino = r->ino,
	        .bytes = r->stored,
	        .end = r->size,
	        .nlink = r->nlink,
	        .kind = (uint8_t)kind,
	        .dir = fs_is_dir(r),
	        .chunked = r->chunked,
	};
	return note(c, &f);
}

static int check_space(struct check *c, const struct art_entry *e)
{
	const uint8_t *k = e->name.data;
	size_t n = e->name.bytes;
	uint64_t ino = n >= FS_KEY_INO_BYTES ? fs_be64_get(k + FS_KEY_SPACE_BYTES) : 0;
	enum fs_record_type type;
	struct fs_record r;
	if (n == FS_KEY_SPACE_BYTES && k[1] == FS_SPACE_SUPER)
		return 0;
	if (n == FS_KEY_CHUNK_BYTES && k[1] == FS_SPACE_DATA)
		return check_chunk(c, ino, fs_be64_get(k + FS_KEY_INO_BYTES), e->value_bytes);
	if (n == FS_KEY_INO_BYTES && k[1] == FS_SPACE_TRIM)
		return 0;
	if (n == FS_KEY_INO_BYTES && k[1] == FS_SPACE_ORPHAN)
		return note(c, &(struct fact){.ino = ino, .kind = ORPHAN});
	if (n != FS_KEY_INO_BYTES || k[1] != FS_SPACE_INODE) {
		finding(c, "a key of no known kind: 00 %02x, %zu bytes", n > 1 ? k[1] : 0, n);
		return 0;
	}
	int err = entry_record(c, e, &type, &r);
	if (err == -EUCLEAN || err == -EPROTONOSUPPORT) {
		finding(c, "inode %llu: its record cannot be decoded", (unsigned long long)ino);
		return 0;
	}
	if (err)
		return err;
	if (type != FS_RECORD_INODE || r.ino != ino || fs_is_dir(&r)) {
		finding(c, "inode %llu: its record is another's", (unsigned long long)ino);
		return 0;
	}
	return note_inode(c, INO, &r);
}

/* ---- paths ---------------------------------------------------------------------------- */

static void leave(struct check *c)
{
	const struct level *l = &c->level[--c->levels];
	struct art_bytes key = {c->path, l->bytes};
	if (l->bytes == 0 && !c->root)
		finding(c, "/: the root has no record");
	else if (l->nlink != l->subdirs + 2)
		finding(c, "%.*s: link count %u, but %u subdirectories", SHOW(key), l->nlink,
		        l->subdirs);
}

static int enter(struct check *c, struct art_bytes key, uint32_t nlink)
{
	size_t n = key.bytes;
	int err = grown(&c->path, &c->path_cap, n, 1);
	if (!err)
		err = grown(&c->level, &c->levels_cap, c->levels, sizeof(*c->level));
	if (err)
		return err;
	if (n)
		memcpy(c->path, key.data, n);
	c->level[c->levels++] = (struct level){.bytes = n, .nlink = nlink};
	return 0;
}

/* Leaves the directories that `key` is not in; false if the one that it is in is missing. */
static bool climb(struct check *c, struct art_bytes key, const char **name, size_t *name_bytes)
{
	const char *k = key.data;
	size_t n = key.bytes - (k[key.bytes - 1] == '/');
	const char *slash = memrchr(k, '/', n);
	size_t parent = slash ? (size_t)(slash - k) + 1 : 0;
	*name = k + parent;
	*name_bytes = n - parent;
	for (;;) {
		size_t top = c->level[c->levels - 1].bytes;
		if (top <= parent && (top == 0 || memcmp(c->path, k, top) == 0))
			return top == parent;
		leave(c);
	}
}

static bool name_is_valid(const char *name, size_t n)
{
	return n > 0 && n <= FS_NAME_BYTES_MAX && !memchr(name, 0, n) &&
	       !(n <= 2 && memcmp(name, "..", n) == 0);
}

static int check_root(struct check *c, const struct fs_record *r, enum fs_record_type type)
{
	if (type != FS_RECORD_INODE || !fs_is_dir(r) || r->ino != FS_ROOT) {
		finding(c, "/: the record of the root is another's");
		return 0;
	}
	c->root = true;
	c->level[0].nlink = r->nlink;
	return note_inode(c, PATH, r);
}

static int check_path(struct check *c, const struct art_entry *e)
{
	struct art_bytes key = e->name;
	bool slash = ((const char *)key.data)[key.bytes - 1] == '/';
	bool is_root = slash && key.bytes == 1;
	enum fs_record_type type;
	struct fs_record r;
	const char *name;
	size_t name_bytes;
	int err = entry_record(c, e, &type, &r);
	if (err && err != -EUCLEAN && err != -EPROTONOSUPPORT)
		return err;
	if (!is_root && !climb(c, key, &name, &name_bytes))
		finding(c, "%.*s: no directory above it", SHOW(key));
	if (!is_root && !name_is_valid(name, name_bytes))
		finding(c, "%.*s: not a name", SHOW(key));
	if (err || fs_is_dir(&r) != slash) {
		finding(c, "%.*s: %s", SHOW(key),
		        err ? "its record cannot be decoded"
		            : "a directory's record at a file's key, or the reverse");
		return slash && !is_root ? enter(c, key, 2) : 0;
	}
	if (is_root)
		return check_root(c, &r, type);
	if (type == FS_RECORD_LINK)
		return note(c, &(struct fact){.ino = r.ino, .kind = LINK});
	err = note_inode(c, PATH, &r);
	if (err || !slash)
		return err;
	c->level[c->levels - 1].subdirs++;
	err = art_get(c->a, (struct art_bytes){key.data, key.bytes - 1}, 0, NULL, 0, NULL);
	if (!err)
		finding(c, "%.*s: a file and a directory of one name", SHOW(key));
	else if (err != -ENOENT)
		return err;
	return enter(c, key, r.nlink);
}

static int walk(struct check *c)
{
	struct art_cursor *cur;
	struct art_entry e;
	int err = enter(c, (struct art_bytes){0}, 2);
	if (!err)
		err = art_cursor_open(c->a, (struct art_bytes){"", 0}, ART_NO_DELIMITER, &cur);
	if (err)
		return err;
	while (!err && (err = art_cursor_next(cur, &e)) == 1)
		err = *(const uint8_t *)e.name.data == 0 ? check_space(c, &e) : check_path(c, &e);
	art_cursor_close(cur);
	while (!err && c->levels)
		leave(c);
	return err;
}

/* ---- numbers -------------------------------------------------------------------------- */

static int by_ino(const void *a, const void *b)
{
	const struct fact *x = a, *y = b;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return (int)x->kind - (int)y->kind;
}

static void judge(struct check *c, const struct fact *f, size_t n)
{
	unsigned long long ino = f->ino;
	const struct fact *inode = NULL, *chunks = NULL;
	uint64_t inodes = 0, links = 0;
	bool orphan = false;
	for (size_t k = 0; k < n; k++) {
		if (f[k].kind == PATH || f[k].kind == INO) {
			inode = &f[k];
			inodes++;
		}
		links += f[k].kind == LINK;
		orphan |= f[k].kind == ORPHAN;
		if (f[k].kind == CHUNKS)
			chunks = &f[k];
	}
	if (ino >= c->super.next_ino)
		finding(c, "inode %llu: ahead of the counter (%llu)", ino,
		        (unsigned long long)c->super.next_ino);
	if (inodes > 1)
		finding(c, "inode %llu: the number is used %llu times", ino,
		        (unsigned long long)inodes);
	if (!inode) {
		if (links)
			finding(c, "inode %llu: names without an inode", ino);
		if (chunks && !orphan)
			finding(c, "inode %llu: chunks without an inode", ino);
		return;
	}
	uint64_t names = inode->kind == PATH ? links + 1 : links;
	if (!inode->dir && inode->nlink != names)
		finding(c, "inode %llu: link count %u, but %llu names", ino, inode->nlink,
		        (unsigned long long)names);
	if (inode->kind == PATH && links)
		finding(c, "inode %llu: links to a record that lives in a path", ino);
	if (orphan != (inode->nlink == 0))
		finding(c, "inode %llu: %s", ino,
		        orphan ? "marked as an orphan, but it has names"
		               : "no names, and no orphan mark");
	if (orphan)
		return; /* its chunks may be half gone */
	uint64_t bytes = chunks ? chunks->bytes : 0, end = chunks ? chunks->end : 0;
	if (bytes != inode->bytes || (chunks && !inode->chunked))
		finding(c, "inode %llu: %llu bytes in chunks, its record says %llu", ino,
		        (unsigned long long)bytes, (unsigned long long)inode->bytes);
	if (chunks && inode->chunked && end > inode->end)
		finding(c, "inode %llu: size %llu, but chunks up to %llu", ino,
		        (unsigned long long)inode->end, (unsigned long long)end);
}

static void check_facts(struct check *c)
{
	if (c->facts)
		qsort(c->fact, c->facts, sizeof(*c->fact), by_ino);
	for (size_t k = 0, n; k < c->facts; k += n) {
		for (n = 1; k + n < c->facts && c->fact[k + n].ino == c->fact[k].ino; n++)
			;
		judge(c, &c->fact[k], n);
	}
}

int fs_check(struct art *a, void (*say)(void *arg, const char *line), void *arg)
{
	struct check c = {.a = a, .say = say, .arg = arg};
	int below = art_check(a, say, arg);
	if (below < 0)
		return below;
	int err = check_super(&c);
	if (!err)
		err = check_trims(&c);
	if (!err)
		err = walk(&c);
	if (!err)
		check_facts(&c);
	free(c.fact);
	free(c.path);
	free(c.level);
	return err ? err : below + c.findings;
}

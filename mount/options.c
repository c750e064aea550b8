/*
 * options.c - what follows -o.
 */
#include "mount/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mount/command.h"
#include "mount/exit.h"

enum what {
	CACHE,
	CHECKPOINT,
	COMMIT,
	THREADS,
	IO,
	RO,
	RW,
	SINGLE_USER,
	PERMISSIONS,
	ALLOW_OTHER,
	FSNAME,
	PASS,
	DROP,
};

/* A name that ends in '=' takes a value. */
static const struct known {
	const char *name;
	enum what what;
} table[] = {
        {"cache=", CACHE},
        {"checkpoint=", CHECKPOINT},
        {"commit=", COMMIT},
        {"threads=", THREADS},
        {"io=", IO},
        {"ro", RO},
        {"rw", RW},
        {"single_user", SINGLE_USER},
        {"nodefault_permissions", SINGLE_USER},
        {"default_permissions", PERMISSIONS},
        {"allow_other", ALLOW_OTHER},
        {"fsname=", FSNAME},
        {"auto_unmount", PASS},
        {"suid", PASS},
        {"nosuid", PASS},
        {"dev", PASS},
        {"nodev", PASS},
        {"exec", PASS},
        {"noexec", PASS},
        {"async", PASS},
        {"sync", PASS},
        {"dirsync", PASS},
        {"atime", PASS},
        {"noatime", PASS},
        {"relatime", DROP},
        {"norelatime", DROP},
        {"nodiratime", DROP},
        {"diratime", DROP},
        {"strictatime", DROP},
        {"nostrictatime", DROP},
        {"nonempty", DROP},
        {"subtype=", DROP},
        {"defaults", DROP},
        {"auto", DROP},
        {"noauto", DROP},
        {"user", DROP},
        {"user=", DROP},
        {"nouser", DROP},
        {"users", DROP},
        {"owner", DROP},
        {"group", DROP},
        {"nofail", DROP},
        {"_netdev", DROP},
        {"comment=", DROP},
        {"uhelper=", DROP},
};

void mnt_options_init(struct mnt_options *o)
{
	*o = (struct mnt_options){.commit_s = MNT_COMMIT_S, .threads = MNT_THREADS, .io = IO_AUTO};
}

void mnt_options_fini(struct mnt_options *o)
{
	free(o->fsname);
	free(o->pass);
	o->fsname = o->pass = NULL;
}

static const struct known *find(const char *word, const char **value)
{
	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const char *name = table[i].name;
		size_t n = strlen(name);
		bool takes = name[n - 1] == '=';
		if (takes ? strncmp(word, name, n) : strcmp(word, name))
			continue;
		*value = takes ? word + n : NULL;
		return &table[i];
	}
	return NULL;
}

static int replace(char **at, char *text)
{
	if (!text)
		return mnt_fail(MNT_NO_MEMORY, "out of memory");
	free(*at);
	*at = text;
	return MNT_OK;
}

static int pass(struct mnt_options *o, const char *word)
{
	char *joined;
	if (asprintf(&joined, "%s%s%s", o->pass ? o->pass : "", o->pass ? "," : "", word) < 0)
		joined = NULL;
	return replace(&o->pass, joined);
}

static int bad(const char *word, const char *want)
{
	return mnt_fail(MNT_USAGE, "mount: option %s: give %s", word, want);
}

static int take_number(
        const char *word, const char *value, uint64_t min, uint64_t max, unsigned *out)
{
	char want[64];
	uint64_t n;
	if (mnt_parse_number(value, min, max, &n)) {
		*out = (unsigned)n;
		return MNT_OK;
	}
	snprintf(want, sizeof(want), "a number from %u to %u", (unsigned)min, (unsigned)max);
	return bad(word, want);
}

static int take_size(const char *word, const char *value, uint64_t *out)
{
	return mnt_parse_size(value, out) && *out
	               ? MNT_OK
	               : bad(word, "a size such as 64M, with K, M, G or T");
}

static int take_io(const char *word, const char *value, enum io_kind *out)
{
	if (!strcmp(value, "auto"))
		*out = IO_AUTO;
	else if (!strcmp(value, "uring"))
		*out = IO_URING;
	else if (!strcmp(value, "posix"))
		*out = IO_POSIX;
	else
		return bad(word, "auto, uring or posix");
	return MNT_OK;
}

static int take(struct mnt_options *o, const char *word, bool sloppy)
{
	const char *value;
	const struct known *k = find(word, &value);
	if (!k && (sloppy || !strncmp(word, "x-", 2) || !strncmp(word, "X-", 2)))
		return MNT_OK;
	if (!k)
		return mnt_fail(MNT_USAGE, "mount: option %s is not known: see artfs(1)", word);
	switch (k->what) {
	case CACHE:
		return take_size(word, value, &o->cache_bytes);
	case CHECKPOINT:
		return take_size(word, value, &o->checkpoint_bytes);
	case COMMIT:
		return take_number(word, value, 1, MNT_COMMIT_S_MAX, &o->commit_s);
	case THREADS:
		return take_number(word, value, MNT_THREADS_MIN, MNT_THREADS_MAX, &o->threads);
	case IO:
		return take_io(word, value, &o->io);
	case RO:
	case RW:
		o->read_only = k->what == RO;
		return pass(o, word);
	case SINGLE_USER:
	case PERMISSIONS:
		o->single_user = k->what == SINGLE_USER;
		return MNT_OK;
	case ALLOW_OTHER:
		o->allow_other = true;
		return pass(o, word);
	case FSNAME:
		return replace(&o->fsname, strdup(value));
	case PASS:
		return pass(o, word);
	case DROP:
		break;
	}
	return MNT_OK;
}

int mnt_options_parse(struct mnt_options *o, const char *text, bool sloppy)
{
	char *copy = strdup(text), *rest = copy;
	int code = copy ? MNT_OK : mnt_fail(MNT_NO_MEMORY, "out of memory");
	for (char *word; !code && rest && (word = strsep(&rest, ","));)
		if (*word)
			code = take(o, word, sloppy);
	free(copy);
	return code;
}

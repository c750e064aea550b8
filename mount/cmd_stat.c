/*
 * cmd_stat.c - artfs stat: sizes and counters of a store, one "name value" a line, or as JSON.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "mount/command.h"
#include "mount/exit.h"
#include "mount/volume.h"

enum { FIGURES_MAX = 48 };

/* Either a text or a number. */
struct figure {
	const char *name, *text;
	uint64_t number;
};

struct figures {
	struct figure figure[FIGURES_MAX];
	unsigned n;
	char uuid[37];
};

static void number(struct figures *f, const char *name, uint64_t value)
{
	f->figure[f->n++] = (struct figure){.name = name, .number = value};
}

static void uuid_text(const uint8_t *uuid, char out[37])
{
	char *p = out;
	for (unsigned i = 0; i < 16; i++)
		p += sprintf(
		        p, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

static int gather(const struct volume *v, struct figures *f)
{
	struct art_stat a;
	struct fs_statfs s;
	art_stat(v->art, &a);
	int rc = fs_statfs(v->fs, &s);
	if (rc)
		return rc;
	uuid_text(art_uuid(v->art), f->uuid);
	f->figure[f->n++] = (struct figure){.name = "uuid", .text = f->uuid};
	f->figure[f->n++] = (struct figure){.name = "io", .text = a.store.io_name};
	number(f, "keys", a.keys);
	number(f, "files", s.files - s.files_free);
	number(f, "frame_bytes", a.store.frame_bytes);
	number(f, "slot_bytes", STORE_SLOT_BYTES);
	number(f, "slots_total", a.store.slots_total);
	number(f, "slots_used", a.store.slots_used);
	number(f, "slots_max", a.store.slots_max);
	number(f, "tree_blobs", a.store.blobs[STORE_TREE]);
	number(f, "arena_blobs", a.store.blobs[STORE_ARENA]);
	number(f, "data_blobs", a.store.blobs[STORE_DATA]);
	number(f, "manifest_log_bytes", a.store.manifest_log_bytes);
	number(f, "checkpoint_lsn", a.checkpoint_lsn);
	number(f, "log_begin", a.wal.begin);
	number(f, "log_end", a.wal.end);
	number(f, "log_replay_bytes", a.wal.end - a.checkpoint_lsn);
	number(f, "log_segment_bytes", a.wal.segment_bytes);
	number(f, "log_segments", a.wal.segments);
	number(f, "log_spares", a.wal.spares);
	number(f, "block_bytes", s.block_bytes);
	number(f, "blocks", s.blocks);
	number(f, "blocks_free", s.blocks_free);
	return 0;
}

static int print_json(const struct figures *f)
{
	struct json_object *o = json_object_new_object();
	bool ok = o != NULL;
	for (unsigned i = 0; ok && i < f->n; i++) {
		const struct figure *g = &f->figure[i];
		struct json_object *value = g->text ? json_object_new_string(g->text)
		                                    : json_object_new_uint64(g->number);
		ok = value && json_object_object_add(o, g->name, value) == 0;
	}
	const char *text = ok ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY) : NULL;
	if (text)
		puts(text);
	json_object_put(o);
	return text ? MNT_OK : mnt_fail(MNT_NO_MEMORY, "out of memory");
}

static void print_lines(const struct figures *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		const struct figure *g = &f->figure[i];
		if (g->text)
			printf("%s %s\n", g->name, g->text);
		else
			printf("%s %" PRIu64 "\n", g->name, g->number);
	}
}

int mnt_cmd_stat(int argc, char **argv)
{
	static const struct option names[] = {{"json", no_argument, NULL, 'j'}, {0}};
	struct volume_options opt = {.art = {.read_only = true, .lock_wait_ms = MNT_LOOK_WAIT_MS}};
	struct figures f = {0};
	struct volume v;
	struct why w = {0};
	bool json = false;

	for (int c; (c = mnt_getopt(argc, argv, "", names)) != -1;) {
		if (c == '?')
			return mnt_bad_option(MNT_USAGE, argv);
		json = true;
	}
	if (argc - optind != 1)
		return mnt_fail(MNT_USAGE, "stat: give one store: see artfs help");
	int rc = mnt_volume_open(argv[optind], &opt, &v, &w);
	if (rc)
		return mnt_fail(mnt_exit_of(rc), "%s", w.text);
	rc = gather(&v, &f);
	int code = MNT_OK;
	if (rc)
		code = mnt_fail(mnt_exit_of(rc), "%s: %s", argv[optind], strerror(-rc));
	else if (json)
		code = print_json(&f);
	else
		print_lines(&f);
	mnt_volume_close(&v);
	return fflush(stdout) && !code ? MNT_IO : code;
}

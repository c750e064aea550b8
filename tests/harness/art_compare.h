/*
 * art_compare.h - a dictionary against the model of what it should be.
 *
 * In a header, for the test programs of lower rooms are linked without art/. Each function returns
 * true, or false after a line that says what differs.
 */
#ifndef TESTS_HARNESS_ART_COMPARE_H
#define TESTS_HARNESS_ART_COMPARE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/model.h"
#include "tests/harness/pages.h"

__attribute__((unused)) static void compare_say(
        const char *what, struct art_bytes key, long got, long wanted)
{
	printf("# %s: %ld instead of %ld, key of %zu bytes:", what, got, wanted, key.bytes);
	for (size_t i = 0; i < key.bytes && i < 48; i++) {
		const uint8_t c = ((const uint8_t *)key.data)[i];
		printf(c > 32 && c < 127 ? "%c" : "\\x%02x", c);
	}
	printf("\n");
}

/* Presence, length and bytes of one value. */
__attribute__((unused)) static bool compare_get(
        struct art *a, const struct model *m, struct art_bytes key)
{
	struct art_bytes value = {0};
	const bool there = model_get(m, key, &value);
	uint8_t *buf = pages_memory(NULL, value.bytes + 1);
	size_t bytes = 0;
	int err = art_get(a, key, 0, buf, value.bytes + 1, &bytes);
	bool same = err == (there ? 0 : -ENOENT);

	if (!same)
		compare_say("art_get", key, err, there ? 0 : -ENOENT);
	if (same && there && bytes != value.bytes) {
		compare_say("length of value", key, (long)bytes, (long)value.bytes);
		same = false;
	}
	if (same && there && value.bytes && memcmp(buf, value.data, value.bytes)) {
		compare_say("bytes of value differ", key, 0, 0);
		same = false;
	}
	if (same && value.bytes > 2) { /* a piece from the middle */
		const size_t at = value.bytes / 3;
		err = art_get(a, key, at, buf, value.bytes / 2, NULL);
		same = !err && !memcmp(buf, (const uint8_t *)value.data + at, value.bytes / 2);
		if (!same)
			compare_say("piece of value", key, err, 0);
	}
	free(buf);
	return same;
}

__attribute__((unused)) static bool compare_longest(
        struct art *a, const struct model *m, struct art_bytes key)
{
	size_t wanted = 0, got = 0, bytes = 0;
	struct art_bytes value = {0};
	const bool there = model_longest(m, key, &wanted);
	const int err = art_longest_prefix(a, key, &got, NULL, 0, &bytes);

	if (err != (there ? 0 : -ENOENT) || got != wanted) {
		compare_say("art_longest_prefix", key, err ? err : (long)got, (long)wanted);
		return false;
	}
	if (there)
		model_get(m, (struct art_bytes){key.data, wanted}, &value);
	if (bytes != value.bytes) {
		compare_say("length of longest prefix", key, (long)bytes, (long)value.bytes);
		return false;
	}
	return true;
}

static inline bool compare_entry(const struct art_entry *got, const struct art_entry *wanted)
{
	if (model_order(got->name, wanted->name) || got->present != wanted->present ||
	        got->rolled != wanted->rolled || got->value_bytes != wanted->value_bytes)
		return false;
	return !got->value.data || !model_order(got->value, wanted->value);
}

/* Up to `most` entries of a walk, from behind `after` (NULL: from the beginning). */
__attribute__((unused)) static bool compare_scan(struct art *a, const struct model *m,
        struct art_bytes prefix, int delimiter, const struct art_bytes *after, size_t most)
{
	struct art_cursor *c = NULL;
	struct art_entry got = {0}, wanted = {0};
	bool same = true;
	int more = art_cursor_open(a, prefix, delimiter, &c);

	if (!more && after)
		more = art_cursor_seek(c, *after);
	while (!more && same && most-- > 0) {
		const struct art_bytes behind = wanted.name;
		const bool first = !wanted.name.data;
		const bool any = model_next(m, prefix, delimiter, first ? after : &behind, &wanted);
		more = art_cursor_next(c, &got);
		same = more == any && (!any || compare_entry(&got, &wanted));
		if (!same)
			compare_say("art_cursor_next", any ? wanted.name : prefix, more, any);
		if (more <= 0 || !any)
			break;
		more = 0;
	}
	if (more < 0)
		compare_say("cursor", prefix, more, 0);
	if (c)
		art_cursor_close(c);
	return same && more >= 0;
}

/* All keys and all values, values in data blobs by art_get(). */
__attribute__((unused)) static bool compare_all(struct art *a, const struct model *m)
{
	struct art_stat stat;

	art_stat(a, &stat);
	if (stat.keys != model_keys(m)) {
		compare_say("number of keys", (struct art_bytes){0}, (long)stat.keys,
		        (long)model_keys(m));
		return false;
	}
	if (!compare_scan(a, m, (struct art_bytes){"", 0}, ART_NO_DELIMITER, NULL, SIZE_MAX))
		return false;
	for (size_t i = 0; i < model_keys(m); i++)
		if (!compare_get(a, m, model_key(m, i)))
			return false;
	return true;
}

/* What is in the dictionary, as a model. NULL and a line if it cannot be read. */
__attribute__((unused)) static struct model *compare_read(struct art *a)
{
	struct model *m = model_new();
	struct art_cursor *c = NULL;
	struct art_entry e;
	int more = art_cursor_open(a, (struct art_bytes){"", 0}, ART_NO_DELIMITER, &c);

	while (!more && (more = art_cursor_next(c, &e)) == 1) {
		struct art_op op = {.type = ART_PUT, .key = e.name};
		uint8_t *buf = pages_memory(NULL, e.value_bytes);
		more = art_get(a, e.name, 0, buf, e.value_bytes, NULL);
		op.value = (struct art_bytes){buf, e.value_bytes};
		if (!more)
			model_commit(m, &op, 1);
		free(buf);
	}
	if (c)
		art_cursor_close(c);
	if (!more)
		return m;
	compare_say("reading all", (struct art_bytes){0}, more, 0);
	model_free(m);
	return NULL;
}

__attribute__((unused)) static void compare_print(void *arg, const char *line)
{
	printf("# %s: %s\n", (const char *)arg, line);
}

__attribute__((unused)) static bool compare_check(struct art *a)
{
	const int findings = art_check(a, compare_print, (void *)"art_check");

	if (findings)
		printf("# art_check: %d\n", findings);
	return !findings;
}

#endif

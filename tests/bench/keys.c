/*
 * keys.c - see keys.h.
 */
#include "tests/bench/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/data.h"
#include "tests/bench/figure.h"

enum { RANDOM_KEY_BYTES = 32, WORD_BYTES_MAX = 200 };

/* The word list, with a NUL behind each word. */
static struct {
	char *text;
	uint32_t *starts, n;
} words;

static uint64_t seed_of_random;

static void read_words(void)
{
	const char *path = getenv("WORDS");
	path = path ? path : "/usr/share/dict/american-english-huge";
	FILE *f = fopen(path, "r");
	if (!f)
		figure_die(path, errno);
	size_t text_bytes = 0, room = 0;
	uint32_t slots = 0;
	char line[WORD_BYTES_MAX];
	while (fgets(line, sizeof(line), f)) {
		size_t bytes = strcspn(line, "\n");
		line[bytes++] = '\0';
		if (text_bytes + bytes > room)
			words.text = realloc(words.text, room = 2 * room + sizeof(line));
		if (words.n == slots)
			words.starts = realloc(words.starts, (slots = 2 * slots + 1024) * 4ul);
		if (!words.text || !words.starts)
			figure_die(path, ENOMEM);
		memcpy(words.text + text_bytes, line, bytes);
		words.starts[words.n++] = (uint32_t)text_bytes;
		text_bytes += bytes;
	}
	fclose(f);
	if (!words.n)
		figure_die(path, ENODATA);
}

static size_t word_key(char *key, uint64_t i, int missing)
{
	const char *word = words.text + words.starts[i % words.n];
	uint64_t lap = i / words.n;
	size_t n = (size_t)sprintf(key, "words/%s", word);
	if (lap)
		n += (size_t)sprintf(key + n, "-%u", (unsigned)lap + 1);
	if (missing)
		key[n++] = '~';
	return n;
}

static size_t random_key(char *key, uint64_t i, int missing)
{
	for (uint64_t at = 0; at < RANDOM_KEY_BYTES; at += 8) {
		uint64_t word = data_mix(seed_of_random ^ data_mix(2 * i + (uint64_t)missing) ^ at);
		memcpy(key + at, &word, 8);
	}
	return RANDOM_KEY_BYTES;
}

static const struct data_set {
	const char *name;
	size_t (*key)(char *key, uint64_t i, int missing);
} data_sets[] = {{"paths", data_key}, {"words", word_key}, {"random", random_key}};

static void write_keys(
        struct key_text *t, const struct keys *k, const struct data_set *d, int missing, char *room)
{
	size_t at = 0;
	t->starts = malloc(((size_t)k->n + 1) * sizeof(*t->starts));
	if (!t->starts || !room)
		figure_die("the keys", ENOMEM);
	for (uint32_t j = 0; j < k->n; j++) {
		t->starts[j] = at;
		at += d->key(room + at, k->ids[j], missing);
	}
	t->starts[k->n] = at;
	t->text = realloc(room, at);
}

void keys_make(struct keys *k, const char *data_name, uint32_t n, uint64_t seed)
{
	const struct data_set *d = NULL;
	for (size_t i = 0; i < sizeof(data_sets) / sizeof(data_sets[0]); i++)
		if (!strcmp(data_sets[i].name, data_name))
			d = &data_sets[i];
	if (!d)
		figure_die("DATA must be paths, words or random", EINVAL);
	if (d->key == word_key)
		read_words();
	seed_of_random = data_mix(seed);
	*k = (struct keys){.data_name = d->name, .directories = d->key == data_key, .n = n};
	k->ids = data_shuffled(n, data_mix(seed + 1));
	k->load_order = data_shuffled(n, data_mix(seed + 2));
	if (!k->ids || !k->load_order)
		figure_die("the keys", ENOMEM);
	/* Of this room, only what is written to becomes memory. */
	size_t room_bytes = (size_t)n * ENGINE_KEY_BYTES_MAX;
	write_keys(&k->stored, k, d, false, malloc(room_bytes));
	write_keys(&k->missing, k, d, true, malloc(room_bytes));
	k->key_bytes = k->stored.starts[n];
}

/*
 * data.h - what the benchmarks work on: the same bytes in every run, from numbers.
 *
 *   key i      AREA/TEAM/PROJECT[/src]/DIRECTORY/FILE, 5 or 6 components, about 50 bytes
 *
 *              d = i / 100 is the directory, and its digits are the way to it:
 *
 *              d % 10    d/10 % 10    d/100 % 10          d/1000    i % 100
 *              finance / violet-4   / hubble-7 [/src]   / b0003   / report-47-3fa9c1.json
 *
 *              Each directory holds 100 files. With a million keys each team holds 10,000 of them
 *              and each area 10 teams: listing an area yields 10 children with 10,000 below each.
 *
 *   value i    begins with i, so that a wrong answer is noticed; the rest looks random, and shares
 *              nothing with other values: who compresses gains nothing but on keys.
 *
 * The benchmarks visit keys in an order shuffled with a fixed seed.
 */
#ifndef TESTS_BENCH_DATA_H
#define TESTS_BENCH_DATA_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DATA_KEY_BYTES_MAX = 96,
	DATA_FILES_PER_DIRECTORY = 100,
	DATA_AREAS = 10,
	DATA_TEAMS = 10,
	DATA_PROJECTS = 10,
};

/* A bijection of 64-bit numbers whose output looks random. */
static inline uint64_t data_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 29;
	return x;
}

/* 0..n-1 in an order that depends on `seed` only; the caller's to free. NULL without memory. */
static inline uint32_t *data_shuffled(uint32_t n, uint64_t seed)
{
	uint32_t *order = malloc((size_t)n * sizeof(*order));
	if (!order)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t j = (uint32_t)(data_mix(seed + i) % (i + 1));
		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

/* The path of an area's listing, with its slash. Returns its length. */
static inline size_t data_area(char *path, uint64_t area)
{
	static const char *const areas[DATA_AREAS] = {"finance", "photos", "research", "mail",
	        "archive", "backup", "customers", "legal", "music", "warehouse"};
	return (size_t)sprintf(path, "%s/", areas[area % DATA_AREAS]);
}

/* The path of directory d, with its slash. Returns its length. */
static inline size_t data_directory(char *path, uint64_t d)
{
	static const char *const colours[DATA_TEAMS] = {"blue", "red", "green", "amber", "violet",
	        "white", "black", "teal", "olive", "grey"};
	static const char *const projects[DATA_PROJECTS] = {"apollo", "borealis", "cassini", "dawn",
	        "echo", "fermi", "galileo", "hubble", "iris", "juno"};
	uint64_t team = d / DATA_AREAS % DATA_TEAMS;
	uint64_t project = d / (DATA_AREAS * DATA_TEAMS) % DATA_PROJECTS;
	size_t n = data_area(path, d);
	n += (size_t)sprintf(path + n, "%s-%u/%s-%u/%sb%04u/", colours[team], (unsigned)team,
	        projects[project], (unsigned)project, project % 2 ? "src/" : "",
	        (unsigned)(d / (DATA_AREAS * DATA_TEAMS * DATA_PROJECTS)));
	return n;
}

/* Key i; with `missing` its like that is never stored. Returns its length. */
static inline size_t data_key(char *path, uint64_t i, int missing)
{
	static const char *const names[4] = {"report", "img", "invoice", "note"};
	static const char *const ends[4] = {"json", "jpeg", "pdf", "txt"};
	unsigned leaf = (unsigned)(i % DATA_FILES_PER_DIRECTORY);
	uint32_t tag = (uint32_t)data_mix(i) & 0xffffff;
	size_t n = data_directory(path, i / DATA_FILES_PER_DIRECTORY);
	n += (size_t)sprintf(path + n, "%s-%02u-%06x.%s", names[leaf % 4], leaf,
	        missing ? tag ^ 1u : tag, ends[leaf / 4 % 4]);
	return n;
}

static inline void data_value(uint8_t *value, size_t bytes, uint64_t i)
{
	for (size_t at = 0; at < bytes; at += 8) {
		uint64_t word = at ? data_mix(data_mix(i) + at) : i;
		size_t part = bytes - at < 8 ? bytes - at : 8;
		memcpy(value + at, &word, part);
	}
}

#endif

/*
 * seed.c - where a random test takes its seed from, and how it says so.
 *
 * The line is printed before the first random decision, so that it is there however the test dies.
 */
#include "tests/harness/seed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const settings[] = {"OPS", "ROUNDS", "DEPTH", "EXHAUSTIVE"};

uint64_t seed_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t choose(void)
{
	static uint64_t seed;
	static bool chosen;

	if (!chosen)
		seed = seed_env("SEED", now_ns(CLOCK_REALTIME) % 1000000000);
	chosen = true;
	return seed;
}

const char *seed_replay(void)
{
	static char line[512];
	size_t n = (size_t)snprintf(line, sizeof(line), "SEED=%" PRIu64, choose());

	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (getenv(settings[i]) && n < sizeof(line))
			n += (size_t)snprintf(line + n, sizeof(line) - n, " %s=%s", settings[i],
			        getenv(settings[i]));
	if (n < sizeof(line))
		snprintf(line + n, sizeof(line) - n, " %s", program_invocation_name);
	return line;
}

uint64_t seed_get(void)
{
	static bool said;

	if (!said) {
		printf("# replay: %s\n", seed_replay());
		fflush(stdout);
	}
	said = true;
	return choose();
}

double seed_seconds(void)
{
	return (double)now_ns(CLOCK_MONOTONIC) / 1e9;
}

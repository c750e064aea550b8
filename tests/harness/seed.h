/*
 * seed.h - the settings of a random test: from the environment, printed so that a run can be
 * replayed.
 */
#ifndef TESTS_HARNESS_SEED_H
#define TESTS_HARNESS_SEED_H

#include <stdint.h>

/* A number from the environment, or `otherwise` if it is not set. */
uint64_t seed_env(const char *name, uint64_t otherwise);

/* SEED from the environment, else a fresh one. The first call prints it with the command that
 * replays. */
uint64_t seed_get(void);

/* "SEED=12 OPS=3 path/of/program": what to type to see a failure again. Valid until the next call.
 */
const char *seed_replay(void);

/* A monotone clock in seconds, for tests that run for a time. */
double seed_seconds(void);

#endif

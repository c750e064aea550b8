/*
 * rng.h - randomness that a seed replays.
 *
 * xoshiro256** for the numbers, splitmix64 to spread a seed over its state (Blackman and Vigna,
 * "Scrambled linear pseudorandom number generators").
 */
#ifndef TESTS_HARNESS_RNG_H
#define TESTS_HARNESS_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rng {
	uint64_t s[4];
};

static inline uint64_t rng_spread(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ULL;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static inline struct rng rng_of(uint64_t seed)
{
	struct rng r;
	for (int i = 0; i < 4; i++)
		r.s[i] = rng_spread(&seed);
	return r;
}

static inline uint64_t rng_rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline uint64_t rng_u64(struct rng *r)
{
	const uint64_t out = rng_rotate(r->s[1] * 5, 7) * 9, t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rng_rotate(r->s[3], 45);
	return out;
}

/* 0 .. n-1; n > 0. Scaled, not by remainder: no bias that a test could feel. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (uint64_t)((unsigned __int128)rng_u64(r) * n >> 64);
}

/* lo .. hi, both included. */
static inline uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi)
{
	return lo + rng_below(r, hi - lo + 1);
}

/* True once in n. */
static inline bool rng_one_in(struct rng *r, uint64_t n)
{
	return rng_below(r, n) == 0;
}

static inline void rng_fill(struct rng *r, void *buf, size_t bytes)
{
	uint8_t *p = buf;

	while (bytes) {
		const uint64_t x = rng_u64(r);
		const size_t n = bytes < sizeof(x) ? bytes : sizeof(x);
		memcpy(p, &x, n);
		p += n;
		bytes -= n;
	}
}

#endif

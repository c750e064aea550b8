/*
 * search_test.c - the fast searches against their plain twins.
 */
#include "fixture.h"

#include "art/search.h"
#include "tests/harness/rng.h"
#include "tests/harness/seed.h"

enum { ROUNDS = 2000, COUNT_BEYOND = 40 };

/* Ascending, all different, and any bytes behind `count`. */
static void fill(struct rng *r, uint8_t *b, unsigned max, unsigned count)
{
	unsigned byte = 0;

	for (unsigned i = 0; i < max; i++)
		b[i] = (uint8_t)rng_u64(r);
	for (unsigned i = 0; i < count; i++) {
		unsigned left = count - i, room = 256 - byte - left;
		byte += (unsigned)rng_below(r, room / left + 1);
		b[i] = (uint8_t)byte++;
	}
}

static void twins_agree_on_every_byte_and_count(void **state)
{
	(void)state;
	struct rng r = rng_of(seed_get());
	uint8_t b[16];

	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned max = round % 2 ? 4 : 16, count = round / 2 % (max + 1);
		fill(&r, b, max, count);
		for (unsigned byte = 0; byte < 256; byte++) {
			unsigned plain = search_equal_plain(b, max, count, (uint8_t)byte);
			unsigned fast = max == 4 ? search4_equal(b, count, (uint8_t)byte)
			                         : search16_equal(b, count, (uint8_t)byte);
			assert_int_equal(fast, plain);
		}
		for (unsigned from = 0; from <= 256 && max == 16; from++)
			assert_int_equal(search16_from(b, count, from),
			        search_from_plain(b, 16, count, from));
	}
}

/* A reader without a lock may see a count that is being changed. */
static void a_wrong_count_leads_nowhere_else(void **state)
{
	(void)state;
	struct rng r = rng_of(seed_get());
	uint8_t b[16];

	for (unsigned count = 16; count < COUNT_BEYOND; count++) {
		fill(&r, b, 16, 16);
		for (unsigned byte = 0; byte < 256; byte++) {
			assert_int_equal(search16_equal(b, count, (uint8_t)byte),
			        search_equal_plain(b, 16, count, (uint8_t)byte));
			assert_int_equal(search16_from(b, count, byte),
			        search_from_plain(b, 16, count, byte));
			unsigned four = search4_equal(b, count, (uint8_t)byte);
			assert_true(four < 4 || four == SEARCH_NONE);
		}
	}
}

static void twins_find_the_same_next_child_of_256(void **state)
{
	(void)state;
	struct rng r = rng_of(seed_get());
	uint8_t b[256];

	for (unsigned round = 0; round < ROUNDS / 20; round++) {
		for (unsigned i = 0; i < 256; i++)
			b[i] = rng_below(&r, 100) < round ? (uint8_t)(rng_u64(&r) | 1) : 0;
		for (unsigned from = 0; from <= 256; from++)
			assert_int_equal(search256_nonzero(b, from), search_nonzero_plain(b, from));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(twins_agree_on_every_byte_and_count),
	        cmocka_unit_test(a_wrong_count_leads_nowhere_else),
	        cmocka_unit_test(twins_find_the_same_next_child_of_256),
	};
	return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}

/*
 * space_test.c - the slot allocator against a file that is only a number: what it asks for, and
 * when.
 */
#include <pthread.h>

#include "store/space.h"
#include "tests/store/fixture.h"

enum { SLOT = 4096 };

struct host {
	struct io io;
	struct space sp;
	pthread_mutex_t lock;
	uint64_t slots, slots_max; /* of the file; of the disk */
	uint64_t allocated, punched, cuts;
};

static struct host *host_of(struct io *io)
{
	return (struct host *)io;
}

static int host_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
	(void)file;
	*bytes = host_of(io)->slots * SLOT;
	return 0;
}

static int host_allocate(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	struct host *h = host_of(io);

	(void)file;
	if ((offset + bytes) / SLOT > h->slots_max)
		return -ENOSPC;
	h->allocated += bytes / SLOT;
	if ((offset + bytes) / SLOT > h->slots)
		h->slots = (offset + bytes) / SLOT;
	return 0;
}

static int host_punch(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	(void)file;
	assert_int_equal(offset % SLOT, 0);
	host_of(io)->punched += bytes / SLOT;
	return 0;
}

static int host_truncate(struct io *io, struct io_file *file, uint64_t bytes)
{
	(void)file;
	host_of(io)->slots = bytes / SLOT;
	host_of(io)->cuts++;
	return 0;
}

static int host_free(struct io *io, uint64_t *bytes)
{
	*bytes = (host_of(io)->slots_max - host_of(io)->slots) * SLOT;
	return 0;
}

static void host_init(struct host *h, uint64_t slots, uint64_t slots_max, uint64_t size_max)
{
	static const struct io_ops ops = {
	        .size = host_size,
	        .allocate = host_allocate,
	        .punch = host_punch,
	        .truncate = host_truncate,
	        .host_free = host_free,
	};

	memset(h, 0, sizeof(*h));
	h->io.ops = &ops;
	h->slots = slots;
	h->slots_max = slots_max;
	pthread_mutex_init(&h->lock, NULL);
	ok(space_init(&h->sp, &h->io, NULL, &h->lock, 1, size_max));
}

/* What a frame of that many slots sets aside. */
static void host_group(struct host *h, uint32_t group)
{
	h->sp.group = group;
}

static uint64_t missing_for(struct host *h, uint64_t n, enum store_need need)
{
	uint64_t missing;

	ok(space_set_aside(&h->sp, n, need, &missing));
	if (!missing)
		space_give_back(&h->sp, n);
	return missing;
}

static void set_aside(struct host *h, uint64_t n)
{
	uint64_t missing;

	for (;;) {
		ok(space_set_aside(&h->sp, n, STORE_NORMAL, &missing));
		if (!missing)
			return;
		ok(space_grow(&h->sp, missing * h->sp.group, true));
	}
}

static uint64_t take_one(struct host *h)
{
	set_aside(h, 1);
	return space_take_image(&h->sp, 1);
}

static void the_file_grows_in_coarse_steps(void **state)
{
	struct host h;

	(void)state;
	host_init(&h, 0, 1 << 24, 0);
	assert_int_equal(take_one(&h), 0);
	assert_int_equal(h.slots, 64);
	set_aside(&h, 10000);
	assert_int_equal(h.slots, h.allocated);
	for (int i = 0; i < 1000; i++)
		take_one(&h);
	assert_true(h.slots >= 11000 && h.slots < 14000);
	space_fini(&h.sp);
}

static void a_host_that_is_nearly_full_is_asked_for_no_more_than_needed(void **state)
{
	struct host h;

	(void)state;
	host_init(&h, 0, 40, 0);
	take_one(&h);
	assert_int_equal(h.slots, 17); /* the one, and the reserve */
	set_aside(&h, 23);
	assert_int_equal(h.slots, 40);
	assert_int_equal(missing_for(&h, 1, STORE_NORMAL), 1);
	assert_int_equal(space_grow(&h.sp, 1, true), -ENOSPC);
	assert_int_equal(missing_for(&h, 16, STORE_SHRINKING), 0);
	assert_int_equal(missing_for(&h, 17, STORE_SHRINKING), 1);
	space_fini(&h.sp);
}

static void the_lowest_free_slot_is_taken_first(void **state)
{
	struct host h;

	(void)state;
	host_init(&h, 0, 1 << 20, 0);
	for (uint64_t i = 0; i < 200; i++)
		assert_int_equal(take_one(&h), i);
	set_aside(&h, 4);
	space_release(&h.sp, 130, 1);
	space_release(&h.sp, 7, 2);
	space_fit_again(&h.sp);
	assert_int_equal(space_take_image(&h.sp, 1), 7);
	assert_int_equal(space_take_image(&h.sp, 1), 8);
	assert_int_equal(space_take_image(&h.sp, 1), 130);
	assert_int_equal(space_take_image(&h.sp, 1), 200);
	space_fini(&h.sp);
}

static void a_run_may_cross_words_and_join_the_end(void **state)
{
	struct host h;

	(void)state;
	host_init(&h, 0, 1 << 20, 300 * SLOT);
	set_aside(&h, 200);
	for (int i = 0; i < 200; i++)
		space_take_image(&h.sp, 1);
	space_release(&h.sp, 50, 100);
	assert_int_equal(h.sp.ready, 100); /* and 16 in reserve */
	assert_int_equal(space_take_run(&h.sp, 101), SLOT_NONE);
	assert_int_equal(space_take_run(&h.sp, 90), 50);
	ok(space_grow(&h.sp, 84, true));
	assert_int_equal(h.slots, 300);
	assert_int_equal(space_grow(&h.sp, 101, true), -ENOSPC);
	assert_int_equal(space_take_run(&h.sp, 84), 216);
	space_fini(&h.sp);
}

/* Every image finds a run, whatever the file looks like, for its group was set aside. */
static void images_of_any_length_fit_into_a_file_full_of_holes(void **state)
{
	enum { GROUP = 16, FRAMES = 40 };
	struct host h;
	uint64_t slot[FRAMES];

	(void)state;
	host_init(&h, 0, 1 << 20, 2000 * SLOT);
	host_group(&h, GROUP);
	set_aside(&h, FRAMES);
	for (int i = 0; i < FRAMES; i++) {
		slot[i] = space_take_image(&h.sp, 9);
		if (i > 0)
			assert_int_equal(slot[i], slot[i - 1] + 9); /* side by side */
	}
	for (int i = 1; i < FRAMES; i += 2)
		space_release(&h.sp, slot[i], 9); /* no hole takes a group now */
	set_aside(&h, FRAMES);
	space_fit_again(&h.sp);
	for (int i = 0; i < FRAMES; i++) {
		uint32_t n = i % 2 ? 16 : 5;
		uint64_t at = space_take_image(&h.sp, n);
		assert_true(at != SLOT_NONE && at + n <= h.sp.total);
		if (i == 0)
			assert_int_equal(at, slot[1]); /* a small one goes into a hole */
	}
	assert_int_equal(space_named(&h.sp), FRAMES / 2 * 9 + FRAMES / 2 * (16 + 5));
	assert_int_equal(h.sp.set_aside, 0);
	space_fini(&h.sp);
}

static void claims_must_be_free_and_in_bounds(void **state)
{
	struct host h;

	(void)state;
	host_init(&h, 100, 1 << 20, 0);
	ok(space_claim(&h.sp, 10, 20, 100));
	assert_int_equal(space_claim(&h.sp, 29, 1, 100), -EUCLEAN);
	assert_int_equal(space_claim(&h.sp, 0, 11, 100), -EUCLEAN);
	assert_int_equal(space_claim(&h.sp, 99, 2, 100), -EUCLEAN);
	assert_int_equal(space_claim(&h.sp, UINT64_MAX, 2, 100), -EUCLEAN);
	ok(space_claim(&h.sp, 99, 1, 100));
	assert_int_equal(h.sp.used_slots, 21);
	space_fini(&h.sp);
}

static void nothing_below_the_floor_is_taken_while_replaying(void **state)
{
	struct host h;

	(void)state;
	host_init(&h, 100, 1 << 20, 0);
	ok(space_claim(&h.sp, 5, 1, 100));
	space_release(&h.sp, 5, 1);
	assert_int_equal(take_one(&h), 100);
	space_trim(&h.sp, true);
	assert_int_equal(h.cuts + h.punched, 0);
	space_floor_lift(&h.sp);
	set_aside(&h, 120); /* more than there is behind it */
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 120; i++) {
		uint64_t slot = space_take_image(&h.sp, 1);
		least = slot < least ? slot : least;
	}
	assert_int_equal(least, 0);
	space_fini(&h.sp);
}

static void only_plenty_is_given_back_and_never_what_is_set_aside(void **state)
{
	struct host h;

	(void)state;
	host_init(&h, 0, 1 << 20, 0);
	set_aside(&h, 2000);
	for (int i = 0; i < 2000; i++)
		space_take_image(&h.sp, 1);
	space_trim(&h.sp, false);
	assert_int_equal(h.cuts + h.punched, 0);
	space_release(&h.sp, 100, 1500); /* below used ones: a hole */
	set_aside(&h, 300);
	space_trim(&h.sp, false); /* as much may be written again */
	assert_int_equal(h.punched, 0);
	for (int i = 0; i < 8; i++)
		space_trim(&h.sp, false);
	assert_true(h.punched > 800);
	assert_true(h.sp.asides >= 300 + space_reserve(&h.sp));
	assert_int_equal(missing_for(&h, 0, STORE_NORMAL), 0);
	space_release(&h.sp, 0, 100);
	space_release(&h.sp, 1600, 400);
	space_trim(&h.sp, true);
	assert_int_equal(h.sp.ready, 0);
	assert_int_equal(h.sp.asides, 300);
	for (int i = 0; i < 300; i++)
		space_take_image(&h.sp, 1);
	space_fini(&h.sp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_file_grows_in_coarse_steps),
	        cmocka_unit_test(a_host_that_is_nearly_full_is_asked_for_no_more_than_needed),
	        cmocka_unit_test(the_lowest_free_slot_is_taken_first),
	        cmocka_unit_test(a_run_may_cross_words_and_join_the_end),
	        cmocka_unit_test(images_of_any_length_fit_into_a_file_full_of_holes),
	        cmocka_unit_test(claims_must_be_free_and_in_bounds),
	        cmocka_unit_test(nothing_below_the_floor_is_taken_while_replaying),
	        cmocka_unit_test(only_plenty_is_given_back_and_never_what_is_set_aside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * alloc_fault.c - every way to take memory, behind one countdown.
 */
#include "tests/harness/alloc_fault.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#include "tests/harness/pages.h"

static uint64_t left_to_skip, left_to_fail, failures, calls;

void alloc_fault(uint64_t skip, uint64_t times)
{
	left_to_skip = skip;
	left_to_fail = times;
	failures = calls = 0;
}

uint64_t alloc_fault_failures(void)
{
	return failures;
}

uint64_t alloc_fault_calls(void)
{
	return calls;
}

static bool fails(void)
{
	if (pages_memory_busy())
		return false;
	calls++;
	if (left_to_skip) {
		left_to_skip--;
		return false;
	}
	if (!left_to_fail)
		return false;
	left_to_fail--;
	failures++;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
	return fails() ? NULL : __real_malloc(bytes);
}

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes)
{
	return fails() ? NULL : __real_calloc(n, bytes);
}

void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes)
{
	return fails() ? NULL : __real_realloc(old, bytes);
}

/* Through realloc, so that it links whether this one is wrapped or not. */
void *__wrap_reallocarray(void *old, size_t n, size_t bytes);
void *__wrap_reallocarray(void *old, size_t n, size_t bytes)
{
	size_t all;

	if (__builtin_mul_overflow(n, bytes, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return __wrap_realloc(old, all);
}

int __real_posix_memalign(void **out, size_t align, size_t bytes);
int __wrap_posix_memalign(void **out, size_t align, size_t bytes);
int __wrap_posix_memalign(void **out, size_t align, size_t bytes)
{
	return fails() ? ENOMEM : __real_posix_memalign(out, align, bytes);
}

void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	return fails() ? NULL : __real_aligned_alloc(align, bytes);
}

void *__real_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	return fails() ? MAP_FAILED : __real_mmap(at, bytes, prot, flags, fd, offset);
}

/*
 * alloc_fault.h - memory that runs out at a chosen call.
 *
 * Linked with -Wl,--wrap= for each of the functions in alloc_fault.c. The same countdown as the
 * faults of the simulated disk (simdisk.h), whose own memory is not counted.
 */
#ifndef TESTS_HARNESS_ALLOC_FAULT_H
#define TESTS_HARNESS_ALLOC_FAULT_H

#include <stdint.h>

/* The next `skip` allocations succeed, the `times` after them fail. times 0 heals. */
void alloc_fault(uint64_t skip, uint64_t times);
uint64_t alloc_fault_failures(void); /* since alloc_fault() */
uint64_t alloc_fault_calls(void);    /* since alloc_fault() */

#endif

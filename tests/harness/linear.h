/*
 * linear.h - is a history of one register linearizable?
 *
 * A history is a set of calls, each with the moment it began and the moment it returned; moments
 * are numbers that all threads share. It is linearizable if each call can be given one moment
 * between the two at which it happened at once, such that all answers are right.
 *
 * The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993) with Lowe's
 * memory of configurations seen ("Testing for linearizability", 2017): the calls that may come next
 * are those that began before any call not yet placed has returned; a set of placed calls together
 * with the register's state is tried once only. A history is cut where no call is under way.
 */
#ifndef TESTS_HARNESS_LINEAR_H
#define TESTS_HARNESS_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINEAR_NONE = 0 }; /* the register holds nothing */

enum linear_type {
	LINEAR_GET,    /* answer: what it found, LINEAR_NONE for nothing */
	LINEAR_PUT,    /* holds `value` from now on */
	LINEAR_REMOVE, /* holds nothing from now on */
	LINEAR_CREATE, /* as PUT if it holds nothing; `done` says which */
	LINEAR_SWAP,   /* as PUT if it holds `expect`; `done` says which */
};

struct linear_call {
	enum linear_type type;
	bool done; /* CREATE, SWAP: it was not refused */
	uint32_t value, expect;
	uint64_t begin, end; /* begin < end; no two moments of a history are equal */
};

enum { LINEAR_CALLS_MAX = 64 }; /* of one piece, between cuts */

enum linear_answer {
	LINEAR_YES,
	LINEAR_NO,
	LINEAR_UNDECIDED, /* a piece has more than LINEAR_CALLS_MAX calls */
};

/* Sorts the calls by their beginnings. The register holds nothing at first. */
enum linear_answer linear_check(struct linear_call *calls, size_t n);

#endif

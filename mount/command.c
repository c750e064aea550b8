/*
 * command.c - what the command lines have in common.
 */
#include "mount/command.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mount/exit.h"

int mnt_getopt(int argc, char **argv, const char *letters, const struct option *names)
{
	opterr = 0;
	return getopt_long(argc, argv, letters, names, NULL);
}

int mnt_bad_option(int code, char **argv)
{
	const char *last = argv[optind - 1];
	char letter[3] = {'-', (char)optopt, 0};
	/* getopt_long() leaves optopt 0 for an unknown name, and its letter where an argument is
	 * missing */
	const char *what = optopt > 0 && optopt < 128 && strncmp(last, "--", 2) ? letter : last;
	return mnt_fail(code,
	        "%s: option %s is not known, or lacks or must not have a value: see artfs help",
	        argv[0], what);
}

bool mnt_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || *end || n < min || n > max)
		return false;
	*out = n;
	return true;
}

bool mnt_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGTP";
	char *end;
	unsigned shift = 0;
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (!strcmp(end, "B") || !strcmp(end, "iB"))
			end += strlen(end);
	}
	if (errno || *end || n > UINT64_MAX >> shift)
		return false;
	*bytes = (uint64_t)n << shift;
	return true;
}

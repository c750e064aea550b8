/*
 * command.h - the commands of the program, and what their command lines have in common.
 *
 * Each command gets argv with its own name in argv[0], and returns the exit code (exit.h).
 */
#ifndef MOUNT_COMMAND_H
#define MOUNT_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

int mnt_cmd_mkfs(int argc, char **argv);
int mnt_cmd_fsck(int argc, char **argv);
int mnt_cmd_stat(int argc, char **argv);
int mnt_cmd_mount(int argc, char **argv);

/* The same as mount(8) calls it: mount.artfs STORE MOUNTPOINT [-sfnv] [-N ns] [-t type] [-o
 * options]. */
int mnt_cmd_mount_helper(int argc, char **argv);

/* getopt_long() that prints nothing itself. Options are accepted anywhere. -1 at the end; '?' for
 * an option that there is not, or one without its argument: mnt_bad_option() then says so. */
int mnt_getopt(int argc, char **argv, const char *letters, const struct option *names);

/* One sentence about what mnt_getopt() stumbled over; returns `code`. */
int mnt_bad_option(int code, char **argv);

/* "4096", "64K", "10M", "2G", "1T", with or without "B" or "iB" behind the letter; powers of 1024.
 */
bool mnt_parse_size(const char *text, uint64_t *bytes);

/* Decimal digits and nothing else. */
bool mnt_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

#endif

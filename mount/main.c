/*
 * main.c - one program, several names.
 *
 *   artfs COMMAND ...          the command
 *   artfs STORE MOUNTPOINT     anything that is no command: a mount
 *   mkfs.artfs, fsck.artfs     the command, as mkfs(8) and fsck(8) call it
 *   mount.artfs                the mount, as mount(8) calls it
 */
#include <stdio.h>
#include <string.h>

#include "mount/command.h"
#include "mount/exit.h"

static const char help[] =
        "artfs - a persistent radix tree, mounted as a directory\n"
        "\n"
        "  artfs mkfs [--frame-size=64K] [--size=BYTES] [--segment-size=16M] STORE\n"
        "        make an empty store in the directory STORE, which must be missing or empty\n"
        "  artfs mount [-f] [-o OPTION[,OPTION]...] STORE MOUNTPOINT\n"
        "        mount it; -f stays in the foreground. The word mount may be left out.\n"
        "  artfs fsck STORE\n"
        "        check every byte of it; changes nothing\n"
        "  artfs stat [--json] STORE\n"
        "        show sizes and counters\n"
        "  artfs help, artfs version\n"
        "\n"
        "Options of a mount: ro, cache=SIZE, commit=SECONDS, checkpoint=SIZE, threads=N,\n"
        "io=auto|uring|posix, allow_other, auto_unmount, single_user, fsname=NAME, and the usual\n"
        "nosuid, nodev, noexec, sync, dirsync, noatime. SIZE takes K, M, G, T. To unmount:\n"
        "fusermount3 -u MOUNTPOINT, or umount MOUNTPOINT. See artfs(1).\n";

static int cmd_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return fputs(help, stdout) < 0 || fflush(stdout) ? MNT_IO : MNT_OK;
}

static int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return puts("artfs " ARTFS_VERSION) < 0 || fflush(stdout) ? MNT_IO : MNT_OK;
}

static const struct command {
	const char *name, *alias;
	int (*run)(int argc, char **argv);
} commands[] = {
        {"mkfs", "mkfs.artfs", mnt_cmd_mkfs},
        {"fsck", "fsck.artfs", mnt_cmd_fsck},
        {"mount", NULL, mnt_cmd_mount},
        {NULL, "mount.artfs", mnt_cmd_mount_helper},
        {NULL, "mount.fuse.artfs", mnt_cmd_mount_helper},
        {"stat", NULL, mnt_cmd_stat},
        {"help", NULL, cmd_help},
        {"--help", NULL, cmd_help},
        {"-h", NULL, cmd_help},
        {"version", NULL, cmd_version},
        {"--version", NULL, cmd_version},
        {"-V", NULL, cmd_version},
};

int main(int argc, char **argv)
{
	const unsigned n = sizeof(commands) / sizeof(*commands);
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *self = slash ? slash + 1 : argc > 0 ? argv[0] : "artfs";

	for (unsigned i = 0; i < n; i++)
		if (commands[i].alias && !strcmp(self, commands[i].alias))
			return commands[i].run(argc, argv);
	if (argc < 2)
		return mnt_fail(MNT_USAGE, "a command is missing: see artfs help");
	for (unsigned i = 0; i < n; i++)
		if (commands[i].name && !strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (argc == 2)
		return mnt_fail(MNT_USAGE, "there is no command %s: see artfs help", argv[1]);
	return mnt_cmd_mount(argc, argv);
}

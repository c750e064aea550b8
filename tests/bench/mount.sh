#!/usr/bin/env bash
# mount.sh - makes a store and three places to work in, runs mount_bench on them, and cleans up, always.
#
#   DIR/ext4    a plain directory on the disk (named by its filesystem)
#   DIR/null    nullfs, the floor
#   DIR/mnt     artfs, with its store in DIR/store
#
#   ARTFS=PROGRAM   the artfs to measure           BUILD=DIR   where tests/bench/{nullfs,mount_bench} are
#   BENCH_DIR=DIR   where to work: a directory on the disk to measure (default: BUILD)
#   SINGLE_USER=1   without permission checks by the kernel, on artfs and on nullfs
#   MOUNT_OPTIONS=  further -o options of `artfs mount`
#   FILES, FSYNC_FILES, SEQ_MIB, OVERWRITES, ROUNDS   see mount_bench.c
#
# `mount.sh remount NAME` is for mount_bench.
set -eu

umount_artfs() {
	fusermount3 -u "$mnt"
	# The daemon holds the lock of its store until its last checkpoint is done.
	flock -w 300 "$store" true
}

mount_artfs() {
	"$ARTFS" mount "$store" "$mnt" ${artfs_options:+-o "$artfs_options"}
}

if [ "${1-}" = remount ]; then
	umount_artfs
	mount_artfs
	exit
fi

: "${ARTFS:?name the program to measure}" "${BUILD:?name the directory of the built programs}"
bench=
dir=$(mktemp -d "${BENCH_DIR:-$BUILD}/mount-bench.XXXXXX")
cleanup() {
	trap - EXIT
	[ -z "$bench" ] || kill "$bench" 2>/dev/null && wait "$bench" || true
	for m in "$dir/mnt" "$dir/null"; do
		if mountpoint -q "$m"; then
			fusermount3 -u "$m" || fusermount3 -u -z "$m"
		fi
	done
	[ ! -d "$dir/store" ] || flock -w 300 "$dir/store" true || echo "mount.sh: the daemon does not end" >&2
	rm -rf --one-file-system "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

type=$(stat -f -c %T "$dir")
[ "$type" != ext2/ext3 ] || type=ext4
case $type in
tmpfs | ramfs)
	echo "mount.sh: $dir lies in memory, where a disk cannot be measured; set BENCH_DIR=" >&2
	exit 1
	;;
esac

null_options= artfs_options=${MOUNT_OPTIONS-}
if [ "${SINGLE_USER-0}" = 1 ]; then
	artfs_options=single_user${artfs_options:+,$artfs_options}
else
	null_options=default_permissions
fi
export ARTFS artfs_options store="$dir/store" mnt="$dir/mnt"
mkdir "$dir/$type" "$dir/null" "$mnt"
"$ARTFS" mkfs "$store" >/dev/null
mount_artfs
"$BUILD/tests/bench/nullfs" ${null_options:+-o "$null_options"} "$dir/null"

echo "# on $type; artfs options: ${artfs_options:-default}; nullfs options: ${null_options:-default}"
REMOUNT="$0 remount" "$BUILD/tests/bench/mount_bench" "artfs=$mnt" "nullfs=$dir/null" "$type=$dir/$type" &
bench=$! # beside us, so that a signal is not kept waiting
wait "$bench"

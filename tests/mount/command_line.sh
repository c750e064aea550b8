#!/usr/bin/env bash
# command_line.sh - bad input: one sentence, an exit code of its own, nothing changed.
. "$(dirname "$0")/lib.sh"

no_command_is_a_usage_error() { want 2 "$ARTFS"; said "command is missing"; }
unknown_command_is_named() { want 2 "$ARTFS" frobnicate; said "frobnicate"; }
help_and_version_work() {
	want 0 "$ARTFS" help; grep -q mkfs "$T/out"
	want 0 "$ARTFS" --help
	want 0 "$ARTFS" version; grep -qE '^artfs [0-9]+\.[0-9]+' "$T/out"
}
names_of_the_program_are_commands() {
	ln -s "$ARTFS" "$T/mkfs.artfs"; ln -s "$ARTFS" "$T/fsck.artfs"; ln -s "$ARTFS" "$T/mount.artfs"
	"$T/mkfs.artfs" "$S"
	"$T/fsck.artfs" -a "$S" >/dev/null
	"$T/mount.artfs" "$S" "$M" -o rw,noatime
	mountpoint -q "$M"
	down
	want 0 "$T/mount.artfs" -f "$S" "$M"
	! mountpoint -q "$M" || fail "-f is fake for mount(8)"
	want 2 "$T/mount.artfs" "$S" "$M" -o frobnicate; said "frobnicate"
	"$T/mount.artfs" -s "$S" "$M" -o frobnicate
	down
}

mkfs_makes_a_missing_directory() { mkfs; [ -e "$S/blobs.dat" ]; clean; }
mkfs_takes_an_empty_directory() { mkdir "$S"; mkfs; clean; }
mkfs_refuses_a_store() { mkfs; want 15 mkfs; said "$S"; clean; }
mkfs_refuses_a_directory_with_something_in_it() {
	mkdir "$S"; echo precious >"$S/file"
	want 15 mkfs; said "$S"
	[ "$(ls -A "$S")" = file ]
}
mkfs_refuses_a_file() { echo precious >"$S"; want 3 mkfs; said "not a directory"; [ "$(cat "$S")" = precious ]; }
mkfs_refuses_a_missing_parent() { want 3 "$ARTFS" mkfs "$T/none/s"; said "none/s"; }
mkfs_refuses_bad_sizes() {
	for o in --frame-size=5000 --frame-size=1K --frame-size=1M --frame-size=x --size=12Q --size= --segment-size=1 \
		--size=0 --frame-size=99999999999; do
		want 2 mkfs "$o"; said .
		[ ! -e "$S" ] || fail "$o left something"
	done
}
mkfs_refuses_unknown_options_and_arguments() {
	want 2 mkfs --frobnicate; said "frobnicate"
	want 2 mkfs -z; said "-z"
	want 2 "$ARTFS" mkfs; said "one directory"
	want 2 "$ARTFS" mkfs "$S" "$S.b"; said "one directory"
	[ ! -e "$S" ]
}
mkfs_takes_sizes() {
	mkfs --frame-size=4K --size=16MiB --segment-size=64KB
	"$ARTFS" stat "$S" | grep -qx 'frame_bytes 4096'
	"$ARTFS" stat "$S" | grep -qx 'slots_max 4096'
	clean
}

store_that_is_missing() {
	want 3 up; said "$S: No such file.*artfs mkfs"
	want 8 "$ARTFS" fsck "$S"; said "$S: No such file"
	want 3 "$ARTFS" stat "$S"; said "$S: No such file"
}
store_that_is_a_file() { echo x >"$S"; want 3 up; said "not a directory"; want 8 "$ARTFS" fsck "$S"; said "not a directory"; rm "$S"; }
store_that_is_an_empty_directory() {
	mkdir "$S"
	want 4 up; said "$S"
	want 8 "$ARTFS" fsck "$S"; said "$S"
	want 4 "$ARTFS" stat "$S"; said "$S"
	[ -z "$(ls -A "$S")" ] || fail "something was written"
}
mount_point_that_is_missing() { mkfs; want 8 "$ARTFS" mount "$S" "$T/none"; said "none.*make the directory"; [ ! -e "$S/lock" ]; }
mount_point_that_is_a_file() { mkfs; echo x >"$T/file"; want 8 "$ARTFS" mount "$S" "$T/file"; said "not a directory"; }
mount_point_that_is_busy() {
	mkfs; up
	"$ARTFS" mkfs "$T/s-b"
	want 8 "$ARTFS" mount "$T/s-b" "$M"; said "mounted there already"
	[ ! -e "$T/s-b/lock" ]
}
mount_point_that_is_a_dead_mount() {
	mkfs; up
	kill -9 "$(pid_of "$S")"
	while stat -f "$M" >/dev/null 2>&1; do sleep 0.1; done
	want 8 up; said "process is gone.*fusermount3 -u"
	fusermount3 -u "$M"
	up; down; clean
}
mount_point_in_the_store() {
	mkfs; mkdir "$S/m"
	want 8 "$ARTFS" mount "$S" "$S/m"; said "lies in it"
	want 8 "$ARTFS" mount "$S" "$S"; said "is the store"
	ln -s "$S/m" "$T/link"
	want 8 "$ARTFS" mount "$S" "$T/link"; said "lies in it"
}
mount_point_above_the_store() { mkdir "$M/sub"; "$ARTFS" mkfs "$M/sub/s"; want 8 "$ARTFS" mount "$M/sub/s" "$M"; said "hide"; rm -r "$M/sub"; }
mount_needs_two_arguments() { want 2 "$ARTFS" mount "$S"; said "store and a mount point"; want 2 "$ARTFS" mount a b c; said "store and"; }
mount_refuses_unknown_options_by_name() {
	mkfs
	want 2 up -o frobnicate; said "option frobnicate is not known"
	want 2 up -o ro,x=1; said "option x=1"
	want 2 up -z; said "-z"
	want 2 up --zoo; said "--zoo"
	want 2 up -o; said .
}
mount_refuses_bad_values() {
	mkfs
	for o in cache=x cache=0 commit=0 commit=x commit=99999 threads=1 threads=65 io=fast checkpoint=; do
		want 2 up -o $o; said "option $o: give"
	done
}
mount_takes_the_usual_options() {
	mkfs
	up -o defaults,noauto,user,_netdev,x-systemd.automount,nofail -o cache=64M,commit=1,checkpoint=8M,threads=3,io=posix,fsname=my\\thing
	mountpoint -q "$M"
	down
	up -o noexec,nosuid,nodev,noatime,allow_other,nodefault_permissions
	awk -v m="$M" '$5 == m' /proc/self/mountinfo >"$T/out"
	grep -q noexec "$T/out"; grep -q allow_other "$T/out"
	! grep -q default_permissions "$T/out"
	down
	up
	awk -v m="$M" '$5 == m' /proc/self/mountinfo >"$T/out"
	grep -q default_permissions "$T/out"
	grep -q "fuse.artfs $S " "$T/out"
}
io_kind_is_as_asked_for() {
	mkfs; up -o io=posix; down
	up -o io=uring; down
}
a_store_with_a_comma_in_its_name() {
	"$ARTFS" mkfs "$T/s,a b"
	"$ARTFS" mount "$T/s,a b" "$M"
	grep -q 's,a\\040b' /proc/self/mountinfo
	down "$M" "$T/s,a b"
}
short_form_mounts() { mkfs; "$ARTFS" "$S" "$M" -o noatime; mountpoint -q "$M"; down; "$ARTFS" -o ro "$S" "$M"; mountpoint -q "$M"; }

fsck_refuses_bad_usage_with_16() { want 16 "$ARTFS" fsck; said "one store"; want 16 "$ARTFS" fsck -Z x; said "-Z"; }
fsck_takes_the_letters_of_fsck_8() { mkfs; for o in -n -a -p -y -f; do want 0 "$ARTFS" fsck $o "$S"; done; }
fsck_changes_nothing() {
	mkfs; up; cp -r /usr/include/linux "$M/"; sync "$M"
	kill -9 "$(pid_of "$S")"
	fusermount3 -u "$M"
	(cd "$S" && find . -type f -exec md5sum {} +) >"$T/before"
	clean
	(cd "$S" && find . -type f -exec md5sum {} +) >"$T/after"
	cmp "$T/before" "$T/after"
	rm "$S/lock"
}
store_in_use_is_named_with_its_pid() {
	mkfs; up
	pid=$(pid_of "$S")
	kill -0 "$pid"
	mkdir "$T/other"
	want 6 "$ARTFS" mount "$S" "$T/other"; said "in use by process $pid on host"
	want 8 "$ARTFS" fsck "$S"; said "in use by process $pid"
	want 6 "$ARTFS" stat "$S"; said "in use by process $pid"
	echo still >"$M/file"; [ "$(cat "$M/file")" = still ]
}
stat_prints_lines_and_json() {
	mkfs; up; echo x >"$M/x"; down
	"$ARTFS" stat "$S" >"$T/out"
	grep -qE '^keys [0-9]+$' "$T/out"; grep -qE '^uuid [0-9a-f-]{36}$' "$T/out"
	"$ARTFS" stat --json "$S" | python3 -c 'import json,sys; d=json.load(sys.stdin); assert d["keys"] > 1 and d["frame_bytes"] == 65536'
	want 2 "$ARTFS" stat --frob "$S"; said frob
	want 2 "$ARTFS" stat; said "one store"
}

no_dev_fuse() {
	mkfs
	want 9 unshare -m bash -c 'mount -t tmpfs none /dev && exec "$0" mount "$1" "$2"' "$ARTFS" "$S" "$M"
	said "no FUSE here"
}
# As nobody, in a mount namespace with a /dev/fuse that everyone may open: $1 is run there first.
as_nobody() {
	local before=$1
	shift
	chmod 755 "$T"; chown 65534:65534 "$M"; chown -R 65534:65534 "$S"
	cp "$ARTFS" "$T/artfs"; chmod 755 "$T/artfs"
	unshare -m bash -c 'mknod "$0/fuse" c 10 229; chmod 666 "$0/fuse"; mount --bind "$0/fuse" /dev/fuse; eval "$1"
		shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"' "$T" "$before" "$@"
}
dev_fuse_that_may_not_be_opened() {
	mkfs; chmod 755 "$T"; chown -R 65534:65534 "$S" "$M"; cp "$ARTFS" "$T/artfs"
	want 11 unshare -m bash -c 'mknod "$0/fuse6" c 10 229; chmod 600 "$0/fuse6"; mount --bind "$0/fuse6" /dev/fuse
		exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0/artfs" mount "$1" "$2"' "$T" "$S" "$M"
	said "/dev/fuse"
}
no_fusermount_for_everyone_but_root() {
	mkfs
	want 10 as_nobody 'mount --bind /dev/null /usr/bin/fusermount3' "$T/artfs" mount "$S" "$M"; said "fusermount3 is missing"
	rm -f "$T/fuse"
}
allow_other_needs_fuse_conf() {
	mkfs
	want 11 as_nobody 'mount --bind /dev/null /etc/fuse.conf 2>/dev/null' "$T/artfs" mount -o allow_other "$S" "$M"; said "user_allow_other"
	rm -f "$T/fuse"
}
anyone_may_mount_and_unmount_by_signal() {
	mkdir "$S"
	as_nobody : bash -c 'set -e; trap "fusermount3 -uqz $2 || true" EXIT
		"$0/artfs" mkfs "$1"; "$0/artfs" mount "$1" "$2"; echo mine >"$2/file"; [ "$(stat -c %u "$2/file")" = 65534 ]
		kill "$(sed -n "s/^pid //p" "$1/lock")"
		for i in $(seq 100); do [ -e "$1/lock" ] || break; sleep 0.1; done
		! mountpoint -q "$2"
		"$0/artfs" mount "$1" "$2"; [ "$(cat "$2/file")" = mine ]; fusermount3 -u "$2"' "$T" "$S" "$M"
	closed "$S"
	rm -f "$T/fuse"
}
store_that_may_not_be_read() {
	mkfs; chmod 755 "$T"; cp "$ARTFS" "$T/artfs"; chown root "$S"; chmod 700 "$S"; chown 65534 "$M"
	nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
	want 11 $nobody "$T/artfs" mount "$S" "$M"; said "Permission denied"
	want 11 $nobody "$T/artfs" stat "$S"; said "Permission denied"
	want 8 $nobody "$T/artfs" fsck "$S"; said "Permission denied"
	want 11 $nobody "$T/artfs" mkfs /root/artfs-store; said "Permission denied"
}

for f in no_command_is_a_usage_error unknown_command_is_named help_and_version_work names_of_the_program_are_commands \
	mkfs_makes_a_missing_directory mkfs_takes_an_empty_directory mkfs_refuses_a_store \
	mkfs_refuses_a_directory_with_something_in_it mkfs_refuses_a_file mkfs_refuses_a_missing_parent \
	mkfs_refuses_bad_sizes mkfs_refuses_unknown_options_and_arguments mkfs_takes_sizes \
	store_that_is_missing store_that_is_a_file store_that_is_an_empty_directory \
	mount_point_that_is_missing mount_point_that_is_a_file mount_point_that_is_busy mount_point_that_is_a_dead_mount \
	mount_point_in_the_store mount_point_above_the_store mount_needs_two_arguments \
	mount_refuses_unknown_options_by_name mount_refuses_bad_values \
	mount_takes_the_usual_options io_kind_is_as_asked_for a_store_with_a_comma_in_its_name short_form_mounts \
	fsck_refuses_bad_usage_with_16 fsck_takes_the_letters_of_fsck_8 fsck_changes_nothing \
	store_in_use_is_named_with_its_pid stat_prints_lines_and_json; do
	t $f
done
for f in no_dev_fuse dev_fuse_that_may_not_be_opened no_fusermount_for_everyone_but_root allow_other_needs_fuse_conf \
	anyone_may_mount_and_unmount_by_signal store_that_may_not_be_read; do
	if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then t $f; else skip $f "needs root"; fi
done
finish

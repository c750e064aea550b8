#!/usr/bin/env bash
# life.sh - how a mount begins, who may share it, and all the ways in which it ends.
. "$(dirname "$0")/lib.sh"

background_mount_returns_only_when_it_answers() {
	mkfs
	for _ in 1 2 3 4 5; do
		up
		mountpoint -q "$M"
		stat -f "$M" >"$T/out"
		echo x >"$M/x"
		down
	done
}
background_mount_lets_go_of_the_terminal() {
	mkfs
	[ "$(up 2>&1 | cat)" = "" ] # cat ends only when nobody holds the pipe
	pid=$(pid_of "$S")
	[ "$(readlink /proc/"$pid"/fd/0 /proc/"$pid"/fd/1 /proc/"$pid"/fd/2 | sort -u)" = /dev/null ]
	[ "$(readlink /proc/"$pid"/cwd)" = / ]
	[ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ]
}
foreground_mount_stays_and_ends_with_0() {
	mkfs
	up -f & pid=$!
	for ((i = 0; i < 50; i++)); do mountpoint -q "$M" && break; sleep 0.1; done
	echo x >"$M/x"
	# it may still be asking its own mount
	for ((i = 0; i < 50; i++)); do fusermount3 -uq "$M" && break; sleep 0.1; done
	wait $pid
	clean
}
ended_by() {
	mkfs; up; echo kept >"$M/file"; cp /bin/bash "$M/bash"
	kill "-$1" "$(pid_of "$S")"
	closed "$S"
	! mountpoint -q "$M" || fail "still mounted"
	clean
	up
	[ "$(cat "$M/file")" = kept ]; cmp /bin/bash "$M/bash"
}
sigterm_unmounts_and_keeps_everything() { ended_by TERM; }
sigint_unmounts_and_keeps_everything() { ended_by INT; }
sighup_unmounts_and_keeps_everything() { ended_by HUP; }
fusermount_unmounts_and_keeps_everything() {
	mkfs; up; echo kept >"$M/file"; down; clean; up; [ "$(cat "$M/file")" = kept ]
}
umount_unmounts_and_keeps_everything() {
	[ "$(id -u)" = 0 ] || return 0
	mkfs; up; echo kept >"$M/file"; umount "$M"; closed "$S"; clean; up; [ "$(cat "$M/file")" = kept ]
}
unmounting_leaves_no_log_to_replay() {
	mkfs; up; cp -r /usr/include/linux "$M/"; down
	"$ARTFS" stat "$S" | grep -qx 'log_replay_bytes 0'
}
sigterm_ends_a_busy_mount() {
	mkfs; up; echo kept >"$M/file"
	exec 7<"$M/file"
	kill -TERM "$(pid_of "$S")"
	closed "$S" || fail "waits for its user"
	! mountpoint -q "$M" || fail "still mounted"
	exec 7<&-
	clean; up; [ "$(cat "$M/file")" = kept ]
}
fusermount_refuses_a_busy_mount() {
	mkfs; up; echo kept >"$M/file"
	exec 7<"$M/file"
	! fusermount3 -uq "$M" || fail "unmounted under a user"
	exec 7<&-
	[ "$(cat "$M/file")" = kept ]
}
aborted_connection_ends_the_process() {
	[ "$(id -u)" = 0 ] || return 0
	mkfs; up; echo kept >"$M/file"
	dev=$(stat -c %d "$M")
	[ -e "/sys/fs/fuse/connections/$dev/abort" ] || mount -t fusectl none /sys/fs/fuse/connections
	echo 1 >"/sys/fs/fuse/connections/$dev/abort"
	closed "$S"
	! mountpoint -q "$M" || fail "a dead mount was left"
	clean; up; [ "$(cat "$M/file")" = kept ]
}
mounting_right_after_unmounting_waits_for_the_last_checkpoint() {
	mkfs; up
	for i in 1 2 3 4 5; do
		cp -r /usr/include/linux "$M/$i"
		fusermount3 -u "$M"
		up
		[ -d "$M/$i" ]
	done
}
killed_daemon_is_followed_by_a_mount_that_recovers() {
	mkfs; up; echo kept >"$M/file"; sync "$M/file"
	kill -9 "$(pid_of "$S")"
	fusermount3 -u "$M"
	up
	[ "$(cat "$M/file")" = kept ]
	down; clean
}
auto_unmount_cleans_up_after_a_killed_daemon() {
	mkfs; up -o auto_unmount
	mountpoint -q "$M"
	kill -9 "$(pid_of "$S")"
	for ((i = 0; i < 50; i++)); do mountpoint -q "$M" 2>/dev/null || break; sleep 0.1; done
	! grep -q " $M " /proc/self/mountinfo || fail "the dead mount is still there"
	up; down; clean
}
commit_interval_makes_durable_without_fsync() {
	mkfs; up -o commit=1; echo kept >"$M/file"; head -c 300000 /dev/zero >"$M/big"
	sleep 2.5
	kill -9 "$(pid_of "$S")"
	fusermount3 -u "$M"
	up
	[ "$(cat "$M/file")" = kept ]; [ "$(stat -c %s "$M/big")" = 300000 ]; cmp -n 300000 "$M/big" /dev/zero
}
fsync_of_the_root_directory_waits_for_the_checkpoint() {
	mkfs; up -o commit=3600; cp -r /usr/include/linux "$M/"
	sync "$M"
	kill -9 "$(pid_of "$S")"
	fusermount3 -u "$M"
	"$ARTFS" stat "$S" | grep -qx 'log_replay_bytes 0'
	up; diff -r /usr/include/linux "$M/linux"
}
read_only_mount_changes_nothing() {
	mkfs; up; echo kept >"$M/file"; down
	(cd "$S" && find . -type f -exec md5sum {} +) >"$T/before"
	up -o ro
	[ "$(cat "$M/file")" = kept ]; ls -la "$M" >/dev/null
	! echo x 2>/dev/null >"$M/other" || fail "written"
	! rm -f "$M/file" 2>/dev/null || fail "removed"
	fusermount3 -u "$M"
	while "$ARTFS" fsck "$S" | grep -q "in use"; do sleep 0.1; done
	(cd "$S" && find . -type f ! -name lock -exec md5sum {} +) >"$T/after"
	cmp "$T/before" "$T/after"
}
many_fsyncs_at_once_do_not_stop_others() {
	mkfs; up -o threads=2
	for i in $(seq 16); do
		(for k in $(seq 20); do echo "$k" >"$M/f$i"; sync "$M/f$i"; done) &
	done
	for i in $(seq 50); do stat -f "$M" >/dev/null; ls "$M" >/dev/null; done
	wait
	for i in $(seq 16); do [ "$(cat "$M/f$i")" = 20 ]; done
}

for f in background_mount_returns_only_when_it_answers background_mount_lets_go_of_the_terminal \
	foreground_mount_stays_and_ends_with_0 sigterm_unmounts_and_keeps_everything sigint_unmounts_and_keeps_everything \
	sighup_unmounts_and_keeps_everything fusermount_unmounts_and_keeps_everything umount_unmounts_and_keeps_everything \
	unmounting_leaves_no_log_to_replay sigterm_ends_a_busy_mount fusermount_refuses_a_busy_mount \
	aborted_connection_ends_the_process mounting_right_after_unmounting_waits_for_the_last_checkpoint \
	killed_daemon_is_followed_by_a_mount_that_recovers commit_interval_makes_durable_without_fsync \
	fsync_of_the_root_directory_waits_for_the_checkpoint read_only_mount_changes_nothing \
	many_fsyncs_at_once_do_not_stop_others; do
	t $f
done
# fusermount3 looks the mount up in /etc/mtab before it takes it away; a bare chroot has none.
if [ -e /etc/mtab ]; then
	t auto_unmount_cleans_up_after_a_killed_daemon
else
	skip auto_unmount_cleans_up_after_a_killed_daemon "no /etc/mtab"
fi
finish

#!/usr/bin/env bash
# damage.sh - damaged stores: fsck ends with 4 and says where; a mount refuses, or the file gives an error;
# wrong data never.
. "$(dirname "$0")/lib.sh"

# hit FILE OFFSET [COUNT]: other bytes there
hit() { head -c "${3:-64}" /dev/urandom | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
filled() {
	mkfs "$@"; up
	cp -r /usr/include/linux "$M/"
	head -c 3000000 /dev/urandom >"$T/random"; cp "$T/random" "$M/random"
	down
}
found() { want 4 "$ARTFS" fsck "$S"; [ -s "$T/out" ] || [ -s "$T/err" ] || fail "no finding was printed"; }
# Mounts if it can; then what can be read is right.
never_wrong() {
	local rc=0
	up 2>"$T/err" || rc=$?
	if [ $rc -ne 0 ]; then
		[ $rc -eq 7 ] || { cat "$T/err"; fail "exit code $rc, not 7"; }
		said .
		return
	fi
	(cd /usr/include/linux && find . -type f) | while read -r f; do
		cat "$M/linux/$f" >"$T/copy" 2>/dev/null || continue
		cmp -s "$T/copy" "/usr/include/linux/$f" || fail "$f is wrong"
	done
	cat "$M/random" >"$T/copy" 2>/dev/null && { cmp "$T/copy" "$T/random" || fail "random is wrong"; }
	return 0
}

damaged_manifest_is_refused() {
	filled
	hit "$S/manifest.bin" 0; found
	want 7 up; said "$S"
	! mountpoint -q "$M"
}
damaged_zeroes_of_the_manifest_are_refused() {
	filled
	hit "$S/manifest.bin" 2048 16; found
	want 7 up; said "$S"
}
missing_manifest_is_not_a_store() { filled; rm "$S/manifest.bin"; want 4 up; said "$S"; want 8 "$ARTFS" fsck "$S"; said "$S"; }
newer_format_is_refused_as_such() {
	filled
	"$BUILD/tests/mount/newer_manifest" "$S"
	want 5 up; said "newer"
	want 8 "$ARTFS" fsck "$S"; said "newer"
	want 5 "$ARTFS" stat "$S"; said "newer"
}
damaged_blobs_are_found_and_never_read_as_right() {
	filled
	size=$(stat -c %s "$S/blobs.dat")
	for ((at = 1000; at < size; at += 65536)); do hit "$S/blobs.dat" $at; done
	found
	never_wrong
}
one_damaged_data_blob_spoils_one_file() {
	filled
	where=$(python3 -c 'import sys; print(open(sys.argv[1], "rb").read().find(open(sys.argv[2], "rb").read(64)))' "$S/blobs.dat" "$T/random")
	[ "$where" -ge 0 ] || fail "the data is not in blobs.dat"
	hit "$S/blobs.dat" "$where"
	found
	up
	! cat "$M/random" >/dev/null 2>"$T/err" || fail "was read"
	grep -q "Input/output error" "$T/err"
	diff -r /usr/include/linux "$M/linux"
}
damage_in_the_middle_of_the_log_is_refused() {
	mkfs; up -o commit=3600
	for i in $(seq 20); do echo "$i" >"$M/$i"; sync "$M/$i"; done
	cp -r /usr/include/linux/netfilter "$M/"; sync "$M/netfilter"
	kill -9 "$(pid_of "$S")"; fusermount3 -u "$M"; rm -f "$S/lock"
	read -r _ from < <("$ARTFS" stat "$S" | grep '^checkpoint_lsn')
	read -r _ to < <("$ARTFS" stat "$S" | grep '^log_end')
	[ "$to" -gt $((from + 8192)) ] || fail "the log is too short for this test"
	# behind the block of the header, in a record that a later one tells to have been durable
	hit "$S/wal/0000000001" $((4096 + from + 500)) 40
	found
	want 7 up; said "$S"
	! mountpoint -q "$M"
}
torn_tail_of_the_log_is_cut_silently() {
	mkfs; up -o commit=3600
	for i in $(seq 20); do echo "$i" >"$M/$i"; sync "$M/$i"; done
	kill -9 "$(pid_of "$S")"; fusermount3 -u "$M"; rm -f "$S/lock"
	clean; up
	for i in $(seq 20); do [ "$(cat "$M/$i")" = "$i" ]; done
}
random_damage_anywhere_is_never_wrong_data() {
	filled --frame-size=4K
	cp -r --sparse=always "$S" "$T/s-copy"
	seed=${SEED:-$(date +%s)}; echo "# SEED=$seed $0"
	RANDOM=$((seed % 32768))
	for i in $(seq 10); do
		rm -rf "$S"; cp -r --sparse=always "$T/s-copy" "$S"
		for f in manifest.bin manifest.log blobs.dat; do
			size=$(stat -c %s "$S/$f")
			[ "$size" -eq 0 ] || [ $((RANDOM % 3)) -ne 0 ] || hit "$S/$f" $(((RANDOM << 15 | RANDOM) % size)) 20
		done
		rc=0
		"$ARTFS" fsck "$S" >"$T/out" 2>&1 || rc=$?
		[ $rc = 0 ] || [ $rc = 4 ] || [ $rc = 8 ] || fail "fsck ended with $rc"
		never_wrong
		if mountpoint -q "$M"; then down; fi
	done
	rm -rf "$T/s-copy"
}

for f in damaged_manifest_is_refused damaged_zeroes_of_the_manifest_are_refused missing_manifest_is_not_a_store \
	newer_format_is_refused_as_such damaged_blobs_are_found_and_never_read_as_right \
	one_damaged_data_blob_spoils_one_file damage_in_the_middle_of_the_log_is_refused \
	torn_tail_of_the_log_is_cut_silently random_damage_anywhere_is_never_wrong_data; do
	t $f
done
finish

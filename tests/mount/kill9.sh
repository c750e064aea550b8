#!/usr/bin/env bash
# kill9.sh - ROUNDS (10) times: kill -9 of the daemon under load, mount again: all that an fsync promised is
# there, nothing is half there, fsck is content. SEED replays the load, if not the moment of the kill.
. "$(dirname "$0")/lib.sh"

W=$BUILD/tests/mount/acked_writer
SEED=${SEED:-$(date +%s)}
rounds=${ROUNDS:-10}
echo "# SEED=$SEED ROUNDS=$rounds $0"

round() {
	local i=$1 writer churn
	"$W" write "$M" "$T/log" $((SEED + i * 1000000)) & writer=$!
	# noise that nobody has been promised anything about
	(while cp -r /usr/include/linux "$M/noise.$i" && rm -r "$M/noise.$i"; do :; done) 2>/dev/null & churn=$!
	sleep "$(python3 -c "import random; print(random.Random($SEED + $i).uniform(0.1, 3.0))")"
	kill -9 "$(pid_of "$S")"
	wait $writer || fail "the writer failed otherwise"
	wait $churn || :
	fusermount3 -u "$M" || fusermount3 -uz "$M"
	clean
	up -o "$options"
	"$W" check "$M" "$T/log" || fail "round $i: a promise was broken"
	rm -rf "$M"/noise.*
}
acknowledged_fsyncs_survive_kill_9() {
	mkfs $format; up -o "$options"
	: >"$T/log"
	for ((i = 0; i < rounds; i++)); do round $i; done
	down; clean
}

format="" options=rw; t acknowledged_fsyncs_survive_kill_9
format="--frame-size=4K --segment-size=1M" options=checkpoint=1M,commit=1
small_slots_and_many_checkpoints_too() { acknowledged_fsyncs_survive_kill_9; }
t small_slots_and_many_checkpoints_too
finish

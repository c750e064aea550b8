#!/usr/bin/env bash
# run.sh TEST... - runs each test (a program or a script), counts its "ok"/"not ok" lines, and ends with
# "N passed, N failed". A test that dies, hangs or exits non-zero without a "not ok" line counts as failed.
set -u
export CMOCKA_MESSAGE_OUTPUT=TAP
seconds=${TEST_SECONDS_MAX:-600}
passed=0 failed=0 skipped=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for t in "$@"; do
	name=${t##*build/}
	case $t in /*|*/*) run=$t ;; *) run=./$t ;; esac
	begin=$SECONDS
	timeout -k 10 "$seconds" "$run" >"$out" 2>&1 </dev/null
	rc=$?
	ok=$(grep -cE '^ok( |$)' "$out")
	bad=$(grep -cE '^not ok( |$)' "$out")
	skip=$(grep -cE '^ok .*# SKIP' "$out")
	[ $rc -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
	[ $rc -eq 0 ] && [ "$ok" -eq 0 ] && [ "$bad" -eq 0 ] && bad=1
	passed=$((passed + ok - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
	printf '%-50s %3d ok %3d failed %4ds\n' "$name" "$ok" "$bad" $((SECONDS - begin))
	if [ "$bad" -gt 0 ]; then
		echo "---- $name: exit code $rc"
		tail -n 60 "$out"
		echo "----"
	fi
done
echo "$passed passed, $failed failed$([ $skipped -gt 0 ] && echo ", $skipped skipped")"
[ "$failed" -eq 0 ]

# Sourced after lib.sh: run cases, print a line for each, count them.
# shellcheck shell=sh

# check.sh runs alone, or as a part of test.sh and counts with it.
if [ ! "${RESULTS:-}" ]; then
	RESULTS=$PWD/build/${0##*/}.results
	owner=1
	mkdir -p build
	: >"$RESULTS"
fi
export RESULTS
logs=$PWD/build/test
mkdir -p "$logs"

log_of() {
	echo "$logs/$(echo "$1" | tr -cs 'A-Za-z0-9.\n' '-').log"
}

# result ok|FAIL|skip NAME SECONDS [LOG]: a skip that nobody allowed is a failure.
result() {
	verdict=$1
	if [ "$1" = skip ] && ! sed 's/ *#.*//' scripts/allowed-skips | grep -qxF -e "$2"; then
		verdict=FAIL
		set -- "$1" "$2 (skipped, and not in scripts/allowed-skips)" "$3" "${4:-}"
	fi
	echo "$verdict" >>"$RESULTS"
	printf '%-4s  %s (%s s)\n' "$verdict" "$2" "$3"
	if [ "$verdict" = FAIL ] && [ "${4:-}" ]; then
		tail -n 200 "$4" | sed 's/^/      | /'
	fi
}

# run_case NAME COMMAND...: exit status 0 is ok, and leaves ok in $verdict.  (Not in the exit status:
# a shell that tests the status of a function ignores set -e inside it.)
run_case() {
	name=$1
	log=$(log_of "$1")
	shift
	start=$(date +%s)
	set +e
	(set -e; "$@") >"$log" 2>&1 </dev/null
	status=$?
	set -e
	case $status in
	0) verdict=ok ;;
	"${skip_status:-}") verdict=skip ;;
	*) verdict=FAIL ;;
	esac
	result $verdict "$name" $(($(date +%s) - start)) "$log"
}

# What hangs fails, and lets the others run.
in_time='timeout -k 30 1200'

# run_test NAME COMMAND...: exit status 2 is a skip, as in perf's shell tests.
run_test() {
	skip_status=2
	case_name=$1
	shift
	# shellcheck disable=SC2086 # words on purpose
	run_case "$case_name" $in_time "$@"
	skip_status=
}

# close_cases: the last line, and whether all is well.
close_cases() {
	[ "${owner:-}" ] || return 0
	failed=$(grep -c FAIL "$RESULTS") || true
	summary="$(grep -c ok "$RESULTS") passed, $failed failed, $(grep -c skip "$RESULTS") skipped" || true
	echo "$summary" | tee "$logs/summary"
	[ "$failed" = 0 ]
}

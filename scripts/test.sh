#!/bin/sh
# Build perf, with and without the address sanitizer, and run every test of the project on both; with
# the thread sanitizer what has threads, and without libraries what does without them.
set -eu
cd "$(dirname "$0")/.."
rm -rf build/test
. scripts/lib.sh
. scripts/cases.sh

# perf test looks for shell tests below where it runs, first of all: here it finds none, and so runs
# suites in C only.  The shell tests run by themselves, below.
nowhere=build/test/nowhere
mkdir -p "$nowhere/tools/perf/tests/shell"

# suites PERF VARIANT NAMES: those that a file names; each line that perf test closes a case with is
# a case.
suites() {
	perf=$(realpath "$1")
	sed -e '/^#/d' -e '/^$/d' "$3" | while IFS= read -r suite; do
		log=$(log_of "$2-perf-test-$suite")
		last=$(date +%s)
		{
			status=0
			# shellcheck disable=SC2086 # words on purpose
			(cd "$nowhere" && $in_time "$perf" test -vv "$suite") 2>&1 </dev/null || status=$?
			echo "exit status $status"
		} | while IFS= read -r line; do
			echo "$line" >>"$log"
			echo "$line" >>"$log.case"
			case $line in
			[\ 0-9]*[0-9]': '*': Ok') case_verdict=ok ;;
			[\ 0-9]*[0-9]': '*': Skip'*) case_verdict=skip ;;
			[\ 0-9]*[0-9]': '*': FAILED!') case_verdict=FAIL ;;
			*) continue ;;
			esac
			now=$(date +%s)
			name=$(echo "$line" | sed 's/^ *[0-9.]*: \(.*[^ ]\) *: .*/\1/')
			result "$case_verdict" "$2: perf test $suite: $name" $((now - last)) "$log.case"
			echo "$case_verdict" >>"$log.verdicts"
			: >"$log.case"
			last=$now
		done
		if [ ! -e "$log.verdicts" ]; then
			echo "nothing was run" >>"$log"
			result FAIL "$2: perf test $suite" 0 "$log"
		elif ! grep -q FAIL "$log.verdicts" && ! grep -qx 'exit status 0' "$log"; then
			result FAIL "$2: perf test $suite: exit status" 0 "$log"
		fi
	done
}

# shell_tests PERF VARIANT [NAMES]: those of the tree that the series brings, on the perf that is first
# in PATH, all of them or those with such names.
shell_tests() {
	bin=$PWD/build/test/bin-$2
	mkdir -p "$bin"
	ln -s "$(realpath "$1")" "$bin/perf"
	tree_git diff --name-only --diff-filter=A base HEAD -- "tools/perf/tests/shell/${3:-*}.sh" \
		':!tools/perf/tests/shell/lib' >build/test/shell-tests
	while IFS= read -r file; do
		run_test "$2: ${file#tools/perf/tests/}" \
			env "PATH=$bin:$PATH" sh -c "cd $linux && exec ./$file -v"
	done <build/test/shell-tests
}

project_tests() {
	for file in scripts/tests/*.sh; do
		[ -f "$file" ] || continue
		run_test "${file#scripts/}" "$file"
	done
}

run_case 'make perf' make perf
if [ "$verdict" = ok ]; then
	suites build/perf gcc scripts/perf-tests
	shell_tests build/perf gcc
	project_tests
fi
run_case 'make perf VARIANT=asan' make perf VARIANT=asan
if [ "$verdict" = ok ]; then
	suites build/perf-asan asan scripts/perf-tests
	shell_tests build/perf-asan asan
fi
run_case 'make perf VARIANT=tsan' make perf VARIANT=tsan
if [ "$verdict" = ok ]; then
	suites build/perf-tsan tsan scripts/perf-tests-threads
	shell_tests build/perf-tsan tsan inject_aslr_deferred
fi
run_case 'make perf VARIANT=min' make perf VARIANT=min
[ "$verdict" != ok ] || suites build/perf-min min scripts/perf-tests-min
run_case 'make series' make series
scripts/check.sh
close_cases

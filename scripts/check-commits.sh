#!/bin/sh
# Every commit of the series builds with gcc and clang and passes its tests: a reviewer can stop after
# any patch.  The objects of one commit are the start for the next, and stay for the next run.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/cases.sh

each=$PWD/build/linux-each
tree_git worktree prune
[ -e "$each/.git" ] || tree_git worktree add -q --detach "$each" base

# build NAME ARGUMENTS: make's, as one string
build() {
	echo "$2" | cmp -s - "build/obj/each-$1/args" || {
		rm -rf "build/obj/each-$1"
		mkdir -p "build/obj/each-$1"
		echo "$2" >"build/obj/each-$1/args"
	}
	eval "MAKEFLAGS= make -s -C '$each/tools/perf' O='$PWD/build/obj/each-$1' $2"
}

# Suites that come later in the series are not there yet, and no suite is no failure.
c_tests() {
	mkdir -p build/test/nowhere/tools/perf/tests/shell
	perf=$PWD/build/obj/each-gcc/perf
	sed -e '/^#/d' -e '/^$/d' scripts/perf-tests | (
		cd build/test/nowhere
		while IFS= read -r suite; do
			"$perf" test -v "$suite" 2>&1 </dev/null || echo "perf test $suite FAILED!"
		done
	) | tee "$(log_of each).tests"
	! grep -q 'FAILED!$' "$(log_of each).tests"
}

for commit in $(tree_git rev-list --reverse base..series); do
	git -C "$each" checkout -q --detach "$commit"
	subject=$(tree_git log -1 --format=%s "$commit")
	run_case "$subject: gcc" build gcc "$ARGS_GCC"
	built=$verdict
	run_case "$subject: clang" build clang "$ARGS_CLANG"
	[ "$built" != ok ] || run_case "$subject: tests" c_tests
done
close_cases

#!/bin/sh
# perf inject keeps the build-id table
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

# shellcheck source=lib/inject.sh
. "$(dirname "$0")"/lib/inject.sh

data="${dir}/perf.data"
prog="${dir}/prog"

# Neither what is cached nor what gets cached here matters.
perf_() {
	perf --buildid-dir "${dir}/debug" "$@"
}

build_ids() {
	perf_ buildid-list -i "$1" | sort -u
}

# inject <name> <options>: inject, and list the build-ids of the input and the output
inject() {
	name=$1
	shift
	if ! perf_ inject "$@" -i "${data}" -o "${data}.${name}" 2> "${dir}/log"; then
		echo "inject $* [Failed to inject]"
		cat "${dir}/log"
		err=1
		return 1
	fi
	build_ids "${data}.${name}" > "${dir}/out"
}

# The build-ids of the output are those of the input.
test_same() {
	inject "$@" || return
	if ! cmp -s "${dir}/in" "${dir}/out"; then
		echo "inject $* [Failed, the build-ids differ]"
		diff "${dir}/in" "${dir}/out"
		err=1
		return
	fi
	echo "inject $* [Success]"
}

# The build-ids of the input are among those of the output.
test_kept() {
	inject "$@" || return
	if [ -n "$(comm -23 "${dir}/in" "${dir}/out")" ]; then
		echo "inject $* [Failed, build-ids are lost]"
		comm -23 "${dir}/in" "${dir}/out"
		err=1
		return
	fi
	echo "inject $* [Success]"
}

cp "$(command -v sleep)" "${prog}" || skip "cannot copy a program to record"
perf_ record --buildid-all -e cpu-clock:u -o "${data}" "${prog}" 0.01 > /dev/null 2> "${dir}/log" ||
	skip "cannot record: $(cat "${dir}/log")"
build_ids "${data}" > "${dir}/in"
grep -q "${prog}" "${dir}/in" || skip "no build-id of the program was recorded"

# The table is all that tells the build-id from now on, as on another machine.
rm -rf "${prog}" "${dir}/debug"

test_same plain
test_same sched_stat -s
test_same mmap2 -B
test_kept hits -b
test_kept all --buildid-all

finish

#!/bin/sh
# perf inject --aslr needs little memory
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # variables of lib/inject.sh

# shellcheck source=lib/inject.sh
. "$(dirname "$0")"/lib/inject.sh

# In KiB, of all that isn't shared or a file: two thirds of the smallest recording.
limit=$((64 << 10))

# shellcheck disable=SC3045 # shells have -d
little() {
	(ulimit -d "${limit}" && exec perf "$@")
}

little version > /dev/null 2>&1 || skip "this perf needs more to start"

# 32 KiB of stack in each sample, of which an environment is the most: what is large is quickly
# recorded, and small when it is compressed.
environment=$(head -c 60000 /dev/zero | tr '\0' x)

record() {
	ENVIRONMENT=${environment} perf record -F 2000 -e cpu-clock:u \
		--call-graph dwarf,32768 "$@" -- perf test -w noploop 3 2> "${dir}/log"
}

test_memory() {
	local what=$1 input=$2

	if [ "$(($(samples "${input}") * 32))" -lt $((3 * limit / 2)) ]; then
		skip "cannot record as much: $(cat "${dir}/log")"
	fi
	if ! little inject --aslr --no-unwind -i "${input}" -o "${dir}/out" 2> "${dir}/log"; then
		cat "${dir}/log"
		fail "${what}"
	elif [ "$(samples "${dir}/out")" != "$(samples "${input}")" ]; then
		fail "${what}: other samples"
	else
		echo "${what} [Success]"
	fi
	rm -rf "${input}" "${dir}/out"
}

samples() {
	perf script -F time -G -i "$1" 2> /dev/null | grep -c '^ *[0-9.]*: *$'
}

record -o "${dir}/data" || skip "cannot record: $(cat "${dir}/log")"
test_memory "file" "${dir}/data"
record -o - > "${dir}/data"
test_memory "pipe" "${dir}/data"
if perf version --build-options | grep -q "zstd: .* on "; then
	record -z -o "${dir}/data"
	test_memory "compressed file" "${dir}/data"
	record -z -o - > "${dir}/data"
	test_memory "compressed pipe" "${dir}/data"
fi
record --threads -o "${dir}/data"
test_memory "directory" "${dir}/data"

finish

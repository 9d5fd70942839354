#!/bin/bash
# perf inject output
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

# shellcheck source=lib/inject.sh
. "$(dirname "$0")"/lib/inject.sh

data="${dir}/perf.data"

# Wherever writing fails, in an event or in the header, inject fails.
test_write_error() {
	perf inject "$@" -i "${data}" -o "${data}.whole" 2> /dev/null
	size=$(wc -c < "${data}.whole")

	for ((limit = 1; limit < size / 1024; limit += step)); do
		if (trap '' XFSZ; ulimit -f "${limit}";
		    exec perf inject "$@" -i "${data}" -o "${data}.part") 2> /dev/null; then
			echo "inject $* [Failed, exit 0 with ${limit} KiB of ${size} bytes written]"
			err=1
			return
		fi
	done
	echo "inject $* with write errors [Success]"
}

if ! perf record -e cpu-clock:u -F 100 -o "${data}" perf test -w noploop 1 \
		> /dev/null 2> "${dir}/log"; then
	skip "cannot record: $(cat "${dir}/log")"
fi

step=1
test_write_error
test_write_error -b

# Of more than fits in a buffer.
step=500
perf record -e cpu-clock:u -F 1000 --call-graph dwarf -o "${data}" perf test -w noploop 1 \
	> /dev/null 2>&1
test_write_error

finish

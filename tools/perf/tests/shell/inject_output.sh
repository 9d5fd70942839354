#!/bin/bash
# perf inject output
# SPDX-License-Identifier: GPL-2.0

dir=$(mktemp -d /tmp/perf.test.inject_output.XXXXXX)
data="${dir}/perf.data"
err=0

cleanup() {
	rm -rf "${dir}"
	trap - EXIT TERM INT
}

# shellcheck disable=SC2317 # called by the trap
trap_cleanup() {
	echo "Unexpected signal or exit"
	cleanup
	exit 1
}
trap trap_cleanup EXIT TERM INT

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
	echo "Skip: cannot record: $(cat "${dir}/log")"
	cleanup
	exit 2
fi

step=1
test_write_error
test_write_error -b

# Of more than fits in a buffer.
step=500
perf record -e cpu-clock:u -F 1000 --call-graph dwarf -o "${data}" perf test -w noploop 1 \
	> /dev/null 2>&1
test_write_error

cleanup
exit ${err}

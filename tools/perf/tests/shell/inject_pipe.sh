#!/bin/bash
# perf inject to a live pipe
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

# shellcheck source=lib/inject.sh
. "$(dirname "$0")"/lib/inject.sh

data="${dir}/perf.data"

# While the recording goes on, what the reader of a pipe has got are whole events.
test_live_pipe() {
	perf record -m 1 -e cpu-clock:u -o - perf test -w noploop 4 2> /dev/null |
		perf inject -o - > "${data}.pipe" 2> /dev/null &
	pid=$!
	whole=0
	cut=0
	# Few copies are made in the middle of a write.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep 0.3
		cp "${data}.pipe" "${data}.live"
		kill -0 "${pid}" 2> /dev/null || break
		if [ "$(perf script -i "${data}.live" 2> "${dir}/log" | wc -l)" -eq 0 ]; then
			continue
		fi
		if grep -q "cut off in an event" "${dir}/log"; then
			cut=$((cut + 1))
		else
			whole=$((whole + 1))
		fi
	done
	wait "${pid}"
	if [ $((whole + cut)) -eq 0 ]; then
		echo "inject to a pipe [Skip, nothing came before the end]"
		return
	fi
	if [ "${cut}" -gt "${whole}" ]; then
		echo "inject to a pipe [Failed, cut ${cut} of $((whole + cut)) times]"
		err=1
		return
	fi
	echo "inject to a pipe [Success]"
}

# An error of writing has a message, wherever it happens.
test_message() {
	perf inject -i "${data}" -o "${data}.whole" 2> /dev/null
	size=$(wc -c < "${data}.whole")

	for ((limit = 1; limit < size / 1024; limit++)); do
		(trap '' XFSZ; ulimit -f "${limit}";
		 exec perf inject -i "${data}" -o "${data}.part") 2> "${dir}/log"
		if ! grep -q "Failed to write" "${dir}/log"; then
			echo "inject [Failed, no message with ${limit} KiB of ${size} bytes]"
			cat "${dir}/log"
			err=1
			return
		fi
	done
	echo "inject with a message for write errors [Success]"
}

if ! perf record -e cpu-clock:u -F 100 -o "${data}" perf test -w noploop 1 \
		> /dev/null 2> "${dir}/log"; then
	skip "cannot record: $(cat "${dir}/log")"
fi

test_live_pipe
test_message

finish

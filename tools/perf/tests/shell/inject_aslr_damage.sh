#!/bin/bash
# perf inject --aslr: damaged input and failing output
# SPDX-License-Identifier: GPL-2.0

set -e

shelldir=$(dirname "$0")
lib="$(cd "${shelldir}/lib" && pwd)"
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh

export PYTHONDONTWRITEBYTECODE=1
PERF=$(command -v perf)
export PERF

err=0
dir=$(mktemp -d /tmp/perf.test.inject_aslr_damage.XXXXXX)

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

fail() {
	echo "$* [Failed]"
	err=1
}

# no_output WHAT: what a run leaves that had $? != 0
no_output() {
	[ "$(cat "${dir}/out")" = old ] || fail "$1: the old output isn't what it was"
	! ls "${dir}"/.perf-inject.* > /dev/null 2>&1 || fail "$1: left a temporary file"
	[ "$(wc -l < "${dir}/stderr")" = 1 ] || { cat "${dir}/stderr"; fail "$1: not one line"; }
}

test_damage() {
	echo "Damaged input"
	"${PYTHON}" "${lib}/aslr_damage_test.py" || fail "damaged input"
}

# What a later perf may write, and this one doesn't know
test_unknown() {
	echo "Unknown records, bits and features"
	"${PYTHON}" "${lib}/aslr_unknown_test.py" || fail "unknown parts"
}

# Wherever the disk is full: in the events or in the header
test_disk_full() {
	local limit size

	echo "Disk full"
	perf inject --aslr -i "${dir}/data" -o "${dir}/whole" 2> /dev/null
	size=$(wc -c < "${dir}/whole")
	for ((limit = 1; limit * 1024 < size; limit += 1 + limit / 8)); do
		echo old > "${dir}/out"
		if (trap '' XFSZ; ulimit -f "${limit}"; exec perf inject --aslr -i "${dir}/data" \
				-o "${dir}/out") > "${dir}/stdout" 2>&1; then
			fail "exit status 0 with ${limit} KiB of ${size} bytes"
		fi
		grep -v '^\[ perf inject' "${dir}/stdout" > "${dir}/stderr" || true
		no_output "disk full after ${limit} KiB"
	done
}

# A reader that goes away is an error of writing, not a signal.
test_broken_pipe() {
	local status=0

	echo "Broken pipe"
	echo old > "${dir}/out"
	echo 0 > "${dir}/status"
	(perf inject --aslr -i "${dir}/data" -o - 2> "${dir}/stderr" ||
		echo $? > "${dir}/status") | true
	status=$(cat "${dir}/status")
	# The reader may have taken all of it.
	if [ "${status}" = 0 ]; then
		return
	fi
	[ "${status}" != $((128 + 13)) ] || fail "broken pipe: killed"
	no_output "broken pipe"
}

# A signal in the middle: the input is a pipe that stays open.
test_signal() {
	local signal pid

	for signal in INT TERM HUP QUIT; do
		echo "Signal ${signal}"
		echo old > "${dir}/out"
		mkfifo "${dir}/fifo"
		# Not in the background of this shell, which would ignore INT and QUIT
		"${PYTHON}" -c '
import signal, os, sys
for number in signal.SIGINT, signal.SIGQUIT:
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' perf inject --aslr -o "${dir}/out" \
			< "${dir}/fifo" 2> "${dir}/stderr" &
		pid=$!
		exec 3> "${dir}/fifo"
		cat "${dir}/pipe" >&3
		while ! ls "${dir}"/.perf-inject.* > /dev/null 2>&1; do
			sleep 0.1
		done
		kill -"${signal}" "${pid}"
		exec 3>&-
		if wait "${pid}" 2> /dev/null; then
			fail "signal ${signal}: exit status 0"
		fi
		echo "killed" > "${dir}/stderr"
		no_output "signal ${signal}"
		rm "${dir}/fifo"
	done
}

test_permissions() {
	echo "Permissions"
	rm -f "${dir}/out"
	(umask 0; perf inject --aslr -i "${dir}/data" -o "${dir}/out") 2> /dev/null
	[ "$(stat -c %a "${dir}/out")" = 600 ] || fail "others can read a new output"
	chmod 644 "${dir}/out"
	perf inject --aslr -i "${dir}/data" -o "${dir}/out" 2> /dev/null
	[ "$(stat -c %a "${dir}/out")" = 600 ] || fail "others can read an output replaced"
}

(cd "${lib}" && "${PYTHON}" -c '
import sys
from aslr_damage_test import seed
seed().write(sys.argv[1])
seed().write(sys.argv[2], pipe=True)' "${dir}/data" "${dir}/pipe")

test_damage
test_unknown
test_disk_full
test_broken_pipe
test_signal
test_permissions

cleanup
exit ${err}

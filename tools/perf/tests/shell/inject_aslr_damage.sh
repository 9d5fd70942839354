#!/bin/bash
# perf inject --aslr: damaged input and failing output
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

set -e

shelldir=$(dirname "$0")
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh
# shellcheck source=lib/inject.sh
. "${shelldir}"/lib/inject.sh

undo() {
	! mountpoint -q "${dir}/small" || umount "${dir}/small"
}

# no_output WHAT [DIR]: what a run leaves that had $? != 0, and its output in DIR/out
no_output() {
	local where=${2:-${dir}}

	[ "$(cat "${where}/out")" = old ] || fail "$1: the old output isn't what it was"
	! ls "${where}"/.perf-inject.* > /dev/null 2>&1 || fail "$1: left a temporary file"
	[ "$(wc -l < "${dir}/stderr")" = 1 ] || { cat "${dir}/stderr"; fail "$1: not one line"; }
}

# refused WHAT PATTERN OPTION...: before anything is written
refused() {
	local what=$1 pattern=$2

	shift 2
	! perf inject --aslr "$@" 2> "${dir}/stderr" || fail "${what}: exit status 0"
	grep -q "${pattern}" "${dir}/stderr" || fail "${what}: $(cat "${dir}/stderr")"
	[ "$(wc -l < "${dir}/stderr")" = 1 ] || fail "${what}: not one line"
	! ls "${dir}"/.perf-inject.* > /dev/null 2>&1 || fail "${what}: left a temporary file"
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

# The same on a file system that is full, not just a file
test_small_disk() {
	local left size

	echo "Small disk"
	mkdir "${dir}/small"
	if ! mount -t tmpfs -o size=128k none "${dir}/small" 2> /dev/null; then
		echo "can't mount a tmpfs here"
		return
	fi
	size=$(wc -c < "${dir}/whole")
	for ((left = 0; left < size / 4096 + 1; left++)); do
		echo old > "${dir}/small/out"
		dd if=/dev/zero of="${dir}/small/fill" bs=4096 2> /dev/null || true
		truncate -s "-$((left * 4096))" "${dir}/small/fill"
		if perf inject --aslr -i "${dir}/data" -o "${dir}/small/out" \
				> "${dir}/stdout" 2>&1; then
			fail "exit status 0 with room for ${left} pages of ${size} bytes"
		fi
		grep -v '^\[ perf inject' "${dir}/stdout" > "${dir}/stderr" || true
		no_output "no room but for ${left} pages" "${dir}/small"
	done
	umount "${dir}/small"
}

# What is there that a file can't replace when all is written
test_rename() {
	local pid

	echo "Name that is taken"
	mkfifo "${dir}/fifo"
	perf inject --aslr -o "${dir}/taken" < "${dir}/fifo" 2> "${dir}/stderr" &
	pid=$!
	exec 3> "${dir}/fifo"
	while ! ls "${dir}"/.perf-inject.* > /dev/null 2>&1; do
		sleep 0.1
	done
	mkdir "${dir}/taken"
	cat "${dir}/pipe" >&3
	exec 3>&-
	! wait "${pid}" || fail "rename: exit status 0"
	rm "${dir}/fifo"
	echo old > "${dir}/out"
	grep -q "failed to rename" "${dir}/stderr" || fail "rename: no word of it"
	# Success isn't reported first.
	no_output "rename"
}

test_targets() {
	local kind

	echo "Kinds of outputs"
	for kind in real dangling; do
		rm -f "${dir}/real" "${dir}/link"
		[ "${kind}" = dangling ] || echo old > "${dir}/real"
		ln -s real "${dir}/link"
		perf inject --aslr -i "${dir}/data" -o "${dir}/link" 2> /dev/null ||
			fail "link, ${kind}"
		cmp "${dir}/whole" "${dir}/link" || fail "link, ${kind}: another output"
		[ -L "${dir}/link" ] || [ "${kind}" = dangling ] || fail "the link was replaced"
	done

	perf inject --aslr -i "${dir}/data" -o /dev/null 2> /dev/null || fail "/dev/null"
	[ -c /dev/null ] || fail "/dev/null was replaced"
	perf inject --aslr -i "${dir}/data" -o /dev/stdout > "${dir}/stdout" 2> /dev/null ||
		fail "/dev/stdout, a file"
	cmp "${dir}/whole" "${dir}/stdout" || fail "/dev/stdout, a file: another output"
	# shellcheck disable=SC2094 # it is refused
	(
		refused "/dev/stdout, a pipe" "output is a pipe" \
			-i "${dir}/data" -o /dev/stdout
		exit "${err}"
	) | cat
	[ "${PIPESTATUS[0]}" = 0 ] || err=1

	cp "${dir}/data" "${dir}/in"
	ln "${dir}/in" "${dir}/hard"
	ln -s in "${dir}/soft"
	for kind in hard soft in; do
		refused "output is the input, ${kind}" "same file" -i "${dir}/in" \
			-o "${dir}/${kind}"
	done
	cmp "${dir}/data" "${dir}/in" || fail "the input was changed"
	refused "output in no directory" "failed to create" -i "${dir}/data" -o "${dir}/no/out"

	# Root may write everywhere.
	mkdir "${dir}/others"
	if [ "$(id -u)" = 0 ]; then
		chmod 711 "${dir}"
		chmod 644 "${dir}/in"
	else
		chmod 555 "${dir}/others"
	fi
	if "${PYTHON}" -c '
import os, subprocess, sys
if not os.getuid():
    os.setuid(65534)
if not all(map(os.access, (sys.argv[1], sys.argv[2]), (os.X_OK, os.R_OK))):
    sys.exit(77)
sys.exit(subprocess.call([sys.argv[1], "inject", "--aslr", "-f", "-i", sys.argv[2],
                          "-o", sys.argv[3]]))
' "${PERF}" "${dir}/in" "${dir}/others/out" 2> "${dir}/stderr"; then
		fail "no permission: exit status 0"
	elif [ $? = 77 ]; then
		echo "perf isn't for everybody here"
	else
		grep -q "failed to create output file.*denied" "${dir}/stderr" ||
			{ cat "${dir}/stderr"; fail "no permission: no word of it"; }
	fi
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
		# None is ignored, as INT and QUIT are in the background of this shell, HUP by nohup
		"${PYTHON}" -c '
import signal, os, sys
for name in "INT", "TERM", "HUP", "QUIT":
    signal.signal(signal.Signals["SIG" + name], signal.SIG_DFL)
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
test_small_disk
test_rename
test_targets
test_broken_pipe
test_signal
test_permissions

finish

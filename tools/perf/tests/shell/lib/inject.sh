#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What the tests of perf inject have in common: a directory that goes when they end, however they
# do, a perf for those in Python, and the verdict.

# shellcheck disable=SC2034 # used by the tests
lib=$(cd "$(dirname "$0")/lib" && pwd)
dir=$(mktemp -d "/tmp/__perf_test.$(basename "$0" .sh).XXXXXX")
err=0
# The process that runs in the background, if one does
background=
export PYTHONDONTWRITEBYTECODE=1
PERF=$(command -v perf)
export PERF

# For a test to define: takes back what it did outside of ${dir}
undo() {
	:
}

cleanup() {
	trap - EXIT TERM INT
	[ -z "${background}" ] || kill "${background}" 2> /dev/null || true
	undo
	rm -rf "${dir}"
}

# shellcheck disable=SC2317 # called by the trap
trap_cleanup() {
	echo "Unexpected signal or exit"
	cleanup
	exit 1
}
trap trap_cleanup EXIT TERM INT

stop_background() {
	kill "${background}"
	wait "${background}" 2> /dev/null || true
	background=
}

fail() {
	echo "$* [Failed]"
	err=1
}

# refused WHAT PATTERN COMMAND...: in ${dir}, one line that says why, an exit status, and no output.
# shellcheck disable=SC2317 # called by tests
refused() {
	what=$1 pattern=$2 status=0

	shift 2
	rm -f "${dir}"/out*
	(cd "${dir}" && "$@" > "${dir}/stdout" 2> "${dir}/stderr" < /dev/null) || status=$?
	[ "${status}" != 0 ] || fail "${what}: exit status 0"
	if [ "$(wc -l < "${dir}/stderr")" != 1 ] || ! grep -q -e "${pattern}" "${dir}/stderr"; then
		cat "${dir}/stderr"
		fail "${what}: not one line that says '${pattern}'"
	fi
	[ ! -s "${dir}/stdout" ] || fail "${what}: wrote to stdout"
	! ls "${dir}"/out* > /dev/null 2>&1 || fail "${what}: left an output"
	! ls "${dir}"/.perf-inject.* > /dev/null 2>&1 || fail "${what}: left a temporary file"
}

# What failed before isn't forgotten.
skip() {
	[ ${err} = 0 ] || finish
	echo "$* [Skipped]"
	cleanup
	exit 2
}

finish() {
	cleanup
	exit ${err}
}

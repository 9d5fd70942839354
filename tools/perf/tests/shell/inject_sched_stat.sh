#!/bin/sh
# perf inject --sched-stat
# SPDX-License-Identifier: GPL-2.0

dir=$(mktemp -d /tmp/perf.test.inject_sched_stat.XXXXXX)
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

record() {
	perf record -q -a -o "${dir}/perf.data" "$@" -- sleep 0.3 2> /dev/null
}

# Each sched_stat_runtime becomes a sched_switch, and nothing else is left of them.
test_merge() {
	perf inject -s -i "${dir}/perf.data" -o "${dir}/out" || err=1
	if perf script -i "${dir}/out" -F event | grep -v 'sched:sched_switch:'; then
		echo "merge [Failed, there are other events]"
		err=1
	elif [ "$(perf script -i "${dir}/out" -F event | wc -l)" = 0 ]; then
		echo "merge [Failed, there are no events]"
		err=1
	else
		echo "merge [Success]"
	fi
}

# Samples with other fields aren't taken for what they are not.
test_differ() {
	if perf inject -s -i "${dir}/perf.data" -o "${dir}/out" 2> "${dir}/log"; then
		echo "other fields [Failed to fail]"
		err=1
	elif ! grep -q "samples differ" "${dir}/log"; then
		echo "other fields [Failed with another message]"
		cat "${dir}/log"
		err=1
	else
		echo "other fields [Success]"
	fi
}

if ! record -g -e sched:sched_switch,sched:sched_stat_runtime; then
	echo "no tracepoints here [Skipped]"
	cleanup
	exit 2
fi
test_merge
record -e sched:sched_switch -e '{sched:sched_stat_runtime,sched:sched_process_exit}:S'
test_differ

cleanup
exit ${err}

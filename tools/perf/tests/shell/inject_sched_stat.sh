#!/bin/sh
# perf inject --sched-stat
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

# shellcheck source=lib/inject.sh
. "$(dirname "$0")"/lib/inject.sh

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
	skip "no tracepoints here"
fi
test_merge
record -e sched:sched_switch -e '{sched:sched_stat_runtime,sched:sched_process_exit}:S'
test_differ

finish

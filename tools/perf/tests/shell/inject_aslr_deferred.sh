#!/bin/bash
# perf inject --aslr: rewriting in a thread
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # variables of lib/inject.sh

set -e

shelldir=$(dirname "$0")
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh
# shellcheck source=lib/inject.sh
. "${shelldir}"/lib/inject.sh

echo "Large profiles"
"${PYTHON}" "${lib}/aslr_deferred_test.py" || fail "large profiles"

finish

#!/bin/sh
# Install what is missing of scripts/packages.
set -eu
cd "$(dirname "$0")/.."

missing=
# shellcheck disable=SC2013 # words on purpose
for package in $(sed 's/#.*//' scripts/packages); do
	dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
		missing="$missing $package"
done
[ "$missing" ] || exit 0
echo "installing$missing"

root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "needs root or sudo to install$missing" >&2; exit 1; }
	root=sudo
fi

install_missing() {
	# shellcheck disable=SC2086 # words on purpose
	$root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
}

# The package lists may be absent, or name versions that the mirrors no longer have.  They take long
# to fetch, so only then.
install_missing || { $root apt-get update -q && install_missing; }

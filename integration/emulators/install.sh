#!/usr/bin/env bash
# Installs the emulators into a cache folder outside the tree and prints its
# name. What is installed is what package-lock.json says, and no script of a
# package runs. Without node or npm it says so and exits with 3.
set -euo pipefail
cd "$(dirname "$0")"

for tool in node npm; do
	if ! command -v "$tool" >/dev/null; then
		echo "skipped: the emulators need node and npm, and there is no $tool here" >&2
		exit 3
	fi
done
sum=$(cat package.json package-lock.json | sha256sum | cut -c1-16)
dir=${NAGARE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nagare}/emulators-$sum
if [ ! -e "$dir/installed" ]; then
	mkdir -p "${dir%/*}"
	tmp=$(mktemp -d "$dir.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	cp package.json package-lock.json "$tmp"
	(cd "$tmp" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
	touch "$tmp/installed"
	mv -T "$tmp" "$dir" 2>/dev/null || [ -e "$dir/installed" ] # another may have been faster
fi
echo "$dir"

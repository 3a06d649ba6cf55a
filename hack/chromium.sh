#!/bin/sh
# Print the path of a Chromium for the tests of the status page, or nothing if there is none.
#
# Where it is not installed, root installs Debian's package "chromium": it needs too many libraries to be used without
# an installation.
set -eu

installed="$(command -v chromium || true)"
if [ -n "$installed" ]; then
    echo "$installed"
elif ! command -v apt-get >/dev/null; then
    echo "chromium is not installed, and this is not Debian: its tests are skipped" >&2
elif [ "$(id -u)" != 0 ]; then
    echo "chromium is not installed (run apt-get install chromium as root): its tests are skipped" >&2
elif apt-get install -qq --no-install-recommends --yes chromium >&2; then
    command -v chromium
else
    echo "Debian's package chromium cannot be installed (run apt-get update): its tests are skipped" >&2
fi

#!/bin/sh
# Print the path of promtool, or nothing if there is none.
#
# Where it is not installed, it is taken from Debian's package "prometheus", which is downloaded but not installed: the
# binary is kept in ~/.cache/aimctl, and nothing else on the machine changes.
set -eu

installed="$(command -v promtool || true)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/aimctl/promtool"
if [ -n "$installed" ]; then
    echo "$installed"
elif [ -x "$cache" ]; then
    echo "$cache"
elif ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "promtool is not installed, and this is not Debian: the alerts are not tested" >&2
else
    folder="$(mktemp -d)"
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    if apt-get download -qq prometheus >&2; then
        dpkg-deb -x prometheus_*.deb .
        mkdir -p "$(dirname "$cache")"
        mv usr/bin/promtool "$cache.$$"
        mv "$cache.$$" "$cache"
        echo "$cache"
    else
        echo "Debian's package prometheus cannot be downloaded (run apt-get update): the alerts are not tested" >&2
    fi
fi

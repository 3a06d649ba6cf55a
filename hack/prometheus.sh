#!/bin/sh
# Print the path of a program of Prometheus, or nothing if there is none: hack/prometheus.sh promtool|prometheus
#
# Where it is not installed, it is taken from Debian's package "prometheus", which is downloaded but not installed: the
# programs are kept in ~/.cache/aimctl, and nothing else on the machine changes.
set -eu

program="${1:?usage: hack/prometheus.sh promtool|prometheus}"
installed="$(command -v "$program" || true)"
folder="${XDG_CACHE_HOME:-$HOME/.cache}/aimctl"
if [ -n "$installed" ]; then
    echo "$installed"
elif [ -x "$folder/$program" ]; then
    echo "$folder/$program"
elif ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "$program is not installed, and this is not Debian: its tests are skipped" >&2
else
    package="$(mktemp -d)"
    trap 'rm -rf "$package"' EXIT
    cd "$package"
    if apt-get download -qq prometheus >&2; then
        dpkg-deb -x prometheus_*.deb .
        mkdir -p "$folder"
        for name in promtool prometheus; do
            mv "usr/bin/$name" "$folder/$name.$$"
            mv "$folder/$name.$$" "$folder/$name"
        done
        echo "$folder/$program"
    else
        echo "Debian's package prometheus cannot be downloaded (run apt-get update): its tests are skipped" >&2
    fi
fi

#!/usr/bin/env bash
# Build the image of the Dockerfile without a container engine, with Debian's buildah, and print its id.
#
#   hack/build-image.sh          needs root permissions, Debian's buildah and debootstrap, and a Debian mirror
#
# The base image of the Dockerfile is on a registry of images. In its place, this script makes a base from Debian's
# packages once, with the Python of bookworm (3.11), and keeps it in the cache folder. Images, containers and the base are
# in AIMCTL_IMAGES (default: ~/.cache/aimctl/images), apart from those of other users of buildah. The base trusts the
# certificate authorities of this machine, so the build works behind a proxy with an authority of its own.
#
# Exit status 3: a program is missing; the message says how to install it.
set -euo pipefail
cd "$(dirname "$0")/.."

FOLDER=${AIMCTL_IMAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/aimctl/images}
BASE=localhost/aimctl-base:bookworm
export BUILDAH_ISOLATION=chroot
STORE=(--root "$FOLDER/storage" --runroot "$FOLDER/run" --storage-driver vfs)

for program in buildah debootstrap; do
    if ! command -v "$program" >/dev/null; then
        echo "$program is missing: apt-get install buildah debootstrap" >&2
        exit 3
    fi
done
mkdir -p "$FOLDER"
exec 9>"$FOLDER/lock"
flock 9
# Those of a build that was interrupted. This store has no others.
buildah "${STORE[@]}" rm --all >/dev/null 2>&1 9>&- || true

if ! buildah "${STORE[@]}" inspect --type image "$BASE" >/dev/null 2>&1; then
    echo "making the base image from Debian's packages ..." >&2
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$tree" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
    ln -sf python3 "$tree/usr/bin/python"
    cp -L /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
    rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/*
    container=$(buildah "${STORE[@]}" from scratch)
    buildah "${STORE[@]}" add --quiet "$container" "$tree" / >/dev/null
    buildah "${STORE[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah "${STORE[@]}" commit --quiet --rm "$container" "$BASE" >/dev/null
fi

options=(--build-arg "BASE=$BASE" --pull-never --network host)
for name in HTTPS_PROXY HTTP_PROXY NO_PROXY; do
    if [ -n "${!name:-}" ]; then options+=(--build-arg "$name=${!name}"); fi
done
buildah "${STORE[@]}" build "${options[@]}" --tag localhost/aimctl:test . >&2 9>&-
buildah "${STORE[@]}" images --quiet --no-trunc localhost/aimctl:test
for image in $(buildah "${STORE[@]}" images --all --quiet --filter dangling=true); do
    buildah "${STORE[@]}" rmi --force "$image" >/dev/null 2>&1 || true
done

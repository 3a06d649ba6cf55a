#!/usr/bin/env bash
# Build KServe's manager for `make test-kserve` if it does not exist; see build_kserve.py.
set -euo pipefail
command -v python3 >/dev/null || { echo "build-kserve: no python3 - apt-get install it" >&2; exit 1; }
exec python3 "$(dirname "${BASH_SOURCE[0]}")/build_kserve.py" "$@"

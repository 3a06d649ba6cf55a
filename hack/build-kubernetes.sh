#!/usr/bin/env bash
# Builds the control plane of the tests marked envtest, unless it is there: see build_kubernetes.py.
set -euo pipefail
command -v python3 >/dev/null || { echo "build-kubernetes: no python3 - apt-get install it" >&2; exit 1; }
exec python3 "$(dirname "${BASH_SOURCE[0]}")/build_kubernetes.py" "$@"

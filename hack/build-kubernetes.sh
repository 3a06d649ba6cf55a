#!/usr/bin/env bash
# Build the control plane for the tests marked envtest if it does not exist; see build_kubernetes.py.
set -euo pipefail
command -v python3 >/dev/null || { echo "build-kubernetes: no python3 - apt-get install it" >&2; exit 1; }
exec python3 "$(dirname "${BASH_SOURCE[0]}")/build_kubernetes.py" "$@"

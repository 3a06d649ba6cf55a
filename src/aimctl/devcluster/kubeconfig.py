"""Write the kubeconfig of a served cluster."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

__all__ = ["write_kubeconfig"]

_CONTEXT = "aimctl-dev"


def write_kubeconfig(path: str | Path, url: str, *, namespace: str = "default", token: str = "") -> Path:
    """Write a kubeconfig for a server URL. Only the owner can read it, and it replaces a file atomically.

    For plain HTTP it has ``insecure-skip-tls-verify``, without which the JavaScript client rejects the URL.

    Raises:
        OSError: the file cannot be written.
    """
    context = {"cluster": _CONTEXT, "user": _CONTEXT, "namespace": namespace}
    cluster: dict[str, object] = {"server": url}
    if url.startswith("http://"):
        cluster["insecure-skip-tls-verify"] = True
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _CONTEXT, "cluster": cluster}],
        "users": [{"name": _CONTEXT, "user": {"token": token} if token else {}}],
        "contexts": [{"name": _CONTEXT, "context": context}],
        "current-context": _CONTEXT,
    }
    target = Path(path)
    fresh = target.with_name(f".{target.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    fresh.replace(target)
    return target

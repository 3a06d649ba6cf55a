"""Write the kubeconfig of a served cluster."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

__all__ = ["write_kubeconfig"]

_CONTEXT = "aimctl-dev"
_ANY_TOKEN = "aimctl-dev"  # noqa: S105 - no secret: any text would do
"""kubectl asks for a password over HTTPS unless it has a credential. A server without tokens accepts every token."""


def write_kubeconfig(
    path: str | Path,
    url: str,
    *,
    namespace: str = "default",
    token: str = "",
    certificate_authority: bytes = b"",
) -> Path:
    """Write a kubeconfig for a server URL. Only the owner can read it, and it replaces a file atomically.

    ``certificate_authority`` is the PEM certificate that clients have to trust. For plain HTTP the file has
    ``insecure-skip-tls-verify``, without which the JavaScript client rejects the URL.

    Raises:
        OSError: the file cannot be written.
    """
    context = {"cluster": _CONTEXT, "user": _CONTEXT, "namespace": namespace}
    cluster: dict[str, object] = {"server": url}
    if url.startswith("http://"):
        cluster["insecure-skip-tls-verify"] = True
    if certificate_authority:
        token = token or _ANY_TOKEN
        cluster["certificate-authority-data"] = base64.b64encode(certificate_authority).decode()
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

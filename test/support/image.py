"""The image of the Dockerfile as a folder, and its program as a process in it.

    with Image() as image, image.run("manager", "--leader-elect", files={"kubeconfig": text}, log=path) as process:
        ...

Contract:
    * ``Image`` builds with hack/build-image.sh and mounts the result; it needs root permissions and Debian's buildah.
    * A process has the user, the environment and the entry point of the image, the image as its read-only root, ``/proc``
      and ``/dev``, no capabilities, and the network of the machine. ``files`` are in ``/run``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from support.component import Component

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Image", "missing_programs"]

ROOT = Path(__file__).parents[2]
_STORE = Path(
    os.environ.get("AIMCTL_IMAGES")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aimctl" / "images"
)
_MOUNTS = """\
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t tmpfs -o mode=755 tmpfs "$1/run"
cp "$2"/* "$1/run/"
chmod 444 "$1"/run/*
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -o remount,bind,ro "$1"
mount -o remount,bind,ro "$1/run"
root=$1
shift 2
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid -- chroot --userspec="$IDENTITY" --groups= "$root" "$@"
"""


def missing_programs() -> str:
    """What this machine lacks to build and run the image; "" if nothing."""
    if os.geteuid() != 0:
        return "root permissions"
    return ", ".join(one for one in ("buildah", "debootstrap", "unshare") if not shutil.which(one))


class Image:
    """The built image; a context manager, which unmounts it."""

    def __init__(self) -> None:
        self.id = ""
        self.folder = Path()
        self.config: dict[str, Any] = {}

    def __enter__(self) -> Self:
        script = [ROOT / "hack" / "build-image.sh"]
        done = subprocess.run(script, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        self.id = done.stdout.split()[0]
        self.config = json.loads(_buildah("inspect", "--type", "image", self.id))["OCIv1"]
        self._container = _buildah("from", "--pull-never", self.id).strip()
        self.folder = Path(_buildah("mount", self._container).strip())
        return self

    def __exit__(self, *_: object) -> None:
        _buildah("rm", self._container)

    @contextmanager
    def run(
        self, *arguments: str, files: Mapping[str, str], directory: Path, **env: str
    ) -> Iterator[Component]:
        """Run the entry point with these arguments, and kill it at the end.

        Args:
            arguments: of the entry point.
            files: in ``/run`` by name.
            directory: for the log and copies of the files.
            env: variables in addition to those of the image.
        """
        copies = directory / "files"
        copies.mkdir()
        for name, text in files.items():
            (copies / name).write_text(text, encoding="utf-8")
        config = self.config["config"]
        process = Component("image", directory / "image.log")
        variables = [*config["Env"], "HOME=/", *(f"{name}={value}" for name, value in env.items())]
        process.start(
            ["env", f"IDENTITY={config['User']}", "unshare", "--mount", "sh", "-c", _MOUNTS, "image",
             str(self.folder), str(copies), "/usr/bin/env", "-i", *variables, *config["Entrypoint"], *arguments]
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill_now()


def _buildah(*arguments: str) -> str:
    store = ("--root", _STORE / "storage", "--runroot", _STORE / "run", "--storage-driver", "vfs")
    command = ["buildah", *store, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
    return done.stdout

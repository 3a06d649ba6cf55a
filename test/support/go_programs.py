"""Go programs of the tests, built from their modules and kept in the user's cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from support.environments import cache_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NoGo", "go_program"]

_BUILD_SECONDS = 900


class NoGo(Exception):
    """There is no Go toolchain, and the program was not built before."""


def go_program(sources: Path) -> Path:
    """The program of a module, built on first use and after every change.

    The first build compiles the dependencies, which takes some minutes.

    Raises:
        NoGo: see there.
        AssertionError: it does not compile.
    """
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(sources.iterdir()))).hexdigest()[
        :16
    ]
    folder = cache_folder() / "clients" / f"{sources.name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "program"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            go = shutil.which("go")
            if go is None:
                raise NoGo(f"no Go toolchain on the PATH to build {sources}: install Go 1.26 or newer")
            command = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(folder / "fresh"), "."]
            env = {**os.environ, "CGO_ENABLED": "0"}
            done = subprocess.run(
                command,
                cwd=sources,
                env=env,
                capture_output=True,
                text=True,
                timeout=_BUILD_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"go build in {sources}: {done.stderr[-3000:]}"
            (folder / "fresh").rename(program)
    return program

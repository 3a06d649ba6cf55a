"""Python environments with libraries that the tests need in processes of their own, in the user's cache folder.

They are built when they are first used, which takes up to a minute. Those whose name ends with ``newest`` are updated
each week.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["cache_folder", "environment"]

_WEEK_SECONDS = 7 * 24 * 3600


def cache_folder() -> Path:
    """The user's cache folder of this project."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aimctl"


def environment(group: str, name: str, packages: tuple[str, ...]) -> Path:
    """The folder ``bin`` of an environment with these packages. The group is a folder for related environments."""
    folder = cache_folder() / group / f"{name}-python{sys.version_info[0]}.{sys.version_info[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "installed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fresh = stamp.exists() and (
            not name.endswith("newest") or time.time() - stamp.stat().st_mtime < _WEEK_SECONDS
        )
        if not fresh:
            python = folder / "bin" / "python"
            if not python.exists():
                _run(sys.executable, "-m", "venv", folder)
            _run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-U", *packages)
            stamp.touch()
    return folder / "bin"


def _run(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, f"{' '.join(map(str, command))}: {result.stderr[-2000:]}"

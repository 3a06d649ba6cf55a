"""A tour of the JavaScript client on the embedded and on a real API server."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.environments import cache_folder
from support.tours import PROGRAMS, check_tour, run_program

if TYPE_CHECKING:
    from support.clusters import RunningCluster

_PROGRAM = "javascript_tour.mjs"


@pytest.fixture(scope="session")
def modules() -> Path:
    """A folder with the client, which is installed once."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no node and npm: install them to run the tour of the JavaScript client")
    folder = cache_folder() / "clients" / "javascript"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "node_modules" / "@kubernetes" / "client-node").exists():
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "@kubernetes/client-node@1"]
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
            )
            assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_the_client_sees_the_recorded_steps(cluster: RunningCluster, namespace: str, modules: Path) -> None:
    shutil.copy(PROGRAMS / _PROGRAM, modules)  # modules are found beside the program
    node = Path(shutil.which("node") or "node")
    check_tour("javascript", cluster, run_program(node, str(modules / _PROGRAM), cluster, namespace))

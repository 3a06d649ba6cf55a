"""A clean checkout, an environment with only the wheel of it, and the commands of ``docs/installing.md``.

Contract:
    * The checkout is a clone of the commit that is checked out; changes that are not committed are not part of it.
    * The environment is made with the Python that this one was made with, and contains the wheel and what it requires.
    * All users may read and execute the folder, because the manager runs as another user.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from support.commands import clean_environment
from support.helm import helm_binary
from support.kubectl import kubectl_binary

__all__ = ["BEFORE_TREE", "Checkout", "Shell", "commands", "predecessor"]

ROOT = Path(__file__).parents[2]

BEFORE_TREE = "066509daa268"
"""The last commit whose manifests have no kustomize tree; upgrades start here while there is no tag."""

_NOT_RUN = re.compile(r"docker |kubectl .*rollout status|kubectl label namespace monitoring")
"""Lines of the document that need a container engine, a controller of Deployments, or a Prometheus."""


def commands(heading: str) -> list[str]:
    """The blocks of shell commands of a section of ``docs/installing.md``."""
    text = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [
        "\n".join(line for line in block.splitlines() if not _NOT_RUN.match(line))
        for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    ]


def predecessor() -> str:
    """The revision from which an upgrade starts: the newest tag, otherwise :data:`BEFORE_TREE`; "" without history."""
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD^", check=False)
    known = _git("cat-file", "-t", BEFORE_TREE, check=False)
    return tag or (BEFORE_TREE if known == "commit" else "")


class Checkout:
    """The folder with the checkout and the environment; a context manager, which removes it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aimctl-install-"))
        self.folder.chmod(0o755)
        self.source = self.folder / "source"
        self.programs = self.folder / "environment" / "bin"

    def __enter__(self) -> Self:
        try:
            _run("git", "clone", "--quiet", "--no-hardlinks", ROOT, self.source)
            _run(Path(sys.base_prefix) / "bin" / "python3", "-m", "venv", self.programs.parent)
            pip = (self.programs / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
            _run(*pip, "wheel", "--no-deps", "--wheel-dir", self.folder / "dist", self.source)
            (wheel,) = (self.folder / "dist").glob("*.whl")
            _run(*pip, "install", f"{wheel}[uvloop]")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def older(self, revision: str) -> Path:
        """A folder with a program ``aimctl`` of an older revision, which uses the libraries of the environment."""
        folder = self.folder / "older"
        folder.mkdir()
        archive = subprocess.run(
            ["git", "archive", revision, "src"], cwd=ROOT, capture_output=True, check=True, timeout=60
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True, timeout=60)
        program = folder / "aimctl"
        python = self.programs / "python"
        program.write_text(f'#!/bin/sh\nPYTHONPATH={folder / "src"} exec {python} -m aimctl.cli "$@"\n')
        program.chmod(0o755)
        return folder


class Shell:
    """Runs blocks of commands in the checkout, with its ``aimctl``, and kubectl and helm on the PATH.

    Args:
        checkout: with the commands that are tested.
        kubeconfig: of the cluster.
        folder: for the home of the user.
    """

    def __init__(self, checkout: Checkout, kubeconfig: Path, folder: Path) -> None:
        self._folder = checkout.source
        tools = folder / "tools"
        tools.mkdir(parents=True)
        for name, program in (("kubectl", kubectl_binary()), ("helm", helm_binary())):
            (tools / name).symlink_to(program)
        self._env = clean_environment(folder, KUBECONFIG=str(kubeconfig))
        self._path = f"{tools}{os.pathsep}{self._env['PATH']}"
        self.programs = checkout.programs

    def __call__(self, block: str, timeout: float = 120) -> str:
        """Run it, and return its standard output. A command that fails, or warns, is an AssertionError."""
        env = {**self._env, "PATH": f"{self.programs}{os.pathsep}{self._path}"}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-euc", block],
            cwd=self._folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{block}\n{done.stdout[-2000:]}{done.stderr}"
        return done.stdout


def _run(*command: str | Path) -> None:
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr[-2000:]}"


def _git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=check, timeout=60
    )
    return done.stdout.strip() if done.returncode == 0 else ""

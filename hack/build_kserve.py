#!/usr/bin/env python3
"""Build the manager of KServe from its Go module, for `make test-kserve`.

    hack/build-kserve.sh [--version 0.17.0]

Contract
--------
* Result: ${XDG_CACHE_HOME:-~/.cache}/aimctl/kserve-<version> with bin/manager, and with the folder config/ of the
  module, which has the CRDs, the webhook configurations and the configuration of the release. Only the path of the
  result is printed to standard output. Progress is printed to standard error, and the output of Go is written to
  kserve-<version>.log next to the result.
* Complete or absent, one build at a time, no root permissions, as for build_kubernetes.py.
* A Go toolchain is required on the PATH. Exit status 3 means that there is none, so that callers can skip their tests.
* Every other failure is one line that contains a remedy, and exit status 1.

The go.mod of KServe replaces modules. Go ignores replacements in dependencies, so the generated module repeats them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from build_kubernetes import BuildError, Steps, cache_folder, go_environment, locked

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "0.17.0"
MODULE = "github.com/kserve/kserve"
PACKAGE = f"{MODULE}/cmd/manager"
SCRATCH_BYTES = 3 * 1024**3
NO_GO = 3


def write_module(steps: Steps, folder: Path, version: str, env: Mapping[str, str]) -> Path:
    """Write a module that requires KServe. Returns the folder with the source of KServe."""
    steps.say(f"downloading the source of KServe {version}")
    folder.mkdir()
    (folder / "go.mod").write_text("module kservemanager\n")
    command = ["go", "mod", "download", "-json", f"{MODULE}@v{version}"]
    remedy = f"use a version that the Go module proxy serves (go list -m -versions {MODULE}); details are"
    found = json.loads(steps.run(command, folder, env=env, remedy=remedy))
    source = Path(found["Dir"])
    theirs = Path(found["GoMod"]).read_text(encoding="utf-8")
    go = re.search(r"^go (\S+)", theirs, re.MULTILINE)
    if go is None:
        raise BuildError(f"the go.mod of {MODULE} {version} names no version of Go - see {found['GoMod']}")
    replacements = re.findall(r"^replace .+ => [^.\s].*$", theirs, re.MULTILINE)
    lines = ["module kservemanager", f"go {go[1]}", f"require {MODULE} v{version}", *replacements]
    (folder / "go.mod").write_text("\n".join(lines) + "\n")
    (folder / "go.sum").write_bytes((source / "go.sum").read_bytes())
    return source


def compile_manager(steps: Steps, scratch: Path, version: str, env: Mapping[str, str]) -> Path:
    """Compile the manager and copy the configuration. Returns the folder of the result."""
    module, result = scratch / "module", scratch / "result"
    source = write_module(steps, module, version, env)
    (result / "bin").mkdir(parents=True)
    listed = steps.run(
        ["go", "list", "-deps", "-f", "{{if not .Standard}}x{{end}}", PACKAGE], module, env=env
    )
    total = listed.count("x")
    steps.say(f"compiling {total} packages at low priority (some minutes the first time)")
    command = ["go", "build", "-v", "-ldflags", "-s -w", "-o", str(result / "bin" / "manager"), PACKAGE]
    done, shown = 0, 0
    for line in steps.lines(command, module, env=env, merged=True):
        done += "/" in line
        if done * 10 // max(total, 1) > shown:
            shown = done * 10 // total
            steps.say(f"  {done} of {total} packages")
    shutil.copytree(source / "config", result / "config", copy_function=shutil.copyfile)
    for folder, _, _ in os.walk(result):
        Path(folder).chmod(
            0o755
        )  # the module cache is read-only, and a folder without write permission stays
    return result


def build(cache: Path, result: Path, version: str) -> None:
    """Create `result`; the caller holds the lock."""
    for leftover in cache.glob(".kserve-*"):  # of a killed run
        shutil.rmtree(leftover, ignore_errors=True)
    if (free := shutil.disk_usage(cache).free) < SCRATCH_BYTES:
        needed = f"{free / 1e9:.1f} GB free and the build needs {SCRATCH_BYTES / 1e9:.1f}"
        raise BuildError(f"{cache} has {needed} - free some space, or set XDG_CACHE_HOME to another disk")
    os.nice(10)
    scratch = Path(tempfile.mkdtemp(prefix=".kserve-", dir=cache))
    try:
        with Steps(cache / f"{result.name}.log") as steps:
            made = compile_manager(steps, scratch, version, go_environment(steps, scratch))
            if result.exists():
                shutil.rmtree(result)
            made.rename(result)
            steps.say(f"done: {result}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def ensure_built(version: str) -> Path:
    """Return the folder of the result; build it if it does not exist."""
    if not re.fullmatch(r"0\.\d+\.\d+", version):
        raise BuildError(
            f"version {version!r} is not of the form {VERSION} - correct --version or KSERVE_VERSION"
        )
    cache = cache_folder()
    result = cache / f"kserve-{version}"
    if not os.access(result / "bin" / "manager", os.X_OK):
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache):
            if not os.access(result / "bin" / "manager", os.X_OK):
                build(cache, result, version)
    return result


def main() -> int:
    """Build the manager if necessary, and print the folder of the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--version", default=os.environ.get("KSERVE_VERSION") or VERSION, help=f"such as {VERSION}"
    )
    version = parser.parse_args().version
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if shutil.which("go") is None and not os.access(
        cache_folder() / f"kserve-{version}/bin/manager", os.X_OK
    ):
        print("build-kserve: there is no Go toolchain on the PATH", file=sys.stderr)
        return NO_GO
    try:
        print(ensure_built(version))
    except (BuildError, OSError) as error:
        print(f"build-kserve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build-kserve: interrupted; no files were left", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

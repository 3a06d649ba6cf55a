#!/usr/bin/env python3
"""Build a real Kubernetes control plane from Debian's source package, for the tests marked `envtest`.

    hack/build-kubernetes.sh

Contract
--------
* Result: etcd, kube-apiserver and kube-controller-manager in
  ${XDG_CACHE_HOME:-~/.cache}/aimctl/kubernetes-<version>/bin. Only that path is printed to standard output. Progress
  is printed to standard error, and the output of the tools is written to kubernetes-<version>.log next to the result.
* If KUBEBUILDER_ASSETS is a folder with these programs, nothing is built and that folder is printed.
* Complete or absent: the programs are built and started once in a scratch folder, which is then renamed. An existing
  result is therefore complete, and a second run returns immediately.
* One build at a time: a run holds a lock. A second run waits and then uses the result of the first one.
* No root permissions, and no change to the system: apt fetches the packages into the scratch folder, with a private
  configuration that enables the source index. They are unpacked there and not installed.
* Every failure is one line that contains a remedy, and exit status 1.

Requires a Debian machine with apt-get, dpkg-deb and tar, and about 3 GB of disk space during the build. It uses only
the Python standard library, because it also runs before the virtual environment exists.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import NoReturn, Self

VERSION = "1.20.2"  # the version in Debian 12; the steps below are for this source tree only
SUITE = "bookworm"
GO = "1.19"
PACKAGES = (
    f"golang-{GO}-go",
    f"golang-{GO}-src",
    "etcd-server",
    "golang-github-modern-go-reflect2-dev",
)
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
TREE = "gopath/src/k8s.io/kubernetes"  # Go finds the tree only here when modules are off
EXAMPLES = ("vendor/k8s.io/code-generator", "vendor/k8s.io/sample-apiserver")
SCRATCH_BYTES = 3 * 1024**3
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ELSEWHERE = f"or set KUBEBUILDER_ASSETS to a folder with {', '.join(PROGRAMS)}"


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
        # apt marks its errors, which need not be last. The other tools print the error last.
        why = next((line for line in reversed(said) if line.startswith("E: ")), said[-1]).strip()
        what = f"{Path(argv[0]).name} ended with {status}, {why[:200]!r}"
        raise BuildError(f"{what} - {remedy or 'the reason is further up'} in {self._path}")


def debian_archive(steps: Steps, cwd: Path) -> str:
    """Return the URL of the Debian archive in the apt sources of this machine."""
    release = {}
    with contextlib.suppress(OSError):
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            release[key] = value.strip('"')
    system = release.get("PRETTY_NAME", "an unknown system")
    if release.get("ID") != "debian" or not all(map(shutil.which, ("apt-get", "dpkg-deb", "tar"))):
        raise BuildError(
            f"this recipe needs Debian's apt, and this machine runs {system}"
            f" - build on Debian and copy the folder, {ELSEWHERE}"
        )
    # Without --no-release-info the list is empty on machines without package lists.
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = steps.run(["apt-get", "indextargets", "--no-release-info", "--format", fields], cwd)
    wanted = {release.get("VERSION_CODENAME", SUITE), SUITE}
    for target in targets.splitlines():
        address, suite, component = target.split()
        if component == "main" and suite in wanted:
            return address
    raise BuildError(
        f"no apt source of this machine names the Debian archive ({' or '.join(sorted(wanted))}, main)"
        f" - add one under /etc/apt/sources.list.d, {ELSEWHERE}"
    )


def private_apt(scratch: Path, archive: str) -> list[str]:
    """Write an apt configuration to `scratch` and return the options that select it."""
    apt = scratch / "apt"
    for folder in ("sources", "lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    signed_by = f"Signed-By: {KEYRING}\n" if KEYRING.exists() else ""
    (apt / "sources/debian.sources").write_text(
        f"Types: deb deb-src\nURIs: {archive}\nSuites: {SUITE}\nComponents: main\n{signed_by}"
    )
    # The configuration of the machine (proxies, certificates, credentials) still applies, except for its hooks, which
    # clean up folders of the system. The sandbox user _apt cannot write to the scratch folder.
    (apt / "apt.conf").write_text(
        "#clear APT::Update::Post-Invoke;\n"
        "#clear APT::Update::Post-Invoke-Success;\n"
        'Dir::Etc::sourcelist "/dev/null";\n'
        f'Dir::Etc::sourceparts "{apt}/sources";\n'
        f'Dir::State::lists "{apt}/lists";\n'
        f'Dir::Cache "{apt}/cache";\n'
        'APT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\n'
    )
    return ["-c", str(apt / "apt.conf"), "-q"]


def fetch(steps: Steps, scratch: Path) -> None:
    """Fetch the packages; unpack them in root/ and the source in the GOPATH."""
    root = scratch / "root"
    tree = scratch / TREE
    debs = scratch / "debs"
    for folder in (root, tree, debs):
        folder.mkdir(parents=True)
    options = private_apt(scratch, debian_archive(steps, scratch))
    online = "check that this machine reaches its Debian mirror; details are"

    steps.say("fetching Debian's package index (private to this build)")
    steps.run(["apt-get", *options, "update", "--error-on=any"], scratch, remedy=online)
    steps.say(f"fetching Go {GO}, etcd and the source of Kubernetes {VERSION} (124 MB)")
    steps.run(["apt-get", *options, "download", *PACKAGES], debs, remedy=online)
    # Download only: unpacking needs dpkg-source, which few machines have, and its patches only affect kubectl.
    steps.run(["apt-get", *options, "source", "--download-only", "kubernetes"], debs, remedy=online)
    archives = sorted(debs.glob("kubernetes_*.orig.tar.*"))
    if len(archives) != 1 or not re.search(rf"[_y]{re.escape(VERSION)}\.orig", archives[0].name):
        found = ", ".join(path.name for path in archives) or "nothing"
        raise BuildError(f"Debian has {found}, not Kubernetes {VERSION} - update VERSION, {ELSEWHERE}")

    steps.say("unpacking")
    for deb in sorted(debs.glob("*.deb")):
        steps.run(["dpkg-deb", "--extract", deb, root], scratch)
    steps.run(["tar", "--extract", "--strip-components=1", "--file", archives[0]], tree)
    shutil.rmtree(debs)

    # The vendored reflect2 1.0.1 crashes the server with Go 1.18 and newer.
    vendored = tree / "vendor/github.com/modern-go/reflect2"
    shutil.rmtree(vendored)
    shutil.copytree(root / "usr/share/gocode/src/github.com/modern-go/reflect2", vendored)


def go_environment(scratch: Path) -> dict[str, str]:
    """Return an environment without any Go settings of the machine or the user."""
    goroot = scratch / f"root/usr/lib/go-{GO}"
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GO")}
    return ours | {
        "GOROOT": str(goroot),
        "GOPATH": str(scratch / "gopath"),
        "GOCACHE": str(scratch / "gocache"),
        "GOENV": "off",
        "GO111MODULE": "off",
        "GOFLAGS": f"-p={len(os.sched_getaffinity(0))}",
        "CGO_ENABLED": "0",
        "PATH": f"{goroot}/bin:{os.environ['PATH']}",
    }


def generate_openapi(steps: Steps, scratch: Path, tree: Path, env: Mapping[str, str]) -> None:
    """Generate pkg/generated/openapi, which the servers need and the source archives do not contain."""
    steps.say("generating the OpenAPI definitions")
    generator = scratch / "openapi-gen"
    steps.run(["go", "build", "-o", generator, "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"], tree, env=env)
    packages = set()
    for part in ("staging/src/k8s.io", "pkg", "cmd"):
        for source in (tree / part).rglob("*.go"):
            if b"+k8s:openapi-gen=" in source.read_bytes():
                folder = str(source.parent.relative_to(tree)).replace("staging/src/", "vendor/")
                if not folder.startswith(EXAMPLES):
                    packages.add(f"k8s.io/kubernetes/{folder}")
    steps.run(
        [
            generator,
            *("-i", ",".join(sorted(packages))),
            *("-p", "k8s.io/kubernetes/pkg/generated/openapi"),
            *("-O", "zz_generated.openapi"),
            *("--go-header-file", "hack/boilerplate/boilerplate.generatego.txt"),
            *("-r", scratch / "openapi-violations"),
            *("--output-base", scratch / "gopath/src"),
        ],
        tree,
        env=env,
    )


def compile_servers(steps: Steps, scratch: Path, tree: Path, env: Mapping[str, str]) -> Path:
    """Compile both servers, copy etcd, and return the folder with all three programs."""
    bin_folder = scratch / "result/bin"
    bin_folder.mkdir(parents=True)
    targets = ("./cmd/kube-apiserver", "./cmd/kube-controller-manager")
    listed = steps.run(["go", "list", "-deps", "-f", "{{if not .Standard}}x{{end}}", *targets], tree, env=env)
    total = listed.count("x")
    steps.say(f"compiling {total} packages on {env['GOFLAGS'][3:]} cores, at low priority (some minutes)")
    # Clients and the tests check the version. Without these values it would be v0.0.0-master.
    major, minor, _ = VERSION.split(".")
    values = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
    flags = ["-s", "-w"]
    for package in ("component-base/version", "client-go/pkg/version"):
        variable = f"k8s.io/kubernetes/vendor/k8s.io/{package}"
        flags += [f"-X {variable}.{key}={value}" for key, value in values.items()]
    command = ["go", "build", "-v", "-ldflags", " ".join(flags), "-o", f"{bin_folder}/", *targets]
    done, shown = 0, 0
    for line in steps.lines(command, tree, env=env, merged=True):
        done += line.startswith(("k8s.io/", "vendor/"))
        if done * 10 // max(total, 1) > shown:
            shown = done * 10 // total
            steps.say(f"  {done} of {total} packages")
    shutil.copy2(scratch / "root/usr/bin/etcd", bin_folder)
    for program in PROGRAMS:
        said = steps.run([bin_folder / program, "--version"], scratch)
        if program != "etcd" and f"v{VERSION}" not in said:
            raise BuildError(f"the new {program} calls itself {said.strip()!r} - see the log")
    return bin_folder.parent


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


def build(cache: Path, result: Path) -> None:
    """Create `result`; the caller holds the lock."""
    for leftover in cache.glob(
        ".build-*"
    ):  # of a killed run; it is not in use, because this process holds the lock
        shutil.rmtree(leftover, ignore_errors=True)
    if (free := shutil.disk_usage(cache).free) < SCRATCH_BYTES:
        raise BuildError(
            f"{cache} has {free / 1e9:.1f} GB free and the build needs {SCRATCH_BYTES / 1e9:.1f}"
            f" - free some space, set XDG_CACHE_HOME to another disk, {ELSEWHERE}"
        )
    os.nice(10)  # the build uses all cores for minutes, so other processes go first
    scratch = Path(tempfile.mkdtemp(prefix=".build-", dir=cache))
    try:
        with Steps(cache / f"{result.name}.log") as steps:
            fetch(steps, scratch)
            tree, env = scratch / TREE, go_environment(scratch)
            generate_openapi(steps, scratch, tree, env)
            made = compile_servers(steps, scratch, tree, env)
            if result.exists():  # incomplete: parts of it were deleted
                shutil.rmtree(result)
            made.rename(result)
            steps.say(f"done: {result / 'bin'}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def ensure_built() -> Path:
    """Return the folder of the programs; build them if they do not exist."""
    if named := os.environ.get("KUBEBUILDER_ASSETS"):
        if missing := missing_programs(Path(named)):
            raise BuildError(
                f"KUBEBUILDER_ASSETS={named} lacks {', '.join(missing)} - add them, or unset the variable to build them"
            )
        return Path(named)
    cache = cache_folder()
    result = cache / f"kubernetes-{VERSION}"
    if missing_programs(result / "bin"):
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BuildError(f"cannot create {cache}: {error.strerror} - set XDG_CACHE_HOME") from error
        with locked(cache):
            if missing_programs(result / "bin"):  # otherwise another run has built them while this one waited
                build(cache, result)
    return result / "bin"


def main() -> int:
    """Build the programs if necessary, and print their folder."""
    shown = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=shown).parse_args()
    # Turn SIGTERM into an exception, so that the scratch folder is deleted and the compiler is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(ensure_built())
    except (BuildError, OSError) as error:
        print(f"build-kubernetes: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build-kubernetes: interrupted; no files were left", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

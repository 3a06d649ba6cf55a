#!/usr/bin/env python3
"""Build a real Kubernetes control plane from Debian's source package, for the tests marked `envtest`.

    hack/build-kubernetes.sh

Contract
--------
* Result: etcd, kube-apiserver and kube-controller-manager in
  ${XDG_CACHE_HOME:-~/.cache}/aimctl/kubernetes-<version>/bin. That path is all that is printed to standard
  output; progress goes to standard error, the compilers' words to kubernetes-<version>.log beside the result.
* Where KUBEBUILDER_ASSETS names a folder with these programs, there is nothing to build and that is printed.
* Whole or absent: everything is made and tried out in a scratch folder beside the result and then renamed.
  A result that exists is therefore complete, and a second run only looks and returns.
* One at a time: runs hold a lock; a second one waits and then finds the first one's result.
* No root, and nothing of the system changes: packages are fetched with apt into the scratch folder, under a
  private apt configuration that has the source index switched on, and are unpacked there, not installed.
* Every failure is one line that names a remedy, and exit status 1.

Needs a Debian machine with apt-get, dpkg-deb and tar, about 3 GB of disk meanwhile, and the Python standard
library only, because it also runs before there is a virtual environment.
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

VERSION = "1.20.2"  # what Debian 12 carries; the recipe below is for this tree and no other
SUITE = "bookworm"
GO = "1.19"
PACKAGES = (
    f"golang-{GO}-go",
    f"golang-{GO}-src",
    "etcd-server",
    "golang-github-modern-go-reflect2-dev",
)
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
TREE = "gopath/src/k8s.io/kubernetes"  # the only place where Go finds it with modules off
EXAMPLES = ("vendor/k8s.io/code-generator", "vendor/k8s.io/sample-apiserver")
SCRATCH_BYTES = 3 * 1024**3
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ELSEWHERE = f"or set KUBEBUILDER_ASSETS to a folder that has {', '.join(PROGRAMS)}"


class BuildError(Exception):
    """Why there is no result, and what to do about it, in one line."""


def cache_folder() -> Path:
    """The user's cache folder of this project; test/support/kubernetes_binaries.py looks there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aimctl"


def missing_programs(folder: Path) -> list[str]:
    """What a folder lacks for being a finished build."""
    return [program for program in PROGRAMS if not os.access(folder / program, os.X_OK)]


class Steps:
    """Runs the steps of a build: says what is going on, logs what the tools say, times it."""

    def __init__(self, log: Path) -> None:
        self._started = time.monotonic()
        self._path = log
        self._log = log.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def say(self, text: str) -> None:
        """Tell the person and the log."""
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
        """Run one command to its end and return its standard output."""
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
        """Run one command and yield its output as it comes; with `merged`, its standard error as well."""
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
        # apt marks its errors, and may say them before other things; the others end with what went wrong.
        why = next((line for line in reversed(said) if line.startswith("E: ")), said[-1]).strip()
        what = f"{Path(argv[0]).name} ended with {status}, {why[:200]!r}"
        raise BuildError(f"{what} - {remedy or 'look for the reason further up'} in {self._path}")


def debian_archive(steps: Steps, cwd: Path) -> str:
    """The address of the Debian archive that this machine's own apt sources name."""
    release = {}
    with contextlib.suppress(OSError):
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            release[key] = value.strip('"')
    system = release.get("PRETTY_NAME", "something else")
    if release.get("ID") != "debian" or not all(map(shutil.which, ("apt-get", "dpkg-deb", "tar"))):
        raise BuildError(
            f"this recipe needs Debian's apt, and this machine runs {system}"
            f" - build on Debian and copy the folder, {ELSEWHERE}"
        )
    # Without --no-release-info the list is empty on machines whose package lists were thrown away.
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
    """Write an apt configuration that lives in `scratch`; return the options that make apt use it."""
    apt = scratch / "apt"
    for folder in ("sources", "lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    signed_by = f"Signed-By: {KEYRING}\n" if KEYRING.exists() else ""
    (apt / "sources/debian.sources").write_text(
        f"Types: deb deb-src\nURIs: {archive}\nSuites: {SUITE}\nComponents: main\n{signed_by}"
    )
    # The machine's own configuration stays in force below this one (proxies, certificates, credentials),
    # except for its hooks, which would tidy the system's folders. Sandbox: user _apt cannot write to ours.
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
    """Fetch the packages; leaves the root of the unpacked ones in root/ and the source in the GOPATH."""
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
    # Only downloaded: dpkg-source, which few machines have, would add nothing but kubectl patches.
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

    # The vendored reflect2 1.0.1 reads maps in a way that crashes the server under Go 1.18 and later.
    vendored = tree / "vendor/github.com/modern-go/reflect2"
    shutil.rmtree(vendored)
    shutil.copytree(root / "usr/share/gocode/src/github.com/modern-go/reflect2", vendored)


def go_environment(scratch: Path) -> dict[str, str]:
    """An environment in which nothing of the machine's or the user's own Go set-up counts."""
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
    """Make pkg/generated/openapi, which upstream keeps out of its archives and the servers link."""
    steps.say("generating the OpenAPI definitions")
    generator = scratch / "openapi-gen"
    steps.run(["go", "build", "-o", generator, "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"], tree, env=env)
    packages = set()
    for room in ("staging/src/k8s.io", "pkg", "cmd"):
        for source in (tree / room).rglob("*.go"):
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
    """Compile both servers and put etcd beside them; return the folder of the three."""
    bin_folder = scratch / "result/bin"
    bin_folder.mkdir(parents=True)
    targets = ("./cmd/kube-apiserver", "./cmd/kube-controller-manager")
    listed = steps.run(["go", "list", "-deps", "-f", "{{if not .Standard}}x{{end}}", *targets], tree, env=env)
    total = listed.count("x")
    steps.say(f"compiling {total} packages on {env['GOFLAGS'][3:]} cores, at low priority (some minutes)")
    # The version is what clients and our own skip rules go by; untold, the tree says v0.0.0-master.
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
    """Hold the build lock, after another run's end if need be; the kernel frees it even if we are killed."""
    with (folder / ".build.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is running; waiting for it to end", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build(cache: Path, result: Path) -> None:
    """Make `result`; the caller holds the lock."""
    for leftover in cache.glob(".build-*"):  # of a run that was killed: the lock says nobody uses it
        shutil.rmtree(leftover, ignore_errors=True)
    if (free := shutil.disk_usage(cache).free) < SCRATCH_BYTES:
        raise BuildError(
            f"{cache} has {free / 1e9:.1f} GB free and the build needs {SCRATCH_BYTES / 1e9:.1f}"
            f" - free some, point XDG_CACHE_HOME elsewhere, {ELSEWHERE}"
        )
    os.nice(10)  # the build takes every core for minutes; whoever works beside it should not notice
    scratch = Path(tempfile.mkdtemp(prefix=".build-", dir=cache))
    try:
        with Steps(cache / f"{result.name}.log") as steps:
            fetch(steps, scratch)
            tree, env = scratch / TREE, go_environment(scratch)
            generate_openapi(steps, scratch, tree, env)
            made = compile_servers(steps, scratch, tree, env)
            if result.exists():  # incomplete, or we would not be here: somebody deleted parts of it
                shutil.rmtree(result)
            made.rename(result)
            steps.say(f"done: {result / 'bin'}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def ensure_built() -> Path:
    """The folder of the programs, after building them if they are nowhere."""
    if named := os.environ.get("KUBEBUILDER_ASSETS"):
        if missing := missing_programs(Path(named)):
            raise BuildError(
                f"KUBEBUILDER_ASSETS={named} lacks {', '.join(missing)} - add, or unset to build"
            )
        return Path(named)
    cache = cache_folder()
    result = cache / f"kubernetes-{VERSION}"
    if missing_programs(result / "bin"):
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BuildError(f"cannot make {cache}: {error.strerror} - set XDG_CACHE_HOME") from error
        with locked(cache):
            if missing_programs(result / "bin"):  # or else the run that we waited for has built them
                build(cache, result)
    return result / "bin"


def main() -> int:
    """Build unless built; print where."""
    shown = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=shown).parse_args()
    # SIGTERM as an exception, so that the scratch folder goes away and the compiler is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(ensure_built())
    except (BuildError, OSError) as error:
        print(f"build-kubernetes: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build-kubernetes: interrupted; nothing was left behind", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

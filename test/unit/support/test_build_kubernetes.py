"""The contract of the build script, without a build: existing programs are kept, and errors contain a remedy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "hack" / "build-kubernetes.sh"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def run(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    usual = {"PATH": "/usr/local/bin:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path)}
    return subprocess.run(
        [SCRIPT], env=usual | environment, capture_output=True, text=True, timeout=30, check=False
    )


def programs_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in PROGRAMS:
        (folder / name).touch(mode=0o755)
    return folder


@pytest.mark.parametrize(("version", "environment"), [("1.36.3", {}), ("1.34.3", {"KUBE_VERSION": "1.34.3"})])
def test_an_existing_build_of_the_version_is_kept(
    tmp_path: Path, version: str, environment: dict[str, str]
) -> None:
    built = programs_in(tmp_path / f"aimctl/kubernetes-{version}/bin")

    done = run(tmp_path, **environment)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{built}\n", "")


def test_programs_that_the_user_names_need_no_build(tmp_path: Path) -> None:
    named = programs_in(tmp_path / "assets")

    assert run(tmp_path, KUBEBUILDER_ASSETS=str(named)).stdout == f"{named}\n"


@pytest.mark.parametrize(
    ("cache", "environment", "remedy"),
    [
        pytest.param(
            "",
            {"KUBEBUILDER_ASSETS": "/proc"},
            "add them, or unset the variable to build them",
            id="named folder is empty",
        ),
        pytest.param("file/in/the/way", {}, "set XDG_CACHE_HOME", id="cache cannot be created"),
        pytest.param("", {"KUBE_VERSION": "v1.36"}, "of the form 1.36.3", id="not a version"),
    ],
)
def test_an_error_is_one_line_that_names_a_remedy(
    tmp_path: Path, cache: str, environment: dict[str, str], remedy: str
) -> None:
    (tmp_path / "file").touch()

    done = run(tmp_path / cache, **environment)

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert remedy in done.stderr

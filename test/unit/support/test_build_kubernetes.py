"""What the build script promises without a build: what is there stays, and errors name a remedy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "hack" / "build-kubernetes.sh"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")


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


def test_a_finished_build_is_left_alone(tmp_path: Path) -> None:
    built = programs_in(tmp_path / "aimctl/kubernetes-1.20.2/bin")

    done = run(tmp_path)

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
        pytest.param("file/in/the/way", {}, "set XDG_CACHE_HOME", id="cache cannot be made"),
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

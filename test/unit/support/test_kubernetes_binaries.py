"""Where the programs of the control plane are searched, and the error when they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.kubernetes_binaries import BinariesNotFoundError, find_binaries

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.delenv("KUBE_VERSION", raising=False)
    return tmp_path / "aimctl"


def programs_in(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\necho Kubernetes v1.36.3\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_newest_complete_build_of_the_cache_is_used(cache: Path) -> None:
    programs_in(cache / "kubernetes-1.9.11/bin", *PROGRAMS)
    newest = programs_in(cache / "kubernetes-1.36.3/bin", *PROGRAMS)
    programs_in(cache / "kubernetes-1.37.0/bin", "etcd")

    found = find_binaries()

    assert found.folder == newest
    assert found.version == (1, 36, 3)


def test_a_version_that_the_user_names_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = programs_in(cache / "kubernetes-1.34.3/bin", *PROGRAMS)
    programs_in(cache / "kubernetes-1.36.3/bin", *PROGRAMS)
    monkeypatch.setenv("KUBE_VERSION", "1.34.3")

    assert find_binaries().folder == older


def test_a_folder_that_the_user_names_takes_precedence(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs_in(cache / "kubernetes-1.36.3/bin", *PROGRAMS)
    named = programs_in(tmp_path / "assets", *PROGRAMS)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(named))

    assert find_binaries().folder == named


def test_a_named_folder_with_a_gap_is_an_error_even_if_the_cache_is_whole(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs_in(cache / "kubernetes-1.36.3/bin", *PROGRAMS)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(programs_in(tmp_path / "assets", "etcd", "kube-apiserver")))

    with pytest.raises(BinariesNotFoundError, match="lacks kube-controller-manager"):
        find_binaries()


def test_finding_nothing_says_how_to_build() -> None:
    with pytest.raises(BinariesNotFoundError, match=r"run hack/build-kubernetes\.sh .* KUBEBUILDER_ASSETS"):
        find_binaries()

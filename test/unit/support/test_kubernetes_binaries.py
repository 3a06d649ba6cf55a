"""Where the tests' control plane is looked for, and what is said when it is not there."""

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
    return tmp_path / "aimctl"


def programs_in(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\necho Kubernetes v1.20.2\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_newest_whole_build_of_the_cache_is_taken(cache: Path) -> None:
    programs_in(cache / "kubernetes-1.9.11/bin", *PROGRAMS)
    newest = programs_in(cache / "kubernetes-1.20.2/bin", *PROGRAMS)
    programs_in(cache / "kubernetes-1.31.0/bin", "etcd")

    found = find_binaries()

    assert found.folder == newest
    assert found.version == (1, 20, 2)


def test_a_folder_that_the_user_names_goes_first(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs_in(cache / "kubernetes-1.20.2/bin", *PROGRAMS)
    named = programs_in(tmp_path / "assets", *PROGRAMS)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(named))

    assert find_binaries().folder == named


def test_a_named_folder_with_a_gap_is_an_error_even_if_the_cache_is_whole(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs_in(cache / "kubernetes-1.20.2/bin", *PROGRAMS)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(programs_in(tmp_path / "assets", "etcd", "kube-apiserver")))

    with pytest.raises(BinariesNotFoundError, match="lacks kube-controller-manager"):
        find_binaries()


def test_finding_nothing_says_how_to_build() -> None:
    with pytest.raises(BinariesNotFoundError, match=r"run hack/build-kubernetes\.sh .* KUBEBUILDER_ASSETS"):
        find_binaries()

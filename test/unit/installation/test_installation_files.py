"""config/ and charts/ contain what the types generate, and the kustomize tree contains the manifests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aimctl.api.deployment import DEFAULT_IMAGE
from aimctl.installation.__main__ import main
from aimctl.installation.kustomize import kustomizations
from support.kubectl import kubectl_binary

ROOT = Path(__file__).parents[3]


def files_under(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for top in ("config", "charts")
        for path in (folder / top).rglob("*")
        if path.is_file()
    }


def by_name(texts: Any) -> dict[tuple[str, str], Any]:
    """Documents by kind and name."""
    return {
        (item["kind"], item["metadata"]["name"]): item
        for text in texts
        for item in yaml.load_all(text, yaml.CSafeLoader)
    }


def committed(*folders: str) -> list[str]:
    """The manifests in these folders of config/."""
    return [
        path.read_text() for folder in folders for path in sorted((ROOT / "config" / folder).glob("*.yaml"))
    ]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("config", "charts"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_the_committed_files_are_up_to_date_and_others_are_deleted(copy: Path) -> None:
    for name in ("config/crd/old.yaml", "charts/aimctl/templates/old.yaml"):
        (copy / name).write_text("old: true\n")
    assert main([str(copy)]) == 0
    assert files_under(copy) == files_under(ROOT), "run `make manifests`"


def test_without_a_folder_the_command_prints_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def kustomize(folder: Path) -> dict[tuple[str, str], Any]:
    """What ``kubectl kustomize`` makes of a folder."""
    command = [kubectl_binary(), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return by_name([done.stdout])


def test_the_default_kustomization_contains_the_manifests() -> None:
    assert kustomize(ROOT / "config/default") == by_name(
        committed("crd", "rbac", "manager", "network-policy")
    )


def test_an_overlay_selects_namespace_and_image(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [
                    f"config/{part}" for part in ("rbac", "manager", "network-policy", "prometheus")
                ],
                "namespace": "aim-ops",
                "images": [
                    {"name": DEFAULT_IMAGE.split(":")[0], "newName": "registry.test/aimctl", "newTag": "7"}
                ],
            }
        )
    )
    expected = [
        text.replace("kaiwo-system", "aim-ops").replace(DEFAULT_IMAGE, "registry.test/aimctl:7")
        for text in committed("rbac", "manager", "network-policy", "prometheus")
    ]
    assert kustomize(tmp_path) == by_name(expected)


def test_a_sample_that_is_added_becomes_part_of_the_kustomization() -> None:
    assert kustomize(ROOT / "config/samples").keys() == by_name(committed("samples")).keys()
    assert kustomizations(["samples/mine.yaml"])["samples/Kustomization"].endswith("- mine.yaml\n")

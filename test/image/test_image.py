"""The image of the Dockerfile: what it contains, and that the manager runs from it as its user and read-only."""

from __future__ import annotations

import asyncio
import json
import subprocess
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import pytest

from aimctl import __version__
from support.image import Image, missing_programs
from support.managers import samples_of
from support.ports import reserve_port
from support.served import ServedCluster
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        bool(missing_programs()), reason=f"needs {missing_programs()}: apt-get install buildah debootstrap"
    ),
]

ADDED_MEGABYTES = 130


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with Image() as built:
        yield built


def test_it_has_the_user_of_the_deployment_and_labels_with_the_version(image: Image) -> None:
    config = image.config["config"]
    assert config["User"] == "65532:65532"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__


def test_it_adds_little_and_no_build_tools(image: Image) -> None:
    added = image.folder / "opt" / "aimctl"
    size = sum(path.lstat().st_size for path in added.rglob("*") if not path.is_dir())
    assert size < ADDED_MEGABYTES * 1_000_000
    packages = {path.name.split("-")[0] for path in added.glob("lib/python3*/site-packages/*.dist-info")}
    assert "aimctl" in packages
    assert packages.isdisjoint({"pip", "setuptools", "wheel", "hatchling", "pytest", "mypy", "ruff"})
    assert not (image.folder / "src").exists()
    assert not (image.folder / "wheels").exists()


def test_its_bill_of_materials_lists_what_is_installed(image: Image) -> None:
    folder = image.folder / "opt" / "aimctl"
    bill = json.loads((folder / "share" / "sbom" / "aimctl.cdx.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {(component["name"].lower(), component["version"]) for component in bill["components"]}
    installed = {
        (one.metadata["Name"].lower(), one.version)
        for one in distributions(path=[str(path) for path in folder.glob("lib/python3*/site-packages")])
    }
    assert ("aimctl", __version__) in listed
    assert listed == installed
    assert [one for one in bill["components"] if one["type"] != "library"] == []


def test_the_manager_runs_from_it(image: Image, tmp_path: Path) -> None:
    metrics, probes = reserve_port(), reserve_port()
    try:
        with ServedCluster(tmp_path, pace=0.1) as served:
            kubeconfig = served.kubeconfig().read_text(encoding="utf-8")
            flags = (
                "manager",
                "--leader-elect",
                f"--metrics-bind-address=127.0.0.1:{metrics.number}",
                f"--health-probe-bind-address=127.0.0.1:{probes.number}",
            )
            files = {"kubeconfig": kubeconfig}
            with image.run(*flags, files=files, directory=tmp_path, KUBECONFIG="/run/kubeconfig") as process:
                ready = f"http://127.0.0.1:{probes.number}/readyz"
                eventually(lambda: fetch(ready), 60, "the manager is ready", otherwise=process.log_tail)
                page = fetch(f"http://127.0.0.1:{metrics.number}/metrics")
                assert [name for name in samples_of(page) if f'version="{__version__}"' in name]
                status = process_status(process.pid)
                assert status["Uid"].split() == ["65532"] * 4
                assert int(status["CapEff"], 16) == 0
                assert asyncio.run(process.terminate()) == 0
            first = json.loads(process.log.read_text(encoding="utf-8").splitlines()[0])
            assert first["version"] == __version__
    finally:
        metrics.release()
        probes.release()


def process_status(pid: int | None) -> dict[str, str]:
    lines = subprocess.run(["cat", f"/proc/{pid}/status"], capture_output=True, text=True, check=True).stdout
    return dict(line.split(":", 1) for line in lines.splitlines())


def fetch(url: str) -> str:
    """The body of a successful response, otherwise ""."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""

"""``docs/architecture.md`` matches the source: its diagrams are up to date, and it describes every package."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.devcluster import DevCluster
from aimctl.runtime.manager import Manager
from aimctl.testing import virtual_clock

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NUMBERS = {7: "seven", 8: "eight", 9: "nine", 10: "ten"}


@pytest.fixture(scope="module")
def diagrams():
    """The module in hack/, which is not a package."""
    sys.path.insert(0, str(ROOT / "hack"))
    try:
        yield importlib.import_module("diagrams")
    finally:
        sys.path.remove(str(ROOT / "hack"))


def contract(**settings):
    return {"name": "Layers", "type": "layers", **settings}


def test_the_diagrams_are_up_to_date():
    done = subprocess.run(
        [sys.executable, "hack/diagrams.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_package_of_the_layers_is_described(diagrams):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    diagrammed = {
        layers.name: layers for each in settings["contracts"] for layers in diagrams.layers_of(each)
    }
    described = re.findall(r"^\| `(aimctl[\w.]*)` \|", TEXT, re.MULTILINE)
    assert set(diagrammed["Packages"].packages) <= set(described)
    runtime = diagrammed["Packages of the runtime"].packages
    start = described.index("aimctl.runtime") + 1
    assert set(described[start : start + len(runtime)]) == set(runtime)
    assert f"consists of the next {NUMBERS[len(runtime)]} packages" in TEXT


def test_the_table_of_the_repository_names_every_package_of_the_runtime():
    row = re.search(r"^\| `src/aimctl/runtime` \| (.+) \|$", CONTRIBUTING, re.MULTILINE)
    packages = {path.parent.name for path in (ROOT / "src/aimctl/runtime").glob("*/__init__.py")} | {"clock"}
    assert row is not None
    assert set(re.findall(r"`(\w+)`", row[1])) == packages


async def test_every_reconciler_is_described():
    cluster = DevCluster(clock=virtual_clock())
    manager = Manager(cluster.transport(), clock=virtual_clock())
    add_controllers(manager, OperatorOptions())
    table = TEXT.split("| controller |")[1].split("\n\n")[0]
    described = {
        name for line in table.splitlines()[2:] for name in re.findall(r"`([a-z-]+)`", line.split("|")[1])
    }
    assert described == set(manager.controllers)


def test_imports_that_follow_from_others_are_not_drawn(diagrams):
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}
    assert diagrams.reduced(edges) == {("a", "b"), ("b", "c"), ("a", "d")}


def test_a_layer_can_have_several_packages(diagrams):
    (layers,) = diagrams.layers_of(contract(layers=["p.top", "p.left | p.right", "(p.bottom)"]))
    assert layers.rows == (("p.top",), ("p.left", "p.right"), ("p.bottom",))


def test_the_packages_of_a_container_have_its_name(diagrams):
    (layers,) = diagrams.layers_of(contract(layers=["b", "a"], containers=["p"]))
    assert layers.packages == ("p.b", "p.a")


def test_other_contracts_have_no_diagram(diagrams):
    assert list(diagrams.layers_of({"name": "x", "type": "forbidden"})) == []


def test_a_flowchart_has_a_node_for_each_package_and_an_arrow_for_each_import(diagrams):
    (layers,) = diagrams.layers_of(contract(layers=["p.top", "p.bottom"]))
    assert diagrams.mermaid(layers, [("p.top", "p.bottom")]).splitlines() == [
        "```mermaid",
        "flowchart TD",
        '    p_top["p.top"]',
        '    p_bottom["p.bottom"]',
        "    p_top --> p_bottom",
        "```",
    ]

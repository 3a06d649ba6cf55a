"""``docs/installing.md`` lists the values, folders and commands that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import typer

from aimctl.cli.app import app
from aimctl.cli.commands.manifests import Part
from aimctl.installation.kustomize import DEFAULT_FOLDERS
from support.chart_values import values_rows

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined] # a group of commands


def rows(head: str) -> str:
    """The rows of the table with this head."""
    return TEXT.split(f"{head}\n")[1].split("\n", 1)[1].split("\n\n")[0]


def test_the_table_of_values_is_that_of_the_chart() -> None:
    table = "\n".join(
        f"| `{path}` | `{json.dumps(default)}` | {description.removesuffix('.')} |"
        for path, default, description in values_rows()
    )
    assert rows("| value | default | meaning |") == table


def test_every_folder_of_the_kustomize_tree_is_described() -> None:
    described = re.findall(r"^\| `([a-z-]+)` \|", rows("| folder | contents |"), re.MULTILINE)
    assert set(described) == {path.name for path in (ROOT / "config").iterdir()}
    assert set(re.findall("`([a-z-]+)`", rows("| folder | contents |").splitlines()[0])) == {
        "default",
        *DEFAULT_FOLDERS,
    }


def test_every_command_and_part_exists() -> None:
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    commands = set(re.findall(r"(?:^|\| )aimctl ([a-z]+)", blocks, re.MULTILINE))
    assert commands
    assert commands <= COMMANDS.keys()
    parts = set(re.findall(r"aimctl manifests ([a-z][a-z-]*)[ `]", TEXT))
    assert {"crd", "chart", "prometheus"} <= parts
    assert parts <= set(Part)

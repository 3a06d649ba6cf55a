"""The pages on fields, commands and metrics, and the runbook, are up to date, and complete."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from aimctl.api.kinds import KINDS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def reference():
    """The module in hack/, which is not a package."""
    sys.path.insert(0, str(ROOT / "hack"))
    try:
        yield importlib.import_module("operator_reference")
    finally:
        sys.path.remove(str(ROOT / "hack"))


@pytest.fixture(scope="module")
def texts(reference):
    return reference.pages()


@pytest.mark.parametrize("name", ["fields.md", "commands.md", "metrics.md", "runbook.md"])
def test_a_page_is_up_to_date(texts, name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == texts[name], "run `make docs`"


def test_every_field_has_a_type_and_a_description(texts):
    rows = re.findall(
        r"^\| `((?:spec|status)\.[^`]+)` \| (.*?) \| (.*) \|$", texts["fields.md"], re.MULTILINE
    )
    assert len(rows) > 100
    assert [name for name, kind, description in rows if not kind or not description] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_a_spec_is_listed(texts, kind):
    section = texts["fields.md"].split(f"\n## {kind.name}\n")[1].split("\n## ")[0]
    same = re.search(r"It has the fields of \[(\w+)\]", section)
    if same:
        section = texts["fields.md"].split(f"\n## {same[1]}\n")[1].split("\n## ")[0]
    (version,) = kind.crd()["spec"]["versions"]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"].get("properties", {})
    assert fields
    assert {f"spec.{name}" for name in fields} <= set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def test_every_flag_and_every_metric_has_a_meaning(texts):
    for name in ("commands.md", "metrics.md"):
        rows = [line.rstrip(" |").split(" | ") for line in texts[name].splitlines() if line.startswith("| `")]
        assert len(rows) > 40
        assert [row[0] for row in rows if len(row) < 2 or not row[-1].strip()] == []


def test_check_reports_pages_that_are_out_of_date(reference, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0

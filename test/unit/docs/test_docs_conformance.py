"""``docs/conformance.md`` and the end-to-end tests agree on which test covers which requirement."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (.+) \| `(test/e2e/test_\w+\.py)::(test_\w+)`(?: \(.+\))? \|$")


def table() -> dict[int, tuple[str, str]]:
    """The rows of the page: number -> file and test."""
    rows = {}
    for line in TEXT.splitlines():
        if re.match(r"\| \d", line):
            row = ROW.match(line)
            assert row is not None, f"a row of docs/conformance.md names no test: {line}"
            rows[int(row[1])] = (row[3], row[4])
    return rows


def labels() -> dict[int, set[tuple[str, str]]]:
    """The same from the docstrings of the tests, such as ``Document 3, 9.``"""
    found = defaultdict(set)
    for path in sorted((ROOT / "test" / "e2e").glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                label = re.match(r"Document ((?:\d+, )*\d+)\.", ast.get_docstring(node) or "")
                for number in label[1].split(", ") if label else ():
                    found[int(number)].add((str(path.relative_to(ROOT)), node.name))
    return found


def test_the_rows_are_numbered_without_a_gap() -> None:
    assert list(table()) == list(range(1, len(table()) + 1))
    assert len(table()) >= 100


def test_each_row_names_a_test_that_names_the_row() -> None:
    labelled = labels()
    assert {number: row for number, row in table().items() if labelled.get(number) != {row}} == {}


def test_no_test_names_a_missing_row() -> None:
    assert set(labels()) <= set(table())

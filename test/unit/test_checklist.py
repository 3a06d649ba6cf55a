"""Two lists of required behaviour of the runtime; each entry has a test.

* The checklist: 131 statements about the behaviour of client-go and controller-runtime. The numbers below are
  required here. The docstring of a test for statement N begins with ``Checklist N:``.
* The fault contract: faults of networks and servers during a watch. The docstrings begin with ``Fault N:``.

The tests are parsed, not run.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]

CHECKLIST = (
    *range(1, 25),  # queue, delays, limiters
    *range(39, 52),  # reflector
    *range(61, 70),  # changes and sync
    *range(91, 102),  # controller
    *range(109, 125),  # leader election, manager
)

FAULTS = {
    1: "the server closes cleanly after timeoutSeconds",
    2: "a half-open connection without a byte",
    3: "the end in the middle of a line",
    4: "events of 3 and 5 MB, and one above the cap",
    5: "410 as HTTP status, as ERROR event, as a bare Status",
    6: "410 again and again",
    7: "429 and 503 with Retry-After",
    8: "401",
    9: "403 on one kind",
    10: "an expired page token",
    11: "nothing but bookmarks",
    12: "versions that go back, replays",
    13: "delete and recreate between two events",
    14: "a slow consumer",
    15: "150 watched kinds",
    16: "cancellation at any await",
    17: "a CRD that goes and comes",
}

_LABEL = re.compile(r"(Checklist|Fault) (\d+): \S")
_FURTHER = re.compile(r"(?<=[.;] )(\d+): \S")
"""A second statement in one docstring."""


def labelled() -> dict[tuple[str, int], list[str]]:
    """The tests of each entry, as ``file::name``."""
    found: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, text in _docstrings(path):
            label = _LABEL.match(text)
            if label is not None:
                numbers = [label[2], *_FURTHER.findall(text)]
                for number in numbers:
                    found[label[1], int(number)].append(f"{path.relative_to(TESTS)}::{name}")
    return found


def _docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Names and docstrings of the tests in a file: functions of the module and of ``Test`` classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    scopes = [tree.body, *(one.body for one in tree.body if isinstance(one, ast.ClassDef))]
    for body in scopes:
        for one in body:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_"):
                yield one.name, ast.get_docstring(one) or ""


@pytest.fixture(scope="module")
def tests() -> dict[tuple[str, int], list[str]]:
    return labelled()


@pytest.mark.parametrize("number", CHECKLIST)
def test_every_statement_of_the_checklist_has_a_test(
    tests: dict[tuple[str, int], list[str]], number: int
) -> None:
    assert tests.get(("Checklist", number)), f"no test's docstring begins with 'Checklist {number}:'"


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: FAULTS[number])
def test_every_row_of_the_fault_contract_has_a_test(
    tests: dict[tuple[str, int], list[str]], number: int
) -> None:
    assert tests.get(("Fault", number)), f"no test's docstring begins with 'Fault {number}:'"


def test_the_names_of_these_tests_are_sentences(tests: dict[tuple[str, int], list[str]]) -> None:
    names = {test.partition("::")[2] for group in tests.values() for test in group}
    assert [name for name in sorted(names) if len(name.split("_")) < 5] == []


def test_no_test_claims_an_entry_that_does_not_exist(tests: dict[tuple[str, int], list[str]]) -> None:
    known = {("Checklist", number) for number in range(1, 132)} | {("Fault", number) for number in FAULTS}
    assert {label: group for label, group in tests.items() if label not in known} == {}


def test_the_reader_of_docstrings_finds_methods_second_statements_and_nothing_else(tmp_path: Path) -> None:
    source = (
        'def test_a_b_c_d():\n    """Checklist 1: one. 2: two."""\n'
        'class Test:\n    async def test_e_f_g_h(self):\n        """Fault 3: it."""\n'
        'def helper():\n    """Checklist 9: no test."""\n'
    )
    file = tmp_path / "test_x.py"
    file.write_text(source)
    assert dict(_docstrings(file)) == {
        "test_a_b_c_d": "Checklist 1: one. 2: two.",
        "test_e_f_g_h": "Fault 3: it.",
    }
    assert _FURTHER.findall("Checklist 1: one. 2: two.") == ["2"]
    assert _LABEL.match("Checklist 1:") is None

"""Two lists of required behaviour of the runtime; each entry has a test.

* The checklist: 131 statements about the behaviour of client-go and controller-runtime, in ``support.checklist``. The
  docstring of a test for statement N begins with ``Checklist N:``.
* The fault contract: faults of networks and servers during a watch. The docstrings begin with ``Fault N:``.

The tests are parsed, not run.
"""

from __future__ import annotations

import pytest

from support.checklist import (
    AREAS,
    DECISIONS,
    NOT_APPLICABLE,
    PAGE,
    docstrings,
    labelled,
    labels,
    page,
    statements,
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

Tests = dict[tuple[str, int], list[str]]


@pytest.fixture(scope="module")
def tests() -> Tests:
    return labelled()


def test_the_checklist_has_131_statements_in_order() -> None:
    assert list(statements()) == list(range(1, 132))
    assert len(set(statements().values())) == 131
    assert sum(len(rows) for rows in AREAS.values()) == 131


@pytest.mark.parametrize("number", sorted(statements().keys() - NOT_APPLICABLE.keys()))
def test_every_applicable_statement_has_a_test(tests: Tests, number: int) -> None:
    assert tests.get(("Checklist", number)), f"no test's docstring begins with 'Checklist {number}:'"


def test_a_statement_that_is_not_applicable_has_a_reason_and_no_test(tests: Tests) -> None:
    assert [number for number in NOT_APPLICABLE if tests.get(("Checklist", number))] == []


def test_a_statement_is_either_decided_otherwise_or_not_applicable_with_a_sentence() -> None:
    assert DECISIONS.keys() & NOT_APPLICABLE.keys() == set()
    texts = {**DECISIONS, **NOT_APPLICABLE}
    assert texts.keys() <= statements().keys()
    assert [text for text in (*texts.values(), *statements().values()) if not text.endswith(".")] == []


def test_the_page_of_the_documentation_is_up_to_date(tests: Tests) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(tests), "run `make checklist`"


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: FAULTS[number])
def test_every_row_of_the_fault_contract_has_a_test(tests: Tests, number: int) -> None:
    assert tests.get(("Fault", number)), f"no test's docstring begins with 'Fault {number}:'"


def test_the_names_of_these_tests_are_sentences(tests: Tests) -> None:
    names = {test.rpartition("::")[2] for group in tests.values() for test in group}
    assert [name for name in sorted(names) if len(name.split("_")) < 5] == []


def test_no_test_claims_an_entry_that_does_not_exist(tests: Tests) -> None:
    known = {("Checklist", number) for number in statements()} | {("Fault", number) for number in FAULTS}
    assert {label: group for label, group in tests.items() if label not in known} == {}


def test_the_reader_of_docstrings_finds_methods_and_nothing_else(tmp_path) -> None:
    source = (
        'def test_a_b_c_d():\n    """Checklist 1: one. 2: two."""\n'
        'class Test:\n    async def test_e_f_g_h(self):\n        """Fault 3: it."""\n'
        'def helper():\n    """Checklist 9: no test."""\n'
    )
    file = tmp_path / "test_x.py"
    file.write_text(source)
    assert dict(docstrings(file)) == {
        "test_a_b_c_d": "Checklist 1: one. 2: two.",
        "test_e_f_g_h": "Fault 3: it.",
    }


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Checklist 1: one. 2: two; 33: three.", [("Checklist", 1), ("Checklist", 2), ("Checklist", 33)]),
        ("Fault 3: it.", [("Fault", 3)]),
        ("Checklist 1:", []),
        ("A test. Checklist 1: one.", []),
    ],
    ids=["several", "fault", "without a text", "not at the beginning"],
)
def test_the_labels_of_a_docstring(docstring: str, expected: list[tuple[str, int]]) -> None:
    assert labels(docstring) == expected


def test_the_page_shows_the_tests_and_what_differs() -> None:
    text = page({("Checklist", 2): ["test/a.py::test_b", "test/c.py::test_d"]})
    rows = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == 131
    assert rows[1].endswith("|  | `test/a.py::test_b`<br>`test/c.py::test_d` |")
    for number, decision in DECISIONS.items():
        assert decision in rows[number - 1]
    for number, reason in NOT_APPLICABLE.items():
        assert f"Not applicable: {reason}" in rows[number - 1]

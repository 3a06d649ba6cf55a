"""Tables, paragraphs and values as text: everything fits the width, and no text from the cluster is executed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from aimctl.api.v1alpha1 import CacheState, ModelState, ServiceState, TemplateState
from aimctl.cli.questions.health import Health, Node
from aimctl.cli.rendering.levels import Level, level_of
from aimctl.cli.rendering.tables import Cell, cut, paragraph, table, walk
from aimctl.cli.rendering.values import clean, clean_lines, duration

LONG = "a-very-long-name-of-a-template-throughput-ovr-8fa3c921"


def plain(rows):
    return [row.plain for row in rows]


def node(name, *children):
    return Node(Health("AIMModel", "team", name, "Ready", Level.GOOD), children)


def test_guides_lead_from_each_node_to_those_below_it():
    tree = node("a", node("b", node("c")), node("d"))
    assert [f"{first}{one.health.name}" for one, first, _ in walk(tree)] == ["a", "├─ b", "│  └─ c", "└─ d"]


def test_the_guides_continue_where_a_name_is_folded():
    tree = node("root", node(LONG), node("last"))
    cells = [[Cell(one.health.name, "", first, rest), "x"] for one, first, rest in walk(tree)]
    rows = plain(table(("NAME", "X"), cells, 30))
    assert [row[:3] for row in rows] == ["NAM", "roo", "├─ ", "│  ", "│  ", "└─ "]
    assert all(cell_len(row) <= 30 for row in rows)


@pytest.mark.parametrize("width", [20, 40, 60])
def test_columns_never_touch_however_deep_the_tree_and_narrow_the_terminal(width):
    tree = node("root", node(LONG, node(LONG, node(LONG))))
    cells = [[Cell(one.health.name, "", first, rest), "Available", "1m"] for one, first, rest in walk(tree)]
    rows = plain(table(("NAME", "STATE", "AGE"), cells, width))
    assert sum("  Available  1m" in row for row in rows) == 4


def test_a_reason_is_broken_between_its_words():
    rows = plain(table(("NAME", "REASON"), [["name", "TemplateSelectionAmbiguous"]], 18))
    assert [row.split()[-1] for row in rows] == ["REASON", "Template", "Selection", "Ambiguous"]


def test_columns_are_folded_only_if_they_do_not_fit():
    rows = [["1", f"team/{LONG}", "3s"]]
    assert len(table(("PLACE", "WAITS", "FOR"), rows, None)) == 2
    folded = plain(table(("PLACE", "WAITS", "FOR"), rows, 40))
    assert len(folded) > 2
    assert max(len(row) for row in folded) <= 40
    assert LONG in "".join("".join(folded[1:]).replace("1", "", 1).replace("3s", "").split())


def test_a_list_is_folded_before_a_name_is_broken():
    names = [f"team/a-service-{number}" for number in range(6)]
    folded = plain(table(("NAME", "BY"), [["team/a-template-of-some-length", ", ".join(names)]], 60))
    assert max(len(row) for row in folded) <= 60
    assert sum("team/a-template-of-some-length" in row for row in folded) == 1
    assert all(any(name in row for row in folded) for name in names)


@given(st.text(max_size=200), st.integers(20, 120))
def test_a_paragraph_keeps_every_word_within_the_width(text, width):
    rows = plain(paragraph(text, width, indent="  "))
    assert all(cell_len(row) <= max(22, width) for row in rows)
    assert "".join(row[2:] for row in rows).replace(" ", "") == clean(text).replace(" ", "")


def test_without_a_width_nothing_is_wrapped():
    assert len(paragraph("word " * 400, None)) == 1


def test_a_line_that_is_cut_shows_it():
    assert cut(Text("abcdef"), 4).plain == "abc…"
    assert cut(Text("abcdef"), 6).plain == cut(Text("abcdef"), None).plain == "abcdef"


@pytest.mark.parametrize(
    ("width", "text"), [(17, "the Secret does…"), (16, "the Secret does…"), (15, "the Secret…")]
)
def test_a_line_is_cut_between_two_words(width, text):
    assert cut(Text("the Secret does not exist"), width).plain == text


@given(st.text())
def test_no_control_character_remains(text):
    assert all(ord(mark) >= 32 and not 127 <= ord(mark) < 160 for mark in clean(text))


def test_escape_sequences_and_markup_are_shown_and_not_executed():
    bad = "\x1b[31mred\x1b[0m [bold]text[/bold]\r\nnext"
    for rows in (paragraph(bad, 120), table(("X",), [[bad]], None)):
        text = "\n".join(plain(rows))
        assert "\x1b" not in text
        assert "[bold]text[/bold] next" in text


DURATIONS = {
    0: "0s",
    119.9: "119s",
    120: "2m",
    125: "2m5s",
    601: "10m",
    3 * 3600: "3h",
    49 * 3600: "2d",
    None: "-",
}


@pytest.mark.parametrize("seconds", DURATIONS)
def test_durations_are_short(seconds):
    assert duration(seconds) == DURATIONS[seconds]


@pytest.mark.parametrize("state", [*CacheState, *ModelState, *ServiceState, *TemplateState])
def test_each_state_of_the_operator_has_a_level(state):
    assert level_of(state) is not Level.UNKNOWN


def test_lines_of_a_log_keep_their_breaks_and_contain_no_control_characters():
    text = "50 %\r100 %\n\tdone\x1b[2J\x9b1m\u202e\n"
    assert clean_lines(text) == "50 %\n100 %\n\tdone\ufffd[2J\ufffd1m\ufffd\n"

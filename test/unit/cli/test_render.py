"""Layout: everything fits the width, nothing is lost, nothing of the cluster's texts is obeyed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from aimctl.cli.lines import Level, Line, Progress, brief, clean, level_of, size, span
from aimctl.cli.render import explanation, paragraph, summary, table, tree


def age(created):
    return 75.0 if created else None


def line(name="llama", *children, kind="AIMServiceTemplate", state="Ready", reason="", **fields):
    return Line(kind, "team", name, state, level_of(state), reason, created="x", children=children, **fields)


LONG = "a-very-long-name-of-a-template-that-somebody-has-given-it-throughput-ovr-8fa3c921"
FOREST = [
    (
        "Services",
        [
            line(
                "chat",
                line(
                    LONG,
                    line("discover", kind="Job", state="Running", note="discovery"),
                    line(
                        "llama",
                        line(
                            "weights",
                            kind="AIMModelCache",
                            state="Progressing",
                            reason="Downloading",
                            note="hf://meta-llama/Llama-3.1-8B-Instruct",
                            progress=Progress(43, 43, 100),
                        ),
                        kind="AIMTemplateCache",
                        state="Progressing",
                        reason="Warming",
                    ),
                    state="Pending",
                    reason="AwaitingDiscovery",
                    note="derived from llama-3-8b",
                ),
                kind="AIMService",
                state="Starting",
                reason="TemplateNotReady",
            )
        ],
    ),
    ("Models", [line(kind="AIMModel")]),
]


def plain(rows):
    return [row.plain for row in rows]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_a_tree_fits_the_width_and_keeps_every_word(width):
    rows = plain(tree(FOREST, width, age))
    assert max(cell_len(row) for row in rows) <= width
    text = "".join("".join(rows).replace("│", "").split())
    for word in (
        "servicechat",
        "Starting",
        "TemplateNotReady",
        "AwaitingDiscovery",
        "Warming",
        "Downloading43%",
        "Pending",
        "Models",
        "discoveryjob",
        "75s",
    ):
        assert word in text, word


def test_in_a_pipe_a_row_is_a_line_with_everything_in_it():
    rows = plain(tree(FOREST, None, age))
    (row,) = [row for row in rows if LONG in row]
    for word in ("derived from llama-3-8b", "Pending", "AwaitingDiscovery", "75s"):
        assert word in row
    assert rows[0].split() == ["Services", "AGE"]
    assert rows[1].startswith("service chat")


def test_the_columns_of_a_wide_tree_are_aligned():
    rows = [row for row in plain(tree(FOREST, None, age)) if row.endswith("75s")]
    assert len({row.rindex("75s") for row in rows}) == 1


@pytest.mark.parametrize("width", [40, 80, None])
def test_the_last_column_has_its_name_above_it(width):
    title = "Templates that no service uses (a-namespace)"
    for groups in (FOREST, [(title, [line("x")])]):
        rows = plain(tree(groups, width, age))
        start = rows[0].rindex("AGE")
        assert {row.rindex("75s") for row in rows if row.endswith("75s")} == {start}
        assert groups[0][0] in rows[:2][rows[0].strip() == "AGE"]


def test_guides_lead_from_each_line_to_those_below_it():
    rows = plain(tree([("", [line("a", line("b", line("c")), line("d"))])], None, age))[1:]
    assert [row[:16].rstrip() for row in rows] == [
        "template a",
        "├─ template b",
        "│  └─ template c",
        "└─ template d",
    ]


def test_nothing_gives_no_rows():
    assert tree([("Services", [])], 80, age) == []


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_an_explanation_fits_but_for_commands_which_are_to_be_copied(width):
    root = line(
        "llama",
        line("m", kind="AIMModel", state="Missing", reason="ModelNotFound", message="there is none " * 12),
        state="Pending",
        reason="ModelNotFound",
        message="no AIMModel of that name",
        commands=("kubectl get aimmdl,aimclmdl -n a-namespace-with-a-rather-long-name --show-labels",),
    )
    rows = plain(explanation(root, width, age))
    assert all(cell_len(row) <= width for row in rows if "$ " not in row)
    (command,) = [row for row in rows if "$ " in row]
    assert command.endswith("$ " + root.commands[0])


def test_what_is_well_is_told_in_one_line():
    rows = plain(explanation(line(message="1 model source known", reason="ProfilesDiscovered"), 80, age))
    assert rows == ["AIMServiceTemplate team/llama  Ready"]


def test_columns_are_folded_only_where_they_must_be():
    rows = [["1", "team/" + LONG, "3s"]]
    assert len(table(("PLACE", "WAITS", "FOR"), rows, None)) == 2
    folded = plain(table(("PLACE", "WAITS", "FOR"), rows, 40))
    assert len(folded) > 2
    assert max(len(row) for row in folded) <= 40
    assert LONG.replace("-", "") in "".join(row[5:].split("3s")[0].strip() for row in folded[1:]).replace(
        "-", ""
    )


def test_of_lists_and_names_the_list_is_folded_and_its_names_stay_whole():
    names = [f"team/a-service-{number}" for number in range(6)]
    folded = plain(table(("NAME", "BY"), [["team/a-template-of-some-length", ", ".join(names)]], 60))
    assert max(len(row) for row in folded) <= 60
    assert sum("team/a-template-of-some-length" in row for row in folded) == 1
    assert all(any(name in row for row in folded) for name in names)


def test_an_address_that_does_not_fit_beside_its_object_stays_whole_below():
    url = "http://an-assistant-of-a-team-ml-serving.example.com"
    service = line("chat", line("chat", kind="InferenceService", note=url), kind="AIMService")
    rows = plain(tree([("", [service])], 70, age))
    assert sum(url in row for row in rows) == 1


@given(st.text(max_size=200), st.integers(20, 120))
def test_a_paragraph_keeps_every_word_within_the_width(text, width):
    rows = plain(paragraph(text, width, "> ", "  "))
    assert all(cell_len(row) <= max(22, width) for row in rows)
    words = "".join(row[2:] for row in rows).replace(" ", "")
    assert words == clean(text).replace(" ", "")


@given(st.text())
def test_no_control_character_gets_through(text):
    assert all(ord(mark) >= 32 and not 127 <= ord(mark) < 160 for mark in clean(text))


def test_escape_sequences_and_markup_of_the_cluster_are_shown_and_not_obeyed():
    bad = line(message="\x1b[31mred\x1b[0m [bold]text[/bold]\r\nnext", state="Failed", reason="X")
    text = "\n".join(plain(explanation(bad, 120, age)))
    assert "\x1b" not in text
    assert "[bold]text[/bold] next" in text


def test_of_a_message_that_is_cut_the_remedy_stays():
    remedy = "name one in spec.templateRef"
    text = f"{'many templates fit ' * 20}; {remedy}"
    assert brief(text, 160).endswith(f"...; {remedy}")
    assert len(brief(text, 160)) <= 160
    assert brief(text, None) == text.strip()
    assert brief("x" * 300, 160) == "x" * 157 + "..."
    assert brief(f"x; {'y' * 300}", 160).endswith("yyy..."), "a remedy that would leave no room is cut itself"


def test_a_message_that_is_told_below_again_is_shortened_for_a_terminal_only():
    message = f"{'no node is free ' * 20}; add one"
    root = line("a", line("b", state="Failed", message="x"), state="Failed", message=message)
    assert message in "\n".join(plain(explanation(root, None, age)))
    shown = " ".join(row.strip("│ ") for row in plain(explanation(root, 80, age)))
    assert message not in shown
    assert "...; add one" in shown


SPANS = {0: "0s", 119.9: "119s", 120: "2m", 125: "2m5s", 601: "10m", 3 * 3600: "3h", 49 * 3600: "2d"}


@pytest.mark.parametrize("seconds", SPANS)
def test_durations_are_short(seconds):
    assert span(seconds) == SPANS[seconds]


def test_a_duration_that_is_not_known_is_a_dash():
    assert span(None) == "-"


SIZES = {0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 16 * 1024**3: "16.0 GiB", 2**60: "1024.0 PiB"}


@pytest.mark.parametrize("count", SIZES)
def test_bytes_are_for_people(count):
    assert size(count) == SIZES[count]


def test_a_summary_counts_and_puts_the_most_common_state_first():
    states = {"AIMService": {"Starting": 1, "Running": 3}, "AIMServiceTemplate": {"Ready": 1}}
    assert summary(states) == "4 services: 3 Running, 1 Starting; 1 template: 1 Ready"
    assert summary({}) == ""


def test_no_state_of_ours_is_unknown_to_the_colours():
    from aimctl.api.v1alpha1 import CacheState, ModelState, ServiceState, TemplateState

    for state in (*CacheState, *ModelState, *ServiceState, *TemplateState):
        assert level_of(state) is not Level.UNKNOWN, state

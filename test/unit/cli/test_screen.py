"""Pages on a terminal, in a file and in a pipe."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
import yaml
from rich.text import Text

from aimctl.cli.rendering.screens import Format, Page, Screen
from aimctl.cli.rendering.scrolling import Keys, Window

PAGE = Page(
    {"schema": "x/v1", "name": "é"},
    lambda _: [Text(f"row {number} é") for number in range(9)],
    notes=("you may not",),
    foot=lambda _: [Text("in all")],
)


@pytest.fixture
def out(monkeypatch):
    def replace(encoding="utf-8"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", stream)
        return stream

    monkeypatch.delenv("COLUMNS", raising=False)
    return replace


def written(stream):
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)


def test_all_rows_the_foot_and_the_notes_are_written(out):
    stream = out()
    Screen(Format.table).show(PAGE)
    assert written(stream).splitlines() == [
        *(f"row {number} é" for number in range(9)),
        "in all",
        "",
        "you may not",
    ]


def test_without_room_rows_are_left_out_and_the_foot_is_not(out):
    out()
    lines = Screen(Format.table).excerpt(PAGE, 8).plain.splitlines()
    assert lines == ["row 0 é", "row 1 é", "row 2 é", "lines 1-3 of 9", "in all", "", "you may not"]
    assert len(Screen(Format.table).excerpt(PAGE, 1).plain.splitlines()) >= 4, "the foot is never cut"


def test_without_room_what_is_not_ready_comes_first(out):
    out()
    page = replace(PAGE, worst_first=lambda _: [Text(f"row {number}") for number in reversed(range(9))])
    assert Screen(Format.table).excerpt(page, 8).plain.startswith("row 8\nrow 7\nrow 6\nlines 1-3 of 9\n")
    assert Screen(Format.table).excerpt(page, 40).plain.startswith("row 0"), "with room it is the usual order"


def test_a_window_selects_the_rows_and_stays_within_them(out):
    out()
    screen, window = Screen(Format.table), Window()

    def rows(page=PAGE, height=8):
        return [
            line
            for line in screen.excerpt(page, height, "", window, "q quits").plain.splitlines()
            if "row" in line
        ]

    assert rows() == ["row 0 é", "row 1 é", "row 2 é"]
    window.move("down")
    assert rows() == ["row 1 é", "row 2 é", "row 3 é"]
    window.move("page-down")
    assert rows() == ["row 3 é", "row 4 é", "row 5 é"]
    window.move("bottom")
    assert rows() == ["row 6 é", "row 7 é", "row 8 é"]
    assert "lines 7-9 of 9; q quits" in screen.excerpt(PAGE, 8, "", window, "q quits").plain
    assert rows(height=10) == [f"row {number} é" for number in range(4, 9)], "a taller terminal shows more"
    shorter = replace(PAGE, rows=lambda _: [Text("row 0 é"), Text("row 1 é")])
    assert rows(shorter) == ["row 0 é", "row 1 é"]
    assert rows() == ["row 0 é", "row 1 é", "row 2 é"]
    window.move("up")
    assert rows() == ["row 0 é", "row 1 é", "row 2 é"]


KEYS = {
    "j": "down", "\x1b[B": "down", "\x1bOB": "down", "\n": "down", "k": "up", "\x1b[A": "up",
    " ": "page-down", "\x1b[6~": "page-down", "b": "page-up", "\x1b[5~": "page-up",
    "g": "top", "\x1b[H": "top", "G": "bottom", "\x1b[F": "bottom", "q": "quit",
}  # fmt: skip


def test_keys_are_recognised_however_they_are_split_and_others_ignored():
    assert Keys()("".join(KEYS)) == list(KEYS.values())
    keys = Keys()
    assert [command for char in "".join(KEYS) for command in keys(char)] == list(KEYS.values())
    assert Keys()("x\x1b[15~\x1b[200~ é\x1b[1;5C") == ["page-down"]
    assert keys("\x1b[" + "1;" * 50 + "j") == ["down"]


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "…"), ("ascii", "...")])
def test_only_a_live_view_cuts_rows_and_marks_them(out, monkeypatch, encoding, mark):
    out(encoding)
    monkeypatch.setenv("COLUMNS", "30")
    page = Page({}, lambda _: [Text("$ kubectl get pods --and-much-more"), Text("short")])
    screen = Screen(Format.table)
    cut, short = screen.excerpt(page, 20).plain.splitlines()
    assert len(cut) <= 30
    assert cut.endswith(mark)
    assert short == "short"
    assert screen.text(page).plain.splitlines()[0].endswith("--and-much-more")


def test_trouble_is_shown_in_full_before_a_live_view(out, monkeypatch):
    out()
    monkeypatch.setenv("COLUMNS", "30")
    trouble = "as of then: cannot reach the API server: refused. Is it the right cluster, and is it up?"
    lines = Screen(Format.table).excerpt(PAGE, 14, trouble).plain.splitlines()
    assert " ".join(lines[: lines.index("")]) == trouble
    assert len(lines) <= 14
    assert "in all" in lines


def test_documents_have_the_data_and_no_notes(out):
    for format_, load in ((Format.json, json.loads), (Format.yaml, yaml.safe_load)):
        stream = out()
        Screen(format_).show(PAGE)
        assert load(written(stream)) == PAGE.data


@pytest.mark.parametrize("format_", Format)
def test_an_ascii_stream_gets_ascii(out, format_):
    stream = out("ascii")
    Screen(format_).show(PAGE)
    assert written(stream).isascii()


def test_columns_sets_the_width(out, monkeypatch):
    out()
    assert Screen(Format.table).width is None
    monkeypatch.setenv("COLUMNS", "44")
    assert Screen(Format.table).width == 44
    monkeypatch.setenv("COLUMNS", "many")
    assert Screen(Format.table).width is None

"""Pages on a terminal, in a file and in a pipe."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
import yaml
from rich.text import Text

from aimctl.cli.rendering.screens import Format, Page, Screen

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
    assert lines == ["row 0 é", "row 1 é", "row 2 é", "... 6 more lines", "in all", "", "you may not"]
    assert len(Screen(Format.table).excerpt(PAGE, 1).plain.splitlines()) >= 4, "the foot is never cut"


def test_without_room_what_is_not_ready_comes_first(out):
    out()
    page = replace(PAGE, worst_first=lambda _: [Text(f"row {number}") for number in reversed(range(9))])
    assert Screen(Format.table).excerpt(page, 8).plain.startswith("row 8\nrow 7\nrow 6\n... 6 more lines\n")
    assert Screen(Format.table).excerpt(page, 40).plain.startswith("row 0"), "with room it is the usual order"


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "…"), ("ascii", "...")])
def test_only_a_live_view_cuts_rows_and_marks_them(out, monkeypatch, encoding, mark):
    out(encoding)
    monkeypatch.setenv("COLUMNS", "30")
    page = Page({}, lambda _: [Text("$ kubectl get pods --and-much-more"), Text("short")])
    screen = Screen(Format.table)
    cut, short = screen.excerpt(page, 20).plain.splitlines()
    assert len(cut) == 30
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

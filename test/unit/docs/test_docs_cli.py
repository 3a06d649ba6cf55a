"""``docs/cli.md`` tells the flags, exit codes and keys that there are, and none that are not."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from aimctl.cli import completion, exits
from aimctl.cli.app import app
from aimctl.cli.lines import Level, Line, Progress
from aimctl.cli.overview import read_overview
from aimctl.cli.queue import read_queue
from aimctl.cli.story import explain
from support.facts import Paper, condition, job, kind_of, model, status, template

TEXT = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands
ASKING = ("status", "explain", "queue", "rediscover")
AWAITING = status("Pending", "AwaitingDiscovery", "", condition("Discovered", False, "AwaitingDiscovery"))


def rows(first_cell):
    lines = TEXT.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_cell} |"))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def words(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_the_flags_are_those_of_the_commands():
    told = {}
    for flags, of, _ in rows("flag"):
        for command in ASKING if of == "all" else of.split(", "):
            told.setdefault(command, set()).update(words(flags))
    there = {
        command: {
            word
            for option in COMMANDS[command].params
            if option.param_type_name == "option" and option.name != "help"
            for word in option.opts
        }
        for command in ASKING
    }
    assert told == there


def test_the_exit_codes_are_those_of_the_program():
    told = dict(rows("code"))
    assert set(told) == {str(getattr(exits, name)) for name in exits.__all__} | {"130"}
    for code, meaning in told.items():
        line = re.search(rf"^    {code} +(.*)$", exits.__doc__ or "", re.MULTILINE)
        assert line is not None
        assert set(meaning.split()[:3]) & set(line[1].split())


def test_the_keys_are_those_of_the_documents():
    told = {}
    for keys, of, _ in rows("key"):
        for command in ASKING if of == "all" else of.split(", "):
            told.setdefault(command, set()).update(words(keys))
    waiting, other = template(state=AWAITING), template("other", state=AWAITING)
    paper = Paper(waiting, other, model(), job(waiting, active=1))
    common = {"schema", "observedAt", "missingRights", "notServed", "unreadable"}
    overview = set(read_overview(paper.book(), "team").to_json())
    story = set(explain(paper.book(), kind_of("aimst"), "llama", "team").to_json())
    queue = read_queue(paper.book(), "team").to_json()
    assert told["status"] == overview | common | {"ready"}
    assert told["explain"] == story | common
    assert told["queue"] == set(queue) | common | {"slotsTaken", "inLine"}
    assert told["rediscover"] == {"schema", "requested", "failed"}
    described = {keys: words(text) for keys, _, text in rows("key")}
    assert set(described["`running`"]) == set(queue["running"][0])
    assert set(described["`waiting`"]) == set(queue["waiting"][0])


def test_the_keys_of_an_object_are_those_of_a_line():
    told = {word for keys, _ in rows("key of an object") for word in words(keys)}
    line = Line(
        "Kind", "space", "name", "Ready", Level.GOOD, created="x", since="y", progress=Progress(1, 2, 3)
    ).to_json()
    assert told == set(line)
    described = {keys: words(text) for keys, text in rows("key of an object")}
    assert set(described["`progress`"]) == set(line["progress"])


def test_the_limit_of_completion_is_told():
    assert completion.SECONDS == 3.0
    assert "more than three seconds" in TEXT

"""``docs/cli.md`` lists exactly the flags, exit codes and keys of the commands."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from aimctl.cli import completing, exits
from aimctl.cli.app import app
from aimctl.cli.questions.explanation import explain
from aimctl.cli.questions.health import Health, Node
from aimctl.cli.questions.overview import overview_of
from aimctl.cli.questions.queue import lists_of_queue, queue_of
from aimctl.cli.rendering.levels import Level
from support.facts import Paper, condition, job, model, service, status, template

TEXT = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands
ASKING = ("status", "explain", "logs", "queue", "rediscover")
AWAITING = status(
    "Pending",
    "AwaitingDiscovery",
    "",
    condition("Discovered", False, "AwaitingDiscovery"),
)


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
    first, other = template(state=AWAITING), template("other", state=AWAITING)
    paper = Paper(first, other, model(), service(), job(first, active=1))
    for question in lists_of_queue():
        paper[question]
    facts = paper.facts()
    common = {"schema", "observedAt", "missingRights", "notServed", "unreadable"}
    queue = queue_of(facts, 10).to_json()
    explanation = explain(other, facts, "kaiwo-system").to_json()
    assert told["status"] == set(overview_of(facts, "team", "kaiwo-system").to_json()) | common | {"ready"}
    assert told["explain"] == set(explanation) | common | {"queue"}
    assert told["queue"] == set(queue) | common | {"slotsTaken", "inLine", "leader"}
    assert told["rediscover"] == {"schema", "requested", "failed"}
    described = {keys: words(text) for keys, _, text in rows("key")}
    assert set(described["`running`"]) == set(queue["running"][0])
    assert set(described["`waiting`"]) == set(queue["waiting"][0])
    causes = set(explanation["causes"][0]) | {"commands"}
    assert set(described["`causes`"]) == causes - set(explanation["object"])


def test_the_keys_of_an_object_are_those_of_a_node():
    told = {word for keys, _ in rows("key of an object") for word in words(keys)}
    times = {"created": "x", "since": "y", "retry_at": "z"}
    health = Health("Kind", "space", "name", "Ready", Level.GOOD, progress=(1, 2, 3), **times)
    node = Node(health).to_json()
    assert told == set(node)
    described = {keys: words(text) for keys, text in rows("key of an object")}
    assert set(described["`progress`"]) == set(node["progress"])


def test_the_limit_of_completion_is_stated():
    assert completing.SECONDS == 3.0
    assert "more than three seconds" in TEXT

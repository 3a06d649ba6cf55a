"""The values of the Helm chart: file, schema and table have the same contents, and the flags of the manager exist."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import typer
from pydantic import ValidationError

from aimctl.cli.app import app
from aimctl.installation.chart import chart
from aimctl.installation.values import Values, values_schema, values_yaml
from support.chart_values import values_rows
from support.documents import load_yaml

MANAGER = typer.main.get_command(app).commands["manager"]  # type: ignore[attr-defined] # a group of commands


def paths(group: Any, prefix: str = "") -> dict[str, Any]:
    """Values by path; a mapping whose keys are not fixed is one value."""
    fixed = {path.rpartition(".")[0] for path, _, _ in values_rows()}
    found = {}
    for key, value in group.items():
        path = f"{prefix}{key}"
        found |= paths(value, f"{path}.") if path in fixed else {path: value}
    return found


def test_the_file_contains_every_value_with_its_default() -> None:
    rows = {path: default for path, default, _ in values_rows()}
    assert paths(load_yaml(values_yaml())) == rows
    assert len(rows) > 30


def test_the_file_is_valid_and_equals_the_defaults() -> None:
    assert Values.model_validate(load_yaml(values_yaml())) == Values()


def test_every_value_has_a_description_that_is_a_comment_in_the_file() -> None:
    comments = " ".join(line.strip(" #") for line in values_yaml().splitlines() if "# " in line)
    for path, _, description in values_rows():
        assert description.endswith("."), path
        assert description in comments, path


@pytest.mark.parametrize(
    "wrong",
    [
        {"discoverylimit": 3},
        {"discoveryLimit": 0},
        {"image": {"tags": "1"}},
        {"watchNamespaces": ["Team A"]},
        {"logLevel": "loud"},
    ],
    ids=str,
)
def test_wrong_values_are_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Values.model_validate(wrong)


def test_the_schema_rejects_unknown_names_except_those_of_helm() -> None:
    schema = json.loads(values_schema())
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {*load_yaml(values_yaml()), "global"}
    assert [name for name, one in schema["$defs"].items() if one["additionalProperties"] is not False] == []
    limit = schema["properties"]["discoveryLimit"]
    assert (limit["minimum"], limit["maximum"]) == (1, 1000)


def test_every_flag_that_a_template_sets_is_one_of_the_manager() -> None:
    flags = set(re.findall(r"--[a-z-]+", chart()["templates/manager.yaml"]))
    known = {name for option in MANAGER.params for name in (*option.opts, *option.secondary_opts)}
    assert flags <= known
    assert {"--discovery-limit", "--registry-mirror", "--log-level", "--leader-elect"} <= flags


def test_defaults_are_those_of_the_flags() -> None:
    defaults = {option.name: option.default for option in MANAGER.params}
    values = Values()
    for name in ("discovery_limit", "max_concurrent_reconciles", "log_level", "log_format"):
        assert getattr(values, name) == defaults[name], name

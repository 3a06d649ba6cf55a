"""A schema remembers results, which are those of the passes without memory, and gives each caller a copy."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from aimctl.devcluster.apiserver.builtin.types import builtin_kinds
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.devcluster.apiserver.schema.memory import Memory
from aimctl.devcluster.apiserver.schema.values import validate_value
from aimctl.devcluster.apiserver.schema.walk import fill_defaults, prune
from support.random_objects import random_object, spoiled

CHOSEN = ("CustomResourceDefinition", "Deployment", "Job", "Pod", "Secret")
KINDS = {kind.resource.kind: kind for kind in builtin_kinds() if kind.resource.kind in CHOSEN}
KIND = KINDS["CustomResourceDefinition"]


def passes(schema: Schema, obj: dict[str, Any]) -> tuple[Any, ...]:
    """The outcome of all passes."""
    pruned, unknown = schema.prune(obj)
    filled = schema.default(pruned)
    return pruned, unknown, filled, sorted(map(str, schema.validate(filled, None)))


def passes_without_memory(schema: Schema, obj: dict[str, Any]) -> tuple[Any, ...]:
    unknown: list[str] = []
    pruned = prune(obj, schema.root, "", unknown)
    filled = fill_defaults(pruned, schema.root)
    errors: list[Any] = []
    validate_value(filled, schema.root, "", errors)
    return pruned, unknown, filled, sorted(map(str, errors))


@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("seed", range(5))
def test_remembered_results_are_those_of_passes_without_memory(name: str, seed: int) -> None:
    kind, rng = KINDS[name], random.Random(seed)
    obj = random_object(kind, "things.example.com", rng)
    for body in (obj, spoiled(obj, rng, times=3), {**obj, "spec": None}, {**obj, "extra": 1}):
        before = copy.deepcopy(body)
        expected = passes_without_memory(kind.schema, body)
        assert passes(kind.schema, body) == expected
        assert passes(kind.schema, body) == expected
        assert body == before


def test_values_of_different_types_are_remembered_apart() -> None:
    schema = KINDS["Deployment"].schema
    for replicas, valid in ((1, True), (True, False), (1.5, False), (1, True)):
        spec = {"replicas": replicas, "selector": {}, "template": {}}
        assert (not [e for e in schema.validate({"spec": spec}, None) if "replicas" in str(e)]) == valid


@pytest.mark.parametrize(("size", "kept"), [(100, 600), (10_000, 120)])
def test_a_result_is_computed_once_until_too_many_values_and_bytes_are_remembered(
    size: int, kept: int
) -> None:
    memory, computed = Memory(), list[int]()

    def compute(value: list[Any]) -> int:
        computed.append(value[0])
        return int(value[0])

    def ask(numbers: range) -> None:
        for number in numbers:
            assert memory.recall("number", [number, "x" * size], compute) == number

    ask(range(kept))
    ask(range(kept))
    assert computed == list(range(kept))
    ask(range(kept, 2 * kept))
    ask(range(1))
    assert computed == [*range(2 * kept), 0]


def test_a_caller_may_change_what_it_got() -> None:
    obj = {"metadata": {"name": "a"}, "spec": {"names": {"plural": "things"}, "group": "example.com", "x": 1}}
    first, _ = KIND.schema.prune(obj)
    first["spec"]["names"]["plural"] = "others"
    KIND.schema.default(obj)["spec"]["names"]["plural"] = "others"
    second, unknown = KIND.schema.prune(obj)
    assert (second["spec"]["names"]["plural"], unknown) == ("things", ["spec.x"])
    assert KIND.schema.default(obj)["spec"]["names"]["plural"] == "things"

"""The schema of definitions remembers results, which are those of an ordinary schema, and gives each caller a copy."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from aimctl.devcluster.apiserver.builtin.types import builtin_kinds
from aimctl.devcluster.apiserver.schema import Schema
from support.random_objects import random_object, spoiled

KIND = next(kind for kind in builtin_kinds() if kind.resource.kind == "CustomResourceDefinition")
ORDINARY = Schema.builtin(KIND.schema.root, KIND.schema.source)


def passes(schema: Schema, obj: dict[str, Any]) -> tuple[Any, ...]:
    """The outcome of all passes, without the order of paths and errors."""
    pruned, unknown = schema.prune(obj)
    filled = schema.default(pruned)
    return pruned, sorted(unknown), filled, sorted(map(str, schema.validate(filled, None)))


@pytest.mark.parametrize("seed", range(20))
def test_remembered_results_are_those_of_an_ordinary_schema(seed: int) -> None:
    rng = random.Random(seed)
    obj = random_object(KIND, "things.example.com", rng)
    for body in (obj, spoiled(obj, rng, times=3), {**obj, "spec": None}, {**obj, "extra": 1}):
        before = copy.deepcopy(body)
        expected = passes(ORDINARY, body)
        assert passes(KIND.schema, body) == expected
        assert passes(KIND.schema, body) == expected
        assert body == before


def test_a_caller_may_change_what_it_got() -> None:
    obj = {"metadata": {"name": "a"}, "spec": {"names": {"plural": "things"}, "group": "example.com", "x": 1}}
    first, _ = KIND.schema.prune(obj)
    first["spec"]["names"]["plural"] = "others"
    KIND.schema.default(obj)["spec"]["names"]["plural"] = "others"
    second, unknown = KIND.schema.prune(obj)
    assert (second["spec"]["names"]["plural"], unknown) == ("things", ["spec.x"])
    assert KIND.schema.default(obj)["spec"]["names"]["plural"] == "things"

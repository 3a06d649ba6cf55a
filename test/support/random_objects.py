"""Random objects of any kind: generated from its schema, and then spoiled by values of wrong types.

The generator follows the schema nodes of the embedded server, so that a good part of the objects is accepted.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.schema import Node

if TYPE_CHECKING:
    import random

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind

__all__ = ["JUNK", "random_object", "spoiled"]

JUNK: tuple[Any, ...] = (
    *(None, "", "x", 0, -1, 1.5, True, False, [], {}, [None], [1], ["x"], [{}], [[]]),
    *({"x": None}, {"name": 1}, {"": ""}, "\ud83d\ude00", "a\nb", "%", ".", "10Gi", "[(", 1 << 70, -1e300),
)
_TEXTS = (
    "",
    "a",
    "b-c",
    "In",
    "Exists",
    "NoSchedule",
    "Always",
    "Never",
    "app",
    "1",
    "10%",
    "100m",
    "x" * 70,
)
_DATES = ("2026-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-01-01T00:00:00.123456Z")
_DEEPEST = 7


def random_object(kind: ServedKind, name: str, rng: random.Random) -> dict[str, Any]:
    """An object with fields of the right types, if not of the right values."""
    resource = kind.resource
    properties = {key: node for key, node in kind.schema.root.properties.items() if key != "metadata"}
    made: dict[str, Any] = _value(Node(type="object", properties=properties), rng, 0)
    metadata: dict[str, Any] = {"name": name}
    if rng.random() < 0.2:
        metadata["labels"] = {"app": rng.choice(("a", "b", ""))}
    if rng.random() < 0.1:
        metadata["finalizers"] = ["example.com/hold"]
    return {**made, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _value(node: Node, rng: random.Random, depth: int) -> Any:  # noqa: PLR0911 - one per type
    if node.enum:
        return rng.choice(node.enum)
    match node.type:
        case "object":
            return _object(node, rng, depth)
        case "array":
            count = rng.choice((0, 1, 1, 2)) if depth < _DEEPEST else 0
            return [] if node.items is None else [_value(node.items, rng, depth + 1) for _ in range(count)]
        case "string":
            return rng.choice(_DATES) if node.format == "date-time" else rng.choice(_TEXTS)
        case "boolean":
            return rng.random() < 0.5
        case "integer" | "number":
            return rng.choice((0, 1, 2, 3, 80, -1, 1 << 40))
    return rng.choice((0, 3, "1", "10Gi", "50%"))


def _object(node: Node, rng: random.Random, depth: int) -> dict[str, Any]:
    chance = 0.9 if depth == 0 else 0.6 if len(node.properties) < 6 else 0.25
    if depth >= _DEEPEST:
        chance = 0.0
    made = {
        key: _value(child, rng, depth + 1)
        for key, child in node.properties.items()
        if rng.random() < chance or (key in node.required and depth < _DEEPEST)
    }
    if node.additional is not None and rng.random() < 0.7:
        made[rng.choice(("a", "app", "cpu"))] = _value(node.additional, rng, depth + 1)
    return made


def spoiled(body: Any, rng: random.Random, *, times: int = 1) -> Any:
    """A copy with some values replaced by junk, or removed."""
    body = copy.deepcopy(body)
    for _ in range(times):
        place = body
        while place:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
                place = place[key]
                continue
            if rng.random() < 0.3:
                del place[key]
            else:
                place[key] = copy.deepcopy(rng.choice(JUNK))
            break
    return body

"""Environment variables of containers that several objects contribute to.

Contract:
    * A variable of a later layer replaces one of the same name, in its position.
    * :data:`ENGINE_ARGS` is the exception: where both values are JSON objects, they are merged key by key, nested
      objects as well, and a later value replaces an earlier one. ``max_model_len`` and ``max-model-len`` are the same
      key. A value that is not a JSON object, or that comes from a Secret or ConfigMap, replaces what is there.
    * Kubernetes expands ``$(NAME)`` only if NAME is earlier in the list. So a variable follows those that it refers to.
      Otherwise the order is that of the layers.

Time and memory are linear in the size of all values.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from aimctl.domain.hashing import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["ENGINE_ARGS", "merge_env"]

ENGINE_ARGS = "AIM_ENGINE_ARGS"
"""The variable with arguments of the inference engine: a JSON object."""

_MAX_DEPTH = 32
"""Nesting to which objects are merged; real ones have two levels. A deeper object replaces the earlier one."""

_REFERENCE = re.compile(r"\$(?:\$|\(([-._a-zA-Z0-9]{1,253})\))")
"""``$(NAME)``, or the escape ``$$``."""


def merge_env(*layers: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The variables of all layers, as JSON, each name once."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for item in layer:
            name = item["name"]
            before = merged.get(name) if name == ENGINE_ARGS else None
            merged[name] = item if before is None else _merged_args(before, item)
    return tuple(_after_references(merged))


# ---- the arguments of the engine


def _merged_args(before: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    earlier, later = _object(before.get("value")), _object(item.get("value"))
    if earlier is None or later is None:
        return item
    spelling = {_normal(key): key for key in later}
    kept = {key: value for key, value in earlier.items() if _normal(key) not in spelling}
    same = {spelling[_normal(key)]: value for key, value in earlier.items() if _normal(key) in spelling}
    try:
        return {**item, "value": canonical_json({**kept, **_merge(same, later, _MAX_DEPTH)}).decode()}
    except (ValueError, RecursionError):
        return item


def _normal(key: str) -> str:
    return key.replace("_", "-")


def _object(text: Any) -> dict[str, Any] | None:
    """The JSON object in a value; None if it is something else."""
    if not isinstance(text, str):
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _merge(earlier: Mapping[str, Any], later: Mapping[str, Any], depth: int) -> dict[str, Any]:
    merged = {**earlier, **later}
    for key, value in later.items():
        inner = earlier.get(key)
        if depth > 0 and isinstance(inner, dict) and isinstance(value, dict):
            merged[key] = _merge(inner, value, depth - 1)
    return merged


# ---- the order


def _after_references(merged: Mapping[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The variables, each after those that it refers to. A cycle of references is left in order."""
    started: set[str] = set()
    for first in merged:
        if first in started:
            continue
        started.add(first)
        path = [(first, _references(merged[first]))]
        while path:
            name, references = path[-1]
            needed = next((one for one in references if one in merged and one not in started), None)
            if needed is None:
                path.pop()
                yield merged[name]
            else:
                started.add(needed)
                path.append((needed, _references(merged[needed])))


def _references(item: Mapping[str, Any]) -> Iterator[str]:
    value = item.get("value")
    text = value if isinstance(value, str) else ""
    return (match[1] for match in _REFERENCE.finditer(text) if match[1])

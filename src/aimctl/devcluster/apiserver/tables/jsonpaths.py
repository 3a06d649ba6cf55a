r"""The JSONPath of printer columns, such as ``.status.conditions[?(@.type=="Ready")].status``.

Contract: :func:`find` returns all values at a path, in order. Supported are fields (dotted, with ``\.`` for a dot in a
name, or quoted in brackets), indexes, slices, ``*``, ``..``, and filters that compare a field with a literal or require
that it exists.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

__all__ = ["compile_path", "find"]

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"""
    (?P<deep>\.\.)
  | \.?\[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]
  | \.?\[\?\((?P<filter>(?:[^()'"]|'[^']*'|"[^"]*")*)\)\]
  | \.?\[(?P<slice>-?\d*:-?\d*(?::-?\d*)?)\]
  | \.?\[(?P<index>-?\d+)\]
  | \.?(?P<any>\[\*\]|\*)
  | \.(?P<field>(?:[^.\[\]\\*]|\\.)+)
  | (?P<bare>(?:[^.\[\]\\*$@]|\\.)+)
    """,
    re.VERBOSE,
)
_FILTER = re.compile(r"\s*@(?P<left>[^=!<>]*)(?:(?P<operator>==|!=|<=|>=|<|>)(?P<right>.+))?")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@lru_cache(maxsize=512)
def compile_path(path: str) -> tuple[Step, ...]:
    """Compile a path, with or without braces and a leading ``$``.

    Raises:
        ValueError: the path is invalid or not supported.
    """
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    position = 0
    deep = False
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or (found.lastgroup == "bare" and position and not deep):
            raise ValueError(f"invalid JSONPath {path!r}: unexpected {text[position:]!r}")
        position = found.end()
        if found.lastgroup == "deep":
            steps.append(_everything)
            deep = True
            continue
        deep = False
        steps.append(_step(found))
    return tuple(steps)


def find(value: Any, path: str) -> list[Any]:
    """All values at a path. Raises ValueError as :func:`compile_path`."""
    found = [value]
    for step in compile_path(path):
        found = [item for place in found for item in step(place)]
    return found


def _step(found: re.Match[str]) -> Step:
    kind, text = found.lastgroup, found.group(found.lastgroup or 0)
    if kind in ("field", "bare"):
        return _field(re.sub(r"\\(.)", r"\1", text))
    if kind == "quoted":
        return _field(re.sub(r"\\(.)", r"\1", text[1:-1]))
    if kind == "index":
        return _index(int(text))
    if kind == "slice":
        return _slice(text)
    if kind == "filter":
        return _filter(text)
    return _children


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _slice(text: str) -> Step:
    parts = [int(part) if part else None for part in text.split(":")]
    wanted = slice(*parts)

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[wanted]

    return step


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _everything(value: Any) -> Iterator[Any]:
    yield value
    for child in _children(value):
        yield from _everything(child)


def _filter(text: str) -> Step:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise ValueError(f"invalid JSONPath filter {text!r}: compare a field of @ with a literal")
    left = found.group("left").rstrip()
    compare = _OPERATORS.get(found.group("operator") or "")
    wanted = _literal(found.group("right").strip()) if compare else None

    def passes(item: Any) -> bool:
        values = find(item, left)
        if compare is None:
            return bool(values)
        try:
            return bool(values) and compare(values[0], wanted)
        except TypeError:
            return False

    def step(value: Any) -> Iterator[Any]:
        yield from (item for item in _children(value) if passes(item))

    return step


def _literal(text: str) -> Any:
    if text[:1] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text

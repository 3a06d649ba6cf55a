"""Counts the steps that a backtracking engine takes to match a regular expression.

The engine of ``re`` does not report its steps, and time is no measure on a busy machine. :func:`steps` interprets the
parse tree of a pattern in the order in which ``re`` tries alternatives, and counts each comparison of a character and
each iteration of a loop. ``re`` has optimisations, so the result is an upper bound in practice.

:func:`adversarial` generates texts for a pattern: for each loop, a text that reaches it, followed by many repetitions
of what the loop matches and a character that nothing matches.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["TooManySteps", "adversarial", "spans", "steps"]

_parser: Any = re._parser  # type: ignore[attr-defined] # the parse tree has no public name
_LOOPS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_SINGLE = ("LITERAL", "NOT_LITERAL", "IN", "ANY")
_SAMPLES = {
    "CATEGORY_DIGIT": "1",
    "CATEGORY_NOT_DIGIT": "x",
    "CATEGORY_SPACE": " \N{NO-BREAK SPACE}",
    "CATEGORY_NOT_SPACE": "x",
    "CATEGORY_WORD": "a1",
    "CATEGORY_NOT_WORD": "%",
}
_CANDIDATES = "aAzZ059_- .:/=,;*\"'\\[{#%~\t\n\N{NO-BREAK SPACE}"
_UNMATCHED = "\x00"


class TooManySteps(Exception):
    """The limit was exceeded."""


@contextmanager
def _deep_recursion() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


class _Engine:
    def __init__(self, pattern: re.Pattern[str], text: str, limit: int) -> None:
        self.tree = _parser.parse(pattern.pattern, pattern.flags)
        self.text = text
        self.limit = limit
        self.ignore_case = bool(pattern.flags & re.IGNORECASE)
        self.ascii = bool(pattern.flags & re.ASCII)
        self.multiline = bool(pattern.flags & re.MULTILINE)
        self.count = 0
        self.groups: dict[int, tuple[int, int]] = {}

    def step(self) -> None:
        self.count += 1
        if self.count > self.limit:
            raise TooManySteps

    def match(self, start: int, *, whole: bool = False) -> int | None:
        """The end of a match that starts here; None if there is none."""
        found: list[int] = []

        def accept(at: int) -> bool:
            if whole and at != len(self.text):
                return False
            found[:] = [at]
            return True

        self.groups = {}
        return found[0] if self._sequence(list(self.tree), 0, start, accept) else None

    def _sequence(self, items: list[Any], number: int, at: int, then: Callable[[int], bool]) -> bool:  # noqa: PLR0911 - one per node of the tree
        if number == len(items):
            return then(at)
        op, argument = items[number]

        def rest(position: int) -> bool:
            return self._sequence(items, number + 1, position, then)

        name = str(op)
        if name in _SINGLE:
            self.step()
            return at < len(self.text) and self._one(name, argument, self.text[at]) and rest(at + 1)
        match name:
            case "AT":
                self.step()
                return self._at(str(argument), at) and rest(at)
            case "SUBPATTERN":
                group, _, _, inner = argument

                def close(end: int) -> bool:
                    before = self.groups.get(group)
                    self.groups[group] = (at, end)
                    if rest(end):
                        return True
                    if before is None:
                        del self.groups[group]
                    else:
                        self.groups[group] = before
                    return False

                return self._sequence(list(inner), 0, at, close if group is not None else rest)
            case "BRANCH":
                return any(self._sequence(list(way), 0, at, rest) for way in argument[1])
            case "GROUPREF":
                start, end = self.groups.get(argument, (0, 0))
                self.step()
                return self.text.startswith(self.text[start:end], at) and rest(at + end - start)
            case "ATOMIC_GROUP":
                end = self._end_of(list(argument), at)
                return end is not None and rest(end)
            case "ASSERT" | "ASSERT_NOT":
                return self._looks(argument, at) == (name == "ASSERT") and rest(at)
            case _ if name in _LOOPS:
                return self._loop(name, argument, at, rest)
        raise NotImplementedError(name)

    def _end_of(self, items: list[Any], at: int) -> int | None:
        ends: list[int] = []
        return ends[0] if self._sequence(items, 0, at, lambda end: not ends.append(end)) else None

    def _looks(self, argument: Any, at: int) -> bool:
        direction, inner = argument
        start = at if direction > 0 else at - inner.getwidth()[0]
        return start >= 0 and self._sequence(list(inner), 0, start, lambda end: direction > 0 or end == at)

    def _loop(self, name: str, argument: Any, at: int, rest: Callable[[int], bool]) -> bool:
        low, high, inner = argument
        body = list(inner)
        high = min(int(high), len(self.text) + 1)
        if len(body) == 1 and str(body[0][0]) in _SINGLE and name != "MIN_REPEAT":
            end = at
            while end - at < high and self._sequence(body, 0, end, lambda _: True):
                end += 1
            if name == "POSSESSIVE_REPEAT":
                return end - at >= low and rest(end)
            for stop in range(end, at + low - 1, -1):
                self.step()
                if rest(stop):
                    return True
            return False
        if name == "POSSESSIVE_REPEAT":
            times = 0
            while times < high and (end := self._end_of(body, at)) is not None and (end != at or times < low):
                at, times = end, times + 1
            return times >= low and rest(at)

        def turn(position: int, times: int) -> bool:
            self.step()

            def again(end: int) -> bool:
                return (end != position or times < low) and turn(end, times + 1)

            if name == "MIN_REPEAT" and times >= low and rest(position):
                return True
            if times < high and self._sequence(body, 0, position, again):
                return True
            return name != "MIN_REPEAT" and times >= low and rest(position)

        return turn(at, 0)

    def _at(self, where: str, at: int) -> bool:
        text = self.text

        def word(position: int) -> bool:
            char = text[position : position + 1]
            return bool(char) and (char.isalnum() or char == "_") and (not self.ascii or char.isascii())

        match where:
            case "AT_BEGINNING":
                return at == 0 or (self.multiline and text[at - 1] == "\n")
            case "AT_BEGINNING_STRING":
                return at == 0
            case "AT_END":
                return at == len(text) or (self.multiline and text[at] == "\n")
            case "AT_END_STRING":
                return at == len(text)
            case "AT_BOUNDARY":
                return word(at - 1 if at else len(text)) != word(at)
        raise NotImplementedError(where)

    def _one(self, name: str, argument: Any, char: str) -> bool:
        if not self.ignore_case:
            return _matches(name, argument, char, self.ascii)
        return any(_matches(name, argument, form, self.ascii) for form in {char, char.lower(), char.upper()})


def _matches(name: str, argument: Any, char: str, ascii_only: bool) -> bool:
    match name:
        case "ANY":
            return char != "\n"
        case "LITERAL":
            return ord(char[0]) == argument
        case "NOT_LITERAL":
            return ord(char[0]) != argument
        case "RANGE":
            return argument[0] <= ord(char[0]) <= argument[1]
        case "CATEGORY":
            kind = str(argument)
            plain = kind.replace("NOT_", "")
            known = char.isascii() or not ascii_only
            found = (
                known
                and {
                    "CATEGORY_DIGIT": char.isdecimal(),
                    "CATEGORY_SPACE": char.isspace(),
                    "CATEGORY_WORD": char.isalnum() or char == "_",
                }[plain]
            )
            return found == (kind == plain)
    items = list(argument)
    negated = bool(items) and str(items[0][0]) == "NEGATE"
    return negated != any(_matches(str(op), item, char, ascii_only) for op, item in items[negated:])


def steps(pattern: re.Pattern[str], text: str, *, search: bool, limit: int = 10**9) -> int:
    """The steps to find all matches (``search``), or to match the whole text and the longest start of it.

    Raises:
        TooManySteps: there are more than ``limit``.
    """
    return _run(pattern, text, search=search, limit=limit)[0]


def spans(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """The spans of all matches, as of ``pattern.finditer``."""
    return _run(pattern, text, search=True, limit=10**9)[1]


def _run(
    pattern: re.Pattern[str], text: str, *, search: bool, limit: int
) -> tuple[int, list[tuple[int, int]]]:
    engine = _Engine(pattern, text, limit)
    found: list[tuple[int, int]] = []
    with _deep_recursion():
        if not search:
            engine.match(0, whole=True)
            engine.match(0)
            return engine.count, found
        at = 0
        while at <= len(text):
            engine.step()
            end = engine.match(at)
            if end is not None:
                found.append((at, end))
            at = end if end is not None and end > at else at + 1
    return engine.count, found


# ---- adversarial texts


def adversarial(pattern: re.Pattern[str], length: int) -> Iterator[str]:
    """Texts of about ``length`` characters that make a backtracking engine repeat its work."""
    tree = list(_parser.parse(pattern.pattern, pattern.flags))
    whole = _sample(tree)
    pumps = list(dict.fromkeys((("", whole), *_pumps(tree, ""))))
    for prefix, pump in pumps:
        if pump:
            many = pump * (max(1, length - len(prefix)) // len(pump))
            yield prefix + many + _UNMATCHED
    for _, pump in pumps:
        # The text before the loop, again and again.
        start = whole[: max(1, len(whole) - 1)] + pump
        yield (start * (length // max(1, len(start))))[:length] + _UNMATCHED


def _pumps(items: list[Any], before: str) -> Iterator[tuple[str, str]]:
    for number, (op, argument) in enumerate(items):
        prefix = before + _sample(items[:number])
        name = str(op)
        if name in _LOOPS:
            body = list(argument[2])
            if len(body) == 1 and str(body[0][0]) in _SINGLE:
                yield from ((prefix, char) for char in _chars(body[0]))
            else:
                yield prefix, _sample(body)
            # What follows may match the same text as the loop.
            yield prefix, _sample(body) + _sample(items[number + 1 :])
            yield from _pumps(body, prefix)
        elif name == "SUBPATTERN":
            yield from _pumps(list(argument[3]), prefix)
        elif name == "ATOMIC_GROUP":
            yield from _pumps(list(argument), prefix)
        elif name == "BRANCH":
            for way in argument[1]:
                yield from _pumps(list(way), prefix)
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from _pumps(list(argument[1]), prefix if argument[0] > 0 else "")


def _chars(item: Any) -> list[str]:
    """Some characters that a single-character item matches."""
    op, argument = item
    name = str(op)
    parts = list(argument) if name == "IN" else []
    special = "".join(_SAMPLES.get(str(part), "") for kind, part in parts if str(kind) == "CATEGORY")
    literals = "".join(chr(part) for kind, part in parts if str(kind) == "LITERAL")
    candidates = dict.fromkeys(
        (chr(argument) if name == "LITERAL" else "") + special + literals + _CANDIDATES
    )
    return [char for char in candidates if _matches(name, argument, char, False)][:6]


def _sample(items: list[Any]) -> str:
    """A short text that the items match, apart from assertions."""
    text = ""
    for op, argument in items:
        match str(op):
            case name if name in _SINGLE:
                text += next(iter(_chars((op, argument))), "x")
            case name if name in _LOOPS:
                text += _sample(list(argument[2])) * max(1, int(argument[0]))
            case "SUBPATTERN":
                text += _sample(list(argument[3]))
            case "ATOMIC_GROUP":
                text += _sample(list(argument))
            case "BRANCH":
                text += _sample(list(argument[1][0]))
            case "ASSERT" if argument[0] < 0:
                text += _sample(list(argument[1]))
            case "GROUPREF":
                text += "'"
    return text

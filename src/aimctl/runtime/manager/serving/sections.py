"""The sections of the status page: which rows of a section are shown, and their form as JSON and as text.

Contract:
    * A section is a function that returns rows (flat mappings), or one mapping for a single row. A row whose key
      ``problem`` is true is highlighted, and precedes the others. Apart from that the order of the rows is kept.
    * At most :data:`MAX_ROWS` rows of a section are shown. The number of all rows that match the filter is counted.
    * Values are texts, numbers, booleans or None; any other value is shown as its text. Texts are cut after
      :data:`MAX_TEXT` characters. Nothing is interpreted as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["MAX_ROWS", "MAX_TEXT", "StatusSection", "Table", "words_of"]

StatusSection: TypeAlias = "Callable[[], Iterable[Mapping[str, Any]] | Mapping[str, Any]]"
"""Returns the rows of a section of the status page, or one mapping for a single row.

A generator is read in slices, between which the event loop continues: it must iterate over a copy of what other code
changes. A row with a true value of ``problem`` comes first and is highlighted. Rows must not contain secrets."""

MAX_ROWS = 500
MAX_TEXT = 500
_PROBLEM = "problem"


def words_of(text: str) -> tuple[str, ...]:
    """The words of a filter, in lower case. A row matches if it contains all of them, in any cell."""
    return tuple(text.casefold().split())


@final
class Table:
    """The rows of one section that are shown.

    Args:
        title: of the section.
        words: of the filter, see :func:`words_of`.
        limit: largest number of rows that are shown.

    Attributes:
        matching: number of rows that match the filter.
        problems: number of these rows that are problems.
        error: why the section is incomplete; "" if it is complete.
    """

    def __init__(self, title: str, words: tuple[str, ...] = (), *, limit: int = MAX_ROWS) -> None:
        self.title = title
        self.matching: int = 0
        self.problems: int = 0
        self.error: str = ""
        self._words = words
        self._limit = limit
        self._first: list[Mapping[str, Any]] = []
        self._others: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row, and keep it if it may be shown."""
        if self._words:
            text = " ".join(_text(value) for key, value in row.items() if key != _PROBLEM).casefold()
            if not all(word in text for word in self._words):
                return
        self.matching += 1
        kept = self._others
        if row.get(_PROBLEM):
            self.problems += 1
            kept = self._first
        if len(kept) < self._limit:
            kept.append(row)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows that are shown, without the key ``problem``."""
        shown = [*self._first, *self._others][: self._limit]
        return [{key: _value(row[key]) for key in row if key != _PROBLEM} for row in shown]

    def as_json(self) -> dict[str, Any]:
        """The section for the page in the browser. The cells of a row are in the order of the columns."""
        rows = self.rows
        columns = list(dict.fromkeys(key for row in rows for key in row))
        return {
            "title": self.title,
            "columns": columns,
            "rows": [
                {"problem": number < len(self._first), "cells": [row.get(column) for column in columns]}
                for number, row in enumerate(rows)
            ],
            "matching": self.matching,
            "problems": self.problems,
            "left_out": self.matching - len(rows),
            "error": _value(self.error),
        }


def _value(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    # Half surrogate pairs cannot be sent.
    text = str(value).encode(errors="replace").decode()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _text(value: Any) -> str:
    """As the page shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)

"""Names and times as text.

Contract: pure functions. :func:`clean` and :func:`clean_lines` make any text from the cluster safe for a terminal.
"""

from __future__ import annotations

import unicodedata

__all__ = ["clean", "clean_lines", "duration", "place"]


def place(namespace: str, name: str) -> str:
    """``namespace/name``, or the name alone for a cluster-scoped object."""
    return f"{namespace}/{name}" if namespace else name


def clean(text: str) -> str:
    """The text on one line, with control characters replaced, so that a terminal executes no escape sequence."""
    return " ".join("".join(" " if mark.isspace() else _visible(mark) for mark in text).split())


def clean_lines(text: str) -> str:
    """The text with control characters other than tabs and line breaks replaced.

    A carriage return becomes a line break, so that a line, such as a progress bar, does not overwrite an earlier one.
    """
    return "".join(mark if mark in "\n\t" else _visible(mark) for mark in text.replace("\r", "\n"))


def _visible(mark: str) -> str:
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(mark)[0] == "C" else mark


def duration(seconds: float | None) -> str:
    """A duration as ``kubectl`` prints ages: ``42s``, ``12m``, ``3h``, ``5d``; "-" if unknown."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 120:
        return f"{whole}s"
    if whole < 600 and whole % 60:
        return f"{whole // 60}m{whole % 60}s"
    if whole < 3 * 3600:
        return f"{whole // 60}m"
    if whole < 48 * 3600:
        return f"{whole // 3600}h"
    return f"{whole // 86400}d"

"""Names, times and sizes as text.

Contract: pure functions. :func:`clean` makes any text from the cluster safe for a terminal.
"""

from __future__ import annotations

import unicodedata

__all__ = ["clean", "duration", "place", "size"]


def place(namespace: str, name: str) -> str:
    """``namespace/name``, or the name alone for a cluster-scoped object."""
    return f"{namespace}/{name}" if namespace else name


def clean(text: str) -> str:
    """The text on one line, with control characters replaced, so that a terminal executes no escape sequence."""
    kept = "".join(
        " "
        if mark.isspace()
        else "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(mark)[0] == "C"
        else mark
        for mark in text
    )
    return " ".join(kept.split())


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


def size(count: int) -> str:
    """A number of bytes in binary units: ``16.0 GiB``."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    for unit in units:
        if value < 1024 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError

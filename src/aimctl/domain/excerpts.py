"""Pieces of foreign values for messages: short, on one line, printable."""

from __future__ import annotations

import json
from typing import Any

from aimctl.domain.conditions import clip

__all__ = ["excerpt", "printable"]

MAX_EXCERPT = 160


def excerpt(value: Any) -> str:
    """A value as JSON, a text as Python writes it, cut; whatever the value is."""
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = f"a deep {type(value).__name__}"
    return clip(printable(text[: 2 * MAX_EXCERPT]), MAX_EXCERPT)


def printable(text: str) -> str:
    """``text`` with a mark in place of each character that could move a cursor or break a line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)

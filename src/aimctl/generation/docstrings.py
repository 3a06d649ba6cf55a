"""Descriptions of classes and fields from docstrings in the style of Google.

Contract: the description of a class is its docstring without the section ``Attributes:``, from which the descriptions
of its fields are read. A field that has a description of its own keeps it.
"""

from __future__ import annotations

import inspect
import re

__all__ = ["describe"]

_SECTION = re.compile(r"^Attributes:\n((?:[ \t]+\S.*(?:\n|\Z)|[ \t]*(?:\n|\Z))+)", re.MULTILINE)
_ENTRY = re.compile(r"^(\w+)(?: \([^)]*\))?:\s*(.*)$")


def describe(cls: type) -> tuple[str, dict[str, str]]:
    """Return the description of a class, and those of its fields by their names in Python."""
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    if text.startswith(f"{cls.__name__}("):  # what dataclasses generate
        return "", {}
    section = _SECTION.search(text)
    if section is None:
        return text, {}
    rest = text[: section.start()] + text[section.end() :]
    return re.sub(r"\n{3,}", "\n\n", rest).strip(), _entries(section[1])


def _entries(section: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section).splitlines():
        entry = _ENTRY.match(line)
        if entry is not None:
            name = entry[1]
            found[name] = entry[2]
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found

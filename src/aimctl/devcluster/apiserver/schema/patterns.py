"""Regular expressions in schemas and rules, which are RE2 on the real server.

Contract: :func:`compile_pattern` takes RE2 syntax as far as Python's ``re`` has it. What RE2 does not have
(look-around, back references, atomic groups, possessive repeats) is refused, so that a pattern which works
here works there.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["compile_pattern"]

_NOT_IN_RE2 = re.compile(r"\(\?(=|!|<=|<!|>|\(|P=)|(?<!\\)(?:\\\\)*\\[1-9]")
_POSIX = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:digit:]": "0-9",
    "[:lower:]": "a-z",
    "[:upper:]": "A-Z",
    "[:space:]": r"\t\n\v\f\r ",
    "[:xdigit:]": "0-9A-Fa-f",
    "[:word:]": "0-9A-Za-z_",
    "[:punct:]": r"!-/:-@\[-`{-~",
}


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""The compiled pattern, with ``\d \w \s \b`` meaning ASCII and ``$`` meaning the very end, as in RE2.

    Raises:
        ValueError: not a regular expression, or one that RE2 does not have.
    """
    found = _NOT_IN_RE2.search(pattern)
    if found:
        raise ValueError(f"error parsing regexp: invalid or unsupported Perl syntax: `{found.group()}`")
    source = pattern.replace("(?P<", "(?P<").replace(r"\z", r"\Z")
    for name, members in _POSIX.items():
        source = source.replace(name, members)
    try:
        return re.compile(_end_anchors(source), re.ASCII)
    except re.error as error:
        raise ValueError(f"error parsing regexp: {error}") from error


def _end_anchors(source: str) -> str:
    r"""Write ``$`` as ``\Z`` outside of classes: Python's ``$`` also matches before a last newline."""
    out: list[str] = []
    in_class = False
    position = 0
    while position < len(source):
        char = source[position]
        if char == "\\":
            out.append(source[position : position + 2])
            position += 2
            continue
        if char == "[" and not in_class:
            in_class = True
        elif char == "]" and in_class and out[-1] not in ("[", "[^"):
            in_class = False
        out.append(r"\Z" if char == "$" and not in_class else char)
        position += 1
    return "".join(out)

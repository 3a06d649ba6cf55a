"""Regular expressions in schemas and rules, which the real server compiles with RE2.

Contract: :func:`compile_pattern` accepts the RE2 syntax that Python's ``re`` can express. Syntax that RE2 does not have
(look-around, back references, atomic groups, possessive quantifiers) is rejected, so every accepted pattern works on
the real server.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["compile_pattern", "is_pattern"]

_NOT_IN_RE2 = re.compile(r"\(\?(=|!|<=|<!|>|\(|P=)|(?<!\\)(?:\\\\)*\\[1-9]")
_ONLY_IN_RE2 = re.compile(r"\\[pPQCKX]|\[\[|\(\?[a-zA-Z]*[U-]|\{")
_NAMED_GROUP = re.compile(r"\(\?<(?=[A-Za-z_]\w*>)")
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


def is_pattern(pattern: str) -> bool:
    """Whether a text may be a regular expression of RE2. Syntax that Python does not have counts as valid."""
    try:
        compile_pattern(pattern)
    except ValueError:
        return _NOT_IN_RE2.search(pattern) is None and _ONLY_IN_RE2.search(pattern) is not None
    return True


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""The compiled pattern. ``\d \w \s \b`` are ASCII and ``$`` is the end of the text, as in RE2.

    Raises:
        ValueError: not a regular expression of RE2.
    """
    found = _NOT_IN_RE2.search(pattern)
    if found:
        raise ValueError(f"error parsing regexp: invalid or unsupported Perl syntax: `{found.group()}`")
    source = _NAMED_GROUP.sub("(?P<", pattern).replace(r"\z", r"\Z")
    for name, members in _POSIX.items():
        source = source.replace(name, members)
    try:
        return re.compile(_end_anchors(source), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"error parsing regexp: {error}") from error


def _end_anchors(source: str) -> str:
    r"""Replace ``$`` outside of classes by ``\Z``: Python's ``$`` also matches before a final newline."""
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

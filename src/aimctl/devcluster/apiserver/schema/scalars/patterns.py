r"""Regular expressions in schemas and rules, which the real server compiles with RE2.

Contract: RE2 decides which patterns are valid, so those and no others are accepted that the real server accepts. Errors
have the texts of Go's ``regexp``. What ``re`` can express is matched by ``re``, because the Python interface of RE2
took 28 us for a name of eleven characters, and ``re`` 1.2 us; the rest, such as ``\pL`` and ``^(?i)a``, is matched by
RE2.
"""

from __future__ import annotations

import re
from functools import lru_cache

import re2

__all__ = ["compile_pattern", "is_pattern"]

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


_GO_ERRORS = {
    "bad repetition operator": "invalid nested repetition operator",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "trailing \\": "trailing backslash at end of expression",
}
"""The texts of Go for those of RE2; the others are the same."""


def is_pattern(pattern: str) -> bool:
    """Whether a text is a regular expression of RE2."""
    try:
        compile_pattern(pattern)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""The compiled pattern. ``\d \w \s \b`` are ASCII and ``$`` is the end of the text, as in RE2.

    Raises:
        ValueError: not a regular expression of RE2.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: re.Pattern[str] = re2.compile(pattern, options)
    except re2.error as error:
        code, _, part = str(error.args[0], "utf-8", "replace").partition(": ")
        if part.startswith("(?<"):  # Go reads the name of a group here.
            code, part = "invalid named capture", pattern[pattern.index("(?<") :]
        raise ValueError(f"error parsing regexp: {_GO_ERRORS.get(code, code)}: `{part}`") from error
    source = _NAMED_GROUP.sub("(?P<", pattern).replace(r"\z", r"\Z")
    for name, members in _POSIX.items():
        source = source.replace(name, members)
    try:
        return re.compile(_end_anchors(source), re.ASCII)
    except (re.error, OverflowError, RecursionError):
        return compiled


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

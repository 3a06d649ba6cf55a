"""Forms of a container's log: as terminals, container runtimes and log shippers modify what a container printed.

Contract:
    * :func:`forms` yields the texts that a log may stand for, the most literal one first. The caller uses the first one
      in which it finds what it looks for.
    * Each form takes linear time, and has at most as many characters as the log.

The forms:
    ========  ==========================================================================================
    cleaned   without byte order mark, NUL, terminal control sequences; CR is the end of a line
    plain     without timestamps, stream names and pod names at the start of lines; without ``stderr``
    joined    the plain one as a single line, because long lines are split at 16 KiB
    messages  what JSON objects, one on each line, have as ``log``, ``message`` or ``msg``; plain and joined
    ========  ==========================================================================================

Sources of the formats: the log format of the container runtime interface (timestamp, stream, ``P`` for a part of a line
or ``F`` for a full one, content), Docker's driver ``json-file``, and ``kubectl logs --prefix --timestamps``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from aimctl.domain.excerpts import without_control_sequences

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["forms"]

_MAX_WRAPPED_LINES = 20_000
"""Lines that are decoded as JSON objects. A log of 4 MiB that is split into lines of 16 KiB has a few hundred."""

_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_POD, _NAME = r"\[pod/[^ \]\n]{1,400}\] ", r"[\w.-]{1,128} {0,64}\| "
_PREFIX = re.compile(
    rf"^(?={_POD}|{_NAME}|{_TIME} )(?:{_POD})?(?:{_NAME})?"
    rf"(?:{_TIME} (?:stderr [PF] [^\n]*\n?|stdout P ([^\n]*)\n?|stdout F )?)?",
    re.MULTILINE,
)
"""What is before the content of a line; a whole line of ``stderr``; a part of a line, with its content as the group."""

_WRAPPED = re.compile(r"^[ \t]*\{", re.MULTILINE)
_KEYS = ("log", "message", "msg")


def forms(output: str) -> Iterator[str]:
    """The forms of a log, without those that are equal to the one before."""
    before = cleaned = _cleaned(output)
    yield cleaned
    for form in _plain(cleaned):
        if form != before:
            before = form
            yield form
    messages = _messages(cleaned)
    if messages:
        messages = _cleaned(messages)
        yield messages
        yield from _plain(messages)


def _cleaned(text: str) -> str:
    text = without_control_sequences(text).replace("\0", "").replace("\N{BYTE ORDER MARK}", "")
    return text.replace("\r", "\n")


def _plain(text: str) -> Iterator[str]:
    plain = _PREFIX.sub(r"\1", text)
    yield plain
    yield plain.replace("\n", "")


def _messages(text: str) -> str:
    """The messages of the lines that are JSON objects, without those of ``stderr``; "" if there are none."""
    decoder, parts, position = json.JSONDecoder(), [], 0
    for _ in range(_MAX_WRAPPED_LINES):
        start = _WRAPPED.search(text, position)
        if start is None:
            break
        position = start.end()
        end = text.find("\n", position)
        line = text[position - 1 : end if end >= 0 else None]
        try:
            fields: Any = decoder.raw_decode(line)[0]
        except (ValueError, RecursionError):
            continue
        if fields.get("stream") == "stderr":
            continue
        message = next((fields[key] for key in _KEYS if isinstance(fields.get(key), str)), None)
        if message is not None:
            # Docker keeps the end of the line in the message, and has none after a part of a line.
            parts.append(message if "log" in fields else f"{message}\n")
    return "".join(parts)

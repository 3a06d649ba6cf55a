"""The rules for the messages of a status."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["MOST_CHARACTERS", "message_problems"]

MOST_CHARACTERS = 250
_SENTENCE = 60
"""Characters from which a message is a cause, and not a standing phrase such as "nothing has failed"."""


def message_problems(conditions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with the messages of the conditions of an object.

    A message is one short line. A cause is stated in ``Ready``, in ``Failure`` and in the condition that it belongs to;
    other conditions refer to it.
    """
    types: dict[str, list[str]] = defaultdict(list)
    for item in conditions:
        message = item.get("message", "")
        if not message or len(message) > MOST_CHARACTERS or not message.isprintable():
            yield f"{item['type']} has a message of {len(message)} characters: {message[:300]!r}"
        if len(message) >= _SENTENCE:
            types[message].append(item["type"])
    for message, names in types.items():
        others = [name for name in names if name not in ("Ready", "Failure")]
        if len(others) > 1 or (len(names) > 1 and "Progressing" in names):
            yield f"{', '.join(names)} have the same message: {message!r}"

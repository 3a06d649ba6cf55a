"""Remembers what the passes over the objects of one kind found out about the values of fields.

A write of the status does not change the spec, a write checks an object twice, and tests start many clusters with equal
objects. So most values were seen before.

Contract: :meth:`Memory.recall` returns what the pass returned for an equal value. The caller must not change it.

Invariant: a result depends on the pass and on the encoded value only, so a remembered one is never out of date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Memory"]

T = TypeVar("T")

_MOST_BYTES = 1 << 16
_FEWEST_VALUES = 128
"""Definitions of kinds have tens of KiB each. The passes over those of a small cluster are remembered."""


@final
class Memory:
    """The results for the latest values: 128, or more if these have less than 64 KiB in their encoded form."""

    def __init__(self) -> None:
        self._results: dict[tuple[Hashable, bytes], Any] = {}
        self._bytes = 0

    def recall(self, what: Hashable, value: Any, compute: Callable[[Any], T]) -> T:
        """The result of ``compute(value)``. ``what`` names the pass and the field."""
        encoded = msgspec.json.encode(value)
        key = (what, encoded)
        try:
            found: T = self._results[key]
        except KeyError:
            if self._bytes > _MOST_BYTES and len(self._results) > _FEWEST_VALUES:
                self._results.clear()
                self._bytes = 0
            self._bytes += len(encoded)
            found = self._results[key] = compute(value)
        return found

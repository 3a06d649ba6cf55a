"""Whether an object has everything that a body asks for. Pure.

Server-side apply changes only the fields that the body has, and the server adds defaults, so the object may have more.
The comparison never reports a difference of meaning as equal; where it cannot know, it reports a difference, and the
server then finds that there is nothing to change.

Rules:
    * A mapping has at least the wanted fields. An empty wanted value (such as 0, "", {}) may be missing: Go omits it.
    * A list has exactly the wanted items, in the same order; each may have more fields. ``metadata.ownerReferences``
      and ``metadata.finalizers`` may have items of others.
    * Quantities in ``requests``, ``limits``, ``hard`` and ``capacity``, and in fields ``sizeLimit``, ``divisor`` and
      ``averageValue``, are compared by amount: the server stores ``0.5`` as ``500m``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aimctl.kubetypes import quantity

__all__ = ["has_all"]

_QUANTITIES = frozenset({"requests", "limits", "hard", "capacity"})
_QUANTITY_FIELDS = frozenset({"sizeLimit", "divisor", "averageValue"})
_SHARED_LISTS = frozenset({("metadata", "ownerReferences"), ("metadata", "finalizers")})


def has_all(current: Any, wanted: Any, path: tuple[str, ...] = ()) -> bool:
    """Whether ``current`` has everything of ``wanted``, both as JSON; ``path`` is where they are in the body."""
    if isinstance(wanted, Mapping):
        if not isinstance(current, Mapping):
            return not wanted and current is None
        return all(
            has_all(current[name], value, (*path, name)) if name in current else not value
            for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return _has_items(current, wanted, path)
    if isinstance(current, bool) is not isinstance(wanted, bool):
        return False
    return bool(current == wanted) or (_is_quantity(path) and _same(current, wanted))


def _has_items(current: Any, wanted: list[Any], path: tuple[str, ...]) -> bool:
    if not isinstance(current, list):
        return not wanted and current is None
    if path in _SHARED_LISTS:
        return all(any(has_all(one, item) for one in current) for item in wanted)
    return len(current) == len(wanted) and all(
        has_all(one, item, (*path, "")) for one, item in zip(current, wanted, strict=True)
    )


def _is_quantity(path: tuple[str, ...]) -> bool:
    return len(path) > 1 and (path[-2] in _QUANTITIES or path[-1] in _QUANTITY_FIELDS)


def _same(current: Any, wanted: Any) -> bool:
    try:
        return quantity.parse_quantity(str(current)).value == quantity.parse_quantity(str(wanted)).value
    except ValueError:
        return False

"""JSON merge patches (RFC 7386). Pure."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["patch_changes"]


def patch_changes(current: object, patch: object) -> bool:
    """Whether a merge patch changes a value."""
    if not isinstance(patch, Mapping):
        return patch != current
    if not isinstance(current, Mapping):
        return True
    return any(
        name in current if value is None else patch_changes(current.get(name), value)
        for name, value in patch.items()
    )

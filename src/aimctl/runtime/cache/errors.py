"""Errors of declaring, reading and syncing a cache.

CacheError
├── UndeclaredKind          read of a kind that is not declared
│   └── UnwatchedNamespace  the kind is declared, but only for other namespaces
├── UnknownIndex            the informer has no index of that name
├── ClashingDeclaration     two declarations of one kind that cannot share an informer
├── CacheNotSynced          a cache is not complete yet; ``reasons`` says what is missing and why
└── InformerStopped         the informer has ended: it no longer syncs and accepts no handlers
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CacheError",
    "CacheNotSynced",
    "ClashingDeclaration",
    "InformerStopped",
    "UndeclaredKind",
    "UnknownIndex",
    "UnwatchedNamespace",
]


class CacheError(Exception):
    """Base class of all errors of the cache."""


class UndeclaredKind(CacheError):  # noqa: N818 - these names follow those of the API errors
    """The kind that was read is not declared. No list or watch was started for it."""


class UnwatchedNamespace(UndeclaredKind):
    """The kind is cached, but not for this namespace."""


class UnknownIndex(CacheError):  # noqa: N818
    """The informer has no index of that name."""


class ClashingDeclaration(CacheError):  # noqa: N818
    """A kind was declared twice, in ways that one informer cannot serve."""


class CacheNotSynced(CacheError):  # noqa: N818
    """Caches were not synced in time, or a reconciler has read one that is not synced."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("not synced: " + ("; ".join(reasons) or "no reason known"))
        self.reasons: tuple[str, ...] = tuple(reasons)
        """One sentence for each informer that is not ready."""


class InformerStopped(CacheError):  # noqa: N818
    """The informer has ended, so its cache will not become current."""

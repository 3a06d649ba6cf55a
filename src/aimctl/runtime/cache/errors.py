"""What can go wrong when a cache is declared, read or waited for.

CacheError
├── UndeclaredKind          read of a kind that nobody declared
│   └── UnwatchedNamespace  the kind is declared, but for other namespaces
├── UnknownIndex            the informer has no index of that name
├── ClashingDeclaration     two declarations of one kind that cannot share an informer
├── CacheNotSynced          the time to wait has passed; ``reasons`` says what is missing and why
└── InformerStopped         it ended, so it will never be synced, and takes no handlers
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
    """The root: catch this to catch all of them."""


class UndeclaredKind(CacheError):  # noqa: N818 - named for what happened, as the field does
    """A kind was read that nobody declared. Nothing was started for it."""


class UnwatchedNamespace(UndeclaredKind):
    """The kind is cached, but not this namespace of it."""


class UnknownIndex(CacheError):  # noqa: N818
    """The informer has no index of that name."""


class ClashingDeclaration(CacheError):  # noqa: N818
    """A kind was declared twice in ways that one informer cannot serve."""


class CacheNotSynced(CacheError):  # noqa: N818
    """The caches were not filled in time."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("not synced: " + ("; ".join(reasons) or "no reason known"))
        self.reasons = tuple(reasons)
        """One sentence for each informer that is not ready."""


class InformerStopped(CacheError):  # noqa: N818
    """The informer has ended."""

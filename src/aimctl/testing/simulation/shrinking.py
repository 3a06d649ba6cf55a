"""Shortens the plan of a failing run.

The algorithm is delta debugging (ddmin) by Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input"
(2002): leave out parts of decreasing size, as long as the rest still fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["shrunk"]

T = TypeVar("T")


def shrunk(items: Sequence[T], fails: Callable[[Sequence[T]], bool], *, runs: int = 100) -> list[T]:
    """The items of a short sequence that still fails, in their order.

    Args:
        items: fails as a whole.
        fails: whether a sequence fails.
        runs: how often ``fails`` is called at most.

    Returns:
        A sequence from which no single item can be left out, unless ``runs`` were not enough.
    """
    kept = list(items)
    left = runs
    size = len(kept)
    while kept and left > 0:
        size = max(1, min(size, len(kept)))
        start, shorter = 0, False
        while start < len(kept) and left > 0:
            rest = kept[:start] + kept[start + size :]
            left -= 1
            if fails(rest):
                kept, shorter = rest, True
            else:
                start += size
        if size == 1 and not shorter:
            break
        size = size // 2 if size > 1 else 1
    return kept

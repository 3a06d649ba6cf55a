"""Results of reads of metadata that several reconciles share.

While a Secret is missing, everything that refers to it reads its metadata again and again. Objects that read the same
one within :data:`FRESH_SECONDS` share one request, so the requests do not grow with the number of waiting objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from aimctl.domain.plan import Get, Got
    from aimctl.runtime.clock import Clock

__all__ = ["FRESH_SECONDS", "RecentReads"]

FRESH_SECONDS = 10.0


@final
class RecentReads:
    """The results of the last :data:`FRESH_SECONDS`.

    Invariant: results are in the order in which they were read, so the expired ones are first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._results: dict[Get, tuple[float, Got]] = {}

    def get(self, read: Get) -> Got | None:
        """The result of this read, if it is fresh."""
        now = self._clock.monotonic()
        while self._results and (oldest := next(iter(self._results.items())))[1][0] <= now:
            del self._results[oldest[0]]
        known = self._results.get(read)
        return None if known is None else known[1]

    def keep(self, read: Get, result: Got) -> None:
        """Keep the result of a read that has just been carried out."""
        self._results.pop(read, None)
        self._results[read] = (self._clock.monotonic() + FRESH_SECONDS, result)

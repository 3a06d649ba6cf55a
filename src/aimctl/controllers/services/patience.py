"""How long a service waits for templates that may change what it gets: a status that is about to be written, a GPU.

Invariant: the wait for a template ends :data:`PATIENCE_SECONDS` after it began, whatever happens to that template; one
that was no more waited for in between is waited for anew.

It is kept in memory: after a restart the waits begin again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["PATIENCE_SECONDS", "Patience"]

PATIENCE_SECONDS = 30.0
"""Many times what writing a status takes, retries included, and what a node takes to register anew."""


@final
class Patience:
    """See the module. Templates are named by their UIDs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: dict[Request, dict[str, float]] = {}

    def given_up(self, request: Request) -> frozenset[str]:
        """What this service waited for long enough."""
        return frozenset(uid for uid, left in self._left(request).items() if left <= 0)

    def wait(self, request: Request, awaited: Iterable[str]) -> float | None:
        """Note what this service waits for, or did for long enough; seconds until the next wait ends, if one does."""
        end, before = self._clock.monotonic() + PATIENCE_SECONDS, self._ends.get(request, {})
        waits = {uid: before.get(uid, end) for uid in awaited}
        self.forget(request)
        if waits:
            self._ends[request] = waits
        return min((left for left in self._left(request).values() if left > 0), default=None)

    def forget(self, request: Request) -> None:
        """The service is gone."""
        self._ends.pop(request, None)

    def _left(self, request: Request) -> dict[str, float]:
        now = self._clock.monotonic()
        # Exact near the end (Sterbenz), so that a wait of what is left ends there, and not a rounding before it.
        return {uid: end - now for uid, end in self._ends.get(request, {}).items()}

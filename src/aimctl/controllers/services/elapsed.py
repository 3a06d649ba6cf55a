"""How long conditions have held for objects, in memory: the delays of services and of derived templates.

Invariant: the time of a condition starts when it is first kept, and ends when it is no longer kept. If it holds
again later, its time starts again. After a restart, all times start again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["ElapsedTimes"]


@final
class ElapsedTimes:
    """Elapsed times by object and condition. A condition is named by a text, such as the UID of a template."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[Request, dict[str, float]] = {}

    def of(self, request: Request) -> Mapping[str, float]:
        """The seconds that have elapsed, by condition."""
        now = self._clock.monotonic()
        return {condition: now - since for condition, since in self._since.get(request, {}).items()}

    def keep(self, request: Request, conditions: Iterable[str]) -> None:
        """Note which conditions hold for an object now; with none, the object is forgotten."""
        now, before = self._clock.monotonic(), self._since.pop(request, {})
        since = {condition: before.get(condition, now) for condition in conditions}
        if since:
            self._since[request] = since

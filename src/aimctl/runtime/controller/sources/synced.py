"""A source that adds no requests, but makes a controller wait for caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.runtime.cache import Cache
from aimctl.runtime.controller.sources.watch import described

if TYPE_CHECKING:
    from aimctl.runtime.cache import Informer
    from aimctl.runtime.controller.reconcile import Request
    from aimctl.runtime.queue import WorkQueue

__all__ = ["Synced"]


@final
class Synced:
    """A source without requests: the controller starts when these caches are synced.

    For kinds that the reconciler reads without watching them. ``manager.controller(..., reads=[...])`` adds it.

    Args:
        caches: informers, or caches for all kinds that are declared in their scope when the controller starts.
    """

    def __init__(self, *caches: Informer[Any] | Cache) -> None:
        self._caches = caches

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The informers, each once."""
        return tuple(
            dict.fromkeys(
                informer
                for one in self._caches
                for informer in (one.declarations if isinstance(one, Cache) else (one,))
            )
        )

    @property
    def synced(self) -> bool:
        """Whether all of them are synced."""
        return all(informer.synced for informer in self.informers)

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Do nothing: the source has no requests."""

    async def wait_synced(self) -> None:
        """Wait until the informers are synced.

        Raises:
            InformerStopped: one of them has ended before.
        """
        for one in self._caches:
            await (one.wait_declarations() if isinstance(one, Cache) else one.wait_synced())

    def stop(self) -> None:
        """Do nothing."""

    def describe(self) -> str:
        """The kinds that are not synced, with the last error of their informers."""
        waiting = ", ".join(described(one) for one in self.informers if not one.synced)
        return f"cache of {waiting}" if waiting else "caches"

"""What the readiness check of a manager reports: caches and other sources that are not synced, and who needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aimctl.runtime.cache import Cache
    from aimctl.runtime.controller import Controller

__all__ = ["not_synced"]


def not_synced(cache: Cache, controllers: Collection[Controller]) -> Iterator[str]:
    """Return one sentence for each informer that is not ready, and for each other source that is not synced.

    Each names the controllers that wait for it.
    """
    explained: set[str] = set()
    for informer in cache.informers:
        problem = informer.health.problem
        if not problem:
            continue
        names = sorted(controller.name for controller in controllers if informer in controller.informers)
        explained.update(names)
        yield f"{problem} (needed by: {', '.join(names)})" if names else problem
    for controller in controllers:
        if controller.name not in explained and controller.waiting_for:
            yield f"controller {controller.name} waits for {', '.join(controller.waiting_for)}"

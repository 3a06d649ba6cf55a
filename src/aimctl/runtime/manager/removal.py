"""Removing a controller from a manager.

Contract of :func:`remove_controller`:
    * No new reconcile starts. Running reconciles have the given time; then they are cancelled.
    * The informers that the controller used are stopped, unless another controller uses them (``for_``, ``owns``,
      ``sources``, ``reads``) or they have other handlers. Reads of their kinds then raise UndeclaredKind.
    * Its metrics disappear, and so do its rows on the debug pages. Its name is free when the call returns.
    * If the call is cancelled, all of this happens nevertheless, and running reconciles are cancelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.runtime.cache import Informer
    from aimctl.runtime.controller import Controller
    from aimctl.runtime.manager.lifecycle import Lifecycle
    from aimctl.runtime.manager.manager import Manager

__all__ = ["remove_controller"]


async def remove_controller(
    manager: Manager, life: Lifecycle, controller: Controller, seconds: float
) -> None:
    """Remove a controller.

    Args:
        manager: the manager.
        life: its life cycle.
        controller: one of the manager.
        seconds: for running reconciles; below zero without limit, 0 cancels them at once.

    Raises:
        ValueError: it is not of this manager, or is being removed.
        RuntimeError: called by one of its reconciles, which would wait for itself.
    """
    name = controller.name
    if manager.controllers.get(name) is not controller:
        raise ValueError(
            f"the manager has no such controller: {name!r}; it has {', '.join(manager.controllers)}"
        )
    if life.removing(controller):
        raise ValueError(f"controller {name!r} is being removed already")
    if controller.reconciling:
        raise RuntimeError(
            f"controller {name!r} cannot be removed by its own reconcile: remove it in another task, for example"
            " a runnable of the manager"
        )
    informers = controller.informers
    try:
        graceful = await life.remove(controller, seconds)
        if not graceful:
            structlog.get_logger(__name__).warning(
                "reconciles were cancelled to remove their controller", controller=name, seconds=seconds
            )
    finally:
        controller.stop()
        del manager.controllers[name]
        manager.metrics.remove(name)
        await _stop_unused(manager, informers)


async def _stop_unused(manager: Manager, informers: Iterable[Informer[Any]]) -> None:
    used = {informer for other in manager.controllers.values() for informer in other.informers}
    for informer in informers:
        if informer not in used and not informer.handlers and informer in manager.cache.informers:
            await manager.cache.remove(informer)

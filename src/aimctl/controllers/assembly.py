"""What the wiring of every area shares: the manager, the options, and how a controller is added.

Each area (templates, services, caching, models) has one ``add_...(assembly)`` function in a ``wiring_...`` module that
declares its kinds and indexes, makes its reconcilers, and says which events ask for which of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.controllers.observer import TemplateObserver
from aimctl.controllers.status import Turns
from aimctl.runtime.controller import Controller
from aimctl.runtime.queue import ExponentialRateLimiter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.controllers.metrics import OperatorMetrics
    from aimctl.controllers.options import OperatorOptions
    from aimctl.runtime.controller import HotLoopDetector, Reconciler, Request, Source
    from aimctl.runtime.kube import Resource
    from aimctl.runtime.manager import Manager

__all__ = ["LONGEST_PAUSE_SECONDS", "Assembly"]

LONGEST_PAUSE_SECONDS = 60.0
"""Between two attempts that fail, so that nothing waits much longer than an outage lasted."""


@final
class Assembly:
    """See the module.

    Attributes:
        manager: with clock, client, cache, events.
        options: the operator's.
        observer: declares and reads templates and what they refer to.
        metrics: the operator's own.
        turns: for every writer of a status: several kinds have more than one.
    """

    def __init__(self, manager: Manager, options: OperatorOptions, metrics: OperatorMetrics) -> None:
        self.manager = manager
        self.options = options
        self.metrics = metrics
        self.cache = manager.cache
        self.turns = Turns()
        self.observer = TemplateObserver(manager.cache, options, manager.clock)

    def add(
        self,
        name: str,
        reconciler: Reconciler,
        kind: Resource[Any] | str,
        sources: Iterable[Source],
        *,
        workers: int | None = None,
        hot_loop: HotLoopDetector[Request] | None = None,
    ) -> Controller:
        """Make a controller and add it to the manager.

        Args:
            name: in metrics and logs.
            reconciler: what it runs.
            kind: whose keys it works on.
            sources: where requests come from.
            workers: reconciles at once; the options' when None.
            hot_loop: another detector than the default.
        """
        manager = self.manager
        controller = Controller(
            name,
            reconciler,
            kind=kind if isinstance(kind, str) else kind.kind,
            sources=sources,
            clock=manager.clock,
            rng=manager.rng,
            rate_limiter=ExponentialRateLimiter(max_seconds=LONGEST_PAUSE_SECONDS),
            max_concurrent_reconciles=workers or self.options.max_concurrent_reconciles,
            metrics=manager.metrics.controller(name),
            queue_metrics=manager.metrics.queue(name),
            hot_loop=hot_loop,
        )
        manager.add(controller)
        return controller

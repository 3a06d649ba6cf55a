"""What the areas of the operator share: the manager, the options, and the defaults of their controllers.

Each area (templates, services, caching, models) has ``add_...(context)`` functions in its ``wiring`` modules. They
declare kinds and indexes, create the reconcilers, and add them with ``manager.controller``, which also lists the events
that enqueue requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, final

from aimctl.controllers.execution.executor import Executor
from aimctl.controllers.execution.status_writer import KeyedLocks
from aimctl.controllers.observer import References
from aimctl.runtime.queue import ExponentialRateLimiter, RateLimiter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.controllers.metrics import OperatorMetrics
    from aimctl.controllers.options import OperatorOptions
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.controller import Request
    from aimctl.runtime.manager import Manager

__all__ = ["MAX_BACKOFF_SECONDS", "ControllerDefaults", "OperatorContext"]

MAX_BACKOFF_SECONDS = 60.0
"""Longest delay between two failed reconciles of an object, so that none waits much longer than an outage lasts."""


class ControllerDefaults(TypedDict):
    """Options of ``manager.controller`` that all controllers of the operator share."""

    reads: Sequence[Cache]
    max_concurrent_reconciles: int
    rate_limiter: RateLimiter[Request]


@final
class OperatorContext:
    """The components that all areas use.

    Attributes:
        manager: with clock, client, cache and events.
        options: of the operator.
        references: declares the kinds that several areas observe, and resolves references.
        metrics: of the operator.
        cache: of the manager.
        executor: makes reconcilers from an observer and a decision.
    """

    def __init__(self, manager: Manager, options: OperatorOptions, metrics: OperatorMetrics) -> None:
        self.manager = manager
        self.options = options
        self.metrics = metrics
        self.cache = manager.cache
        self.executor = Executor(
            client=manager.client,
            cache=manager.cache,
            locks=KeyedLocks(),
            events=manager.events,
            clock=manager.clock,
        )
        self.references = References(manager.cache, options)

    def defaults(self, workers: int | None = None) -> ControllerDefaults:
        """The defaults for one controller; ``workers`` replaces the number of concurrent reconciles.

        Every controller waits for all kinds of the operator: an object that is not cached yet counts as missing.
        """
        return {
            "reads": (self.cache,),
            "max_concurrent_reconciles": workers or self.options.max_concurrent_reconciles,
            "rate_limiter": ExponentialRateLimiter(max_seconds=MAX_BACKOFF_SECONDS),
        }

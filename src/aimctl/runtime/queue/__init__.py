"""Work queues with delays, back-off and priorities that cannot starve an item."""

from __future__ import annotations

from aimctl.runtime.queue.ageing import DEFAULT_AGEING_SECONDS, PRIORITY_DEFAULT, PRIORITY_LOW
from aimctl.runtime.queue.items import QueueItem, QueueShutDown, QueueSnapshot
from aimctl.runtime.queue.metrics import EXCEEDED_CARDINALITY_LIMIT, QueueGauges, QueueMetrics
from aimctl.runtime.queue.ratelimit import (
    BucketRateLimiter,
    ExponentialRateLimiter,
    FastSlowRateLimiter,
    MaxOfRateLimiter,
    MaxWaitRateLimiter,
    RateLimiter,
    exponential_delay,
)
from aimctl.runtime.queue.workqueue import WorkQueue

__all__ = [
    "DEFAULT_AGEING_SECONDS",
    "EXCEEDED_CARDINALITY_LIMIT",
    "PRIORITY_DEFAULT",
    "PRIORITY_LOW",
    "BucketRateLimiter",
    "ExponentialRateLimiter",
    "FastSlowRateLimiter",
    "MaxOfRateLimiter",
    "MaxWaitRateLimiter",
    "QueueGauges",
    "QueueItem",
    "QueueMetrics",
    "QueueShutDown",
    "QueueSnapshot",
    "RateLimiter",
    "WorkQueue",
    "exponential_delay",
]

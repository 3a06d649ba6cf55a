"""Work queues with delays, back-off and priorities that cannot starve an item."""

from __future__ import annotations

from aimctl.runtime.queue.ageing import DEFAULT_AGEING_SECONDS as DEFAULT_AGEING_SECONDS
from aimctl.runtime.queue.ageing import PRIORITY_DEFAULT as PRIORITY_DEFAULT
from aimctl.runtime.queue.ageing import PRIORITY_LOW as PRIORITY_LOW
from aimctl.runtime.queue.items import QueueItem as QueueItem
from aimctl.runtime.queue.items import QueueShutDown as QueueShutDown
from aimctl.runtime.queue.items import QueueSnapshot as QueueSnapshot
from aimctl.runtime.queue.metrics import EXCEEDED_CARDINALITY_LIMIT as EXCEEDED_CARDINALITY_LIMIT
from aimctl.runtime.queue.metrics import QueueGauges as QueueGauges
from aimctl.runtime.queue.metrics import QueueMetrics as QueueMetrics
from aimctl.runtime.queue.ratelimit import BucketRateLimiter as BucketRateLimiter
from aimctl.runtime.queue.ratelimit import ExponentialRateLimiter as ExponentialRateLimiter
from aimctl.runtime.queue.ratelimit import FastSlowRateLimiter as FastSlowRateLimiter
from aimctl.runtime.queue.ratelimit import MaxOfRateLimiter as MaxOfRateLimiter
from aimctl.runtime.queue.ratelimit import MaxWaitRateLimiter as MaxWaitRateLimiter
from aimctl.runtime.queue.ratelimit import RateLimiter as RateLimiter
from aimctl.runtime.queue.workqueue import WorkQueue as WorkQueue

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
]

"""What a work queue tells about itself, meaning what existing dashboards take ``workqueue_*`` to mean.

Counters and histograms are pushed through :class:`QueueMetrics`. What only grows with time (unfinished
work, the oldest ready item) is read from :class:`QueueGauges` when somebody looks, so an idle queue needs
no timer for it.
"""

from __future__ import annotations

from typing import Protocol, final

__all__ = ["EXCEEDED_CARDINALITY_LIMIT", "NoMetrics", "PriorityLabels", "QueueGauges", "QueueMetrics"]

EXCEEDED_CARDINALITY_LIMIT = "exceeded_cardinality_limit"
"""The ``priority`` label of all priorities after the first 25 distinct ones, as in controller-runtime."""


class QueueGauges(Protocol):
    """Values to read at scrape time, on the loop's thread. All durations are seconds."""

    @property
    def name(self) -> str:
        """The queue's name, the ``name`` and ``controller`` label."""
        ...

    @property
    def unfinished_seconds(self) -> float:
        """``workqueue_unfinished_work_seconds``: time spent on items handed out and not done, summed."""
        ...

    @property
    def longest_running_seconds(self) -> float:
        """``workqueue_longest_running_processor_seconds``: the oldest item handed out and not done."""
        ...

    @property
    def oldest_ready_seconds(self) -> float:
        """How long the item that waits longest could have been handed out already; 0 when none waits."""
        ...

    @property
    def waiting_count(self) -> int:
        """Items whose delay has not passed; they are not in the depth."""
        ...


class QueueMetrics(Protocol):
    """Hooks, called synchronously; they must neither block nor raise."""

    def attach(self, gauges: QueueGauges) -> None:
        """Called once, by the queue's constructor."""
        ...

    def depth(self, priority: str, items: int) -> None:
        """``workqueue_depth``: items due and not handed out, for this value of the ``priority`` label.

        Includes an item added while it is being worked on. At most 26 distinct labels a queue.
        """
        ...

    def added(self) -> None:
        """``workqueue_adds_total``: an item became due that was not so before (merged adds do not count)."""
        ...

    def merged(self) -> None:
        """An add met its item already in the queue."""
        ...

    def retried(self) -> None:
        """``workqueue_retries_total``: an add with a delay above zero."""
        ...

    def waited(self, seconds: float) -> None:
        """``workqueue_queue_duration_seconds``: from becoming due to the hand-out."""
        ...

    def worked(self, seconds: float) -> None:
        """``workqueue_work_duration_seconds``: from the hand-out to done."""
        ...


@final
class NoMetrics:
    """Counts nothing."""

    __slots__ = ()

    def attach(self, gauges: QueueGauges) -> None:
        """Ignore."""

    def depth(self, priority: str, items: int) -> None:
        """Ignore."""

    def added(self) -> None:
        """Ignore."""

    def merged(self) -> None:
        """Ignore."""

    def retried(self) -> None:
        """Ignore."""

    def waited(self, seconds: float) -> None:
        """Ignore."""

    def worked(self, seconds: float) -> None:
        """Ignore."""


@final
class PriorityLabels:
    """A bounded set of label values: the first ``limit`` priorities get their own, the rest share one."""

    __slots__ = ("_labels", "_limit")

    def __init__(self, limit: int = 25) -> None:
        self._limit = limit
        self._labels: dict[int, str] = {}

    def label(self, priority: int) -> str:
        """The label value; the same for the same priority for ever."""
        known = self._labels.get(priority)
        if known is not None:
            return known
        if len(self._labels) >= self._limit:
            return EXCEEDED_CARDINALITY_LIMIT
        label = str(priority)
        self._labels[priority] = label
        return label

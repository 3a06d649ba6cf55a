"""Metrics of a work queue, with the meaning that client-go gives to ``workqueue_*``.

Counters and histograms are updated through :class:`QueueMetrics`. Values that change with time (unfinished work, the
oldest ready item) are read from :class:`QueueGauges` at scrape time, so an idle queue needs no timer.
"""

from __future__ import annotations

from typing import Protocol, final

__all__ = ["EXCEEDED_CARDINALITY_LIMIT", "PriorityLabels", "QueueGauges", "QueueMetrics"]

EXCEEDED_CARDINALITY_LIMIT = "exceeded_cardinality_limit"
"""The ``priority`` label of all priorities after the first 25 different ones, as in controller-runtime."""


class QueueGauges(Protocol):
    """Values that are read at scrape time, on the event loop's thread. Durations are in seconds."""

    @property
    def name(self) -> str:
        """The value of the labels ``name`` and ``controller``."""
        ...

    @property
    def unfinished_seconds(self) -> float:
        """``workqueue_unfinished_work_seconds``: sum of the processing times of unfinished items."""
        ...

    @property
    def longest_running_seconds(self) -> float:
        """``workqueue_longest_running_processor_seconds``: the longest of these processing times."""
        ...

    @property
    def oldest_ready_seconds(self) -> float:
        """Time since the oldest ready item became due; 0 without a ready item."""
        ...

    @property
    def waiting_count(self) -> int:
        """Number of items that are not due; they do not count in the depth."""
        ...


class QueueMetrics:
    """Hooks of one queue, called synchronously. A hook must neither block nor raise. By default they do nothing."""

    __slots__ = ()

    def attach(self, gauges: QueueGauges) -> None:
        """Called once, by the constructor of the queue."""

    def depth(self, priority: str, items: int) -> None:
        """``workqueue_depth``: number of due items for this value of the ``priority`` label.

        Includes items that were added while they are being processed. There are at most 26 different labels per queue.
        """

    def added(self) -> None:
        """``workqueue_adds_total``: an item became due. Merged adds do not count."""

    def merged(self) -> None:
        """An item was added that was in the queue already."""

    def retried(self) -> None:
        """``workqueue_retries_total``: an item was added with a delay."""

    def waited(self, seconds: float) -> None:
        """``workqueue_queue_duration_seconds``: time from becoming due to being returned by ``get``."""

    def worked(self, seconds: float) -> None:
        """``workqueue_work_duration_seconds``: time from being returned by ``get`` to ``done``."""


@final
class PriorityLabels:
    """A bounded set of label values: the first ``limit`` priorities have their own, all others share one."""

    __slots__ = ("_labels", "_limit")

    def __init__(self, limit: int = 25) -> None:
        self._limit = limit
        self._labels: dict[int, str] = {}

    def label(self, priority: int) -> str:
        """The label value of a priority; it never changes."""
        known = self._labels.get(priority)
        if known is not None:
            return known
        if len(self._labels) >= self._limit:
            return EXCEEDED_CARDINALITY_LIMIT
        label = str(priority)
        self._labels[priority] = label
        return label

"""QueueMetrics that record their calls and check that no depth is negative."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aimctl.runtime.queue import QueueGauges


class RecordingMetrics:
    """Counts every hook."""

    def __init__(self) -> None:
        self.gauges: QueueGauges | None = None
        self.depths: dict[str, int] = {}
        self.adds = 0
        self.merges = 0
        self.retries = 0
        self.waits: list[float] = []
        self.works: list[float] = []
        self.calls = 0

    def attach(self, gauges: QueueGauges) -> None:
        self.gauges = gauges

    def depth(self, priority: str, items: int) -> None:
        assert items >= 0
        self.calls += 1
        self.depths[priority] = items

    def added(self) -> None:
        self.calls += 1
        self.adds += 1

    def merged(self) -> None:
        self.calls += 1
        self.merges += 1

    def retried(self) -> None:
        self.calls += 1
        self.retries += 1

    def waited(self, seconds: float) -> None:
        self.calls += 1
        self.waits.append(seconds)

    def worked(self, seconds: float) -> None:
        self.calls += 1
        self.works.append(seconds)

    @property
    def total_depth(self) -> int:
        return sum(self.depths.values())

"""The watchdog of the event loop: its lag, and stalls with the stack of the blocking code."""

from __future__ import annotations

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.manager import Manager, ManagerOptions
from aimctl.runtime.manager.watchdog import LoopWatchdog
from aimctl.testing import virtual_clock, virtual_time
from support.leaseapi import LeaseApi, LeaseTransport

THREAD = "event loop watchdog"


class Measured:
    def __init__(self) -> None:
        self.lags: list[float] = []
        self.stalls: list[float] = []
        self.ended = asyncio.Event()

    def loop_lag(self, seconds: float) -> None:
        self.lags.append(seconds)

    def loop_stall(self, seconds: float) -> None:
        self.stalls.append(seconds)
        self.ended.set()


class Reports:
    """A logger; code that blocks the loop waits in ``arrived`` for the report about itself."""

    def __init__(self, wanted: int = 1) -> None:
        self.errors: list[dict] = []
        self.warnings: list[dict] = []
        self.arrived = threading.Event()
        self._wanted = wanted

    def error(self, event: str, **facts) -> None:
        self.errors.append({"event": event, **facts})
        if len(self.errors) == self._wanted:
            self.arrived.set()

    def warning(self, event: str, **facts) -> None:
        self.warnings.append({"event": event, **facts})


def watchdog(measured: Measured, reports: Reports, stall: float = 0.1) -> LoopWatchdog:
    return LoopWatchdog(LoopClock(), measured, interval=1.0, stall_seconds=stall, logger=reports)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == THREAD]


@virtual_time
async def test_a_lagging_event_loop_is_measured_and_fails_liveness_while_it_lags():
    measured = Measured()
    async with LoopWatchdog(virtual_clock(), measured, interval=1.0, limit_seconds=5.0) as dog:
        assert dog.check() is None
        await asyncio.sleep(2.5)
        assert measured.lags == [0, 0]
        asyncio.get_running_loop()._jumping.now += 8  # simulates a blocked loop
        assert dog.check() == "the event loop lags 7.5 s behind"
        await asyncio.sleep(0.1)
        assert measured.lags == [0, 0, 7.5]
        assert dog.check() == "the event loop lags 7.5 s behind"
        await asyncio.sleep(1)
        assert dog.check() is None
        assert threads() == []
    seen = len(measured.lags)
    await asyncio.sleep(10)
    assert (len(measured.lags), measured.stalls) == (seen, [])


async def test_a_blocked_loop_is_reported_with_the_task_and_the_stack_that_block_it():
    measured, reports = Measured(), Reports()

    def blocking_function() -> None:
        assert reports.arrived.wait(30)

    async def work() -> None:
        await asyncio.sleep(0)
        blocking_function()

    async with watchdog(measured, reports):
        await asyncio.create_task(work(), name="things run")
        await measured.ended.wait()
    (report,) = reports.errors[:1]
    assert report["event"].startswith("the event loop is blocked")
    assert report["task"] == "things run"
    assert "in work" in report["stack"]
    assert "blocking_function()" in report["stack"]
    assert "asyncio.to_thread" in report["remedy"]
    assert [warning["event"] for warning in reports.warnings[:1]] == ["the event loop was blocked"]
    assert len(measured.stalls) == len(reports.warnings)


async def test_a_stall_that_lasts_is_reported_again():
    measured, reports = Measured(), Reports(wanted=3)
    async with watchdog(measured, reports, stall=0.04):
        assert reports.arrived.wait(30)
        await measured.ended.wait()
    seconds = [report["seconds"] for report in reports.errors[:3]]
    assert seconds == sorted(set(seconds))
    assert len(measured.stalls) == len(reports.warnings)


async def test_the_thread_ends_with_the_manager():
    manager = Manager(
        LeaseTransport(LeaseApi()), clock=LoopClock(), options=ManagerOptions(stall_seconds=30.0)
    )
    stop = asyncio.Event()
    task = asyncio.create_task(manager.run(stop))
    async with asyncio.timeout(10):
        await manager.elected.wait()
    assert threads() == [THREAD]
    stop.set()
    await task
    assert threads() == []


@virtual_time
async def test_the_metrics_count_the_stalls_and_have_the_longest():
    manager = Manager(LeaseTransport(LeaseApi()), clock=virtual_clock())
    for seconds in (2.0, 7.0, 3.0):
        manager.metrics.loop_stall(seconds)
    value = manager.metrics.registry.get_sample_value
    assert value("event_loop_stalls_total") == 3
    assert value("event_loop_longest_stall_seconds") == 7


@virtual_time
async def test_a_stall_that_the_thread_does_not_see_is_counted_by_the_loop():
    measured = Measured()
    # The thread waits for hours of real time, so only the loop measures the stall.
    with capture_logs() as logs:
        async with LoopWatchdog(virtual_clock(), measured, interval=1.0, stall_seconds=4 * 3600.0):
            await asyncio.sleep(0.5)
            asyncio.get_running_loop()._jumping.now += 5 * 3600  # simulates a blocked loop
            await measured.ended.wait()
    assert measured.stalls == [5 * 3600 - 0.5]
    assert [log["event"] for log in logs] == ["the event loop was blocked"]


@pytest.mark.parametrize("options", [{"loop_lag_interval": -1.0}, {"stall_seconds": -0.5}])
def test_a_negative_time_is_rejected(options):
    (field,) = options
    with pytest.raises(ValueError, match=f"{field}={options[field]}"):
        Manager(LeaseTransport(LeaseApi()), clock=virtual_clock(), options=ManagerOptions(**options))

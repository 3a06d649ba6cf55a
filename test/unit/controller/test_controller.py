from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import math
import weakref
from dataclasses import replace
from functools import partial

import pytest
import structlog
from structlog.testing import capture_logs

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.controller import (
    CacheSyncTimeout,
    Controller,
    HotLoopDetector,
    Request,
    Result,
    RetryAfter,
    TerminalError,
    current_reconcile_id,
)
from aimctl.runtime.kube.errors import Conflict, Forbidden, TooManyRequests, WriteRefused
from aimctl.runtime.queue import PRIORITY_LOW
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.reconciling import Counting, HandFed, Scripted, running

A, B = Request("ns", "a"), Request("ns", "b")
CONFLICT = Conflict(409, "Conflict", "the object has been modified")


def controller(reconciler, *sources, **options):
    return Controller("test", reconciler, sources=sources, clock=virtual_clock(), **options)


@virtual_time
async def test_start_fails_when_a_source_fails_to_start():
    """Checklist 91: start fails if a source fails to start."""
    with pytest.raises(OSError, match="no such kind"):
        await controller(Scripted(), HandFed(error=OSError("no such kind"))).run()


@virtual_time
@pytest.mark.parametrize("how", [{"synced": False}, {"hang": True}])
async def test_start_fails_when_a_source_cannot_sync_or_blocks_in_its_start(how):
    """Checklist 91: start fails if a source cannot sync in cache_sync_timeout, also when start() itself blocks."""
    loop = asyncio.get_running_loop()
    with pytest.raises(CacheSyncTimeout, match=r"'test'.*120 s.*hand-fed source.*service account"):
        await controller(Scripted(), HandFed(), HandFed(**how), cache_sync_timeout=120).run()
    assert loop.time() == 120


def raise_panic(_):
    raise RustPanic("x")


class _NoSuper(RetryAfter):
    """Lacks the attribute ``seconds``."""

    def __init__(self):
        Exception.__init__(self, "no super().__init__()")


class _NoText(Exception):
    def __str__(self):
        raise RuntimeError("broken __str__")


class RustPanic(BaseException):
    """As the panic of an extension module in Rust: it is not an Exception."""


def _refused_for_ever():
    return TooManyRequests(429, "", "later", retry_after=math.inf)


@virtual_time
@pytest.mark.parametrize(
    "act",
    [
        lambda: Result(requeue_after=math.inf),
        lambda: Result(requeue_after=math.nan),
        lambda: Result(requeue_after="5"),
        lambda: Result(requeue_after=10**400),
        lambda: Result(requeue_after=1e300),
        lambda: Result(priority="high"),
        lambda: RetryAfter(math.inf),
        lambda: RetryAfter(1e300),
        lambda: RetryAfter(0),
        lambda: RetryAfter(-1),
        lambda: BaseExceptionGroup("cancelled", [asyncio.CancelledError(), ValueError("x")]),
        lambda: BaseExceptionGroup("cancelled", [asyncio.CancelledError()]),
        GeneratorExit,
        lambda: RustPanic("index out of bounds"),
        lambda: BaseExceptionGroup("panics", [RustPanic("x"), ValueError("x")]),
        lambda: BaseExceptionGroup("panics", [RustPanic("x")]),
        _NoSuper,
        _NoText,
        _refused_for_ever,
        lambda: ExceptionGroup("two", [_NoSuper(), _NoText()]),
        lambda: Conflict(409, "Conflict", "x", details={"causes": [None, "x"]}),
        lambda: "a result",
    ],
)
async def test_whatever_a_reconciler_returns_or_raises_affects_only_its_key(act):
    seen = []

    async def reconcile(request):
        seen.append(request)
        if request == A:
            found = act()
            if isinstance(found, BaseException):
                raise found
            return found
        return None

    async with running(reconcile) as subject:
        subject.queue.add(A)
        await asyncio.sleep(1)
        subject.queue.add(B)
        await asyncio.sleep(1)
        assert B in seen
        assert 1 <= seen.count(A) <= 25, "there is a pause"


@virtual_time
async def test_what_is_no_exception_is_logged_with_its_text():
    async def reconcile(_request):
        raise RustPanic("index out of bounds")

    with capture_logs() as logs:
        async with running(reconcile, HandFed("a")):
            await asyncio.sleep(0.001)
    (entry,) = [entry for entry in logs if entry["event"] == "reconcile failed"]
    assert (
        entry["error"] == "the reconciler raised RustPanic('index out of bounds'), which is not an Exception"
    )
    assert isinstance(entry["exc_info"].__cause__, RustPanic)


@pytest.mark.parametrize(
    "error", [SystemExit(3), BaseExceptionGroup("ends", [ValueError("x"), KeyboardInterrupt()])], ids=repr
)
def test_what_ends_the_program_ends_the_controller(error):
    async def reconcile(_request):
        raise error

    async def main():
        controller = Controller("c", reconcile, sources=[HandFed("a")], clock=LoopClock())
        await controller.run()

    with pytest.raises(type(error)):
        asyncio.run(main())


@virtual_time
@pytest.mark.parametrize("item", [("a",), None, "ns/a", Request("ns", None)], ids=repr)
async def test_what_is_no_request_is_dropped_from_the_queue(item):
    seen = []

    async def reconcile(request):
        seen.append(request)

    with capture_logs() as logs:
        async with running(reconcile) as subject:
            subject.queue.add(item)
            subject.queue.add(A)
            await asyncio.sleep(1)
    assert seen == [A]
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (entry["event"], entry["item"]) == ("dropped an item that is not a Request", repr(item))


@virtual_time
async def test_a_plain_tuple_in_the_queue_is_the_request_that_it_is_equal_to():
    seen = []

    async def reconcile(request):
        seen.append(request.name)

    async with running(reconcile) as subject:
        subject.queue.add(("ns", "a"))
        subject.queue.add(A)
        await asyncio.sleep(1)
    assert seen == ["a"]


@virtual_time
async def test_a_worker_that_other_code_cancels_is_an_error_of_the_controller():
    async def reconcile(_request):
        for task in asyncio.all_tasks():
            if "worker" in task.get_name():
                task.cancel()
        await asyncio.sleep(1)

    controller = Controller("c", reconcile, sources=[HandFed("a")], clock=virtual_clock())
    with pytest.raises(RuntimeError, match="'c' was cancelled, but not by the controller"):
        await controller.run()


@virtual_time
@pytest.mark.parametrize(
    "when", [raise_panic, lambda _: 1 / 0, lambda _: math.nan, lambda _: math.inf, lambda _: -1]
)
async def test_a_rate_limiter_that_fails_does_not_stop_the_controller(when):
    class Limiter:
        def when(self, item):
            return when(item)

        def forget(self, item):
            pass

        def num_requeues(self, item):
            return 0

    reconciler = Scripted(RuntimeError("x"), None, None)
    async with running(reconciler, rate_limiter=Limiter()) as subject:
        subject.queue.add(A)
        await asyncio.sleep(1)
        subject.queue.add(B)
        await asyncio.sleep(1)
        assert reconciler.runs[-1] == B


@virtual_time
async def test_a_reconcile_that_times_out_says_so_in_the_log():
    async def slow(_):
        await asyncio.sleep(100)

    with capture_logs() as logs:
        async with running(slow, reconcile_timeout=5) as subject:
            subject.queue.add(A)
            await asyncio.sleep(5.001)
    failed = [entry for entry in logs if entry["event"] == "reconcile failed"]
    assert [entry["error"] for entry in failed] == ["the reconcile was cancelled after reconcile_timeout=5 s"]


async def stubborn(_request, seconds=math.inf):
    """Ignores every cancellation for this time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(min(1e6, end - loop.time()))


@virtual_time
@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (8, "the reconcile was cancelled after reconcile_timeout=5 s, but it caught the cancellation"),
        (
            100,
            "reconcile_timeout=5 s, and abandoned because it ignored that for 5 s: it must raise CancelledError",
        ),
    ],
)
async def test_a_reconcile_that_ignores_its_time_limit_is_reported_and_does_not_hold_the_worker(
    seconds, text
):
    reconciler = Scripted(partial(stubborn, seconds=seconds), None)
    with capture_logs() as logs:
        async with running(reconciler, reconcile_timeout=5) as subject:
            subject.queue.add(A)
            subject.queue.add(B)
            await asyncio.sleep(11)
            assert reconciler.runs[:2] == [A, B]
            assert reconciler.times[1] <= 10
            assert (A in reconciler.runs[1:]) == (seconds < 11), "a request is never reconciled twice at once"
            await asyncio.sleep(100)
            assert A in reconciler.runs[1:]
    assert text in next(entry for entry in logs if entry["event"] == "reconcile failed")["error"]
    abandoned = [entry for entry in logs if "abandoned" in entry["event"]]
    assert [(entry["name"], entry["controller"], "stubborn" in entry["at"]) for entry in abandoned] == (
        [("a", "test", True)] if seconds == 100 else []
    )


@virtual_time
@pytest.mark.parametrize("limit", [None, 1000])
async def test_a_cancelled_controller_abandons_a_reconcile_that_ignores_the_cancellation(limit):
    reconciler = Scripted(stubborn)
    subject = controller(reconciler, HandFed("a"), reconcile_timeout=limit)
    task = asyncio.create_task(subject.run())
    await asyncio.sleep(1)
    task.cancel()
    with capture_logs() as logs:
        await asyncio.wait([task], timeout=0.9)
    assert task.cancelled()
    assert [entry["name"] for entry in logs if "abandoned" in entry["event"]] == ["a"]
    assert not [left for left in asyncio.all_tasks() if left is not asyncio.current_task()]


@virtual_time
async def test_a_cancelled_controller_ends_though_a_reconcile_returns_instead_of_being_cancelled():
    subject = controller(Scripted(partial(stubborn, seconds=1.5)), HandFed("a"))
    task = asyncio.create_task(subject.run())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()


@virtual_time
async def test_stopping_during_the_warm_up_is_no_error():
    """Checklist 91: a cancelled start is not an error."""
    source, reconciler = HandFed("a", synced=False), Scripted()
    subject = controller(reconciler, source)
    task = asyncio.create_task(subject.run())
    await asyncio.sleep(1)
    subject.stop()
    await task
    assert (reconciler.runs, source.stops) == ([], 1)


@virtual_time
async def test_a_controller_stopped_before_it_starts_returns_at_once():
    source = HandFed("a", synced=False)
    subject = controller(Scripted(), source)
    subject.stop()
    await subject.run()
    assert source.starts == 0


@virtual_time
async def test_a_second_start_is_an_error():
    """Checklist 92: second Start errors."""
    async with running(Scripted()) as subject:
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="started before"):
            await subject.run()


@virtual_time
async def test_sources_start_once_with_concurrent_warm_up_and_run():
    """Checklist 92: sources start exactly once even with concurrent Warmup and Start."""
    source = HandFed("a", synced=False)
    reconciler = Scripted()
    async with running(reconciler, source) as subject, asyncio.TaskGroup() as warming:
        for _ in range(3):
            warming.create_task(subject.warm_up())
        await asyncio.sleep(1)
        assert not subject.warm
        source.synced.set()
        await asyncio.sleep(1)
        assert (source.starts, subject.warm, reconciler.runs) == (1, True, [A])


@virtual_time
async def test_a_cancelled_warm_up_is_continued_by_the_next_call():
    """Checklist 92: sources start exactly once, and a cancelled warm-up does not count as finished."""
    source = HandFed("a", synced=False)
    subject = controller(Scripted(), source)
    first = asyncio.create_task(subject.warm_up())
    await asyncio.sleep(1)
    second = asyncio.create_task(subject.warm_up())
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.sleep(1)
    assert not second.done()
    source.synced.set()
    await second
    assert (source.starts, subject.warm) == (1, True)


@virtual_time
async def test_a_failed_request_is_retried_with_back_off_and_others_are_not_affected():
    """Checklist 93: reconcile error -> rate-limited requeue, processing continues; other items are unaffected."""

    async def fail_for_a(request):
        if request == A:
            raise RuntimeError("no")

    reconciler = Scripted(fail_for_a)
    metrics = Counting()
    async with running(reconciler, HandFed("a", "b"), metrics=metrics):
        await asyncio.sleep(0.004)
        assert reconciler.runs == [A, B]
        await asyncio.sleep(0.05)
    times = [time for run, time in zip(reconciler.runs, reconciler.times, strict=True) if run == A]
    assert times == pytest.approx([0, 0.005, 0.015, 0.035], abs=1e-4)
    assert metrics.results == {"error": 4, "success": 1}


@virtual_time
async def test_a_terminal_error_is_not_retried():
    """Checklist 94: terminal error -> no requeue, but error + terminal metrics."""
    reconciler, metrics = Scripted(TerminalError("invalid")), Counting()
    async with running(reconciler, HandFed("a"), metrics=metrics) as subject:
        await asyncio.sleep(10_000)
        assert reconciler.runs == [A]
        assert metrics.failures == {"error": 1, "terminal": 1}
        subject.queue.add(A)
        await asyncio.sleep(1)
        assert reconciler.runs == [A, A]


@virtual_time
async def test_nothing_is_reconciled_before_every_source_has_delivered_its_initial_objects():
    """Checklist 95: reconcile is not called before every handler has delivered all initial objects."""
    slow, reconciler = HandFed(synced=False), Scripted()
    async with running(reconciler, HandFed("a"), slow):
        await asyncio.sleep(60)
        assert reconciler.runs == []
        slow.synced.set()
        await asyncio.sleep(1)
        assert reconciler.runs == [A]


@virtual_time
async def test_back_off_grows_with_errors_and_starts_over_after_a_success():
    """Checklist 96: back-off persists over consecutive errors and resets only on a non-error result."""
    error = RuntimeError("no")
    reconciler = Scripted(error, error, error, None, error, error, None)
    async with running(reconciler, HandFed("a")) as subject:
        await asyncio.sleep(1)
        assert reconciler.pauses() == [0.005, 0.01, 0.02]
        subject.queue.add(A)
        await asyncio.sleep(1)
        assert reconciler.pauses()[4:] == [0.005, 0.01]


@virtual_time
async def test_requeue_is_rate_limited_and_requeue_after_is_a_plain_delay_that_forgets_failures():
    """Checklist 97: Requeue => rate-limited; RequeueAfter => plain delay, back-off forgotten, wins over Requeue."""
    again, later = Result(requeue=True), Result(requeue=True, requeue_after=7)
    reconciler = Scripted(again, again, later, again, None)
    async with running(reconciler, HandFed("a")):
        await asyncio.sleep(60)
    assert reconciler.pauses() == [0.005, 0.01, 7, 0.005]


@virtual_time
async def test_retry_after_waits_its_seconds_and_is_no_error():
    reconciler, metrics = (
        Scripted(RuntimeError("x"), RetryAfter(30, "the registry asks for it"), None),
        Counting(),
    )
    async with running(reconciler, HandFed("a"), metrics=metrics):
        await asyncio.sleep(60)
    assert reconciler.pauses() == [0.005, 30]
    assert metrics.results == {"error": 1, "requeue_after": 1, "success": 1}


@virtual_time
async def test_the_retry_after_of_the_server_is_the_shortest_delay():
    reconciler = Scripted(TooManyRequests(429, "", "slow down", retry_after=4.0), None)
    async with running(reconciler, HandFed("a")):
        await asyncio.sleep(60)
    assert reconciler.pauses() == [4]


@virtual_time
async def test_conflicts_are_retried_quickly_without_back_off_or_error_logs():
    reconciler, metrics = Scripted(RuntimeError("x"), *[CONFLICT] * 5, RuntimeError("x"), None), Counting()
    with capture_logs() as logs:
        async with running(reconciler, HandFed("a"), metrics=metrics):
            await asyncio.sleep(60)
    assert reconciler.pauses() == [0.005, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01]
    assert metrics.results == {"conflict": 5, "error": 2, "success": 1}
    assert metrics.failures == {"error": 2}
    assert [entry["log_level"] for entry in logs if entry.get("result") == "conflict"] == ["debug"] * 5


@virtual_time
async def test_repeated_conflicts_lead_to_back_off():
    reconciler, metrics = Scripted(CONFLICT), Counting()
    async with running(reconciler, HandFed("a"), metrics=metrics):
        await asyncio.sleep(60)
    assert metrics.results["error"] == metrics.results["conflict"] // 10
    assert len(reconciler.runs) < 650


@virtual_time
async def test_a_refused_write_is_retried_without_an_error():
    reconciler, metrics = Scripted(WriteRefused("not the leader"), None), Counting()
    with capture_logs() as logs:
        async with running(reconciler, HandFed("a"), metrics=metrics):
            await asyncio.sleep(1)
    assert metrics.results == {"refused": 1, "success": 1}
    assert not metrics.failures
    assert {entry["log_level"] for entry in logs} <= {"info", "debug"}


@virtual_time
async def test_retries_keep_the_priority_unless_the_result_has_another():
    """Checklist 98: priority kept across error/requeue/requeue-after; Result.Priority overrides."""
    again = Result(requeue_after=1)
    reconciler = Scripted(RuntimeError("x"), Result(requeue=True), again, replace(again, priority=7), again)
    seen = []
    async with running(reconciler, HandFed()) as subject:
        subject.queue.add(A, priority=PRIORITY_LOW)
        for pause in (0.002, 0.008, 0.49, 1, 1):
            await asyncio.sleep(pause)
            ((item, priority, _),) = subject.queue.snapshot().waiting
            assert item == A
            seen.append(priority)
    assert seen == [PRIORITY_LOW, PRIORITY_LOW, PRIORITY_LOW, 7, 7]
    assert reconciler.pauses() == [0.005, 0.01, 1, 1]


@virtual_time
async def test_a_programming_error_is_counted_and_retried():
    """Checklist 99: panic: recovered and retried by default, counted."""
    reconciler, metrics = Scripted(KeyError("spec"), None), Counting()
    async with running(reconciler, HandFed("a"), metrics=metrics):
        await asyncio.sleep(1)
    assert reconciler.runs == [A, A]
    assert metrics.failures == {"error": 1, "panic": 1}


@virtual_time
async def test_a_programming_error_ends_the_controller_without_recovery():
    """Checklist 99: panic is re-raised if recovery is disabled; an ordinary error is not."""
    reconciler = Scripted(RuntimeError("ordinary"), KeyError("spec"))
    with pytest.raises(KeyError, match="spec"):
        await controller(reconciler, HandFed("a"), recover=False, max_concurrent_reconciles=3).run()
    assert reconciler.runs == [A, A]


async def too_slow(_request):
    await asyncio.sleep(100)


async def own_timeout(_request):
    async with asyncio.timeout(1):
        await asyncio.sleep(100)


async def own_cancel(_request):
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def in_time(_request):
    await asyncio.sleep(9)


@virtual_time
@pytest.mark.parametrize(
    ("run", "timeouts", "result"),
    [(too_slow, 1, "error"), (own_timeout, 0, "error"), (own_cancel, 0, "error"), (in_time, 0, "success")],
)
async def test_the_timeout_metric_moves_only_for_the_controllers_own_deadline(run, timeouts, result):
    """Checklist 100: timeout metric moves only for the wrapper's own deadline."""
    reconciler, metrics = Scripted(run, None), Counting()
    async with running(reconciler, HandFed("a"), metrics=metrics, reconcile_timeout=10):
        await asyncio.sleep(60)
    assert metrics.failures["timeout"] == timeouts
    assert metrics.results[result] >= 1
    assert reconciler.runs[:2] == ([A, A] if result == "error" else [A])


@virtual_time
async def test_a_failed_task_group_in_a_reconcile_does_not_end_the_worker():
    """Before Python 3.13 such a group leaves its task marked as cancelled."""

    async def failing_group(_request):
        async with asyncio.TaskGroup() as group:
            group.create_task(own_timeout(_request))
            group.create_task(asyncio.sleep(100))

    async def both(request):
        try:
            await failing_group(request)
        except BaseExceptionGroup:
            await own_cancel(request)

    reconciler, metrics = Scripted(failing_group, own_cancel, both, None), Counting()
    async with running(reconciler, HandFed("a"), metrics=metrics):
        await asyncio.sleep(60)
        assert metrics.results == {"error": 3, "success": 1}


@virtual_time
@pytest.mark.parametrize(
    ("returned", "words"), [(5, "returned 5: return a Result or None"), (True, "returned True")]
)
async def test_a_return_value_that_is_not_a_result_is_an_error(returned, words):
    metrics = Counting()
    with capture_logs() as logs:
        async with running(Scripted(returned, None), HandFed("a"), metrics=metrics):
            await asyncio.sleep(60)
    assert metrics.results == {"error": 1, "success": 1}
    (entry,) = [entry for entry in logs if entry["event"] == "reconcile failed"]
    assert words in entry["error"]
    assert "'test'" in entry["error"]


@virtual_time
async def test_a_reconciler_that_is_not_async_is_an_error_with_a_remedy():
    metrics = Counting()
    with capture_logs() as logs:
        async with running(lambda _request: None, HandFed("a"), metrics=metrics):
            await asyncio.sleep(1)
    assert (
        "define it with 'async def'"
        in next(entry for entry in logs if entry["log_level"] == "error")["error"]
    )


@virtual_time
async def test_cancelling_the_controller_counts_no_timeout_and_no_result():
    """Checklist 100: parent cancel moves no timeout metric."""
    reconciler, metrics = Scripted(too_slow), Counting()
    async with running(reconciler, HandFed("a"), metrics=metrics, reconcile_timeout=10):
        await asyncio.sleep(5)
        assert metrics.active == 1
    assert (metrics.active, metrics.results, metrics.failures) == (0, {}, {})


@virtual_time
async def test_each_outcome_counts_once_under_its_label_with_one_duration():
    """Checklist 101: each result label increments by one for its outcome; one duration sample per run."""

    async def slowly(_request):
        await asyncio.sleep(2)

    reconciler = Scripted(
        RuntimeError("x"), Result(requeue=True), Result(requeue_after=1), CONFLICT, WriteRefused("x"), slowly
    )
    metrics = Counting()
    async with running(reconciler, HandFed("a"), metrics=metrics):
        await asyncio.sleep(60)
    assert metrics.results == dict.fromkeys(
        ["success", "error", "requeue", "requeue_after", "conflict", "refused"], 1
    )
    assert metrics.seconds == [0, 0, 0, 0, 0, 2]


@virtual_time
async def test_a_source_added_after_the_start_or_the_warm_up_starts_at_once():
    """Checklist 102: sources added after start or after Warmup start immediately."""
    warm_only = controller(Scripted(), HandFed())
    await warm_only.warm_up()
    late = HandFed("a", synced=False)
    await warm_only.watch(late)
    assert late.starts == 1

    reconciler = Scripted()
    async with running(reconciler, HandFed()) as subject:
        await asyncio.sleep(1)
        await subject.watch(HandFed("b", synced=False))
        await asyncio.sleep(1)
        assert reconciler.runs == [B]


@virtual_time
async def test_a_source_added_before_the_start_is_waited_for():
    late, reconciler = HandFed("a", synced=False), Scripted()
    subject = controller(reconciler)
    await subject.watch(late)
    assert late.starts == 0
    task = asyncio.create_task(subject.run())
    await asyncio.sleep(1)
    assert (late.starts, reconciler.runs) == (1, [])
    late.synced.set()
    await asyncio.sleep(1)
    assert reconciler.runs == [A]
    subject.stop()
    await task
    with pytest.raises(RuntimeError, match="has stopped"):
        await subject.watch(HandFed())


@virtual_time
async def test_a_stopped_controller_has_stopped_its_sources_and_keeps_none():
    """Checklist 102: the list of started sources is released (no retention)."""
    source = HandFed("a")
    async with running(Scripted(), source) as subject:
        await asyncio.sleep(1)
    assert source.stops == 1
    gone = weakref.ref(source)
    del source
    gc.collect()
    assert gone() is None
    assert subject.queue.shutting_down


@virtual_time
async def test_each_reconcile_has_an_id_that_its_tasks_can_read():
    """Checklist 107: reconcile id is unique per run and readable from the context; empty outside."""
    ids = []

    async def look(_request):
        async def child():
            return current_reconcile_id()

        mine = current_reconcile_id()
        ids.append(mine)
        assert await asyncio.create_task(child()) == mine

    async with running(Scripted(look), HandFed("a", "b"), max_concurrent_reconciles=2):
        await asyncio.sleep(1)
    assert len(set(ids)) == 2
    assert all(len(one) == 36 for one in ids)
    assert current_reconcile_id() == ""


@virtual_time
async def test_no_task_exists_before_the_start_and_none_after_the_stop():
    """Checklist 108: no threads exist before start, none after stop."""
    subject = controller(Scripted(too_slow), HandFed("a", "b", "c"), max_concurrent_reconciles=2)
    assert len(asyncio.all_tasks()) == 1
    task = asyncio.create_task(subject.run())
    await asyncio.sleep(1)
    assert len(asyncio.all_tasks()) == 6, "this one, the controller's, two workers, and the run of each"
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_stop_waits_for_running_reconciles_and_starts_no_more():
    async def slowly(_request):
        await asyncio.sleep(5)
        ended.append(_request)

    ended: list[Request] = []
    subject = controller(Scripted(slowly), HandFed("a", "b"))
    task = asyncio.create_task(subject.run())
    await asyncio.sleep(1)
    subject.stop()
    await task
    assert ended == [A]
    assert asyncio.get_running_loop().time() == 5


@virtual_time
async def test_concurrency_is_limited_and_a_request_is_never_reconciled_twice_at_once():
    running_now: list[Request] = []

    async def look(request):
        assert request not in running_now
        running_now.append(request)
        subject.queue.add(request)
        await asyncio.sleep(1)
        running_now.remove(request)

    metrics = Counting()
    sources = HandFed(*"abcdefgh")
    async with running(Scripted(look), sources, metrics=metrics, max_concurrent_reconciles=3) as subject:
        await asyncio.sleep(20.5)
    assert metrics.most_active == 3
    assert metrics.workers_set == 3
    assert metrics.results["success"] == 60


@virtual_time
async def test_log_lines_of_a_reconcile_have_its_controller_request_and_id():
    async def look(_request):
        structlog.get_logger().info("deep inside", **structlog.contextvars.get_contextvars())

    with capture_logs() as logs:
        async with running(Scripted(look), HandFed("a"), name="things", kind="Thing"):
            await asyncio.sleep(1)
    (inside,) = [entry for entry in logs if entry["event"] == "deep inside"]
    assert len(inside.pop("reconcile_id")) == 36
    assert inside == {
        "event": "deep inside",
        "log_level": "info",
        "controller": "things",
        "kind": "Thing",
        "namespace": "ns",
        "name": "a",
    }
    assert structlog.contextvars.get_contextvars() == {}


@virtual_time
async def test_errors_of_the_server_are_logged_without_a_traceback_and_others_with_one():
    with capture_logs() as logs:
        async with running(
            Scripted(Forbidden(403, "Forbidden", "may not"), KeyError("k"), None), HandFed("a")
        ):
            await asyncio.sleep(1)
    refused, mistake = [entry for entry in logs if entry["event"] == "reconcile failed"]
    assert (refused["error"], refused["exc_info"]) == ("may not", None)
    assert isinstance(mistake["exc_info"], KeyError)


@virtual_time
async def test_a_hot_loop_is_reported_once_per_window():
    metrics = Counting()

    async def touch_again(request):
        await asyncio.sleep(0.1)
        if request == A:
            subject.queue.add(request)

    with capture_logs() as logs:
        options = {"metrics": metrics, "hot_loop": HotLoopDetector(20, 10.0), "max_concurrent_reconciles": 2}
        async with running(Scripted(touch_again), HandFed("a", "b"), **options) as subject:
            await asyncio.sleep(19)
    assert metrics.hot_loops == 2
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert len(warnings) == 2
    assert warnings[0]["limit"] == "20 reconciles in 10 s"


@virtual_time
async def test_a_hot_loop_of_retries_is_reported():
    metrics = Counting()

    async def retry(_request):
        raise RetryAfter(0.01)

    async with running(Scripted(retry), HandFed("a"), metrics=metrics):
        await asyncio.sleep(5)
    assert metrics.hot_loops == 1


@virtual_time
async def test_ordinary_traffic_is_no_hot_loop():
    metrics = Counting()
    reconciler = Scripted(Result(requeue_after=1.0))
    async with running(reconciler, HandFed("a", "b"), metrics=metrics):
        await asyncio.sleep(600)
    assert metrics.hot_loops == 0
    assert len(reconciler.runs) > 1000


@virtual_time
async def test_many_short_reconciles_yield_to_the_event_loop():
    turns: list[int] = []
    runs = 0

    async def quick(_request):
        nonlocal runs
        runs += 1

    async def neighbour():
        while runs < 1000:
            turns.append(runs)
            await asyncio.sleep(0)
        turns.append(runs)

    async with running(quick, HandFed(*map(str, range(1000)))):
        await neighbour()
    assert max(b - a for a, b in itertools.pairwise(turns)) <= 2


@virtual_time
async def test_an_async_function_can_be_a_reconciler():
    seen = []

    async def look(request):
        seen.append(request)

    async with running(look, HandFed("a")):
        await asyncio.sleep(1)
    assert seen == [A]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_concurrent_reconciles": 0}, "max_concurrent_reconciles=0"),
        ({"reconcile_timeout": 0}, "reconcile_timeout=0"),
    ],
)
def test_invalid_controller_options_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        controller(Scripted(), **options)
    with pytest.raises(ValueError, match="needs a name"):
        Controller("", Scripted(), sources=[], clock=virtual_clock())

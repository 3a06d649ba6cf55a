from __future__ import annotations

import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from aimctl.kubetypes import Resource
from aimctl.runtime.cache import Informer
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.controller import CacheSyncTimeout, Channel, Controller, Request, generation_changed
from aimctl.runtime.kube.errors import ConnectionFailed, WriteRefused
from aimctl.runtime.manager import GraceExceeded, LeaderElectionOptions, LeaderLost, Manager, ManagerOptions
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.leaseapi import LeaseApi, LeaseTransport
from support.reconciling import HandFed, Scripted
from support.things import make

LEASE = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/lock"
CONFIG_MAPS = Resource.untyped("", "v1", "ConfigMap", "configmaps")


def now() -> float:
    return round(asyncio.get_running_loop().time(), 3)


class Story:
    """A manager, its server, and a log of events with their times."""

    def __init__(
        self, api: LeaseApi | None = None, *, identity: str = "me", leader_election: bool = True, **options
    ):
        self.api = api or LeaseApi()
        self.transport = LeaseTransport(self.api)
        election = LeaderElectionOptions("lock", "ns") if leader_election else None
        self.manager = Manager(
            self.transport,
            clock=virtual_clock(),
            options=ManagerOptions(leader_election=election, **options),
            identity=identity,
        )
        self.stop = asyncio.Event()
        self.diary: list[tuple[float, str]] = []
        self.task: asyncio.Task[None] | None = None

    def note(self, what: str) -> None:
        self.diary.append((now(), what))

    def add(self, name: str, *, leader: bool = True, **behaviour) -> Work:
        work = Work(self, name, **behaviour)
        self.manager.add(work, name=name, needs_leader_election=leader)
        return work

    async def start(self, seconds: float = 1.0) -> Story:
        self.task = asyncio.create_task(self.manager.run(self.stop))
        await asyncio.sleep(seconds)
        return self

    async def end(self) -> None:
        self.stop.set()
        await self.task

    @property
    def words(self) -> list[str]:
        return [what for _, what in self.diary]


class Work:
    """A runnable that writes to the log; it stops gracefully unless configured otherwise."""

    def __init__(self, story, name, *, takes=0.0, fail_after=None, fail_at_end=None, ignore_cancel=False):
        self.story, self.name, self.takes = story, name, takes
        self.fail_after, self.fail_at_end, self.ignore_cancel = fail_after, fail_at_end, ignore_cancel
        self.asked = asyncio.Event()

    def stop(self):
        self.asked.set()

    async def run(self):
        self.story.note(f"{self.name} starts")
        try:
            if self.fail_after is not None:
                await asyncio.sleep(self.fail_after)
                raise OSError(f"{self.name} broke")
            await self.asked.wait()
            await asyncio.sleep(self.takes)
            if self.fail_at_end:
                raise self.fail_at_end
        except asyncio.CancelledError:
            self.story.note(f"{self.name} is cancelled")
            while self.ignore_cancel:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    continue
            raise
        self.story.note(f"{self.name} ends")


@virtual_time
async def test_caches_that_do_not_sync_fail_the_manager_with_the_reason():
    story = Story(cache_sync_timeout=10)
    story.manager.cache.declare(CONFIG_MAPS)
    story.add("leader")
    with pytest.raises(Exception, match="configmaps"):
        await story.manager.run()
    assert now() == 10
    assert story.diary == []
    assert "configmaps" not in str(story.manager.not_healthy)


@virtual_time
async def test_leader_work_ends_before_the_lease_is_released():
    """Checklist 119: LE runnables stop before the lease is released."""
    story = Story()
    story.add("leader", takes=12)
    await story.start()
    story.stop.set()
    await asyncio.sleep(11)
    assert story.words == ["leader starts"]
    assert story.api.spec(LEASE)["holderIdentity"] == "me"
    assert story.manager.client is not None
    story.manager.elector.check_write()  # the lease is still renewed, so that the work can finish its writes
    await story.task
    assert story.diary[-1] == (13, "leader ends")
    assert story.api.spec(LEASE)["holderIdentity"] == ""


@virtual_time
async def test_events_that_a_slow_server_does_not_accept_do_not_make_the_end_late():
    story = Story()
    await story.start()
    story.transport.black_hole = "request"
    story.manager.events.event(make(), "Normal", "Seen", "hello")
    await asyncio.sleep(1)
    await story.end()
    assert 5 < now() < 30


@virtual_time
async def test_a_manager_that_never_led_never_starts_leader_work():
    """Checklist 119: a non-elected manager being stopped never starts LE runnables."""
    one = await Story().start()
    standby = Story(one.api, identity="standby")
    standby.add("leader")
    standby.add("everywhere", leader=False)
    await standby.start(30)
    assert not standby.manager.elected.is_set()
    await standby.end()
    assert standby.words == ["everywhere starts", "everywhere ends"]
    await one.end()


@virtual_time
async def test_a_lost_lease_cancels_everything_and_raises():
    """Checklist 120: lost lease: no graceful wait, Start returns an error."""
    story = Story()
    story.add("leader", takes=20)
    story.add("everywhere", takes=20, leader=False)
    await story.start(1)
    story.transport.down = True
    with pytest.raises(LeaderLost):
        await story.task
    assert sorted(story.diary[2:]) == [(10, "everywhere is cancelled"), (10, "leader is cancelled")]
    assert now() == 10
    with pytest.raises(WriteRefused):
        story.manager.elector.check_write()
    assert story.api.spec(LEASE)["holderIdentity"] == "me"


@virtual_time
async def test_shutdown_waits_for_runnables_during_the_grace_period():
    """Checklist 121: stop waits up to grace; exceeding grace is an error."""
    story = Story(graceful_shutdown_timeout=5)
    story.add("quick", takes=4)
    story.add("slow", takes=6)
    await story.start()
    with pytest.raises(GraceExceeded, match="did not end within 5 s: slow"):
        await story.end()
    assert story.diary[2:] == [(5, "quick ends"), (6, "slow is cancelled")]
    assert story.api.spec(LEASE)["holderIdentity"] == "me"  # the lease expires, because the work may continue


@virtual_time
@pytest.mark.parametrize("leader_election", [True, False])
@pytest.mark.parametrize("seconds", [19.99, 20, 29])
async def test_writes_without_a_response_end_within_the_grace_period(leader_election, seconds):
    """Work that sends one write after the other, each until its time limit, as reconciles that wait for each other."""
    story = Story(leader_election=leader_election)
    errors = []

    class Writes:
        async def run(self):
            while not errors or not isinstance(errors[-1], WriteRefused):
                try:
                    await story.manager.client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "ns")
                except (ConnectionFailed, WriteRefused) as error:
                    errors.append(error)

        def stop(self):
            pass

    story.manager.add(Writes())
    story.transport.lost = "/configmaps"
    await story.start(seconds)
    await story.end()
    assert now() < seconds + 30
    assert "the manager is stopping, and its grace period of 30 s is over" in str(errors[-1])


@virtual_time
async def test_no_grace_cancels_at_once():
    """Checklist 121: 0 returns at once."""
    story = Story(graceful_shutdown_timeout=0)
    story.add("slow", takes=100)
    await story.start()
    await story.end()
    assert now() == 1
    assert story.words == ["slow starts", "slow is cancelled"]
    assert story.api.spec(LEASE)["holderIdentity"] == ""


@virtual_time
async def test_a_negative_grace_period_waits_without_limit():
    """Checklist 121: <0 waits without limit."""
    story = Story(graceful_shutdown_timeout=-1)
    story.add("slow", takes=10_000)
    await story.start()
    await story.end()
    assert now() == 10_001


@virtual_time
async def test_the_run_error_and_the_stop_error_are_both_raised():
    """Checklist 121: run error and stop error both surface."""
    story = Story()
    story.add("breaks", fail_after=3)
    story.add("breaks at the end", fail_at_end=KeyError("late"))
    await story.start()
    with pytest.raises(BaseExceptionGroup) as caught:
        await story.task
    assert [type(error) for error in caught.value.exceptions] == [OSError, KeyError]


@virtual_time
async def test_a_runnable_that_ignores_cancellation_is_named_and_abandoned():
    """Otherwise asyncio.run, which waits for all tasks, would never return."""
    story = Story(graceful_shutdown_timeout=5)
    story.add("stuck", takes=100, ignore_cancel=True)
    await story.start()
    with capture_logs() as logs, pytest.raises(GraceExceeded, match="stuck"):
        await story.end()
    assert now() == 7
    (entry,) = [entry for entry in logs if "abandoned" in entry["event"]]
    assert entry["runnable"] == "stuck"
    assert entry["at"].startswith("Work.run:")
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_run_lasts_until_all_have_ended_and_one_failure_ends_the_rest():
    """Checklist 122: Start blocks until all runnables end; one failing runnable stops the rest."""
    story = Story()
    story.add("breaks", fail_after=3, leader=False)
    story.add("other", takes=4)
    await story.start()
    with pytest.raises(OSError, match="breaks broke"):
        await story.task
    assert story.diary == [(0, "breaks starts"), (0, "other starts"), (7, "other ends")]
    assert story.api.spec(LEASE)["holderIdentity"] == ""


@virtual_time
async def test_a_runnable_may_return():
    story = Story()
    done = []

    async def once():
        done.append(now())

    story.manager.add(once)
    await story.start(100)
    assert done == [0]
    assert not story.task.done()
    await story.end()


@virtual_time
async def test_a_runnable_added_late_starts_at_once_and_after_the_end_is_an_error():
    """Checklist 123: add after start runs at once; after stop is refused; concurrent adds are safe."""
    story = await Story().start()
    for number in range(5):
        story.add(f"late {number}", leader=bool(number % 2), takes=2)
    await asyncio.sleep(1)
    assert len(story.words) == 5
    story.stop.set()
    await asyncio.sleep(1)
    with pytest.raises(RuntimeError, match="'too late' cannot be added: the manager is stopping"):
        story.add("too late")
    await story.task
    with pytest.raises(RuntimeError, match="stopped"):
        story.add("too late")
    with pytest.raises(RuntimeError, match="started before"):
        await story.manager.run()


@virtual_time
async def test_a_runnable_added_to_a_standby_waits_for_leadership():
    one = await Story().start()
    standby = await Story(one.api, identity="standby").start()
    standby.add("leader")
    standby.add("everywhere", leader=False)
    await asyncio.sleep(10)
    assert standby.words == ["everywhere starts"]
    await one.end()
    await standby.manager.elected.wait()
    await asyncio.sleep(0.1)
    assert standby.words == ["everywhere starts", "leader starts"]
    await standby.end()


def controller(name, source, reconciler=None, **options):
    return Controller(name, reconciler or Scripted(), sources=[source], clock=virtual_clock(), **options)


@virtual_time
async def test_a_standby_starts_the_sources_of_controllers_when_it_leads():
    one = await Story().start()
    standby = Story(one.api, identity="standby")
    source, reconciler = HandFed("a"), Scripted()
    standby.manager.add(controller("things", source, reconciler))
    await standby.start(5)
    late = HandFed("b")
    standby.manager.add(controller("late", late))
    await asyncio.sleep(5)
    assert (source.starts, late.starts, reconciler.runs) == (0, 0, [])
    assert len(standby.manager.controllers["things"].queue) == 0
    assert standby.manager.not_ready == {}
    await one.end()
    await standby.manager.elected.wait()
    await asyncio.sleep(0.1)
    assert (source.starts, late.starts, len(reconciler.runs)) == (1, 1, 1)
    await standby.end()


class Prepares(Work):
    """A runnable with a warm-up."""

    async def warm_up(self):
        self.story.note(f"{self.name} is warmed up")
        if self.fail_after is not None:
            await asyncio.sleep(self.fail_after)
            raise OSError(f"{self.name} broke")


@virtual_time
async def test_other_runnables_are_warmed_up_on_a_standby():
    """Checklist 124: Warmup runs before leadership."""
    one = await Story().start()
    standby = Story(one.api, identity="standby")
    standby.manager.add(Prepares(standby, "model"), name="model")
    await standby.start(5)
    assert standby.words == ["model is warmed up"]
    await one.end()
    await standby.manager.elected.wait()
    await asyncio.sleep(0.1)
    assert standby.words == ["model is warmed up", "model starts"]
    await standby.end()


@virtual_time
async def test_a_failed_warm_up_is_raised_before_any_election():
    """Checklist 124: warm-up errors surface."""
    story = Story()
    story.manager.add(Prepares(story, "model", fail_after=20), name="model")
    with pytest.raises(OSError, match="model broke"):
        await story.manager.run()
    assert now() == 20
    assert not story.manager.elected.is_set()
    assert LEASE not in story.api.objects


@virtual_time
async def test_a_source_that_does_not_sync_fails_a_new_leader():
    story = Story()
    story.manager.add(controller("things", HandFed(synced=False), cache_sync_timeout=20))
    with pytest.raises(CacheSyncTimeout, match="'things'"):
        await story.manager.run()
    assert now() == 20
    assert story.api.spec(LEASE)["holderIdentity"] == ""


@virtual_time
async def test_a_controller_that_needs_no_leader_works_on_every_replica():
    """Checklist 124: not-needing-LE warmup items go only to warmup+others."""
    one = await Story().start()
    standby = Story(one.api, identity="standby")
    source, reconciler = HandFed("a"), Scripted()
    standby.manager.add(controller("things", source, reconciler, needs_leader_election=False))
    await standby.start(5)
    assert (source.starts, len(reconciler.runs)) == (1, 1)
    await standby.end()
    await one.end()


@virtual_time
async def test_two_controllers_with_one_name_are_an_error():
    """Checklist 108: same controller name twice = error."""
    story = Story()
    story.manager.add(controller("things", HandFed()))
    with pytest.raises(ValueError, match="named 'things' exists already"):
        story.manager.add(controller("things", HandFed()))


@virtual_time
@pytest.mark.parametrize("how", ["stop", "cancel", "fail", "lose"])
async def test_no_task_is_left_however_the_manager_ends(how):
    """Checklist 126: no goroutine leak after stop, incl. event broadcaster and slow failing runnables."""
    story = Story()
    story.manager.add(controller("things", HandFed("a")))
    story.add("slow", takes=3, fail_at_end=OSError("late") if how == "fail" else None)
    story.add("everywhere", leader=False)
    if how == "fail":
        story.add("breaks", fail_after=2)
    await story.start()
    story.manager.events.event(make(), "Normal", "Seen", "hello")
    if how == "stop":
        story.stop.set()
    elif how == "cancel":
        story.task.cancel()
    elif how == "lose":
        story.transport.down = True
    await asyncio.wait([story.task])
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert story.manager.state == "stopped"
    if how == "cancel":
        assert story.task.cancelled()
        assert story.api.spec(LEASE)["holderIdentity"] == ""
    else:
        story.task.exception()
    gc.collect()


@virtual_time
async def test_the_lease_has_the_configured_labels():
    """Checklist 127: default LE lock is leases, id required, labels end up on the lease."""
    api = LeaseApi()
    manager = Manager(
        LeaseTransport(api),
        clock=virtual_clock(),
        options=ManagerOptions(leader_election=LeaderElectionOptions("lock", "ns", labels=(("app", "aim"),))),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(manager.run(stop))
    await manager.elected.wait()
    assert api.objects[LEASE]["metadata"]["labels"] == {"app": "aim"}
    host, _, unique = api.spec(LEASE)["holderIdentity"].partition("_")
    assert host
    assert len(unique) == 36
    stop.set()
    await task


@virtual_time
async def test_without_election_the_manager_leads_at_once_and_writes_freely():
    story = Story(leader_election=False)
    story.add("leader")
    await story.start()
    assert story.words == ["leader starts"]
    await story.manager.client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "ns"}})
    await story.end()
    assert LEASE not in story.api.objects


@virtual_time
async def test_a_standby_writes_nothing_not_even_events():
    one = await Story().start()
    standby = await Story(one.api, identity="standby").start(3)
    with pytest.raises(WriteRefused, match="it is held by 'me'"):
        await standby.manager.client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "ns"}})
    standby.manager.events.event(make(), "Normal", "Seen", "hello")
    await asyncio.sleep(1000)
    assert not any("events" in path or "configmaps" in path for path in one.api.objects)
    await standby.end()
    await one.end()


@virtual_time
async def test_events_are_flushed_before_the_lease_is_released():
    story = Story()

    async def says_goodbye():
        try:
            await asyncio.Event().wait()
        finally:
            story.manager.events.event(make(), "Normal", "Goodbye", "the work has ended")

    story.manager.add(says_goodbye)
    await story.start()
    story.transport.latency = 0.1
    await story.end()
    written = [path for _, method, path in story.api.calls if method != "GET"]
    assert written[-2:] == ["/apis/events.k8s.io/v1/namespaces/ns/events", LEASE]
    assert story.api.spec(LEASE)["holderIdentity"] == ""


@virtual_time
async def test_after_a_crash_the_standby_leads_within_the_lease_time():
    one = await Story().start()
    standby = await Story(one.api, identity="standby").start(20.5)
    one.transport.black_hole = "request"
    one.task.cancel()
    crashed = now()
    await standby.manager.elected.wait()
    assert now() - crashed <= 15 + 2.4
    await asyncio.wait([one.task])
    await standby.end()


@virtual_time
async def test_after_a_clean_stop_the_standby_leads_within_three_seconds():
    for part in range(5):
        one = await Story().start()
        standby = await Story(one.api, identity="standby").start(20 + part / 3)
        began = now()
        await one.end()
        await standby.manager.elected.wait()
        assert now() - began < 3
        await standby.end()


@virtual_time
async def test_a_cache_that_ends_unexpectedly_fails_the_manager(monkeypatch):
    story = Story()

    async def end_soon():
        await asyncio.sleep(5)

    story.manager._life._caches._waiting[0][1]._function = end_soon
    with pytest.raises(RuntimeError, match="the cache ended unexpectedly"):
        await story.manager.run()


@virtual_time
async def test_a_stop_that_raises_is_a_failure_and_does_not_keep_the_others_from_stopping():
    story = Story()
    broken = story.add("broken", leader=False)
    other = story.add("other", takes=2.0)
    broken.stop = lambda: 1 / 0
    await story.start()
    with pytest.raises(ZeroDivisionError):
        await story.end()
    assert other.asked.is_set()
    assert "other ends" in story.words
    assert story.api.spec(LEASE)["holderIdentity"] == ""


@virtual_time
async def test_a_task_cancelled_by_other_code_is_a_failure():
    story = Story()

    async def forever():
        await asyncio.Event().wait()

    story.manager.add(forever)
    await story.start()
    (task,) = [one for one in asyncio.all_tasks() if "forever" in one.get_name()]
    task.cancel()
    with pytest.raises(RuntimeError, match="'forever' was cancelled, but not by its manager"):
        await story.task


def test_a_program_that_fails_beside_its_manager_shows_only_its_own_error():
    """asyncio.run then cancels all tasks, those of the manager included."""

    async def main():
        manager = Manager(LeaseTransport(LeaseApi()), clock=LoopClock())
        task = asyncio.create_task(manager.run(asyncio.Event()))
        await asyncio.sleep(0.05)
        assert not task.done()
        raise ValueError("of the program")

    with capture_logs() as logs, pytest.raises(ValueError, match="of the program"):
        asyncio.run(main())
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


@virtual_time
async def test_a_controller_declares_the_kinds_that_it_watches():
    story = Story()
    children = Resource.untyped("", "v1", "Secret", "secrets")
    made = story.manager.controller(
        "maps", Scripted(), for_=CONFIG_MAPS, owns=[children], max_concurrent_reconciles=4
    )
    assert [informer.name for informer in story.manager.cache.informers] == ["configmaps", "secrets"]
    assert isinstance(story.manager.cache.informer(children), Informer)
    assert (made.kind, made.name) == ("ConfigMap", "maps")
    assert story.manager.controllers == {"maps": made}
    with pytest.raises(ValueError, match="'maps' exists already"):
        story.manager.controller("maps", Scripted(), for_=CONFIG_MAPS)
    with pytest.raises(TypeError, match="max_concurent_reconciles"):
        story.manager.controller("typo", Scripted(), for_=CONFIG_MAPS, max_concurent_reconciles=4)


@virtual_time
async def test_a_controller_uses_the_declaration_that_the_cache_has():
    story = Story()
    informer = story.manager.cache.declare(CONFIG_MAPS, namespaces=["a"], projection="metadata")
    story.manager.controller("maps", Scripted(), for_=CONFIG_MAPS)
    assert story.manager.cache.informers == (informer,)


@virtual_time
async def test_a_controller_without_a_kind_reconciles_the_requests_of_its_channel():
    story, channel, reconciler = Story(), Channel(), Scripted()
    made = story.manager.controller("rounds", reconciler, kind="Round", sources=[channel])
    assert (made.kind, story.manager.cache.informers) == ("Round", ())
    channel.send(Request("", "early"))
    await story.start()
    await asyncio.sleep(1)
    channel.send(Request("", "late"))
    await asyncio.sleep(1)
    assert [run.name for run in reconciler.runs] == ["early", "late"]
    await story.end()
    for options in ({"owns": [CONFIG_MAPS]}, {"predicates": [generation_changed]}):
        with pytest.raises(ValueError, match="'more': owns and predicates need for_"):
            Story().manager.controller("more", Scripted(), **options)

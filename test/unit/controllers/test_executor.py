"""The executor on the embedded server: plans are carried out in order, until nothing is left to do."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
import structlog
import structlog.testing

from aimctl.api.kinds import TEMPLATES
from aimctl.controllers.execution.executor import MAX_PASSES, Executor, NotSettledError, Observed
from aimctl.controllers.execution.merge_patches import patch_changes
from aimctl.controllers.execution.status_writer import KeyedLocks
from aimctl.devcluster.faults import Action, Answer, Delay, Fault, Match, Refuse, Silence
from aimctl.domain.events import PlannedEvent
from aimctl.domain.images.reading import ImageQuestion
from aimctl.domain.plan import (
    Apply,
    BackgroundRead,
    Confirm,
    Create,
    Delete,
    Get,
    Known,
    List,
    Patch,
    Plan,
    ReadImage,
    ReadLog,
    Record,
    RequestSlot,
    Target,
    WriteStatus,
)
from aimctl.domain.status_slice import StatusSlice
from aimctl.kubetypes import Object
from aimctl.kubetypes.builtin import CONFIG_MAPS, NAMESPACES, SECRETS
from aimctl.runtime.cache import Cache
from aimctl.runtime.controller import Request, RetryAfter
from aimctl.runtime.kube import Conflict, ConnectionFailed, KubeError, ServerError
from aimctl.runtime.kube.errors import NotServed
from aimctl.testing.virtualtime import virtual_time
from support.operator import World, world
from support.terminating import terminating

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

REQUEST = Request("team", "a")


class Seen(NamedTuple):
    """What the decisions of these tests look at."""

    obj: Object[Any]
    known: Known
    cache: Cache

    def get(self, name: str) -> Object[Any] | None:
        return self.cache.get(CONFIG_MAPS, name, "team")


class Recorder:
    """An event recorder that keeps what it is given."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    def event(self, obj: Object[Any], type_: str, reason: str, note: str) -> None:
        self.said.append((type_, reason, note))


class Reader:
    """A background reader that keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[BackgroundRead] = []
        self.forgotten = 0

    def read(self, request: Request, wanted: BackgroundRead) -> None:
        self.asked.append(wanted)

    def forget(self, request: Request) -> None:
        self.forgotten += 1


class Gate:
    """A gate that opens when the test says so, and keeps what it is told."""

    def __init__(self) -> None:
        self.open = False
        self.calls: list[str] = []

    def enter(self, request: Request, obj: Object[Any], wanted: RequestSlot) -> bool:
        self.calls.append("enter")
        return self.open

    def has_slot(self, create: Create) -> bool:
        return self.open

    def settle(self, create: Create) -> None:
        self.calls.append("settle")

    def leave(self, request: Request, error: Exception | None) -> None:
        self.calls.append("leave" if error is None else f"leave {type(error).__name__}")


class Bench:
    """A reconciler of the template ``team/a`` whose decision is the test's."""

    def __init__(self, w: World, cache: Cache, task: asyncio.Task[None]) -> None:
        self.w = w
        self.cache = cache
        self.task = task
        """Cancel it, and the cache lags behind."""
        self.events = Recorder()
        self.reader = Reader()
        self.gate = Gate()
        self.passes: list[Known] = []
        self.settled: list[Plan | None] = []
        self.client = w.cluster.client().with_(on_write=cache.observe_write, on_delete=cache.observe_delete)
        self.executor = Executor(
            client=self.client,
            cache=cache,
            locks=KeyedLocks(),
            events=self.events,
            clock=w.cluster.clock,
        )

    def reconciler(self, decide: Callable[[Seen], Plan]) -> Any:
        return self.executor.reconciler(
            self._observe,
            decide,
            field_manager="test",
            reader=self.reader,
            gate=self.gate,
            settled=lambda _, __, plan: self.settled.append(plan),
        )

    async def run(self, decide: Callable[[Seen], Plan]) -> float | None:
        result = await self.reconciler(decide).reconcile(REQUEST)
        return None if result is None else result.requeue_after

    def _observe(self, request: Request, known: Known) -> Observed[Seen] | None:
        obj = self.cache.get(TEMPLATES, request.name, request.namespace)
        if obj is None:
            return None
        self.passes.append(known)
        return Observed(obj, Seen(obj, known, self.cache))

    def fails(self, verb: str, resource: str, answer: Action) -> Fault:
        """Have the server answer such requests like this."""
        return self.w.cluster.faults.add(answer, Match(verb=verb, resource=resource))

    async def live(self, name: str) -> dict[str, Any]:
        found = await self.w.client.get(CONFIG_MAPS, name, "team")
        return msgspec.json.decode(found.raw, type=dict)

    async def status(self) -> dict[str, Any]:
        found = await self.w.client.get(TEMPLATES, "a", "team")
        return msgspec.json.decode(found.raw, type=dict).get("status") or {}


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with world(controllers=False) as w, asyncio.TaskGroup() as tasks:
        await w.template("a", "team")
        cache = Cache(w.cluster.client(), clock=w.cluster.clock, rng=random.Random(1))
        cache.declare(TEMPLATES)
        cache.declare(CONFIG_MAPS, label_selector="seen!=no")
        task = tasks.create_task(cache.run())
        await cache.wait_synced(60)
        yield Bench(w, cache, task)
        task.cancel()


def manifest(name: str, *, label: str = "yes", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "team", "labels": {"seen": label}},
        "data": data,
    }


def status(state: str) -> WriteStatus:
    owned = frozenset({"status"})
    part = StatusSlice({"status": state}, (), owned, frozenset())
    return WriteStatus(part, (PlannedEvent("Normal", state, f"it is {state}"),))


# ---- passes


@virtual_time
async def test_a_plan_without_actions_ends_the_reconcile() -> None:
    async with bench() as b:
        assert await b.run(lambda _: Plan()) is None
        assert await b.run(lambda _: Plan(requeue_after=7)) == 7
        assert b.settled == [Plan(), Plan(requeue_after=7)]


@virtual_time
async def test_after_a_write_the_object_is_observed_again_and_the_status_reports_the_result() -> None:
    async with bench() as b:

        def decide(seen: Seen) -> Plan:
            found = seen.get("made")
            create = () if found else (Create(CONFIG_MAPS, manifest("made")),)
            return Plan((*create, status("Ready" if found else "Pending")))

        await b.run(decide)
        assert (await b.status())["status"] == "Ready"
        assert [reason for _, reason, _ in b.events.said] == ["Ready"]
        assert len(b.passes) == 2


@virtual_time
async def test_a_status_before_a_write_is_written_before_it() -> None:
    async with bench() as b:
        order: list[str] = []

        def decide(seen: Seen) -> Plan:
            order.append(str(seen.obj.view.status.status or ""))
            return Plan(
                (status("Pending"), *(() if seen.get("x") else (Create(CONFIG_MAPS, manifest("x")),)))
            )

        await b.run(decide)
        assert order == ["", "Pending"]


@virtual_time
async def test_a_status_that_is_so_already_is_neither_written_nor_reported() -> None:
    async with bench() as b:
        await b.run(lambda _: Plan((status("Ready"),)))
        before = await b.w.client.get(TEMPLATES, "a", "team")
        await b.run(lambda _: Plan((status("Ready"),)))
        after = await b.w.client.get(TEMPLATES, "a", "team")
        assert after.meta.resource_version == before.meta.resource_version
        assert len(b.events.said) == 1


@virtual_time
async def test_a_decision_that_never_settles_ends_with_an_error_that_names_the_write() -> None:
    async with bench() as b:

        def decide(seen: Seen) -> Plan:
            number = len(b.passes)
            return Plan((Create(CONFIG_MAPS, manifest(f"n{number}")),))

        with pytest.raises(
            NotSettledError, match=f"{MAX_PASSES} passes: Create ConfigMap team/n{MAX_PASSES}"
        ):
            await b.run(decide)


@virtual_time
async def test_an_object_that_is_gone_ends_the_reconcile_and_all_memory_of_it() -> None:
    async with bench() as b:
        reconciler = b.reconciler(lambda _: Plan())
        assert await reconciler.reconcile(Request("team", "other")) is None
        assert b.settled == [None]
        assert b.reader.forgotten == 1


@virtual_time
async def test_deleting_the_reconciled_object_ends_the_reconcile() -> None:
    async with bench() as b:
        await b.run(lambda seen: Plan((Delete(Target.of(seen.obj)), Create(CONFIG_MAPS, manifest("later")))))
        assert b.cache.get(TEMPLATES, "a", "team") is None
        assert b.cache.get(CONFIG_MAPS, "later", "team") is None
        assert len(b.passes) == 1


# ---- writes


@virtual_time
async def test_patches_and_deletions_carry_preconditions_and_no_op_patches_are_not_sent() -> None:
    async with bench() as b:
        await b.w.client.create(CONFIG_MAPS, manifest("x", a="1"))
        await asyncio.sleep(1)

        def decide(seen: Seen) -> Plan:
            found = seen.get("x")
            assert found is not None
            return Plan((Patch(Target.of(found), {"data": {"a": "2", "b": None}}),))

        await b.run(decide)
        assert (await b.live("x"))["data"] == {"a": "2"}
        assert len(b.passes) == 2, "the second pass found nothing to do"


@virtual_time
async def test_a_write_decided_from_an_old_state_is_decided_again_from_the_servers() -> None:
    async with bench() as b:
        await b.w.client.create(CONFIG_MAPS, manifest("x", a="1"))
        await asyncio.sleep(1)
        lagging = b.cache.get(CONFIG_MAPS, "x", "team")
        assert lagging is not None
        await b.w.client.patch(CONFIG_MAPS, "x", {"data": {"a": "keep"}}, "team")
        chosen = [lagging]

        def decide(seen: Seen) -> Plan:
            found = chosen.pop() if chosen else seen.get("x")
            if found is None or found.view.data == {"a": "keep"}:
                return Plan()
            return Plan((Delete(Target.of(found)),))

        await b.run(decide)
        assert (await b.live("x"))["data"] == {"a": "keep"}


@virtual_time
async def test_a_conflict_that_does_not_go_away_reaches_the_controller() -> None:
    async with bench() as b:
        await b.w.client.create(CONFIG_MAPS, manifest("x"))
        await asyncio.sleep(1)
        old = b.cache.get(CONFIG_MAPS, "x", "team")
        assert old is not None
        await b.w.client.patch(CONFIG_MAPS, "x", {"data": {"a": "1"}}, "team")
        with pytest.raises(Conflict):
            await b.run(lambda _: Plan((Delete(Target.of(old)),)))


@virtual_time
async def test_an_object_that_exists_already_is_shown_to_the_next_decision() -> None:
    async with bench() as b:
        b.task.cancel()
        await asyncio.sleep(1)
        await b.w.client.create(CONFIG_MAPS, manifest("x", a="theirs"))

        def decide(seen: Seen) -> Plan:
            return Plan() if seen.get("x") else Plan((Create(CONFIG_MAPS, manifest("x", a="ours")),))

        assert await b.run(decide) is None
        assert (await b.live("x"))["data"] == {"a": "theirs"}
        assert b.events.said == []


@virtual_time
async def test_a_name_that_is_taken_by_an_object_the_cache_does_not_hold_is_a_rejection_with_the_object() -> (
    None
):
    async with bench() as b:
        await b.w.client.create(CONFIG_MAPS, manifest("x", label="no"))
        told: list[str] = []

        def decide(seen: Seen) -> Plan:
            rejection = seen.known.rejection(CONFIG_MAPS, "team", "x")
            if rejection is not None and rejection.existing is not None:
                told.append(rejection.existing.meta.labels["seen"])
            return Plan((Create(CONFIG_MAPS, manifest("x")),))

        assert await b.run(decide) == 5
        assert told == ["no"]


@virtual_time
async def test_a_name_that_is_taken_by_an_object_the_decision_has_ignored_is_a_rejection_too() -> None:
    async with bench() as b:
        await b.w.client.create(CONFIG_MAPS, manifest("x", a="theirs"))
        await asyncio.sleep(1)
        assert await b.run(lambda _: Plan((Create(CONFIG_MAPS, manifest("x", a="ours")),))) == 5
        assert len(b.passes) == 3
        assert [reason for _, reason, _ in b.events.said] == ["FailedCreate"]


@virtual_time
async def test_an_object_that_appears_while_it_is_created_is_no_rejection() -> None:
    async with bench() as b:
        b.fails("create", "configmaps", Delay(1)).times = 1
        run = asyncio.create_task(
            b.run(lambda seen: Plan(() if seen.get("x") else (Create(CONFIG_MAPS, manifest("x")),)))
        )
        await asyncio.sleep(0.5)
        await b.w.client.create(CONFIG_MAPS, manifest("x", a="theirs"))
        assert await run is None
        assert len(b.passes) == 2
        assert b.events.said == []


@virtual_time
async def test_the_response_to_a_write_is_there_for_the_next_observation() -> None:
    async with bench() as b:

        def decide(seen: Seen) -> Plan:
            stored = seen.known.response(CONFIG_MAPS, "team", "x")
            assert (stored is None) == (seen.get("x") is None)
            if stored is None:
                return Plan((Create(CONFIG_MAPS, manifest("x")),))
            assert stored.meta.uid
            return Plan()

        await b.run(decide)
        assert len(b.passes) == 2


@virtual_time
async def test_nothing_is_created_in_a_namespace_that_is_gone() -> None:
    async with bench() as b:
        elsewhere = manifest("x") | {"metadata": {"name": "x", "namespace": "gone"}}
        assert await b.run(lambda _: Plan((Create(CONFIG_MAPS, elsewhere),))) is None
        assert b.events.said == []


@virtual_time
async def test_nothing_is_created_or_reported_in_a_namespace_that_is_being_deleted() -> None:
    async with bench() as b:
        held = {"name": "held", "namespace": "ending", "finalizers": ["example.com/hold"]}
        await b.w.client.create(NAMESPACES, {"metadata": {"name": "ending"}})
        await b.w.client.create(CONFIG_MAPS, manifest("held") | {"metadata": held})
        await b.w.client.delete(NAMESPACES, "ending")
        elsewhere = manifest("x") | {"metadata": {"name": "x", "namespace": "ending"}}
        assert await b.run(lambda _: Plan((Create(CONFIG_MAPS, elsewhere),))) is None
        assert b.events.said == []


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (terminating("configmaps", causes=False), []),
        (replace(terminating("configmaps"), message="other words"), []),
        (Answer(403, "Forbidden", "policy: not here, because it is being terminated"), ["FailedCreate"]),
        (
            replace(terminating("configmaps"), details={"causes": [{"reason": "FieldValueInvalid"}]}),
            ["FailedCreate"],
        ),
    ],
    ids=["an old server has no cause", "the cause counts, not the text", "a policy", "another cause"],
)
@virtual_time
async def test_a_terminating_namespace_is_recognised_by_its_cause(answer: Answer, reasons: list[str]) -> None:
    async with bench() as b:
        b.fails("create", "configmaps", answer)
        await b.run(lambda _: Plan((Create(CONFIG_MAPS, manifest("x")),)))
        assert [reason for _, reason, _ in b.events.said] == reasons


@virtual_time
async def test_events_of_an_action_are_recorded_only_when_it_has_changed_something() -> None:
    async with bench() as b:
        done = PlannedEvent("Normal", "Done", "x was created")
        b.fails("create", "configmaps", Answer(403))
        await b.run(lambda _: Plan((Create(CONFIG_MAPS, manifest("x"), (done,)),)))
        assert [reason for _, reason, _ in b.events.said] == ["FailedCreate"]
        b.w.cluster.faults.clear()
        await b.run(lambda s: Plan(() if s.get("x") else (Create(CONFIG_MAPS, manifest("x"), (done,)),)))
        assert [reason for _, reason, _ in b.events.said] == ["FailedCreate", "Done"]


@virtual_time
async def test_an_apply_is_under_the_field_manager_of_the_reconciler() -> None:
    async with bench() as b:
        await b.run(lambda s: Plan(() if s.get("x") else (Apply(CONFIG_MAPS, manifest("x", a="1")),)))
        found = await b.w.client.get(CONFIG_MAPS, "x", "team")
        assert found.view.data == {"a": "1"}
        raw = await b.w.client.read("/api/v1/namespaces/team/configmaps/x")
        managers = msgspec.json.decode(raw)["metadata"]["managedFields"]
        assert [item["manager"] for item in managers] == ["test"]


# ---- rejections


@virtual_time
async def test_a_rejected_action_is_tried_again_with_increasing_delays_and_the_rest_is_carried_out() -> None:
    async with bench() as b:
        names = ["Not_A_Name", "good"]

        def decide(seen: Seen) -> Plan:
            rejection = seen.known.rejection(CONFIG_MAPS, "team", "Not_A_Name")
            creates = [Create(CONFIG_MAPS, manifest(name)) for name in names if not seen.get(name)]
            return Plan((*creates, status("Failed" if rejection else "Ready")))

        reconciler = b.reconciler(decide)
        delays = []
        for _ in range(6):
            result = await reconciler.reconcile(REQUEST)
            delays.append(result.requeue_after)
            await asyncio.sleep(result.requeue_after)
        assert delays == [5, 10, 20, 40, 40, 40]
        assert b.cache.get(CONFIG_MAPS, "good", "team") is not None
        assert (await b.status())["status"] == "Failed"
        assert [reason for _, reason, _ in b.events.said] == ["FailedCreate", "Failed"]
        names.remove("Not_A_Name")
        assert await reconciler.reconcile(REQUEST) is None
        assert (await b.status())["status"] == "Ready"


@virtual_time
async def test_events_in_between_do_not_shorten_the_delay_but_another_content_does() -> None:
    async with bench() as b:
        tries = b.fails("create", "configmaps", Answer(422))
        content = {"a": "1"}
        reconciler = b.reconciler(lambda _: Plan((Create(CONFIG_MAPS, manifest("x", **content)),)))
        await reconciler.reconcile(REQUEST)
        await asyncio.sleep(1)
        assert (await reconciler.reconcile(REQUEST)).requeue_after == 4
        assert tries.hits == 1
        content["a"] = "2"
        assert (await reconciler.reconcile(REQUEST)).requeue_after == 10
        assert tries.hits == 2


@virtual_time
async def test_a_rejection_is_forgotten_when_the_action_is_no_longer_planned() -> None:
    async with bench() as b:
        b.fails("create", "configmaps", Answer(403))
        plans = [Plan((Create(CONFIG_MAPS, manifest("x")),))]
        reconciler = b.reconciler(lambda _: plans[-1])
        await reconciler.reconcile(REQUEST)
        plans.append(Plan())
        assert await reconciler.reconcile(REQUEST) is None
        plans.pop()
        assert (await reconciler.reconcile(REQUEST)).requeue_after == 5


@virtual_time
async def test_a_webhook_that_cannot_be_called_is_a_rejection_and_another_server_error_is_not() -> None:
    async with bench() as b:
        text = 'Internal error occurred: failed calling webhook "w": refused'
        b.fails("create", "configmaps", Answer(500, message=text))
        assert await b.run(lambda _: Plan((Create(CONFIG_MAPS, manifest("x")),))) == 5
        b.w.cluster.faults.clear()
        b.fails("create", "configmaps", Answer(500))
        with pytest.raises(ServerError):
            await b.run(lambda _: Plan((Create(CONFIG_MAPS, manifest("x")),)))


# ---- reads


@virtual_time
async def test_reads_are_made_once_and_together_before_anything_else_is_done() -> None:
    async with bench() as b:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "team"},
            "stringData": {"password": "hidden"},
        }
        await b.w.client.create(SECRETS, secret)
        get, missing = Get(SECRETS, "team", "s", metadata_only=True), Get(SECRETS, "team", "t")

        def decide(seen: Seen) -> Plan:
            reads = seen.known.reads
            if get in reads and missing in reads:
                assert reads[get].object.meta.name == "s"
                assert b"hidden" not in reads[get].object.raw
                assert reads[missing].object is None
                return Plan((get, missing, status("Ready")))
            assert not reads
            return Plan((get, missing, status("Pending")))

        await b.run(decide)
        assert len(b.passes) == 2
        assert (await b.status())["status"] == "Ready"
        assert [reason for _, reason, _ in b.events.said] == ["Ready"]


@virtual_time
async def test_a_read_that_is_forbidden_says_so() -> None:
    async with bench() as b:
        b.fails("get", "secrets", Answer(403))
        get = Get(SECRETS, "team", "s")
        answers: list[bool] = []

        def decide(seen: Seen) -> Plan:
            if get in seen.known.reads:
                answers.append(seen.known.reads[get].forbidden)
            return Plan((get,))

        await b.run(decide)
        assert answers == [True]


@virtual_time
async def test_the_cache_learns_what_was_read() -> None:
    async with bench() as b:
        b.task.cancel()
        await asyncio.sleep(1)
        await b.w.client.create(CONFIG_MAPS, manifest("x"))
        listed = List(CONFIG_MAPS, "team", "seen=yes")
        await b.run(lambda _: Plan((listed,)))
        assert b.cache.get(CONFIG_MAPS, "x", "team") is not None
        await b.w.client.delete(CONFIG_MAPS, "x", "team")
        await b.run(lambda _: Plan((Get(CONFIG_MAPS, "team", "x"),)))
        assert b.cache.get(CONFIG_MAPS, "x", "team") is None


@virtual_time
async def test_a_plan_continues_when_an_object_is_confirmed_as_it_was_observed() -> None:
    async with bench() as b:
        seen_version = (await b.w.client.create(CONFIG_MAPS, manifest("there"))).meta.resource_version
        await asyncio.sleep(1)

        def decide(seen: Seen) -> Plan:
            create = () if seen.get("made") else (Create(CONFIG_MAPS, manifest("made")),)
            absent = Confirm(CONFIG_MAPS, "team", "made" if create else "missing")
            return Plan(
                (absent, Confirm(CONFIG_MAPS, "team", "there", seen_version), *create, status("Ready"))
            )

        await b.run(decide)
        assert len(b.passes) == 2, "one that creates, one that reports it"
        assert await b.live("made")
        assert (await b.status())["status"] == "Ready"


@pytest.mark.parametrize("change", ["created", "changed", "created again", "deleted"])
@virtual_time
async def test_what_was_not_confirmed_is_observed_before_anything_is_written(change: str) -> None:
    async with bench() as b:
        if change != "created":
            await b.w.client.create(CONFIG_MAPS, manifest("x", of="before"))
        await asyncio.sleep(1)
        b.task.cancel()  # from now on the cache lags
        await asyncio.sleep(1)
        match change:
            case "created":
                await b.w.client.create(CONFIG_MAPS, manifest("x", of="now"))
            case "changed":
                await b.w.client.patch(CONFIG_MAPS, "x", {"data": {"of": "now"}}, "team")
            case _:
                await b.w.client.delete(CONFIG_MAPS, "x", "team")
        if change == "created again":
            await b.w.client.create(CONFIG_MAPS, manifest("x", of="now"))
        seen_data: list[object] = []

        def decide(seen: Seen) -> Plan:
            found = seen.get("x")
            seen_data.append(found.view.data["of"] if found else None)
            version = found.meta.resource_version if found else ""
            return Plan((Confirm(CONFIG_MAPS, "team", "x", version), status("Ready")))

        await b.run(decide)
        assert seen_data == [
            None if change == "created" else "before",
            None if change == "deleted" else "now",
        ]
        assert [reason for _, reason, _ in b.events.said] == ["Ready"]


@virtual_time
async def test_an_object_that_may_not_be_read_does_not_stop_the_plan() -> None:
    async with bench() as b:
        b.fails("get", "configmaps", Answer(403))
        await b.run(lambda _: Plan((Confirm(CONFIG_MAPS, "team", "x"), status("Ready"))))
        assert (await b.status())["status"] == "Ready"


@pytest.mark.parametrize(
    "wanted",
    [ReadLog("team", "pod", "uid", "main"), ReadImage(ImageQuestion("ghcr.io/aim:1"))],
    ids=["log", "image"],
)
@virtual_time
async def test_a_background_read_is_requested_and_dropped_when_it_is_no_longer_planned(
    wanted: BackgroundRead,
) -> None:
    async with bench() as b:
        await b.run(lambda _: Plan((wanted, status("Pending"))))
        assert (b.reader.asked, b.reader.forgotten) == ([wanted], 0)
        assert (await b.status())["status"] == "Pending"
        await b.run(lambda _: Plan())
        assert b.reader.forgotten == 1


@virtual_time
async def test_a_background_read_without_a_reader_is_an_error() -> None:
    async with bench() as b:
        b.reader = None
        with pytest.raises(TypeError, match="plans ReadLog: pass a reader"):
            await b.run(lambda _: Plan((ReadLog("team", "pod", "uid", "main"),)))


@virtual_time
async def test_an_event_of_its_own_is_recorded() -> None:
    async with bench() as b:
        await b.run(lambda _: Plan((Record(PlannedEvent("Warning", "Odd", "it is odd")),)))
        assert b.events.said == [("Warning", "Odd", "it is odd")]


# ---- the cache lags behind


@virtual_time
async def test_a_status_is_not_written_over_a_state_that_was_not_observed() -> None:
    async with bench() as b:

        def decide(seen: Seen) -> Plan:
            if len(b.passes) == 1:
                newer = Object(seen.obj.resource, seen.obj.meta, seen.obj.raw)
                b.cache.observe_write(_with_version(newer, "999999"))
            return Plan((status(f"pass {len(b.passes)}"),))

        with pytest.raises(Conflict):
            await b.run(decide)  # the server does not have that version, however often it is decided
        assert len(b.passes) == 2, "the cache keeps that version, so another pass cannot help"
        assert "status" not in await b.status()


@virtual_time
async def test_an_object_that_only_the_cache_has_is_reconciled_every_five_seconds() -> None:
    """However often events of what it owned enqueue it."""
    async with bench() as b:
        b.task.cancel()
        await asyncio.sleep(1)
        await b.w.client.delete(TEMPLATES, "a", "team")
        assert b.cache.get(TEMPLATES, "a", "team") is not None
        decided = []

        def decide(seen: Seen) -> Plan:
            decided.append(seen.obj.meta.uid)
            return Plan((status("Ready"),))

        reconciler = b.reconciler(decide)
        for attempt in (1, 2):
            with pytest.raises(RetryAfter):
                await reconciler.reconcile(REQUEST)
            result = await reconciler.reconcile(REQUEST)
            assert result.requeue_after == pytest.approx(5)
            assert len(decided) == attempt
            await b.w.cluster.clock.sleep(5)
        b.cache.observe_delete(TEMPLATES, REQUEST, decided[0])
        assert await reconciler.reconcile(REQUEST) is None
        assert b.settled == [None]


@virtual_time
async def test_a_404_that_names_no_object_is_not_taken_for_a_deletion() -> None:
    async with bench() as b:
        b.fails("patch", "aimservicetemplates", Answer(404, "NotFound"))
        with pytest.raises(NotServed):
            await b.run(lambda _: Plan((status("Ready"),)))
        assert b.cache.get(TEMPLATES, "a", "team") is not None


@pytest.mark.parametrize(
    ("current", "patch", "changes"),
    [
        ({"a": 1}, {"a": 1}, False),
        ({"a": 1}, {"a": 2}, True),
        ({"a": 1}, {"b": None}, False),
        ({"a": 1}, {"a": None}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, False),
        ({"a": {"b": 1}}, {"a": {"b": {"c": 1}}}, True),
        ({"a": [1, 2]}, {"a": [1]}, True),
        ({}, {"a": {}}, True),
        ({"a": None}, {"a": None}, True),
    ],
)
def test_a_merge_patch_changes_what_it_would_change_on_the_server(
    current: Any, patch: Any, changes: bool
) -> None:
    assert patch_changes(current, patch) is changes


def _with_version(obj: Object[Any], version: str) -> Object[Any]:
    meta = msgspec.structs.replace(obj.meta, resource_version=version)
    return Object(obj.resource, meta, obj.raw)


# ---- inputs of creations


@virtual_time
async def test_a_creation_is_decided_again_with_its_inputs_as_the_server_has_them() -> None:
    async with bench() as b:
        b.fails("watch", "configmaps", Silence())
        b.w.cluster.server.storage.end_streams()
        await asyncio.sleep(5)
        await b.w.client.create(CONFIG_MAPS, manifest("input"))

        def decide(seen: Seen) -> Plan:
            inputs = (Get(CONFIG_MAPS, "team", "input"),)
            return Plan() if seen.get("input") else Plan((Create(CONFIG_MAPS, manifest("a"), inputs=inputs),))

        await b.run(decide)
        assert len(b.passes) == 2
        assert b.cache.get(CONFIG_MAPS, "a", "team") is None


@virtual_time
async def test_inputs_are_read_once_for_a_creation_and_not_before_its_back_off_is_over() -> None:
    async with bench() as b:
        reads = b.w.cluster.faults.add(Delay(0.0), Match("get", "configmaps", name="input"))
        b.fails("create", "configmaps", Answer(422, "Invalid"))

        def decide(seen: Seen) -> Plan:
            inputs = (Get(CONFIG_MAPS, "team", "input"),)
            return Plan() if seen.get("a") else Plan((Create(CONFIG_MAPS, manifest("a"), inputs=inputs),))

        reconciler = b.reconciler(decide)
        await reconciler.reconcile(Request("team", "a"))
        assert reads.hits == 1
        await reconciler.reconcile(Request("team", "a"))
        assert reads.hits == 1, "the creation is not tried again yet"


# ---- slots


def in_slot(seen: Seen) -> Plan:
    """Wants the ConfigMap a, which needs a slot."""
    return Plan() if seen.get("a") else Plan((RequestSlot(Create(CONFIG_MAPS, manifest("a"))),))


@virtual_time
async def test_what_needs_a_slot_is_created_only_when_the_gate_is_open() -> None:
    async with bench() as b:
        await b.run(in_slot)
        assert b.gate.calls == ["enter", "leave"]
        assert b.cache.get(CONFIG_MAPS, "a", "team") is None
        b.gate.open = True
        await b.run(in_slot)
        assert b.gate.calls[2:] == ["enter", "settle", "leave"]
        assert b.cache.get(CONFIG_MAPS, "a", "team") is not None


@virtual_time
async def test_a_slot_is_requested_after_the_effect_of_other_writes_was_observed() -> None:
    async with bench() as b:

        def decide(seen: Seen) -> Plan:
            first = () if seen.get("b") else (Create(CONFIG_MAPS, manifest("b")),)
            return Plan((*first, RequestSlot(Create(CONFIG_MAPS, manifest("a")))))

        await b.run(decide)
        assert len(b.passes) == 2
        assert b.gate.calls == ["enter", "leave"]


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (Refuse(), ["enter", "settle", "leave ConnectionFailed"]),
        (Answer(429), ["enter", "settle", "leave TooManyRequests"]),
        (Answer(500), ["enter", "leave ServerError"]),
        (Answer(500, after_effect=True), ["enter", "leave ServerError"]),
        (Delay(4.5), ["enter", "leave ConnectionFailed"]),
    ],
    ids=repr,
)
@virtual_time
async def test_the_gate_is_told_of_a_result_only_if_it_is_known(answer: Action, calls: list[str]) -> None:
    async with bench() as b:
        b.gate.open = True
        b.fails("create", "configmaps", answer)
        with pytest.raises(KubeError):
            await b.run(in_slot)
        assert b.gate.calls == calls


@virtual_time
async def test_if_the_name_is_taken_the_result_is_known_when_the_object_was_read() -> None:
    async with bench() as b:
        b.gate.open = True
        await b.w.client.create(CONFIG_MAPS, manifest("a", label="no"))
        b.fails("get", "configmaps", Refuse())
        with pytest.raises(ConnectionFailed):
            await b.run(in_slot)
        assert b.gate.calls == ["enter", "leave ConnectionFailed"]
        b.w.cluster.faults.clear()
        assert await b.run(in_slot) == 5.0
        assert b.gate.calls[2:] == ["enter", "settle", "leave"]


@virtual_time
async def test_the_end_of_every_reconcile_is_reported_to_the_gate() -> None:
    async with bench() as b:

        def decide(_: Seen) -> Plan:
            raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011 - raised above
            await b.run(decide)
        assert b.gate.calls == ["leave ValueError"]


@virtual_time
async def test_a_slot_without_a_gate_is_an_error() -> None:
    async with bench() as b:
        b.gate = None
        with pytest.raises(TypeError, match="plans RequestSlot: pass a gate"):
            await b.run(in_slot)


# ---- the log


@virtual_time
async def test_an_object_that_fails_is_logged_once_for_each_time() -> None:
    states = iter(["Ready", "Failed", "Failed", "Ready", "Degraded", "Degraded"])
    async with bench() as b:
        with structlog.testing.capture_logs() as lines:
            for state in states:
                await b.run(lambda _, state=state: Plan((status(state),)))
        warnings = [line for line in lines if line["log_level"] == "warning"]
        assert [(line["event"], line["kind"], line["namespace"], line["name"]) for line in warnings] == [
            ("the object is Failed", "AIMServiceTemplate", "team", "a"),
            ("the object is Degraded", "AIMServiceTemplate", "team", "a"),
        ]
        assert all({"reason", "message"} <= line.keys() for line in warnings)

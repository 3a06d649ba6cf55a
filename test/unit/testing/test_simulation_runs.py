"""Simulated runs of a small operator: they repeat, and find what is wrong with it."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.runtime import CONFIG_MAPS, Result
from aimctl.runtime.kube.errors import ApiError
from aimctl.testing import CrashPoint, Plan, Scenario, SimulationFailed, shrink, simulate, simulation_main
from aimctl.testing.plugin import SimulationRunner
from aimctl.testing.simulation.faults import FAULTS
from support.examples import example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.runtime import Manager, Request
    from aimctl.testing import World, Write

sys.modules.setdefault("hello_reconciler", example("hello_reconciler"))
hello: Any = example("simulated_hello")


class Quiet(hello.Hello):
    """Without faults and actions; ConfigMaps exist from the start."""

    most_actions = most_faults = 0
    seconds = 30.0

    async def begin(self, world: World) -> None:
        for name in hello.NAMES:
            await world.client.apply(CONFIG_MAPS, hello.body(name, {"name": "you"}))


class Careless(Quiet):
    """Its operator counts in memory how often it has greeted, so the count is wrong after a crash."""

    most_actions, most_faults = 4, 4

    def add_controllers(self, manager: Manager, world: World) -> None:
        counted: dict[str, int] = {}

        async def reconcile(request: Request) -> Result | None:
            if request.name != "anna":
                return None
            counted["anna"] = counted.get("anna", 0) + 1
            if counted["anna"] == 1:
                await manager.client.apply(
                    CONFIG_MAPS, hello.body("count", {"starts": manager.identity}) | {"metadata": COUNT}
                )
            return None

        manager.controller("careless", reconcile, for_=CONFIG_MAPS)

    def check_write(self, world: World, write: Write) -> Iterator[str]:
        if write.name == "count" and write.type == "MODIFIED":
            yield "the count was written twice"

    def unsettled(self, world: World) -> list[str]:
        return []


COUNT = {"name": "count", "namespace": "default"}
CLOCK = {"name": "clock", "namespace": "default"}


def test_a_run_is_a_function_of_its_seed():
    first, second, other = (simulate(hello.Hello(), seed, traced=True) for seed in (4, 4, 5))
    assert first.digest == second.digest != other.digest
    assert first.trace == second.trace
    assert first.problems == []


def test_the_trace_says_who_wrote_and_who_saw_what():
    trace = simulate(Quiet(), 1, traced=True).trace
    assert any("user         ADDED configmaps default/anna" in line for line in trace)
    assert any("ADDED configmaps default/anna-hello" in line and "manager-" in line for line in trace)
    assert any("sees configmaps: ADDED default/anna-hello" in line for line in trace)


def test_a_failing_run_is_shortened_and_can_be_repeated():
    scenario = Careless()
    report = next(found for found in (simulate(scenario, seed) for seed in range(40)) if found.problems)
    short = shrink(scenario, report)
    assert short.problems
    assert 1 <= len(short.plan.steps) < len(report.plan.steps)
    again = simulate(scenario, report.plan.seed, plan=report.plan.only(short.plan.numbers), traced=True)
    assert again.digest == short.digest
    assert "the count was written twice" in short.text(scenario)
    assert f"simulate seed {report.plan.seed}, steps" in short.text(scenario)


def test_the_fixture_reports_the_shortest_plan_and_its_trace():
    with pytest.raises(SimulationFailed, match="the count was written twice") as raised:
        SimulationRunner()(Careless(), range(40))
    assert "PROBLEM" in str(raised.value)


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_process_crashes_at_its_write_and_another_one_goes_on(side):
    class Crashing(Quiet):
        async def begin(self, world: World) -> None:
            for process in world.processes:
                process.connection.crash = CrashPoint(1, side, writes_only=True)
            await super().begin(world)

    scenario = Crashing()
    report = simulate(scenario, 3, plan=Plan(3), traced=True)
    assert report.problems == []
    crash = next(number for number, line in enumerate(report.trace) if "crashes at: patch configmaps" in line)
    created = [
        line for line in report.trace[:crash] if "ADDED configmaps default/" in line and "-hello" in line
    ]
    assert len(created) == (1 if side == "before" else 2)
    assert report.counts["processes"] > 2


def test_a_blocked_process_loses_its_lease_and_writes_nothing_after_that():
    class Blocked(Quiet):
        async def begin(self, world: World) -> None:
            await super().begin(world)
            await asyncio.sleep(10)
            first = world.leader
            assert first is not None
            first.block()
            await asyncio.sleep(60)
            assert world.leader is not None
            await world.client.delete(CONFIG_MAPS, "anna-hello", "default")
            first.unblock()
            await asyncio.sleep(10)
            world.state = first

    report = simulate(Blocked(), 2, plan=Plan(2), traced=True)
    assert report.problems == []
    assert any("LeaderLost" in line for line in report.trace)


def test_a_process_is_blocked_at_a_write_until_all_faults_end():
    class Blocking(Quiet):
        async def begin(self, world: World) -> None:
            await super().begin(world)
            for process in world.processes:
                world.at_write(process, 1, process.block)

    report = simulate(Blocking(), 6, plan=Plan(6), traced=True)
    assert report.problems == []
    blocked = next(number for number, line in enumerate(report.trace) if "is blocked" in line)
    greeted = [line for line in report.trace if "ADDED configmaps" in line and "-hello" in line]
    assert len([line for line in report.trace[:blocked] if line in greeted]) == 1
    assert len(greeted) == 3


def test_a_stale_replica_returns_an_old_state_only_to_lists_that_accept_one():
    class Stale(Quiet):
        async def begin(self, world: World) -> None:
            await super().begin(world)
            await asyncio.sleep(10)
            assert world.leader is not None
            reader = world.leader.manager.api_reader
            await FAULTS["stale replica"](world, random.Random(1))
            newest = await reader.list(CONFIG_MAPS)
            old = await reader.list(CONFIG_MAPS, resource_version="0")
            assert int(old.resource_version) < int(newest.resource_version)
            with pytest.raises(ApiError, match="Too large resource version"):
                await reader.list(CONFIG_MAPS, resource_version=newest.resource_version)

    assert simulate(Stale(), 2, plan=Plan(2)).problems == []


def test_a_write_of_a_process_that_does_not_hold_the_lease_is_a_problem():
    class Unfenced(Quiet):
        def add_controllers(self, manager: Manager, world: World) -> None:
            async def reconcile(request: Request) -> None:
                metadata = {"name": manager.identity, "namespace": "default"}
                await manager.api_reader.apply(CONFIG_MAPS, hello.body("x", {}) | {"metadata": metadata})

            async def run() -> None:
                await asyncio.sleep(20)
                await reconcile(None)  # type: ignore[arg-type]  # it takes nothing from the request

            manager.add(run, needs_leader_election=False)

        def unsettled(self, world: World) -> list[str]:
            return []

    report = simulate(Unfenced(), 1, plan=Plan(1))
    assert len(report.problems) == 1
    assert "holds the Lease" in report.problems[0]


def test_an_operator_that_writes_without_end_never_becomes_quiet():
    class Restless(Quiet):
        settle_seconds = 200.0

        def add_controllers(self, manager: Manager, world: World) -> None:
            async def reconcile(request: Request) -> Result | None:
                if request.name != "anna":
                    return None
                body = hello.body("clock", {"at": str(world.now)}) | {"metadata": CLOCK}
                await manager.client.apply(CONFIG_MAPS, body)
                return Result(requeue_after=30.0)

            manager.controller("restless", reconcile, for_=CONFIG_MAPS)

        def unsettled(self, world: World) -> list[str]:
            return []

    report = simulate(Restless(), 1, plan=Plan(1))
    assert len(report.problems) == 1
    assert "there are writes 200 s after the desired state was reached" in report.problems[0]


def test_a_failed_process_is_a_problem():
    class Failing(Quiet):
        def add_controllers(self, manager: Manager, world: World) -> None:
            async def run() -> None:
                await asyncio.sleep(5)
                raise ValueError("a defect")

            manager.add(run)

        def unsettled(self, world: World) -> list[str]:
            return []

    report = simulate(Failing(), 1, plan=Plan(1))
    assert any("ValueError: a defect" in problem for problem in report.problems)


def test_the_program_replays_a_seed_and_counts_what_it_ran(capsys):
    assert simulation_main(Quiet, ["--seed", "3", "--only", "anna-hello"]) == 0
    shown = capsys.readouterr().out
    assert "no problems" in shown
    assert all("anna-hello" in line for line in shown.splitlines()[:-2])


def test_a_scenario_without_controllers_says_what_to_implement():
    with pytest.raises(NotImplementedError, match="Scenario: implement add_controllers"):
        simulate(Scenario(), 1, plan=Plan(1))

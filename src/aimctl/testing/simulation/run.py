"""Runs a scenario with a seed, and shortens a run that fails.

Contract: a run is a function of the scenario and its plan. It does not depend on hash values, on earlier runs of the
process, or on when garbage is collected. A run ends with the desired state and a quiet time, or with problems.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from aimctl.runtime.kube.errors import KubeError
from aimctl.testing.ordering import SeededOrder
from aimctl.testing.simulation.faults import FAULTS
from aimctl.testing.simulation.shrinking import shrunk
from aimctl.testing.simulation.world import build
from aimctl.testing.virtualtime import HotLoopError, StalledError, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.testing.simulation.plan import Plan
    from aimctl.testing.simulation.scenario import Scenario
    from aimctl.testing.simulation.trace import Trace
    from aimctl.testing.simulation.world import World

__all__ = ["Report", "SimulationFailed", "play", "shrink", "simulate"]

_POLL_SECONDS = 15.0


@final
class SimulationFailed(AssertionError):  # noqa: N818 - reads as the outcome
    """Invariants of a run do not hold. The message has the shortest plan that was found, and the end of its trace."""


@final
@dataclass(slots=True)
class Report:
    """The result of one run.

    Attributes:
        plan: what happened.
        problems: violated invariants, with times.
        counts: how often each fault, action and check occurred.
        trace: what happened; None if it was not asked for.
        digest: of the trace; "" if it was not asked for.
        cpu_seconds: what the run cost.
        settled_seconds: from the last fault until the desired state was reached; None if it was not.
    """

    plan: Plan
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    digest: str = ""
    cpu_seconds: float = 0.0
    settled_seconds: float | None = None

    def text(self, scenario: Scenario) -> str:
        """The problems, the steps, and the command that repeats the run."""
        keep = ",".join(map(str, self.plan.numbers))
        return "\n".join(
            [
                f"{scenario.name} with seed {self.plan.seed}: {len(self.problems)} problems",
                *(f"  {problem}" for problem in self.problems[:10]),
                *(f"  step {step.number}: {step.at:.3f} {step.action}" for step in self.plan.steps),
                f"  {scenario.command.format(seed=self.plan.seed, keep=keep)}",
            ]
        )


def simulate(scenario: Scenario, seed: int, *, plan: Plan | None = None, traced: bool = False) -> Report:
    """Run a scenario.

    Args:
        scenario: what is simulated.
        seed: of the run.
        plan: the steps; None takes those of the seed.
        traced: whether the report has the trace and its digest.

    Returns:
        The report. An exception of the scenario is one of its problems, with its stack.

    Raises:
        NotImplementedError: the scenario lacks a method.
    """
    report = Report(scenario.plan(seed) if plan is None else plan)
    return play(scenario, report, lambda: report.plan, traced=traced)


def play(
    scenario: Scenario, report: Report, branch: Callable[[], Plan | None], *, traced: bool = False
) -> Report:
    """Play the opening of the plan of a report, and then the plan that ``branch`` returns at the end of the opening.

    Args:
        scenario: what is simulated.
        report: is filled.
        branch: returns a plan whose seed has the same opening; None ends the run.
        traced: whether the report has the trace and its digest.

    Returns:
        The report.

    Raises:
        NotImplementedError: the scenario lacks a method.
    """
    opening = report.plan.seed - report.plan.seed % scenario.branches
    enabled = gc.isenabled()
    gc.disable()  # finalizers of garbage would run at times that depend on earlier runs
    begun = time.process_time()
    traces: list[Trace] = []
    try:
        order = SeededOrder(random.Random(f"{opening} order"))  # noqa: S311 - a repeatable run, no secrets
        run_virtual(_run(scenario, opening, branch, report, traces), order=order)
    except (HotLoopError, StalledError) as error:
        report.problems.append(f"{type(error).__name__}: {error}")
    except NotImplementedError:
        raise
    except Exception as error:  # noqa: BLE001 - a defect that one seed meets is shortened like any other problem
        report.problems.append("the run failed: " + "".join(traceback.format_exception(error)))
    finally:
        report.cpu_seconds = time.process_time() - begun
        if enabled:
            gc.enable()
    if traced and traces:
        report.trace = list(traces[0].lines())
        report.digest = traces[0].digest()
    return report


def shrink(scenario: Scenario, report: Report, *, runs: int = 100) -> Report:
    """A run of the same seed with as few steps as possible that still has problems."""
    best = report

    def fails(numbers: object) -> bool:
        nonlocal best
        found = simulate(scenario, report.plan.seed, plan=report.plan.only(list(numbers)))  # type: ignore[call-overload]  # numbers is a sequence
        if found.problems:
            best = found
        return bool(found.problems)

    shrunk(report.plan.numbers, fails, runs=runs)
    return simulate(scenario, best.plan.seed, plan=best.plan, traced=True)


async def _run(
    scenario: Scenario,
    opening: int,
    branch: Callable[[], Plan | None],
    report: Report,
    traces: list[Trace],
) -> None:
    async with build(scenario, opening) as world:
        traces.append(world.trace)
        report.problems, report.counts = world.problems, world.counts
        for _ in range(scenario.replicas):
            world.start_process()
        await scenario.begin(world)
        await asyncio.sleep(world.rng("opening").choice(scenario.openings))
        plan = branch()
        if plan is None:
            return
        report.plan = plan
        world.branch(plan.seed)
        await _carry_out(scenario, world, plan)
        await world.heal()
        report.settled_seconds = await _settle(scenario, world)


async def _carry_out(scenario: Scenario, world: World, plan: Plan) -> None:
    start = world.now
    for step in plan.steps:
        await asyncio.sleep(max(0.0, start + step.at - world.now))
        world.counts[step.action] += 1
        fault = FAULTS.get(step.action)
        try:
            if fault is not None:
                with world.acting("fault"):
                    await fault(world, step.rng())
            else:
                await scenario.act(world, step)
        except KubeError as error:
            world.trace.add("user", f"{step.action}: {error}")
    await asyncio.sleep(max(0.0, start + scenario.seconds - world.now))


async def _settle(scenario: Scenario, world: World) -> float | None:
    """Wait for the desired state, and then for a time without writes."""
    healed = world.now
    differs = list(scenario.unsettled(world))
    while differs and world.now - healed < scenario.settle_seconds:
        await asyncio.sleep(_POLL_SECONDS)
        differs = list(scenario.unsettled(world))
    for text in differs:
        world.problem(f"{scenario.settle_seconds:.0f} s after the last fault: {text}")
    if differs:
        return None
    reached = world.now - healed
    await _quiet(scenario, world)
    world.counts["settled"] += 1
    return reached


async def _quiet(scenario: Scenario, world: World) -> None:
    end = world.now + scenario.settle_seconds
    while world.now - world.wrote_at < scenario.quiet_seconds:
        await asyncio.sleep(_POLL_SECONDS)
        if world.now > end:
            world.problem(
                f"there are writes {scenario.settle_seconds:.0f} s after the desired state was reached"
            )
            return
    for text in scenario.unsettled(world):
        world.problem(f"after a quiet time: {text}")

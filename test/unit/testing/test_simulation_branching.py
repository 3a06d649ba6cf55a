"""Seeds that share an opening: it is played once, and the runs are the same as without sharing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.runtime import CONFIG_MAPS
from aimctl.testing import Scenario, simulate, simulation_main
from aimctl.testing.simulation.branching import shared_openings, simulate_branches
from support.examples import example

if TYPE_CHECKING:
    from pathlib import Path

    from aimctl.testing import Step, World

sys.modules.setdefault("hello_reconciler", example("hello_reconciler"))
hello: Any = example("simulated_hello")


class Shared(hello.Hello):
    """Four seeds share an opening, in which a ConfigMap is greeted."""

    seconds = 30.0
    branches = 4
    openings = (0.5, 2.0)

    async def begin(self, world: World) -> None:
        await world.client.apply(CONFIG_MAPS, hello.body("anna", {"name": "you"}))


def test_a_run_does_not_depend_on_whether_its_opening_is_shared():
    shared = simulate_branches(Shared(), range(4, 8), traced=True)
    alone = [simulate(Shared(), seed, traced=True) for seed in range(4, 8)]
    assert [report.plan for report in shared] == [report.plan for report in alone]
    assert [report.trace for report in shared] == [report.trace for report in alone]
    assert [report.counts for report in shared] == [report.counts for report in alone]
    assert len({report.digest for report in shared}) == 4


def test_the_runs_of_an_opening_begin_alike_and_continue_differently():
    traces = [simulate(Shared(), seed, traced=True).trace for seed in range(4, 8)]
    begins = {tuple(line for line in trace if float(line.split()[0]) < 0.5) for trace in traces}
    assert len(begins) == 1
    assert len(begins.pop()) > 10
    assert len({tuple(trace) for trace in traces}) == 4


def test_the_opening_is_played_once(tmp_path: Path):
    class Counted(Shared):
        async def begin(self, world: World) -> None:
            (tmp_path / f"{world.seed}-{os.getpid()}").touch()
            await super().begin(world)

    assert [report.problems for report in simulate_branches(Counted(), range(8, 12))] == [[]] * 4
    assert [path.name for path in tmp_path.iterdir()] == [f"8-{os.getpid()}"]


def test_consecutive_seeds_share_an_opening():
    assert [[*group] for group in shared_openings(Shared(), range(2, 11))] == [
        [2, 3],
        [4, 5, 6, 7],
        [8, 9, 10],
    ]
    assert [[*group] for group in shared_openings(hello.Hello(), range(2, 4))] == [[2], [3]]


def test_a_run_that_ends_its_process_is_a_problem_of_its_seed():
    class Ends(Shared):
        def actions(self) -> dict[str, float]:
            return {"end": 1}

        async def act(self, world: World, step: Step) -> None:
            if world.seed == 5:
                os._exit(3)

    found = {report.plan.seed: report.problems for report in simulate_branches(Ends(), range(4, 8))}
    assert found == {4: [], 5: ["the process of the run ended with status 3"], 6: [], 7: []}


def test_a_failing_opening_is_a_problem_of_each_of_its_seeds():
    class Fails(Shared):
        async def begin(self, world: World) -> None:
            raise ValueError("a defect")

    reports = simulate_branches(Fails(), range(4, 8))
    assert [report.plan.seed for report in reports] == [4, 5, 6, 7]
    assert all("ValueError: a defect" in report.problems[0] for report in reports)


def test_a_missing_method_is_raised_in_the_parent():
    class Unwritten(Scenario):
        branches = 2

        def add_controllers(self, manager: Any, world: World) -> None:
            pass

        def actions(self) -> dict[str, float]:
            return {"edit": 1}

    with pytest.raises(NotImplementedError, match="Unwritten: implement act for 'edit'"):
        simulate_branches(Unwritten(), range(2))


def test_the_program_runs_all_seeds(capsys: pytest.CaptureFixture[str]):
    assert simulation_main(Shared, ["--first", "2", "--seeds", "9", "--jobs", "1"]) == 0
    assert "\n9 seeds in" in capsys.readouterr().out

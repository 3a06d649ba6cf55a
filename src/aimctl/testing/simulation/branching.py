"""Runs of several seeds that share their opening, which is played once.

Contract: except for its CPU time, a report is the same as that of :func:`aimctl.testing.simulation.run.simulate`. At
the end of the opening the process is forked for each seed, one after the other, like the fork server of the fuzzer AFL.
A branch that ends without a report is a problem of its seed.

Invariant: the process of a branch never returns to the caller.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import time
from typing import TYPE_CHECKING, final

from aimctl.testing.simulation.run import Report, play, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aimctl.testing.simulation.plan import Plan
    from aimctl.testing.simulation.scenario import Scenario

__all__ = ["shared_openings", "simulate_branches"]


def shared_openings(scenario: Scenario, seeds: range) -> Iterator[Sequence[int]]:
    """Consecutive seeds that share an opening, in order."""
    first = seeds.start
    while first < seeds.stop:
        end = min(seeds.stop, (first // scenario.branches + 1) * scenario.branches)
        yield range(first, end)
        first = end


def simulate_branches(scenario: Scenario, seeds: Sequence[int], *, traced: bool = False) -> list[Report]:
    """Run seeds that share an opening.

    Args:
        scenario: what is simulated.
        seeds: of one item of :func:`shared_openings`.
        traced: whether the reports have the traces and their digests.

    Returns:
        The reports, in the order of the seeds.

    Raises:
        NotImplementedError: the scenario lacks a method.
    """
    branches = _Branches(scenario, seeds)
    try:
        report: Report | BaseException = play(
            scenario, Report(scenario.plan(seeds[0])), branches, traced=traced
        )
    except BaseException as error:
        if branches.writer is None:
            raise
        report = error
    if branches.writer is not None:
        branches.end(report)
    # Without branches the opening has failed, and its problems are those of each seed.
    return branches.reports or [simulate(scenario, seed, traced=traced) for seed in seeds]


@final
class _Branches:
    """Called at the end of the opening: returns the plan of a seed in each child, and None in the parent."""

    def __init__(self, scenario: Scenario, seeds: Sequence[int]) -> None:
        self._scenario, self._seeds = scenario, seeds
        self._begun = time.process_time()
        self._share = 0.0
        self.writer: int | None = None
        """Of the pipe to the parent; None in the parent."""
        self.reports: list[Report] = []

    def __call__(self) -> Plan | None:
        loop = asyncio.get_running_loop()
        self._share = (time.process_time() - self._begun) / len(self._seeds)
        for seed in self._seeds:
            plan = self._scenario.plan(seed)
            reader, writer = os.pipe()
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                os.close(reader)
                self.writer = writer
                asyncio._set_running_loop(loop)  # noqa: SLF001 - the running loop is kept for each process ID
                return plan
            os.close(writer)
            self.reports.append(_received(reader, child, plan))
        return None

    def end(self, report: Report | BaseException) -> None:
        """Send the report to the parent, and end the process."""
        if self.writer is None:
            raise RuntimeError("only the process of a branch can end")
        if isinstance(report, Report):
            report.cpu_seconds = time.process_time() + self._share  # a child begins at zero
        with os.fdopen(self.writer, "wb") as pipe:
            pickle.dump(report, pipe)
        os._exit(0)


def _received(reader: int, child: int, plan: Plan) -> Report:
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if not data:
        return Report(plan, [f"the process of the run ended with status {os.waitstatus_to_exitcode(status)}"])
    report = pickle.loads(data)  # noqa: S301 - written by the child
    if isinstance(report, BaseException):
        raise report
    found: Report = report
    return found

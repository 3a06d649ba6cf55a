"""A program that runs a scenario with many seeds, or one seed with its trace.

    sys.exit(simulation_main(MyScenario))              # --seeds 2000, --seed 17, --help

Contract: seeds run in parallel processes, which share what was imported before. Each failing seed is printed with its
problems, its shortest plan that still fails, and the command that repeats it. The table at the end has the numbers of
faults, actions and checks. The exit status is 1 if a seed failed.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import structlog

from aimctl.testing.simulation.branching import shared_openings, simulate_branches
from aimctl.testing.simulation.run import Report, shrink, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimctl.testing.simulation.scenario import Scenario

__all__ = ["silence", "simulation_main"]

_PROGRESS_SECONDS = 15.0
_MOST_SHRUNK = 5

_scenario: Scenario | None = None
"""Of a worker process."""


def silence() -> None:
    """Write no log lines."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def simulation_main(make: Callable[[], Scenario], arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        make: makes the scenario; called once in each process.
        arguments: of the command line; None takes those of the process.

    Returns:
        The exit status: 0, or 1 if an invariant did not hold.
    """
    options = _parser(make().name).parse_args(arguments)
    silence()
    if options.seed is not None:
        return _one(make(), options)
    return _many(make, options)


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description="deterministic simulation")
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parallel processes")
    parser.add_argument("--no-shrink", action="store_true", help="do not shorten failing runs")
    parser.add_argument("--seed", type=int, help="run this seed only, and print its trace")
    parser.add_argument("--keep", help="with --seed: only the steps with these numbers, such as 2,5")
    parser.add_argument("--only", action="append", default=[], help="trace lines that contain this text")
    return parser


def _one(scenario: Scenario, options: argparse.Namespace) -> int:
    plan = scenario.plan(options.seed)
    if options.keep is not None:
        plan = plan.only({int(number) for number in options.keep.split(",") if number})
    report = simulate(scenario, options.seed, plan=plan, traced=True)
    for line in report.trace:
        if not options.only or any(word in line for word in options.only):
            _say(line)
    _say(f"digest {report.digest}, {report.cpu_seconds:.2f} s of CPU")
    _say(report.text(scenario) if report.problems else "no problems")
    return 1 if report.problems else 0


def _many(make: Callable[[], Scenario], options: argparse.Namespace) -> int:
    seeds = range(options.first, options.first + options.seeds)
    scenario = make()
    begun = told = time.monotonic()
    failed: list[Report] = []
    counts: Counter[str] = Counter()
    cpu, slowest, done = 0.0, 0.0, 0
    context = multiprocessing.get_context("fork")  # shares what was imported
    gc.collect()
    gc.freeze()
    with ProcessPoolExecutor(options.jobs, context, _prepare, (make,)) as pool:
        groups = pool.map(_run, shared_openings(scenario, seeds))
        for report in itertools.chain.from_iterable(groups):
            done += 1
            cpu += report.cpu_seconds
            counts += report.counts
            slowest = max(slowest, report.settled_seconds or 0.0)
            if report.problems:
                failed.append(report)
                _say(report.text(scenario))
            if time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                _say(f"{done} of {len(seeds)} seeds, {len(failed)} failed")
    for report in failed[:_MOST_SHRUNK] if not options.no_shrink else ():
        _say("shortened:\n" + shrink(scenario, report).text(scenario))
    for title, names in (
        ("faults", scenario.faults()),
        ("actions", scenario.actions()),
        ("checks", counts.keys() - {*scenario.faults(), *scenario.actions()}),
    ):
        _say(title)
        for name in sorted(names):
            _say(f"  {name:<28} {counts[name]:>10}")
    seconds = time.monotonic() - begun
    _say(
        f"{done} seeds in {seconds:.0f} s, {cpu / max(done, 1):.2f} s of CPU each; settled within {slowest:.0f} s of"
        f" virtual time after the last fault; failed: {[report.plan.seed for report in failed] or 'none'}"
    )
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _prepare(make: Callable[[], Scenario]) -> None:
    global _scenario  # noqa: PLW0603 - one scenario for all seeds of a worker process
    silence()
    _scenario = make()


def _run(seeds: Sequence[int]) -> list[Report]:
    if _scenario is None:
        raise RuntimeError("the worker process was not prepared")
    try:
        return simulate_branches(_scenario, seeds)
    finally:
        gc.collect()

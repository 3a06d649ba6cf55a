"""``make mutants`` runs each mutant until a pattern detects it; ``make mutants ONLY=lease`` runs those with this word.

Each mutant runs in a process of its own. First the undisturbed scenarios are played, then their disturbances in the order
in which they happen, until a run has a problem. The exit status is 1 if a mutant is not detected, or is out of date.
"""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from sieve.mutants import MUTANTS, Mutant
from sieve.mutation import install, mutated

if TYPE_CHECKING:
    from sieve.execution import Disturbance, Outcome

__all__ = ["main"]

_MUTANT_SECONDS = 1800
_MOST_PER_SCENARIO = 400
"""Disturbances of one scenario that are tried, evenly distributed."""


class Verdict(NamedTuple):
    """The result for one mutant; ``problem`` is "" if it was not detected."""

    runs: int
    where: str
    problem: str


def main() -> int:
    """Run what the command line selects; returns the exit status."""
    parser = argparse.ArgumentParser(description="defects of the operator that the patterns must detect")
    parser.add_argument("--only", default="", help="the mutants whose name or file has this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at once")
    parser.add_argument("--undisturbed", action="store_true", help="play no disturbances")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "EXPECTED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return _one(options.one[0], Path(options.one[1]), disturb=not options.undisturbed)
    chosen = [item for item in MUTANTS if options.only in item.name or options.only in item.file]
    for mutant in MUTANTS:
        mutated(mutant)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        expected = Path(folder) / "expected"
        expected.write_bytes(pickle.dumps(_expected()))
        print(f"{'mutant':54} {'detected by':44} {'runs':>5}", flush=True)
        missed = sum(pool.map(lambda item: _report(item, expected, disturb=not options.undisturbed), chosen))
    print(f"{len(chosen)} mutants in {time.monotonic() - begun:.0f} s; {missed} not detected")
    return 1 if missed or not chosen else 0


def _report(mutant: Mutant, expected: Path, *, disturb: bool) -> int:
    """Run one mutant in a process, and print its row; 1 if it was not detected."""
    command = [sys.executable, __file__, "--one", mutant.name, str(expected)]
    command += [] if disturb else ["--undisturbed"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_MUTANT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        print(f"{mutant.name:54} not detected within {_MUTANT_SECONDS} s", flush=True)
        return 1
    if done.returncode:
        print(f"{mutant.name:54} ended with an error\n{done.stderr.decode()[-2000:]}", flush=True)
        return 1
    runs, where, problem = done.stdout.decode().rstrip("\n").split("\t", 2)
    print(f"{mutant.name:54} {where:44} {runs:>5}  {problem[:100]}", flush=True)
    return 0 if problem else 1


# ---- in the process of a mutant


class _Detected(Exception):
    def __init__(self, where: str, problem: str) -> None:
        super().__init__(problem)
        self.where, self.problem = where, problem


def _expected() -> dict[str, Outcome]:
    """The undisturbed runs of all scenarios."""
    from sieve.execution import execute
    from sieve.scenarios import SCENARIOS

    _silence()
    found = {name: execute(name) for name in SCENARIOS}
    for name, outcome in found.items():
        if outcome.problems:
            raise SystemExit(f"{name} fails without a mutant: {outcome.problems}")
    return found


def _one(name: str, path: Path, *, disturb: bool) -> int:
    mutant = next(item for item in MUTANTS if item.name == name)
    install(mutant)
    _silence()
    verdict = _judge(mutant, pickle.loads(path.read_bytes()), disturb=disturb)
    print(*verdict, sep="\t")
    return 0


def _judge(mutant: Mutant, expected: dict[str, Outcome], *, disturb: bool) -> Verdict:
    """Search until a run has a problem. The scenario of the mutant, and its disturbances, are played first."""
    from sieve.execution import execute

    names = sorted(expected, key=lambda name: name != mutant.scenario)
    runs = 0

    def received(outcome: Outcome) -> None:
        nonlocal runs
        runs += 1
        if outcome.problems:
            what = outcome.disturbance or "undisturbed"
            raise _Detected(f"{scenario}/{what}", outcome.problems[0])

    try:
        for search in (mutant.first, "") if disturb else ("",):
            for scenario in names[:1] if search else names:
                received(execute(scenario, expected=expected[scenario]))
                if not disturb:
                    continue
                wanted = _selected(expected[scenario], search)
                execute(scenario, expected=expected[scenario], wanted=wanted, received=received)
    except _Detected as found:
        return Verdict(runs, found.where, found.problem.replace("\n", " "))
    return Verdict(runs, "not detected", "")


def _selected(outcome: Outcome, beginning: str) -> Any:
    """Selects the disturbances with this beginning, or an even distribution of all of them."""
    step = 1 if beginning else max(1, round(outcome.moments.total() / _MOST_PER_SCENARIO))

    def wanted(disturbance: Disturbance) -> bool:
        return str(disturbance).startswith(beginning) and disturbance.number % step == 0

    return wanted


def _silence() -> None:
    import structlog

    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


if __name__ == "__main__":
    sys.exit(main())

"""``make sieve`` runs every disturbance of every scenario; ``make sieve ONLY=caching/lost-event`` runs some of them.

A selection is the beginning of a label: a scenario, a scenario and a pattern, or one disturbance such as
``caching/crash-after/17``. ``--sample 10`` runs every crash, and one of ten other disturbances. The exit status is 1 if a
run failed, or if without a selection not every crash was played, or without a sample not every disturbance.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from sieve.execution import execute, silence
from sieve.patterns import CRASHES, PATTERNS, Disturbance, Outcome
from sieve.scenarios import SCENARIOS

__all__ = ["main"]

_MOST_SHOWN = 5


def main() -> int:
    """Run what the command line selects; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="crashes, old states and lost events in the standard scenarios"
    )
    parser.add_argument("--only", default="", help="run the disturbances whose label begins so")
    parser.add_argument("--sample", type=int, default=1, help="run one of so many, except crashes")
    parser.add_argument("--offset", type=int, default=0, help="which one, from 0")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    options = parser.parse_args()
    silence()
    begun, failed, runs = time.monotonic(), 0, 0
    moments, covered = Counter[str](), Counter[str]()
    print(
        f"{'scenario':11} {' '.join(f'{pattern:>14}' for pattern in PATTERNS)}  failed  seconds", flush=True
    )
    for name in SCENARIOS:
        if options.only and not options.only.startswith(name) and not name.startswith(options.only):
            continue
        outcomes, row = _scenario(name, options)
        bad = [outcome for outcome in outcomes if outcome.problems]
        failed += len(bad)
        runs += len(outcomes)
        moments.update(outcomes[0].moments)
        covered.update(outcome.disturbance.pattern for outcome in outcomes if outcome.disturbance)
        print(row, flush=True)
    shares = ", ".join(f"{name} {covered[name] / moments[name]:.0%}" for name in PATTERNS if moments[name])
    print(f"{runs} runs in {time.monotonic() - begun:.0f} s; {failed} failed; covered: {shares}")
    required = CRASHES if options.sample > 1 else PATTERNS
    missed = not options.only and any(covered[name] != moments[name] for name in required)
    return 1 if failed or not runs or missed else 0


def _scenario(name: str, options: argparse.Namespace) -> tuple[list[Outcome], str]:
    """The outcomes of a scenario, and its row of the table."""
    begun, only = time.monotonic(), options.only
    outcomes: list[Outcome] = []

    def received(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.problems and sum(1 for item in outcomes if item.problems) <= _MOST_SHOWN:
            print(_described(name, outcome), flush=True)

    undisturbed = execute(name)
    received(undisturbed)

    def wanted(disturbance: Disturbance) -> bool:
        label = f"{name}/{disturbance}"
        chosen = label == only if only[-1:].isdigit() else label.startswith(only)
        crash = disturbance.pattern in CRASHES
        return chosen and (crash or disturbance.number % options.sample == options.offset % options.sample)

    if not undisturbed.problems:
        execute(name, expected=undisturbed, wanted=wanted, received=received, jobs=options.jobs)
    covered = Counter(outcome.disturbance.pattern for outcome in outcomes if outcome.disturbance)
    cells = " ".join(f"{f'{covered[item]} of {undisturbed.moments[item]}':>14}" for item in PATTERNS)
    failed = sum(1 for outcome in outcomes if outcome.problems)
    return outcomes, f"{name:11} {cells}  {failed:6}  {time.monotonic() - begun:7.0f}"


def _described(name: str, outcome: Outcome) -> str:
    if outcome.disturbance is None:
        title = f"{name}, undisturbed:"
    else:
        title = f"{name}, {outcome.disturbance} at {outcome.where}:"
        title += f"\n    make sieve ONLY={name}/{outcome.disturbance}"
    return "\n    ".join([title, *outcome.problems])


if __name__ == "__main__":
    sys.exit(main())

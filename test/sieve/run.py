"""``make sieve`` runs every disturbance of every scenario; ``make sieve ONLY=caching/lost-event`` runs some of them.

A selection is the beginning of a label: a scenario, a scenario and a pattern, or one disturbance such as
``caching/crash-after/17``. The exit status is 1 if a run failed. ``--every 10`` runs one of ten disturbances.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parent.parent))

from sieve.execution import PATTERNS, Disturbance, Outcome, execute
from sieve.scenarios import SCENARIOS

__all__ = ["main"]

_MOST_SHOWN = 5


def main() -> int:
    """Run what the command line selects; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="crashes, old states and lost events in the standard scenarios"
    )
    parser.add_argument("--only", default="", help="run the disturbances whose label begins so")
    parser.add_argument("--every", type=int, default=1, help="run one of so many disturbances")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at once")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    begun, failed, runs = time.monotonic(), 0, 0
    print(
        f"{'scenario':11} {' '.join(f'{pattern:>15}' for pattern in PATTERNS)}  failed  seconds", flush=True
    )
    for name in SCENARIOS:
        if options.only and not options.only.startswith(name) and not name.startswith(options.only):
            continue
        outcomes, row = _scenario(name, options)
        bad = [outcome for outcome in outcomes if outcome.problems]
        failed += len(bad)
        runs += len(outcomes)
        print(row, flush=True)
        for outcome in bad[:_MOST_SHOWN]:
            print(_described(name, outcome), flush=True)
    print(f"{runs} runs in {time.monotonic() - begun:.0f} s; {failed} failed")
    return 1 if failed or not runs else 0


def _scenario(name: str, options: argparse.Namespace) -> tuple[list[Outcome], str]:
    """The outcomes of a scenario, and its row of the table."""
    begun, only = time.monotonic(), options.only
    undisturbed = execute(name)
    outcomes = [undisturbed]

    def wanted(disturbance: Disturbance) -> bool:
        label = f"{name}/{disturbance}"
        chosen = label == only if only[-1:].isdigit() else label.startswith(only)
        return chosen and disturbance.number % options.every == 0

    if not undisturbed.problems:
        execute(name, expected=undisturbed, wanted=wanted, received=outcomes.append, jobs=options.jobs)
    covered = Counter(outcome.disturbance.pattern for outcome in outcomes if outcome.disturbance)
    cells = " ".join(f"{f'{covered[item]} of {undisturbed.moments[item]}':>15}" for item in PATTERNS)
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

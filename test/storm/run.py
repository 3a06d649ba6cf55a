"""``make test-storm SEEDS=300`` runs many seeds; ``make test-storm SEED=17`` repeats one and prints its trace."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parent.parent))

from storm.scenario import Report, run_storm

__all__ = ["main"]


def main() -> int:
    """Run the storm; returns the exit status."""
    parser = argparse.ArgumentParser(description="a random virtual hour of the operator")
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds, from --first")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="run this seed only, and print its trace")
    parser.add_argument(
        "--only", action="append", default=[], help="print trace lines that contain this text"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed, options.only)
    failed: list[Report] = []
    begun = time.monotonic()
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.jobs) as pool:
        for number, report in enumerate(pool.map(_quietly, seeds), 1):
            if report.problems:
                failed.append(report)
                print(report.text(), flush=True)
            if number % 10 == 0:
                print(f"{number} of {len(seeds)} seeds, {len(failed)} failed", flush=True)
    seconds = time.monotonic() - begun
    print(f"{len(seeds)} seeds in {seconds:.0f} s; failed: {[report.seed for report in failed] or 'none'}")
    return 1 if failed else 0


def _quietly(seed: int) -> Report:
    _silence()
    report = run_storm(seed)
    report.trace = None  # it refers to the event loop
    return report


def _replay(seed: int, only: list[str]) -> int:
    _silence()
    report = run_storm(seed)
    for line in report.trace.lines(*only) if report.trace is not None else ():
        print(line)
    print(report.text())
    print(report.counts)
    return 1 if report.problems else 0


def _silence() -> None:
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


if __name__ == "__main__":
    sys.exit(main())

"""``make mutants`` runs each mutant until a pattern detects it; ``make mutants ONLY=lease`` runs those with this word.

Each mutant runs in a process of its own, until a run has a problem. The run that has detected it before, which is in
``detections.json``, is played first. If it has no problem now, everything is searched, the cheapest first:
    1. the undisturbed scenarios, beginning with that of the mutant;
    2. the disturbances that are likely to detect it;
    3. one of 16 disturbances of each scenario, then one of 4, then all.

``--record`` searches without the former detections, and stores the new ones in the file and in docs/simulation.md.
The exit status is 1 if a mutant is not detected or is out of date, or if a run that has detected one also has a problem
without it.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

sys.path.insert(0, str(Path(__file__).parent.parent))

from sieve.detections import Detection, load, save
from sieve.mutants import MUTANTS, Mutant
from sieve.mutation import install, mutated

if TYPE_CHECKING:
    from sieve.patterns import Disturbance, Outcome

__all__ = ["main"]

_MUTANT_SECONDS = 1800
_STRIDES = (16, 4, 1)


class _Verdict(NamedTuple):
    """The result for one mutant.

    Attributes:
        mutant: the defect.
        found: None if it was not detected.
        seconds: of its process.
        text: the problem, or why there is none.
    """

    mutant: Mutant
    found: Detection | None
    seconds: float
    text: str = ""


def main() -> int:
    """Run what the command line selects; returns the exit status."""
    parser = argparse.ArgumentParser(description="defects of the operator that the patterns must detect")
    parser.add_argument(
        "--only",
        default="",
        help="the mutants whose name or file has one of these texts, separated by commas",
    )
    parser.add_argument("--sample", type=int, default=1, help="run one of so many mutants")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once")
    parser.add_argument("--record", action="store_true", help="search everything, and store the detections")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "EXPECTED"), help=argparse.SUPPRESS)
    parser.add_argument("--former", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return _one(options.one[0], Path(options.one[1]), options.former)
    words = options.only.split(",")
    chosen = [item for item in MUTANTS if any(word in item.name or word in item.file for word in words)]
    chosen = chosen[:: options.sample]
    for mutant in MUTANTS:
        mutated(mutant)
    begun, known = time.monotonic(), load()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        expected = Path(folder) / "expected"
        undisturbed = _expected()
        expected.write_bytes(pickle.dumps(undisturbed))
        print(f"{'mutant':54} {'detected by':48} {'runs':>5} {'seconds':>7}", flush=True)

        def run(mutant: Mutant) -> _Verdict:
            former = known.get(mutant.name)
            where = former.where if former is not None and not options.record else ""
            return _run(mutant, expected, where)

        verdicts = [*pool.map(run, chosen)]
    detected = [item for item in verdicts if item.found is not None]
    if options.record:
        save({**known, **{item.mutant.name: item.found for item in detected if item.found is not None}})
    missed = len(verdicts) - len(detected)
    alarms = _false_alarms(undisturbed, {item.found.where for item in detected if item.found is not None})
    for line in alarms:
        print(f"without a mutant: {line}")
    scenarios = {item.found.where.partition("/")[0] for item in detected if item.found is not None}
    print(
        f"{len(chosen)} of {len(MUTANTS)} mutants in {time.monotonic() - begun:.0f} s; {len(detected)} detected in"
        f" {len(scenarios)} scenarios, {missed} not detected"
    )
    return 1 if missed or alarms or not chosen else 0


def _run(mutant: Mutant, expected: Path, former: str) -> _Verdict:
    """Run one mutant in a process, and print its row."""
    begun = time.monotonic()
    command = [sys.executable, __file__, "--one", mutant.name, str(expected), "--former", former]
    verdict = _Verdict(mutant, None, 0.0)
    try:
        done = subprocess.run(command, capture_output=True, timeout=_MUTANT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        verdict = verdict._replace(text=f"not detected within {_MUTANT_SECONDS} s")
    else:
        if done.returncode:
            verdict = verdict._replace(text=f"ended with an error\n{done.stderr.decode()[-2000:]}")
        elif not done.stdout:
            verdict = verdict._replace(text="not detected")
        else:
            where, runs, text = json.loads(done.stdout)
            verdict = verdict._replace(found=Detection(where, runs), text=text)
    verdict = verdict._replace(seconds=time.monotonic() - begun)
    found = verdict.found
    where, runs = (found.where, str(found.runs)) if found else ("-", "-")
    text = verdict.text[:100] if found else verdict.text
    print(f"{mutant.name:54} {where:48} {runs:>5} {verdict.seconds:7.1f}  {text}", flush=True)
    return verdict


# ---- in the process of a mutant


def _expected() -> dict[str, Outcome]:
    """The undisturbed runs of all scenarios."""
    from sieve.execution import execute, silence
    from sieve.scenarios import SCENARIOS

    silence()
    found = {name: execute(name) for name in SCENARIOS}
    for name, outcome in found.items():
        if outcome.problems:
            raise SystemExit(f"{name} fails without a mutant: {outcome.problems}")
    return found


def _false_alarms(expected: dict[str, Outcome], wheres: set[str]) -> list[str]:
    """The problems of these runs without a mutant."""
    from sieve.execution import execute

    found: list[str] = []
    for name, outcome in expected.items():

        def received(item: Outcome, name: str = name) -> None:
            found.extend(f"{name}/{item.disturbance}: {problem}" for problem in item.problems)

        def wanted(disturbance: Disturbance, name: str = name) -> bool:
            return f"{name}/{disturbance}" in wheres

        execute(name, expected=outcome, wanted=wanted, received=received)
    return found


def _one(name: str, path: Path, former: str) -> int:
    """Search until a run has a problem, and print it."""
    mutant = next(item for item in MUTANTS if item.name == name)
    install(mutant)
    from sieve.execution import silence

    silence()
    _Search(mutant, pickle.loads(path.read_bytes())).search(former)
    return 0


class _Search:
    """Plays runs until one has a problem. The process then ends, wherever the run is."""

    def __init__(self, mutant: Mutant, expected: dict[str, Outcome]) -> None:
        self._mutant, self._expected, self._runs = mutant, expected, 0
        self._played: set[str] = set()

    def search(self, former: str) -> None:
        """Play ``former`` first, the label of a run."""
        names = sorted(self._expected, key=lambda name: name != self._mutant.scenario)
        if former:
            scenario, _, label = former.partition("/")
            if label == "undisturbed":
                self._undisturbed(scenario)
            else:
                self._disturbed(scenario, lambda disturbance: str(disturbance) == label)
        for scenario in names:
            self._undisturbed(scenario)
        if self._mutant.first:
            beginning = self._mutant.first
            self._disturbed(names[0], lambda disturbance: str(disturbance).startswith(beginning))
        for stride in _STRIDES:
            for scenario in names:
                self._disturbed(scenario, lambda disturbance, stride=stride: disturbance.number % stride == 0)

    def _undisturbed(self, scenario: str) -> None:
        from sieve.execution import execute

        if scenario in self._played:
            return
        self._scenario = scenario
        self._played.add(scenario)
        self._received(execute(scenario, expected=self._expected[scenario], found=self._received))

    def _disturbed(self, scenario: str, selects: Any) -> None:
        from sieve.execution import execute

        self._scenario = scenario

        def wanted(disturbance: Disturbance) -> bool:
            label = f"{scenario}/{disturbance}"
            if label in self._played or not selects(disturbance):
                return False
            self._played.add(label)
            return True

        outcome = execute(
            scenario,
            expected=self._expected[scenario],
            wanted=wanted,
            received=self._received,
            found=self._received,
        )
        if outcome.problems:
            self._received(outcome)

    def _received(self, outcome: Outcome) -> None:
        self._runs += 1
        if outcome.problems:
            self._detected(outcome)

    def _detected(self, outcome: Outcome) -> NoReturn:
        where = f"{self._scenario}/{outcome.disturbance or 'undisturbed'}"
        problem = " ".join(outcome.problems[0].split())
        print(json.dumps((where, self._runs, problem)), flush=True)
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

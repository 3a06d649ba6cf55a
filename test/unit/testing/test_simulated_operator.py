"""The AIM operator in the deterministic simulation. ``make simulate`` runs many seeds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aimctl.testing import simulate
from simulate.scenario import AimScenario
from support.examples import EXAMPLES
from support.proofs import seeds

RUN = Path(__file__).parents[2] / "simulate" / "run.py"


@pytest.mark.parametrize("seed", seeds(30, quick=1))
def test_the_invariants_hold_and_the_desired_state_is_reached(seed: int) -> None:
    scenario = AimScenario()
    report = simulate(scenario, seed)
    assert report.problems == [], report.text(scenario)
    assert report.settled_seconds is not None


@pytest.mark.proof
def test_the_trace_is_the_same_in_each_process_whatever_the_hashes_are_and_what_ran_before() -> None:
    digests = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(RUN), "--seed", "9", "--only", "nothing has this text"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        digests.append(done.stdout.split()[1].rstrip(","))
    scenario = AimScenario()
    simulate(scenario, 3)
    digests.append(simulate(scenario, 9, traced=True).digest)
    assert len(digests[0]) == 64
    assert len(set(digests)) == 1


@pytest.mark.proof
def test_the_example_runs_in_a_folder_of_its_own(tmp_path: Path) -> None:
    for name in ("hello_reconciler.py", "simulated_hello.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["aimctl.testing.plugin"]\n')
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "simulated_hello.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout

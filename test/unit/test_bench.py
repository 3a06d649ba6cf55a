"""The benchmark: its budgets, and a small run of the measurements that need no large cluster."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture
def budgets(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import budgets

    return budgets


def test_a_figure_is_compared_with_its_budget(budgets) -> None:
    by_key = {(budget.section, budget.key): budget for budget in budgets.BUDGETS}
    assert len(by_key) == len(budgets.BUDGETS)
    most, least = by_key["write", "ratio"], by_key["queue", "per_second"]
    assert most.met(most.limit)
    assert not most.met(most.limit * 1.01)
    assert least.met(least.limit)
    assert not least.met(least.limit * 0.99)
    assert budgets.figure({"write": {"ratio": 1.5}}, most) == 1.5
    assert budgets.figure({"write": {}}, most) is None
    assert budgets.figure({}, most) is None


@pytest.mark.parametrize(("ratio", "word"), [(1.9, "met"), (2.1, "missed")])
def test_the_table_shows_which_budget_is_missed(budgets, ratio: float, word: str) -> None:
    import report

    text = io.StringIO()
    result = {"settings": {"objects": 20_000}, "write": {"ratio": ratio}}
    missed = report.show_budgets(result, Console(file=text, width=100))
    assert missed is (word == "missed")
    [row] = [line for line in text.getvalue().splitlines() if "writes" in line]
    assert row.split()[-1] == word


@pytest.mark.proof
def test_a_small_run_measures_what_the_budgets_name(tmp_path: Path) -> None:
    output = tmp_path / "latest.json"
    words = ["informer", "controller", "write", "queue", "import"]
    command = [sys.executable, BENCH / "run.py", "--count", "200", "--updates", "50", "--repeat", "1"]
    ended = subprocess.run(
        [*command, "--output", output, "--only", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "add-get-done cycles" in ended.stdout
    found = json.loads(output.read_text())
    assert found["write"]["ratio"] == found["write"]["cpu_us"] / found["write"]["bare_patch_cpu_us"] > 0
    assert found["write_tls"]["bare_patch_cpu_us"] > 0
    assert found["queue"]["per_second"] > 0
    assert found["import"]["rss_mb"] > 0
    # The resident set may even shrink while 200 objects are synced.
    assert isinstance(found["sync_20k"]["bytes_per_object"], float)
    assert found["controller_20k"]["cpu_us_per_object"] > 0
    assert found["stall"]["max_ms"] > 0
    assert "idle" not in found


def test_a_wrong_option_is_an_error_with_the_possible_names() -> None:
    command = [sys.executable, BENCH / "run.py", "--only", "nothing"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "no measurement has this name; use aimctl informer," in ended.stderr

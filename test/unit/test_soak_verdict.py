"""The verdict of ``make test-soak`` about memory and tasks, without processes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOAK = Path(__file__).parent.parent / "soak"


@pytest.fixture
def verdict(monkeypatch):
    monkeypatch.syspath_prepend(str(SOAK))
    import verdict

    yield verdict
    sys.modules.pop("verdict", None)


@dataclass
class Sample:
    seconds: float = 0.0
    life: int = 1
    tasks: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("last", "flat"), [(100.0, True), (105.0, True), (106.0, False)], ids=["same", "within", "above"]
)
def test_memory_is_flat_if_the_last_tenth_is_close_to_the_second(verdict, last: float, flat: bool) -> None:
    values = [50.0] * 4 + [100.0] * 4 + [200.0] * 28 + [last] * 4
    assert verdict.growth(values) == (100.0, last, flat)


def test_few_samples_give_no_verdict(verdict) -> None:
    with pytest.raises(ValueError, match="19 samples"):
        verdict.growth([1.0] * 19)


def test_a_task_leaks_if_it_is_always_more_frequent_than_before(verdict) -> None:
    early = [Sample(tasks={"worker": 1, "watch": 3})] * 20
    late = [Sample(tasks={"worker": 2, "watch": 3 - index % 2}) for index in range(20)]
    assert verdict.leaked_tasks([*early, *late]) == {"worker": (1, 2)}
    assert verdict.leaked_tasks([*early, *early]) == {}


def test_the_longest_life_of_a_replica_is_judged(verdict) -> None:
    @dataclass
    class Replica:
        samples: list[Sample]

    short = [Sample(0.0, 1), Sample(10.0, 1)]
    long = [Sample(20.0, 2), Sample(90.0, 2)]
    assert verdict.longest_life(Replica([*short, *long])) == long
    assert verdict.longest_life(Replica([])) == []


def test_a_plot_has_one_bar_for_each_column(verdict) -> None:
    assert verdict.plot([1.0, 2.0, 3.0]) == "1.0 ▁▄█ 3.0"
    assert len(verdict.plot([float(value) for value in range(600)]).split()[1]) == 60
    assert verdict.plot([]) == "no samples"

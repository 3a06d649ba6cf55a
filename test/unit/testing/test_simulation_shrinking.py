"""Failing sequences are shortened."""

from __future__ import annotations

import random

import pytest

from aimctl.testing.simulation.plan import make_plan
from aimctl.testing.simulation.shrinking import shrunk


@pytest.mark.parametrize("needed", [{3}, {0, 19}, {4, 5, 6}, set(range(0, 20, 3))], ids=str)
def test_only_the_items_that_are_needed_remain(needed: set[int]):
    assert shrunk(range(20), lambda rest: needed <= set(rest), runs=500) == sorted(needed)


def test_a_failure_without_any_item_is_shortened_to_nothing():
    assert shrunk(range(9), lambda rest: True) == []


def test_the_number_of_runs_is_limited_and_the_result_still_fails():
    calls = []

    def fails(rest) -> bool:
        calls.append(rest)
        return {1, 30} <= set(rest)

    kept = shrunk(range(64), fails, runs=7)
    assert len(calls) == 7
    assert {1, 30} <= set(kept)


def test_random_needs_are_found_exactly():
    for seed in range(50):
        rng = random.Random(seed)
        needed = set(rng.sample(range(12), rng.randint(0, 6)))
        assert shrunk(range(12), lambda rest, needed=needed: needed <= set(rest), runs=300) == sorted(needed)


def test_a_plan_is_a_function_of_its_seed_and_steps_keep_their_seed_when_others_are_left_out():
    plan = make_plan(7, {"edit": 1.0}, {"kill": 1.0}, seconds=100, most=(6, 4))
    assert plan == make_plan(7, {"edit": 1.0}, {"kill": 1.0}, seconds=100, most=(6, 4))
    assert plan != make_plan(8, {"edit": 1.0}, {"kill": 1.0}, seconds=100, most=(6, 4))
    assert [step.at for step in plan.steps] == sorted(step.at for step in plan.steps)
    kept = plan.only({1, 2})
    assert kept.steps == plan.steps[1:3]
    assert kept.steps[0].rng().random() == plan.steps[1].rng().random()

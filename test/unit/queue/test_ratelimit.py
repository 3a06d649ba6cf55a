"""Rate limiters, as table and property tests."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.runtime.queue import (
    BucketRateLimiter,
    ExponentialRateLimiter,
    FastSlowRateLimiter,
    MaxOfRateLimiter,
    MaxWaitRateLimiter,
)
from aimctl.testing.virtualtime import virtual_clock, virtual_time


def test_exponential_delays_double_for_each_item_and_forget_resets() -> None:
    """Checklist 17: 1, 2, 4, 8 ms per item; items are independent; forget resets to base."""
    limiter = ExponentialRateLimiter[str](0.001, 1.0)
    assert [limiter.when("a") for _ in range(5)] == pytest.approx([0.001, 0.002, 0.004, 0.008, 0.016])
    assert limiter.num_requeues("a") == 5
    assert limiter.when("b") == pytest.approx(0.001)
    limiter.forget("a")
    assert limiter.num_requeues("a") == 0
    assert limiter.when("a") == pytest.approx(0.001)
    assert limiter.num_requeues("b") == 1


def test_exponential_delay_stays_at_the_cap_after_huge_failure_counts() -> None:
    """Checklist 18: it never overflows, it saturates at the cap."""
    limiter = ExponentialRateLimiter[str](0.001, 1000.0)
    last = 0.0
    for _ in range(3000):
        delay = limiter.when("a")
        assert last <= delay <= 1000.0
        last = delay
    assert last == 1000.0
    assert limiter.num_requeues("a") == 3000


@given(st.floats(1e-6, 1e3), st.floats(1.0, 1e9), st.integers(0, 80))
def test_exponential_delay_is_the_formula_below_the_cap(base: float, factor: float, failures: int) -> None:
    limiter = ExponentialRateLimiter[int](base, base * factor)
    for _ in range(failures):
        limiter.when(1)
    assert limiter.when(1) == pytest.approx(min(base * factor, base * 2.0**failures))


@pytest.mark.parametrize(
    ("base", "cap"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)]
)
def test_invalid_exponential_options_are_errors(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="use 0 < base_seconds <= max_seconds"):
        ExponentialRateLimiter[str](base, cap)


def test_fast_slow_gives_n_fast_delays_then_slow_ones_until_forgotten() -> None:
    """Checklist 19: N fast delays, then slow ones; forget restores fast."""
    limiter = FastSlowRateLimiter[str](0.005, 10.0, 3)
    assert [limiter.when("a") for _ in range(5)] == [0.005, 0.005, 0.005, 10.0, 10.0]
    assert limiter.num_requeues("a") == 5
    assert limiter.when("b") == 0.005
    limiter.forget("a")
    assert limiter.num_requeues("a") == 0
    assert limiter.when("a") == 0.005


def test_max_of_takes_the_largest_delay_and_count_and_forgets_in_all() -> None:
    """Checklist 20: the largest delay, the largest count; forget reaches all."""
    quick = FastSlowRateLimiter[str](0.005, 3.0, 3)
    steady = ExponentialRateLimiter[str](1.0, 2.0)
    limiter = MaxOfRateLimiter[str](quick, steady)
    assert [limiter.when("a") for _ in range(4)] == [1.0, 2.0, 2.0, 3.0]
    quick.when("a")
    assert limiter.num_requeues("a") == 5
    limiter.forget("a")
    assert (quick.num_requeues("a"), steady.num_requeues("a")) == (0, 0)


def test_max_of_without_limiters_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MaxOfRateLimiter[str]()


@virtual_time
async def test_max_wait_caps_the_delay_of_a_bucket() -> None:
    """Checklist 21: MaxWait caps a bucket's delay."""
    limiter = MaxWaitRateLimiter[str](BucketRateLimiter(virtual_clock(), rate=0.1, burst=1), 5.0)
    assert [limiter.when("a") for _ in range(3)] == [0.0, 5.0, 5.0]


@virtual_time
async def test_a_bucket_spaces_future_tokens_evenly() -> None:
    limiter = BucketRateLimiter[str](virtual_clock(), rate=10.0, burst=2)
    assert [limiter.when("a") for _ in range(4)] == pytest.approx([0.0, 0.0, 0.1, 0.2])
    limiter.forget("a")
    assert limiter.num_requeues("a") == 0
    await asyncio.sleep(1000)
    assert [limiter.when("b") for _ in range(3)] == pytest.approx(
        [0.0, 0.0, 0.1]
    )  # at most the burst is saved

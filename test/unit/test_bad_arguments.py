"""Wrong values of options are rejected where they are given, with the field, the value and a remedy.

A NaN makes every comparison false, so a limit with it would never apply. A single text in the place of a list would be
read as a list of characters.
"""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from aimctl.runtime import (
    CONFIG_MAPS,
    BucketRateLimiter,
    Channel,
    Controller,
    ExponentialRateLimiter,
    FastSlowRateLimiter,
    HotLoopDetector,
    LeaderElectionOptions,
    Manager,
    ManagerOptions,
    MaxWaitRateLimiter,
    ReflectorOptions,
    WorkQueue,
    generation_changed,
    k8s,
)
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.manager.serving.health import HealthChecks
from support.leaseapi import LeaseApi, LeaseTransport

CLOCK = LoopClock()


async def reconcile(_request: Any) -> None: ...


async def check() -> str | None:
    return None


def manager(**options: Any) -> Manager:
    return Manager(
        LeaseTransport(LeaseApi()), clock=CLOCK, options=ManagerOptions(**options), rng=random.Random(1)
    )


def controller(**options: Any) -> Controller:
    return Controller(**{"name": "c", "reconciler": reconcile, "sources": [], "clock": CLOCK, **options})


def queue() -> WorkQueue[str]:
    return WorkQueue(clock=CLOCK, name="q", rate_limiter=ExponentialRateLimiter())


def election(**options: Any) -> LeaderElectionOptions:
    return LeaderElectionOptions("lock", "ns", **options)


LIMITS = {
    "cache_sync_timeout": manager,
    "resync_seconds": manager,
    "loop_lag_limit": manager,
    "lease_duration": election,
    "renew_deadline": election,
    "retry_period": election,
    "watch_timeout_seconds": ReflectorOptions,
    "idle_seconds": ReflectorOptions,
    "backoff_cap_seconds": ReflectorOptions,
    "reconcile_timeout": controller,
    "rate": lambda rate: BucketRateLimiter(CLOCK, rate=rate, burst=1),
    "seconds": lambda seconds: HotLoopDetector(3, seconds),
}
"""Numbers above zero, and what has them."""


@pytest.mark.parametrize("wrong", [0, -1, math.nan, "5", True, None], ids=repr)
@pytest.mark.parametrize("field", LIMITS)
def test_a_limit_must_be_a_number_above_zero(field: str, wrong: Any) -> None:
    may_be_none = {"cache_sync_timeout", "resync_seconds", "reconcile_timeout"}
    if wrong is None and field in may_be_none:
        LIMITS[field](**{field: None})
        return
    with pytest.raises((TypeError, ValueError), match=rf"{field}={wrong!r}: must be "):
        LIMITS[field](**{field: wrong})


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (manager, {"graceful_shutdown_timeout": -1}),
        (manager, {"graceful_shutdown_timeout": math.inf}),
        (manager, {"stall_seconds": 0, "loop_lag_interval": 0}),
        (ReflectorOptions, {"internal_error_window_seconds": 0, "watch_grace_seconds": 0.0}),
    ],
    ids=["without limit", "infinite", "off", "no window"],
)
def test_numbers_with_a_meaning_are_accepted(make: Any, options: dict[str, Any]) -> None:
    assert make(**options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: manager(namespaces="default"),
            r"namespaces='default': must be a list, such as \['default'\]",
        ),
        (lambda: manager(namespaces=(None,)), r"namespaces=.*None must be a text"),
        (
            lambda: manager().cache.declare(CONFIG_MAPS, namespaces="default"),  # type: ignore[arg-type] # the mistake
            r"namespaces='default': must be a list",
        ),
        (
            lambda: manager().cache.declare(CONFIG_MAPS, label_selector={"a": "b"}),  # type: ignore[arg-type] # the mistake
            r"label_selector=\{'a': 'b'\}: must be a text, as in kubectl",
        ),
        (
            lambda: manager().cache.declare(CONFIG_MAPS, field_selector={"a": "b"}),  # type: ignore[arg-type] # the mistake
            r"field_selector=\{'a': 'b'\}: must be a text",
        ),
        (
            lambda: manager().cache.declare("pods"),  # type: ignore[arg-type] # the mistake
            r"'pods' is not a kind: use a Resource, such as CONFIG_MAPS",
        ),
        (
            lambda: manager().controller("c", reconcile, for_=k8s.Pod),  # type: ignore[arg-type] # the mistake
            r"Pod'> is not a kind: use a Resource, such as CONFIG_MAPS, or an informer",
        ),
        (lambda: controller(sources=Channel()), r"sources=.*: must be a list"),
        (lambda: controller(reconciler=None), r"reconciler=None: use an object with 'async def reconcile"),
        (lambda: controller(reconciler=object()), r"reconciler=.*: use an object with 'async def reconcile"),
        (
            lambda: controller(max_concurrent_reconciles=1.5),
            r"max_concurrent_reconciles=1.5: must be a whole",
        ),
        (lambda: ReflectorOptions(page_size=0), r"page_size=0: use 1 or more"),
        (lambda: FastSlowRateLimiter(1, 2, -3), r"max_fast_attempts=-3: use 0 or more"),
        (lambda: FastSlowRateLimiter(1, math.nan, 3), r"slow_seconds=nan: must be a finite number"),
        (lambda: MaxWaitRateLimiter(ExponentialRateLimiter(), -1), r"max_seconds=-1: must be zero or more"),
        (lambda: Channel().send(("ns", "a")), r"send\(\('ns', 'a'\)\): use Request\(namespace, name\)"),  # type: ignore[arg-type] # the mistake
        (lambda: Channel().send("ns/a"), r"send\('ns/a'\): use Request"),  # type: ignore[arg-type] # the mistake
        (lambda: HealthChecks("readyz").add("mine", check), r"check 'mine' .*check is async: define it with"),  # type: ignore[arg-type] # the mistake
        (lambda: HealthChecks("readyz").add("mine", None), r"check 'mine' None is not callable"),  # type: ignore[arg-type] # the mistake
        (lambda: manager().add(None), r"None cannot be run: use an object with 'async def run\(self\)'"),  # type: ignore[arg-type] # the mistake
        (lambda: manager().add(object()), r"object .* cannot be run: use an object with"),  # type: ignore[arg-type] # the mistake
        (lambda: ReflectorOptions(idle_seconds=10**400), r"idle_seconds: must be a finite number"),
        (lambda: queue().add("x", priority="high"), r"priority='high' of 'x': use an int"),  # type: ignore[arg-type] # the mistake
        (lambda: queue().add("x", priority=math.nan), r"priority=nan of 'x': use an int"),  # type: ignore[arg-type] # the mistake
        (lambda: queue().add_after("x", 10**400), r"add_after\('x', .*use a finite number"),
    ],
    ids=range(25),
)
def test_a_value_of_the_wrong_type_is_an_error_with_a_remedy(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owns", CONFIG_MAPS),
        ("reads", CONFIG_MAPS),
        ("predicates", generation_changed),
        ("sources", Channel()),
    ],
    ids=["owns", "reads", "predicates", "sources"],
)
def test_a_single_value_in_the_place_of_a_list_is_an_error(field: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"{field}=.*: must be a list, such as \["):
        manager().controller("c", reconcile, for_=CONFIG_MAPS, **{field: value})

"""The plan of a run: at which times which faults and actions begin.

Contract: a plan is a function of its seed. Each step has a seed of its own, so it does the same when other steps are
left out; this is what shortens a failing run.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Plan", "Step", "make_plan"]


class Step(NamedTuple):
    """One fault or action.

    Attributes:
        number: its position in the plan of the seed.
        at: virtual seconds since the start of the plan.
        action: its name.
        seed: of its random decisions.
    """

    number: int
    at: float
    action: str
    seed: str

    def rng(self) -> random.Random:
        """The random numbers of this step, always the same."""
        return random.Random(self.seed)  # noqa: S311 - a repeatable run, no secrets


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a run.

    Attributes:
        seed: of the whole run: of the order of tasks, the times on the way, and the names.
        steps: in the order of time.
    """

    seed: int
    steps: tuple[Step, ...] = ()

    def only(self, numbers: Collection[int]) -> Plan:
        """The plan with the steps of these numbers."""
        return replace(self, steps=tuple(step for step in self.steps if step.number in numbers))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of its steps."""
        return tuple(step.number for step in self.steps)


def make_plan(
    seed: int,
    actions: Mapping[str, float],
    faults: Mapping[str, float],
    *,
    seconds: float,
    most: tuple[int, int],
) -> Plan:
    """The plan of a seed.

    Args:
        seed: of the run.
        actions: the weights of the actions of users.
        faults: the weights of the faults.
        seconds: the time within which the steps begin.
        most: the largest numbers of actions and of faults.
    """
    rng = random.Random(f"plan {seed}")  # noqa: S311 - a repeatable run, no secrets
    chosen: list[tuple[float, str]] = []
    for weights, limit in zip((actions, faults), most, strict=True):
        if weights:
            count = rng.randint(limit // 2, limit)
            names = rng.choices(list(weights), list(weights.values()), k=count)
            chosen += [(round(rng.uniform(0, seconds), 3), name) for name in names]
    return Plan(
        seed,
        tuple(Step(number, at, name, f"{seed} {number}") for number, (at, name) in enumerate(sorted(chosen))),
    )

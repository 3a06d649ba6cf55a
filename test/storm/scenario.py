"""One run of the storm: a virtual hour of changes and faults, ten quiet minutes, and what must be true then."""

from __future__ import annotations

import asyncio
import gc
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aimctl.testing.virtualtime import HotLoopError, StalledError, run_virtual
from storm.trace import Trace
from storm.troubles import Troubles
from storm.universe import SIZES, catalogue, machines
from storm.users import Users
from storm.witness import Witness
from support.operator import world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storm.witness import Watched

__all__ = ["HOUR", "QUIET", "Report", "not_settled", "run_storm"]

HOUR = 3600.0
QUIET = 600.0
"""Seconds after the last fault, after which everything that can be Ready is Ready."""

_PAUSE_SECONDS = 30.0
"""Mean time between two changes of users."""


@dataclass(slots=True)
class Report:
    """The result of one run.

    Attributes:
        seed: of the run.
        problems: violated invariants, one line each.
        counts: what happened how often.
        trace: what happened, with virtual times.
    """

    seed: int
    problems: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    trace: Trace | None = None

    @property
    def replay(self) -> str:
        """The command that repeats this run."""
        return f"make test-storm SEED={self.seed}"

    def text(self) -> str:
        """The problems, and how to see more."""
        return "\n".join(
            [f"storm with seed {self.seed}: {len(self.problems)} problems", *self.problems[:20], self.replay]
        )


def run_storm(seed: int, *, seconds: float = HOUR) -> Report:
    """Run the scenario of one seed. The result depends on the arguments only.

    Args:
        seed: of all random decisions.
        seconds: virtual time of changes and faults.
    """
    report = Report(seed)
    threshold = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    try:
        run_virtual(_scenario(seed, seconds, report))
    except (HotLoopError, StalledError) as error:
        report.problems.append(f"{type(error).__name__}: {error}")
    finally:
        gc.set_threshold(*threshold)
    return report


async def _scenario(seed: int, seconds: float, report: Report) -> None:
    rng = random.Random(seed)
    async with world(
        seed=seed,
        catalogue=catalogue(),
        machines=machines(),
        kserve=True,
        kubernetes="1.33.0",  # as in the simulations: informers list in pages
        provision_seconds=rng.choice([0.0, 2.0]),
        pace=rng.choice([0.5, 1.0, 2.0]),
    ) as w:
        w.faults._rng = rng
        trace = report.trace = Trace(w.cluster.clock)
        witness = Witness(w, trace, SIZES)
        async with asyncio.TaskGroup() as tasks:
            users, troubles = Users(w, rng, trace), Troubles(w, rng, trace, tasks)
            for number in range(8):
                await w.namespace(f"n{number}")
            await troubles.create_classes()
            troubles.start_managers()
            report.counts["objects"] = await users.create_all()
            while w.now < seconds:
                await users.act()
                if rng.random() < 0.3:
                    await troubles.act()
                if rng.random() < 0.5:
                    troubles.replace_managers()
                await asyncio.sleep(rng.expovariate(1 / _PAUSE_SECONDS))
            await troubles.end()
            await asyncio.sleep(QUIET)
        report.problems += [*witness.problems, *not_settled(w, witness)]
        report.counts |= {
            "changes": users.changes,
            "faults": troubles.faults,
            "discovery Jobs": len(w.ledger.creations),
            "moves": witness.moves,
            **witness.checked,
        }


def not_settled(w: Watched, witness: Witness) -> Iterator[str]:
    """States that differ from what is possible, and unfinished discovery Jobs."""
    rules, objects = witness.rules, witness.objects
    for kind in ("AIMServiceTemplate", "AIMClusterServiceTemplate"):
        for key, template in objects[kind].items():
            yield from _differs(kind, key, template, "Ready", rules.template_can_be_ready(template))
    for key, service in objects["AIMService"].items():
        yield from _differs("AIMService", key, service, "Running", rules.service_can_run(service))
    for key, cache in objects["AIMTemplateCache"].items():
        template = rules.template(cache["spec"]["templateRef"], key[0])
        if template is not None and rules.template_can_be_ready(template):
            sources = rules.sources(template) or ()
            yield from _differs(
                "AIMTemplateCache", key, cache, "Available", set(sources) <= set(SIZES) or None
            )
    unfinished = sorted(w.ledger.unfinished)
    if unfinished:
        yield f"discovery Jobs are unfinished: {unfinished}"


def _differs(kind: str, key: tuple[str, str], body: dict, state: str, possible: bool | None) -> Iterator[str]:
    status = body.get("status") or {}
    reached = status.get("status") == state
    ready = next((item for item in status.get("conditions", ()) if item["type"] == "Ready"), {})
    if possible is None or reached == possible:
        return
    if kind == "AIMService" and reached and "with its last configuration" in ready["message"]:
        return  # what serves is not removed
    yield (
        f"{kind} {'/'.join(filter(None, key))} is {status.get('status')} ({ready.get('reason')}:"
        f" {ready.get('message')}), and {'can' if possible else 'cannot'} be {state}; spec {body['spec']}"
    )

"""Following 20,000 custom resources: our informer and controller, the official client's informer, and kopf.

Contract: every contender syncs all objects and then sees a number of updates, in a process of its own, on the same
server and the same objects, one contender at a time, in an order that changes with each repetition.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from children import Child, StepFailed, child

__all__ = ["CONTENDERS", "follow"]

CONTENDERS = {
    "aimctl informer": ("contender_aimctl.py", "informer"),
    "aimctl controller": ("contender_aimctl.py", "controller"),
    "official client": ("contender_official.py",),
    "kopf": ("contender_kopf.py",),
}


async def follow(
    driver: Child,
    names: Sequence[str],
    where: Sequence[str],
    options: argparse.Namespace,
    *,
    tell: Callable[[str], None],
    advance: Callable[[], None],
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """All repetitions of these contenders: what each measured in the phases ``sync`` and ``events``.

    Raises:
        StepFailed: a process failed.
    """
    runs: dict[str, dict[str, list[dict[str, float]]]] = {name: {"sync": [], "events": []} for name in names}
    for turn in range(options.repeat if names else 0):
        shift = turn % len(names)
        for name in (*names[shift:], *names[:shift]):
            for phase, found in (await _one(name, driver, where, options, tell)).items():
                runs[name][phase].append(found)
            advance()
    return runs


async def _one(
    name: str,
    driver: Child,
    where: Sequence[str],
    options: argparse.Namespace,
    tell: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Both phases of one contender."""
    arguments = [*CONTENDERS[name], str(options.count), str(options.updates), *where]
    async with child(name, *arguments) as contender:
        tell(f"{name}: sync")
        sync = await contender.hear("phase")
        tell(f"{name}: waiting until it is idle")
        await contender.quiet()
        await contender.say("events")
        await contender.hear("phase")
        tell(f"{name}: updates")
        await driver.say(f"touch {options.updates}")

        def progress(now: dict[str, Any]) -> None:
            tell(f"{name}: {now['done']} of {options.updates} updates made")

        events, _ = await asyncio.gather(contender.hear("phase"), driver.hear("touched", progress))
        if (sync["phase"], events["phase"]) != ("sync", "events"):
            raise StepFailed(f"{name} answered in the wrong order: {sync} {events}")
        return {"sync": sync, "events": events}

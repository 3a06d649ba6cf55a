"""What a message asks for works: the fault is reported, the remedy applied, and the object recovers within a minute."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from aimctl.testing.virtualtime import virtual_time
from support.drills import DRILLS
from support.messages import message_problems
from support.operator import world

QUICK = {"the secret of a template is missing", "kserve is not installed", "the storage class is missing"}
"""The drills of the default run. The others are proofs, because each simulates minutes of retries."""

REPORTED_SECONDS, LATER_SECONDS, RECOVERED_SECONDS = 180, 300, 60


async def status_of(w, kind) -> dict:
    found = await w.client.get(kind, "x", "team")
    return msgspec.json.decode(found.raw, type=dict).get("status") or {}


async def until(w, kind, check, seconds):
    """The status for which ``check`` holds; the last one if that is not within ``seconds``."""
    end = w.now + seconds
    while True:
        status = await status_of(w, kind)
        if check(status) or w.now >= end:
            return status
        await asyncio.sleep(0.5)


def condition_of(status, type_):
    return next((item for item in status.get("conditions") or () if item["type"] == type_), {})


@pytest.mark.parametrize(
    "drill",
    [
        pytest.param(drill, id=drill.name, marks=() if drill.name in QUICK else pytest.mark.proof)
        for drill in DRILLS
    ],
)
@virtual_time
async def test_an_object_recovers_within_a_minute_after_the_remedy(drill):
    async with world(**drill.options) as w:
        await drill.fault(w)
        w.start()

        def reported(status):
            found = condition_of(status, drill.condition)
            return found.get("reason") == drill.reason and all(
                word in found["message"] for word in drill.words
            )

        status = await until(w, drill.kind, reported, REPORTED_SECONDS)
        assert reported(status), status
        assert status["status"] == drill.before
        assert list(message_problems(status["conditions"])) == []
        await asyncio.sleep(LATER_SECONDS)
        await drill.remedy(w)
        status = await until(w, drill.kind, lambda item: item["status"] == drill.after, RECOVERED_SECONDS)
        assert status["status"] == drill.after, status
        assert len(w.ledger.unfinished) <= 10

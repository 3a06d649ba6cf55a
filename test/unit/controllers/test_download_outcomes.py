"""Downloads are counted once, by the process that leads, when their result appears in a model cache."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from aimctl.api.kinds import MODEL_CACHES
from aimctl.controllers.caching.download_outcomes import DownloadOutcomes
from aimctl.controllers.metrics import OperatorMetrics
from support.things import make

if TYPE_CHECKING:
    from aimctl.kubetypes import Object

AT = "2026-05-04T12:00:00Z"


def cache(**status: Any) -> Object[Any]:
    spec = {"sourceURI": "hf://m/m", "size": "1Gi"}
    return make("a", "team", resource=MODEL_CACHES, spec=spec, status=status)


def failure(job: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"lastFailure": {"jobName": job, "reason": reason, "message": message, "finishedAt": AT}}


def counted(*states: Object[Any], leading: bool = True) -> dict[str, float]:
    registry = CollectorRegistry()
    handler = DownloadOutcomes(OperatorMetrics(registry), leading=lambda: leading)
    handler.on_add(states[0], initial=True)
    for old, new in itertools.pairwise(states):
        handler.on_update(old, new)
    handler.on_delete(states[-1], confirmed=True)
    results = ("succeeded", "unavailable", "failed")
    values = {one: registry.get_sample_value("aim_downloads_total", {"result": one}) for one in results}
    return {one: value for one, value in values.items() if value}


def test_each_attempt_is_counted_by_its_reason() -> None:
    states = (
        cache(),
        cache(**failure("one", "SourceUnavailable")),
        cache(**failure("one", "SourceUnavailable", "with more details")),
        cache(**failure("two", "RateLimited")),
        cache(**failure("three", "AccessDenied")),
        cache(completed={"volumeUid": "u", "finishedAt": AT}),
        cache(completed={"volumeUid": "u", "finishedAt": AT}, status="Available"),
    )
    assert counted(*states) == {"unavailable": 2, "failed": 1, "succeeded": 1}


def test_earlier_downloads_and_those_of_another_leader_are_not_counted() -> None:
    done = cache(completed={"volumeUid": "u", "finishedAt": AT})
    assert counted(done, done) == {}
    assert counted(cache(), done, leading=False) == {}
    assert counted(make("a", "team", resource=MODEL_CACHES, spec={"size": 1}), done) == {}

"""Observing the Jobs of an object, with the results of reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aimctl.controllers.jobs import owned_jobs
from aimctl.domain.jobs.observed import PodLog
from aimctl.domain.plan import Got, Known, List
from aimctl.kubetypes import Object
from aimctl.kubetypes.builtin import JOBS, PODS
from support.things import make, with_meta

OWNER = {"kind": "Job", "name": "j", "uid": "job-uid", "controller": True}
JOB = make("j", "team", resource=JOBS, uid="job-uid", status={})
LIST = List(PODS, "team", "job-name=j")


def pod(name: str, *, created: int = 1, owner: dict[str, Any] = OWNER) -> Object[Any]:
    obj = make(name, "team", resource=PODS, uid=f"{name}-uid", owners=[owner])
    return with_meta(obj, creationTimestamp=f"2026-01-{created:02}T00:00:00Z")


class Cached:
    """A cache with one Job of the owner ``uid``, and its pods."""

    def __init__(self, *pods: Object[Any]) -> None:
        self._found: dict[tuple[Any, str], Sequence[Object[Any]]] = {
            (JOBS, "uid"): [JOB],
            (PODS, "job-uid"): list(pods),
        }

    def by_index(self, resource: Any, index: str, value: str) -> Sequence[Object[Any]]:
        assert index == "owner"
        return self._found.get((resource, value), [])


def test_jobs_and_pods_are_those_of_the_cache() -> None:
    first = pod("a")
    (job,) = owned_jobs(Cached(first), "uid", "team")
    assert (job.job, job.pods, job.log, job.pods_read) == (JOB, (first,), None, False)
    assert owned_jobs(Cached(first), "other", "team") == ()


def test_pods_that_were_listed_replace_those_of_the_cache_without_pods_of_others() -> None:
    listed = pod("b")
    known = Known(reads={LIST: Got((listed, pod("c", owner={**OWNER, "uid": "former-uid"})))})
    (job,) = owned_jobs(Cached(pod("a")), "uid", "team", known=known)
    assert (job.pods, job.pods_read) == ((listed,), True)


def test_the_log_is_that_of_the_newest_pod_whose_log_was_read() -> None:
    logs = {"old-uid": PodLog("old", b"1"), "new-uid": PodLog("new", b"2")}
    cached = Cached(pod("old", created=1), pod("new", created=2), pod("newest", created=3))
    (job,) = owned_jobs(cached, "uid", "team", log_of=logs.get)
    assert job.log == PodLog("new", b"2")
    (job,) = owned_jobs(cached, "uid", "team", log_of={"old-uid": logs["old-uid"]}.get)
    assert job.log == PodLog("old", b"1")

"""The Job controller. Its decisions are in :mod:`aimctl.devcluster.controllers.batch.job_plan`.

Invariants:
    * The response to a pod's creation is stored in the informer at once, so a slow watch does not cause a second
      creation.
    * The pods of a Job that ends are deleted before the condition that says so is written. If it fails they count as
      failed. The Job is Complete or Failed when they have ended.
    * The status is written with the resourceVersion it was computed from. After a conflict it is computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.batch.job_plan import plan
from aimctl.devcluster.controllers.batch.job_pods import pod_for
from aimctl.devcluster.controllers.batch.job_status import finished
from aimctl.devcluster.controllers.batch.job_tally import FinishedPods, JobBackoff, as_failed
from aimctl.devcluster.controllers.pod_control import PodControl
from aimctl.devcluster.controllers.workloads.pod_facts import is_finished
from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import JOBS, PODS
from aimctl.runtime.kube.errors import ApiError

if TYPE_CHECKING:
    from aimctl.devcluster.controllers.batch.job_plan import JobPlan
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["JobController"]


@final
class JobController:
    """Runs Jobs on an API server that has no controller manager.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        events: records Events.
        backoff: delays after failed pods.
    """

    def __init__(
        self, client: Client, *, clock: Clock, events: EventRecorder, backoff: JobBackoff | None = None
    ) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._control = PodControl(client, events)
        self._backoff = backoff or JobBackoff()
        self._tallies: dict[str, FinishedPods] = {}
        self.ends_before_pods = False
        """Whether Jobs are Complete or Failed before their pods have ended, as up to Kubernetes 1.30."""
        self._lost: dict[str, list[dict[str, Any]]] = {}
        """By the uid of their Job, the pods that are gone, until they are counted."""
        self._removed: set[str] = set()
        """The uids of existing pods that this controller has deleted, which do not count."""
        self._pods_of: dict[str, set[ObjectKey]] = {}
        self.worker: Worker[ObjectKey] = Worker("jobs", self._reconcile, clock=clock)
        self.jobs: Informer[dict[str, Any]] = Informer(
            client, JOBS, clock=clock, project=body_of, on_change=self._job_changed
        )
        self.pods: Informer[dict[str, Any]] = Informer(
            client, PODS, clock=clock, project=body_of, on_change=self._pod_changed
        )

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The kinds that are watched."""
        return (self.jobs, self.pods)

    async def run(self) -> None:
        """Work until cancelled."""
        await run_controller(self.worker, self.informers)

    def _job_changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new is None and old is not None:
            self._tallies.pop(old["metadata"]["uid"], None)
            self._lost.pop(old["metadata"]["uid"], None)
        self.worker.add(key)

    def _pod_changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        for pod in (old, new):
            owner = _controlling_job(pod) if pod is not None else None
            if owner is None or pod is None:
                continue
            keys = self._pods_of.setdefault(owner["uid"], set())
            if new is None:
                keys.discard(key)
                self._pod_lost(pod, owner)
                if not keys:
                    del self._pods_of[owner["uid"]]
            else:
                keys.add(key)
            self.worker.add(ObjectKey(key.namespace, owner["name"]))

    def _pod_lost(self, pod: dict[str, Any], owner: dict[str, Any]) -> None:
        """Remember a pod that is gone until it is counted. It has failed if it had not ended."""
        metadata = pod["metadata"]
        if metadata["uid"] in self._removed:
            self._removed.discard(metadata["uid"])
            return
        job = self.jobs.get(ObjectKey(metadata["namespace"], owner["name"]))
        if job is not None and job["metadata"]["uid"] == owner["uid"] and finished(job) is None:
            last = pod if is_finished(pod) else as_failed(pod)
            self._lost.setdefault(owner["uid"], []).append(last)

    async def _reconcile(self, key: ObjectKey) -> float | None:
        job = self.jobs.get(key)
        if job is None:
            return None
        now = self._clock.now()
        uid = job["metadata"]["uid"]
        keys = sorted(self._pods_of.get(uid, ()))
        pods = [pod for pod in map(self.pods.get, keys) if pod is not None and not self._is_uncounted(pod)]
        pods += self._lost.pop(uid, [])
        decided = plan(
            job,
            pods,
            now=now,
            backoff=self._backoff,
            before=self._tallies.get(uid),
            ends_before_pods=self.ends_before_pods,
        )
        await self._execute(job, decided)
        self._tallies[uid] = decided.tally
        if decided.wake_at is None:
            return None
        return max(0.01, (decided.wake_at - now).total_seconds())

    def _is_uncounted(self, pod: dict[str, Any]) -> bool:
        """Whether a pod has ended because this controller deleted it."""
        return pod["metadata"]["uid"] in self._removed and is_finished(pod)

    async def _execute(self, job: dict[str, Any], decided: JobPlan) -> None:
        namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
        if decided.delete_job:
            await self._client.delete(
                JOBS, name, namespace, uid=job["metadata"]["uid"], propagation="Foreground"
            )
            return
        for pod in decided.delete:
            known = self.pods.get(ObjectKey(namespace, pod))
            if known is not None and not decided.counts_deleted:
                self._removed.add(known["metadata"]["uid"])
            await self._client.delete(PODS, pod, namespace, propagation="Background")
            if known is not None:
                await self._control.deleted(job, known)
        try:
            for index, failures in decided.indexes or ((None, None),) * decided.create:
                body = pod_for(job, index, failures)
                self.pods.observe(await self._control.create(job, body))
        except ApiError:
            started = (decided.status or {}).get("startTime")
            if started and not (job.get("status") or {}).get("startTime"):
                # The real controller sets the time also if it cannot create the pods.
                body = {**job, "status": {**(job.get("status") or {}), "startTime": started}}
                self.jobs.observe(await self._client.update(JOBS, body, subresource="status"))
            raise
        if decided.status is not None:
            body = {**job, "status": decided.status}
            self.jobs.observe(await self._client.update(JOBS, body, subresource="status"))
        if decided.event is not None:
            await self._events.report(job, *decided.event)


def _controlling_job(pod: dict[str, Any]) -> dict[str, Any] | None:
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == "Job" and owner["apiVersion"].startswith("batch/"):
            return dict(owner)
    return None

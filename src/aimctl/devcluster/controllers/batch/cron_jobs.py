"""The CronJob controller. Its decisions are in :mod:`aimctl.devcluster.controllers.batch.cron_job_plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.batch.cron_job_plan import job_for, plan, with_started
from aimctl.devcluster.controllers.workloads.owned_objects import OwnedObjects
from aimctl.devcluster.controllers.workloads.owner_controller import OwnerController
from aimctl.devcluster.controllers.workloads.pod_facts import controller_of
from aimctl.kubetypes.builtin import JOBS
from aimctl.kubetypes.kinds import CRON_JOBS
from aimctl.runtime.kube.errors import AlreadyExists, ApiError

if TYPE_CHECKING:
    from datetime import datetime

    from aimctl.devcluster.controllers.batch.cron_job_plan import CronPlan
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.kubetypes import ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["CronJobController"]

JsonObject = dict[str, Any]


@final
class CronJobController(OwnerController):
    """Creates and deletes the Jobs of CronJobs.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        events: records Events.
    """

    def __init__(self, client: Client, *, clock: Clock, events: EventRecorder) -> None:
        super().__init__(CRON_JOBS, client, clock=clock, events=events)
        self.jobs = OwnedObjects(client, JOBS, self.owners, clock=clock, on_owner=self.worker.add)
        self.watched += [self.jobs.informer]

    async def reconcile(self, key: ObjectKey) -> float | None:
        """See :meth:`OwnerController.reconcile`."""
        cron = self.owners.get(key)
        if cron is None:
            return None
        present = [job for job in self.jobs.of(cron) if not job["metadata"].get("deletionTimestamp")]
        decided = plan(cron, present, now=self._clock.now())
        await self._delete(cron, decided)
        status = decided.status
        if decided.start is not None:
            status = await self._start(cron, status, decided.start)
        await self.write_status(cron, None if status == (cron.get("status") or {}) else status)
        return self.seconds_until(decided.wake_at)

    async def _delete(self, cron: JsonObject, decided: CronPlan) -> None:
        for event in decided.events:
            await self._events.report(cron, *event)
        for job in decided.delete:
            await self.jobs.delete(job)
            text = f"Deleted job {job['metadata']['name']}"
            await self._events.report(cron, "Normal", "SuccessfulDelete", text)

    async def _start(self, cron: JsonObject, status: JsonObject, time: datetime) -> JsonObject:
        """Create the Job of a scheduled time. Returns the new status; raises ApiError."""
        body, namespace = job_for(cron, time), cron["metadata"]["namespace"]
        try:
            job = self.jobs.observe(await self._client.create(JOBS, body, namespace))
        except AlreadyExists:
            # Created before, by an attempt whose status was not written.
            job = self.jobs.observe(await self._client.get(JOBS, body["metadata"]["name"], namespace))
            owner = controller_of(job)
            if owner is None or owner["uid"] != cron["metadata"]["uid"]:
                return status
        except ApiError as error:
            text = f"Error creating job: {error.message}"
            await self._events.report(cron, "Warning", "FailedCreate", text)
            raise
        text = f"Created job {job['metadata']['name']}"
        await self._events.report(cron, "Normal", "SuccessfulCreate", text)
        return with_started(status, job, time)

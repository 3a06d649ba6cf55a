"""Discovery admission with the executor, and with decisions that a test makes itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import TEMPLATES
from aimctl.controllers.execution.executor import Executor, Observed
from aimctl.controllers.execution.rejections import Rejections
from aimctl.controllers.execution.status_writer import KeyedLocks
from aimctl.controllers.templates.admission import ROUND, DiscoveryAdmission
from aimctl.domain.naming import DISCOVERY, LABEL_COMPONENT, LABEL_TEMPLATE
from aimctl.domain.plan import Create, Known, Plan, RequestSlot
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.controller import Request
from support.things import make, owner

if TYPE_CHECKING:
    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import Client

__all__ = ["Admission", "job_of"]


def job_of(template: str, name: str = "") -> Create:
    """The discovery Job of a template in the namespace team; its name is that of the template unless given."""
    manifest = {
        "metadata": {
            "name": name or template,
            "namespace": "team",
            "labels": {LABEL_TEMPLATE: template, LABEL_COMPONENT: DISCOVERY},
            "ownerReferences": [owner(template, kind=TEMPLATES.kind, api_version=TEMPLATES.api_version)],
        },
        "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
        },
    }
    return Create(JOBS, manifest)


class Admission:
    """Discovery admission and a discovery reconciler.

    Attributes:
        wanted: by the name of a template the Job that the decision plans; an exception is raised.
        awaited: the names of templates that a service waits for.
        rounds: the rounds that were requested.
        notified: the templates that got a slot and have not been reconciled yet.
        errors: of reconciles.
        events: reasons and messages of recorded Events.
        waited: the seconds that templates waited for their slots.
        starting: whether templates have not been reconciled yet.
    """

    def __init__(self, cache: Cache, reader: Client, clock: Clock, limit: int) -> None:
        self.wanted: dict[str, Create | Exception | None] = {}
        self.awaited: set[str] = set()
        self.rounds: list[Request] = []
        self.notified: list[Request] = []
        self.errors: list[Exception] = []
        self.events: list[tuple[str, str]] = []
        self.waited: list[float] = []
        self.starting = False
        self._cache = cache
        self._clock = clock
        self._due: dict[str, float] = {}
        recorder: Any = self
        self.rejections = Rejections(clock, recorder)
        self.admission = DiscoveryAdmission(
            cache=cache,
            find=self._find,
            api_reader=reader,
            clock=clock,
            limit=limit,
            operator_namespace="kaiwo-system",
            awaited=lambda template: template.meta.name in self.awaited,
            next_round=self.rounds.append,
            notify=self.notified.append,
            granted=self.waited.append,
            starting=lambda: self.starting,
        )
        executor = Executor(
            client=reader.with_(on_write=cache.observe_write),
            cache=cache,
            locks=KeyedLocks(),
            events=recorder,
            clock=clock,
        )
        self._reconciler = executor.reconciler(
            self._observe,
            self._decide,
            field_manager="test",
            gate=self.admission,
            rejections=self.rejections,
        )

    def event(self, obj: Object[Any], type_: str, reason: str, message: str) -> None:
        """What the event recorder does."""
        assert (obj.resource, type_) == (TEMPLATES, "Warning")
        self.events.append((reason, message))

    async def request(self, *names: str, awaited: bool = False) -> None:
        """Reconcile templates; the decision plans their Jobs from now on."""
        for name in names:
            self.wanted.setdefault(name, job_of(name))
            if awaited:
                self.awaited.add(name)
            await self.reconcile(name)

    async def withdraw(self, name: str) -> None:
        """Reconcile a template; the decision plans no Job any more."""
        self.wanted[name] = None
        await self.reconcile(name)

    async def reconcile(self, name: str) -> None:
        """One reconcile of a template, as by a controller: it is repeated when it asks for that, or after an error."""
        try:
            result = await self._reconciler.reconcile(Request("team", name))
        except Exception as error:  # noqa: BLE001 - what the controller does
            self.errors.append(error)
            self._due[name] = self._clock.monotonic()
            return
        self._due.pop(name, None)
        if result is not None:
            self._due[name] = self._clock.monotonic() + result.requeue_after

    async def assign(self) -> float | None:
        """One round of admission; returns the seconds until the next one."""
        result = await self.admission.reconcile(ROUND)
        return None if result is None else result.requeue_after

    async def round(self) -> float | None:
        """The reconciles that are due, then rounds of admission and reconciles of the templates that got slots, until no
        more slots are assigned; returns the seconds until something is due.
        """
        now = self._clock.monotonic()
        chosen = [name for name, due in self._due.items() if due <= now]
        while True:
            async with asyncio.TaskGroup() as tasks:
                for name in chosen:
                    tasks.create_task(self.reconcile(name))
            soon = await self.assign()
            chosen = [request.name for request in self.notified]
            self.notified.clear()
            if not chosen:
                break
        now = self._clock.monotonic()
        delays = [due - now for due in self._due.values()] + ([] if soon is None else [soon])
        return min(delays, default=None)

    def rejection(self, name: str) -> str:
        """Why the Job of a template was rejected; "" if it was not."""
        found = self.rejections.of(Request("team", name)).get(job_of(name).key)
        return "" if found is None else found.message

    def _find(self, request: Request) -> Object[Any] | None:
        return (
            make(request.name, request.namespace, resource=TEMPLATES) if request.name in self.wanted else None
        )

    def _observe(self, request: Request, known: Known) -> Observed[str] | None:
        found = self._find(request)
        return None if found is None else Observed(found, request.name)

    def _decide(self, name: str) -> Plan:
        wanted = self.wanted[name]
        if isinstance(wanted, Exception):
            raise wanted
        job = None if wanted is None else self._cache.get(JOBS, wanted.key.name, "team")
        owner = None if job is None else job.meta.controller
        has_job = owner is not None and owner.uid == f"uid-{name}"
        return Plan() if wanted is None or has_job else Plan((RequestSlot(wanted),))

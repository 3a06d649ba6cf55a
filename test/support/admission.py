"""Discovery admission with decisions that a test makes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import TEMPLATES
from aimctl.controllers.execution.executor import Observed
from aimctl.controllers.execution.rejections import Rejections
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


def job_of(name: str) -> Create:
    """The discovery Job of the template of this name in the namespace team."""
    manifest = {
        "metadata": {
            "name": name,
            "namespace": "team",
            "labels": {LABEL_TEMPLATE: name, LABEL_COMPONENT: DISCOVERY},
            "ownerReferences": [owner(name, kind=TEMPLATES.kind, api_version=TEMPLATES.api_version)],
        },
        "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
        },
    }
    return Create(JOBS, manifest)


class Admission:
    """Discovery admission and everything that it calls.

    Attributes:
        wanted: by the name of a template the Job that the decision plans; an exception is raised.
        rounds: the rounds that were requested.
        notified: the templates that were notified.
        events: reasons and messages of recorded Events.
        waited: the seconds that templates waited for their slots.
        starting: whether templates have not been reconciled yet.
    """

    def __init__(self, cache: Cache, reader: Client, clock: Clock, limit: int) -> None:
        self.wanted: dict[str, Create | Exception | None] = {}
        self.rounds: list[Request] = []
        self.notified: list[Request] = []
        self.events: list[tuple[str, str]] = []
        self.waited: list[float] = []
        self.starting = False
        recorder: Any = self
        self.rejections = Rejections(clock, recorder)
        self.admission: DiscoveryAdmission[str] = DiscoveryAdmission(
            cache=cache,
            find=self._find,
            client=reader.with_(on_write=cache.observe_write),
            api_reader=reader,
            clock=clock,
            limit=limit,
            operator_namespace="kaiwo-system",
            observe=self._observe,
            decide=self._decide,
            rejections=self.rejections,
            next_round=self.rounds.append,
            notify=self.notified.append,
            granted=self.waited.append,
            starting=lambda: self.starting,
        )

    def event(self, obj: Object[Any], type_: str, reason: str, message: str) -> None:
        """What the event recorder does."""
        assert (obj.resource, type_) == (TEMPLATES, "Warning")
        self.events.append((reason, message))

    def request(self, *names: str, awaited: bool = False) -> None:
        """Request slots for templates; the decision plans their Jobs from now on."""
        for name in names:
            self.wanted.setdefault(name, job_of(name))
            self.admission.request(Request("team", name), job_of(name), created=name, awaited=awaited)

    def withdraw(self, name: str) -> None:
        self.admission.withdraw(Request("team", name))

    async def round(self) -> float | None:
        """One round; returns the seconds until the next one."""
        result = await self.admission.reconcile(ROUND)
        return None if result is None else result.requeue_after

    def rejection(self, name: str) -> str:
        """Why the Job of a template was rejected; "" if it was not."""
        found = self.rejections.of(Request("team", name)).get(job_of(name).key)
        return "" if found is None else found.message

    def _find(self, request: Request) -> Object[Any] | None:
        return (
            make(request.name, request.namespace, resource=TEMPLATES) if request.name in self.wanted else None
        )

    def _observe(self, request: Request, known: Known) -> Observed[str] | None:
        assert known == Known()
        found = self._find(request)
        return None if found is None else Observed(found, request.name)

    def _decide(self, name: str) -> Plan:
        wanted = self.wanted[name]
        if isinstance(wanted, Exception):
            raise wanted
        return Plan() if wanted is None else Plan((RequestSlot(wanted),))

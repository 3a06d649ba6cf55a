"""The faults behind the alerts, one after another or at the same time, as the alerts allow.

Contract: :func:`play` causes the fault of every alert in :data:`EXPECTED` in a running system, waits until Prometheus fires
the alert with the expected labels, removes the fault, and waits until no alert fires. Before the first fault no alert
fires.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aimctl.api import kinds
from aimctl.api.dashboard_panels import RATE_INTERVAL, ROWS
from aimctl.devcluster.faults import Answer, Delay, Match, Silence
from aimctl.simulation.registry import RegistryFault
from observe.finding import find_cause
from observe.stage import QUIET_SECONDS, TEAM, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.devcluster.apiserver.wire.requests import RequestInfo
    from observe.prometheus import Firing, Series

__all__ = ["EXPECTED", "Report", "play"]

EXPECTED: Mapping[str, Mapping[str, str]] = {
    "AimNoLeader": {},
    "AimEventLoopBlocked": {},
    "AimStuckReconcile": {"controller": "hangs"},
    "AimReconcileErrors": {"controller": "rejects"},
    "AimHotLoop": {"controller": "loops"},
    "AimBacklogGrows": {"controller": "models"},
    "AimQueueAge": {"controller": "models"},
    "AimCacheStale": {"name": "aimclusterruntimeconfigs.aim.silogen.ai"},
    "AimApiErrors": {},
    "AimCertificateExpires": {"certificate": "client"},
    "AimDiscoveryStarved": {},
    "AimDiscoveryFails": {},
    "AimRegistryUnreachable": {},
    "AimImageReadsFail": {},
    "AimHubUnreachable": {},
    "AimServicesUnhealthy": {"kind": "AIMService", "namespace": TEAM},
    "AimTemplatesUnhealthy": {"kind": "AIMServiceTemplate", "namespace": TEAM},
    "AimCachesUnhealthy": {"kind": "AIMModelCache", "namespace": TEAM},
    "AimServicesWait": {"kind": "AIMService", "namespace": TEAM},
    "AimObjectsWait": {"kind": "AIMModelCache", "namespace": TEAM},
}
"""The labels with which each alert fires, apart from the severity."""

STATIC = [{"name": "m", "sourceURI": "hf://m/m", "size": "1Gi"}]
_CRASHING = [f"crashing-{number}" for number in range(6)]
_ENDLESS = [f"endless-{number}" for number in range(4)]
_ABSENT = [f"absent-{number}" for number in range(24)]
_SILENT = [f"silent-{number}" for number in range(5)]
_AWAY = [f"away-{number}" for number in range(8)]
_REJECTED = 20
_PER_SECOND = 20
_RATE_SECONDS = 10
_SEARCHES = 2
"""Searches that run at once."""
_READ_CONFIG = Match(verb="get", resource="configmaps", name="hangs-*")
_WRITE_CONFIG = Match(verb="patch", resource="configmaps", name="rejects-*")
_WATCH = Match(verb="watch", resource="aimclusterruntimeconfigs")
_WEBHOOK = 'admission webhook "policy.example" denied the request: writes are frozen'


@dataclass
class Report:
    """What was observed.

    Attributes:
        began, ended: Unix times.
        healthy: alerts that fired before the first fault.
        fired: by name, every alert that fired, with its labels.
        targets: by instance, ``up`` before the first fault.
        leaders: by instance, ``leader_election_master_status`` before the first fault.
        pages: the metrics of each manager, as text.
        evidence: by alert, the output of the commands in its section of the runbook while the fault lasts.
        panels: by title of the panel, the series of each of its queries.
        marks: Unix time and name of each phase.
        fired_at: by name, the Unix time at which an alert fired first.
    """

    began: float = 0.0
    ended: float = 0.0
    healthy: set[str] = field(default_factory=set)
    fired: dict[str, set[Firing]] = field(default_factory=dict)
    targets: dict[tuple[str, ...], float] = field(default_factory=dict)
    leaders: dict[tuple[str, ...], float] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)
    panels: dict[str, list[Sequence[Series]]] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)
    fired_at: dict[str, float] = field(default_factory=dict)


async def play(stage: Stage) -> Report:
    """Run all phases."""
    report = Report(began=time.time())
    for name, phase in (
        ("healthy", _healthy),
        ("code fails", _code_fails),
        ("objects fail", _objects_fail),
        ("the API server is slow", _api_server_is_slow),
        ("no manager", _no_manager),
        ("recovered", _recovered),
    ):
        report.marks.append((time.time(), name))
        await phase(stage, report)
    report.ended = time.time()
    report.fired, report.fired_at = stage.fired, stage.fired_at
    for panel in (panel for panels in ROWS.values() for panel in panels):
        report.panels[panel.title] = [
            await stage.prometheus.series(
                expr.replace(RATE_INTERVAL, f"{_RATE_SECONDS}s"), report.began, report.ended
            )
            for expr, _ in panel.queries
        ]
    return report


class _Searches:
    """Waits for alerts, and meanwhile looks for the causes of those that have fired, as the runbook says.

    Leaving the context waits for the searches, so that they end before the faults do.
    """

    def __init__(self, stage: Stage, report: Report) -> None:
        self._stage, self._report = stage, report
        self._group = asyncio.TaskGroup()
        self._slots = asyncio.Semaphore(_SEARCHES)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._group.__aexit__(*error)

    async def all_fire(self, *alerts: str) -> None:
        """Wait until the alerts have fired, with the expected labels."""
        for alert in alerts:
            await self._stage.fires(alert, **EXPECTED[alert])
            self._group.create_task(self._search(alert))

    async def _search(self, alert: str) -> None:
        stage = self._stage
        async with self._slots:
            leader = await stage.leader()
            self._report.evidence[alert] = await find_cause(alert, stage.managers, leader, stage.kubeconfig)


async def _healthy(stage: Stage, report: Report) -> None:
    """A team works: templates are discovered, a source is cached, a service runs."""
    await stage.apply(kinds.MODELS, "m", image="aim-m:1")
    for name in ("one", "two"):
        await stage.apply(kinds.TEMPLATES, name, modelName="m", metric="latency", precision=_precision(name))
    await stage.apply(kinds.TEMPLATES, "static", modelName="m", metric="throughput", modelSources=STATIC)
    await stage.apply(kinds.SERVICES, "chat", model={"ref": "m"}, templateRef="static")
    await stage.apply(kinds.MODEL_CACHES, "cached", sourceURI="hf://m/m", size="1Gi")
    for kind, name, state in (
        (kinds.TEMPLATES, "one", "Ready"),
        (kinds.TEMPLATES, "two", "Ready"),
        (kinds.SERVICES, "chat", "Running"),
        (kinds.MODEL_CACHES, "cached", "Available"),
    ):
        await _reaches(stage, kind, name, state)
    await asyncio.sleep(QUIET_SECONDS)
    report.healthy = set(stage.fired)
    report.targets = await stage.prometheus.instant('max by (instance) (up{job="aimctl"})')
    report.leaders = await stage.prometheus.instant("max by (instance) (leader_election_master_status)")
    report.pages = [await asyncio.to_thread(manager.page) for manager in stage.managers]


async def _code_fails(stage: Stage, report: Report) -> None:
    """Code that blocks the event loop, and a reconciler that undoes what it finds.

    Nothing else is disturbed: scrapes may time out meanwhile, and then all alerts begin anew. Two objects begin to wait,
    whose alerts compare only an age.
    """
    await stage.apply(kinds.SERVICES, "early", model={"ref": "nowhere"})
    await stage.apply(
        kinds.MODEL_CACHES, "early", sourceURI="hf://m/m", size="1Gi", storageClassName="nowhere"
    )
    await stage.disturb("blocks")
    await stage.disturb("loops")
    async with _Searches(stage, report) as searches:
        await searches.all_fire("AimEventLoopBlocked", "AimHotLoop")
    await stage.calm("blocks")
    await stage.calm("loops")


async def _objects_fail(stage: Stage, report: Report) -> None:
    """Images that crash or do not exist, registries and a hub that do not respond, a model server that fails, a webhook,
    a request without a response, a cache that receives nothing, and a certificate that is not renewed."""
    faults = stage.cluster.faults
    active = [
        faults.add(Answer(403, message=_WEBHOOK), _WRITE_CONFIG),
        faults.add(Silence(), _READ_CONFIG),
    ]
    stage.simulation.registry.faults.append(RegistryFault("registry-*", status=0))
    stage.simulation.downloads.outage = "unreachable"
    stage.renew_certificate(days=3)
    await _stall_watches(stage)
    for name in _ABSENT:
        await stage.apply(kinds.MODELS, name, image=f"registry.example/{name}:1")
    for name in _AWAY:
        await stage.apply(kinds.MODEL_CACHES, name, sourceURI=f"hf://team/{name}", size="1Gi")
    await stage.set_outcome("chat", "fail: the model server crashes")
    await stage.disturb("rejects", _REJECTED)
    await stage.disturb("hangs")
    await _create_templates(stage, "crashing", _CRASHING)
    async with _Searches(stage, report) as searches:
        await searches.all_fire("AimStuckReconcile", "AimDiscoveryFails")
        # The reads of absent images are in a longer range than those of silent registries, and each has to be the majority.
        for name in _SILENT:
            await stage.apply(kinds.MODELS, name, image=f"registry-{name}.example/model:1")
        # The slots are free again.
        await _create_templates(stage, "endless", _ENDLESS)
        await searches.all_fire(
            "AimReconcileErrors",
            "AimHubUnreachable",
            "AimServicesUnhealthy",
            "AimCertificateExpires",
            "AimCacheStale",
            "AimImageReadsFail",
            "AimTemplatesUnhealthy",
            "AimCachesUnhealthy",
            "AimDiscoveryStarved",
            "AimRegistryUnreachable",
            "AimServicesWait",
            "AimObjectsWait",
        )
    for fault in active:
        faults.remove(fault)
    await stage.calm("rejects", _REJECTED)
    await stage.calm("hangs")
    stage.simulation.registry.faults.clear()
    stage.simulation.downloads.outage = None
    stage.renew_certificate(days=90)
    await stage.set_outcome("chat", None)
    await stage.delete(kinds.TEMPLATES, *_CRASHING, *_ENDLESS)
    await stage.delete(kinds.SERVICES, "early")
    await stage.delete(kinds.MODEL_CACHES, "early", *_AWAY)
    await stage.delete(kinds.MODELS, *_ABSENT, *_SILENT)


async def _create_templates(stage: Stage, model: str, names: Sequence[str]) -> None:
    await stage.apply(kinds.MODELS, model, image=f"aim-{model}:1")
    for name in names:
        # Different variables, so that each template has a discovery of its own.
        env = [{"name": "VARIANT", "value": name}]
        await stage.apply(kinds.TEMPLATES, name, modelName=model, metric="latency", env=env)


async def _stall_watches(stage: Stage) -> None:
    """Let the watches of one kind in the standby deliver nothing after the first list."""
    leader = await stage.leader()
    (standby,) = [manager for manager in stage.managers if manager is not leader]
    stage.cluster.faults.add(Silence(after_lines=1), _WATCH)
    await asyncio.to_thread(standby.terminate)
    standby.start()


async def _api_server_is_slow(stage: Stage, report: Report) -> None:
    """Writes take two seconds, half of them fail, and users create more objects than are reconciled."""
    faults = stage.cluster.faults
    active = [
        faults.add(Delay(2.0), Match(predicate=_is_write)),
        faults.add(Answer(503), Match(predicate=_is_write), chance=0.5),
    ]
    creating = asyncio.get_running_loop().create_task(_create_models(stage))
    try:
        async with _Searches(stage, report) as searches:
            await searches.all_fire("AimQueueAge", "AimBacklogGrows", "AimApiErrors")
    finally:
        creating.cancel()
        await asyncio.wait([creating])
    for fault in active:
        faults.remove(fault)


async def _create_models(stage: Stage) -> None:
    number = 0
    while True:
        for _ in range(_PER_SECOND):
            number += 1
            await stage.apply(kinds.MODELS, f"bulk-{number:04}", image="plain:1")
        await asyncio.sleep(1)


def _is_write(info: RequestInfo) -> bool:
    """A write of an object, but neither of a Lease nor a review: without a leader or a scrape there is nothing to see."""
    kept = {"leases", "tokenreviews", "subjectaccessreviews"}
    return info.verb in {"create", "update", "patch", "delete"} and info.resource not in kept


async def _no_manager(stage: Stage, report: Report) -> None:
    await stage.stop_managers()
    async with _Searches(stage, report) as searches:
        await searches.all_fire("AimNoLeader")


async def _recovered(stage: Stage, report: Report) -> None:
    stage.cluster.faults.clear()
    await stage.start_managers()
    await _reaches(stage, kinds.SERVICES, "chat", "Running")
    await stage.quiet(seconds=90)


async def _reaches(stage: Stage, kind: Any, name: str, state: str) -> None:
    async def there() -> bool:
        return await stage.state(kind, name) == state

    await stage.until(f"{kind.kind} {name} is {state}", there, seconds=60)


def _precision(name: str) -> str:
    return {"one": "fp16", "two": "fp8"}[name]

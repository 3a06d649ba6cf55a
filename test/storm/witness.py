"""The invariants of the storm, checked at every write of the server.

Contract: :class:`Witness` is called by the storage within every write, so it sees every state, however short it lasts.
It shares no code with the operator. Problems are collected, with the time and the object.

Checked at every write:
    * At most ``limit`` discovery Jobs are unfinished, ten unless it is set.
    * A cache or template that becomes Available or Ready is complete: the volume holds every source as the hub lists
      it.
    * A service changes its template only if there is a cause (:meth:`Witness._cause`) in the last minutes.
    * ``observedGeneration`` is never greater than the generation.
    * Discovery runs once for each input (:mod:`storm.discoveries`).
    * Messages are short, and state a cause once (:mod:`support.messages`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Protocol

from aimctl.api import kinds
from aimctl.kubetypes.builtin import JOBS, NODES, PVCS
from storm.discoveries import OncePerInput
from storm.rules import Rules
from support.messages import message_problems

if TYPE_CHECKING:
    from aimctl.devcluster import DevCluster
    from aimctl.simulation import Simulation
    from storm.rules import Body, Objects
    from support.ledger import Ledger

__all__ = ["CAUSE_SECONDS", "Notes", "Watched", "Witness"]

LIMIT = 10
CAUSE_SECONDS = 240.0
"""For how long a cause may explain that a service changes its template."""

_KINDS = {
    item.group_resource: item.kind
    for item in (
        kinds.MODELS,
        kinds.CLUSTER_MODELS,
        kinds.RUNTIME_CONFIGS,
        kinds.CLUSTER_RUNTIME_CONFIGS,
        kinds.TEMPLATES,
        kinds.CLUSTER_TEMPLATES,
        kinds.SERVICES,
        kinds.TEMPLATE_CACHES,
        kinds.MODEL_CACHES,
        NODES,
        PVCS,
    )
}
_TEMPLATES = frozenset({"AIMServiceTemplate", "AIMClusterServiceTemplate"})
_CAUSES = frozenset({*_TEMPLATES, "AIMModel", "AIMClusterModel", "Node", "AIMService"})
_STATES = frozenset(
    {*_TEMPLATES, "AIMService", "AIMTemplateCache", "AIMModelCache", "AIMModel", "AIMClusterModel"}
)


class Watched(Protocol):
    """What the witness needs of a world."""

    @property
    def now(self) -> float: ...
    @property
    def cluster(self) -> DevCluster: ...
    @property
    def simulation(self) -> Simulation: ...
    @property
    def ledger(self) -> Ledger: ...


class Notes(Protocol):
    """Where the witness notes what it saw."""

    def add(self, text: str) -> None: ...


class Witness:
    """Everything that the server has stored, and what was wrong."""

    def __init__(self, w: Watched, trace: Notes, sizes: dict[str, int], *, limit: int = LIMIT) -> None:
        self._w, self._trace, self._sizes, self._limit = w, trace, sizes, limit
        self.objects: Objects = defaultdict(dict)
        self.rules = Rules(self.objects)
        self.problems: list[str] = []
        self.moves = 0
        self._once = OncePerInput()
        self._caused: dict[tuple[str, str], float] = {}
        """When a service last had a cause to change its template."""
        self.checked: Counter[str] = Counter()
        self.reload()
        w.cluster.server.storage.observers.append(self._take)

    def reload(self) -> None:
        """Read all objects, at first and after the storage was restored."""
        jobs: list[Body] = []
        for kind in _KINDS.values():
            self.objects[kind].clear()
        for collection in self._w.cluster.server.storage:
            if collection.name in _KINDS:
                for record in collection.records.values():
                    place = (record.namespace, record.name)
                    self.objects[_KINDS[collection.name]][place] = record.object()
            elif collection.name == JOBS.group_resource:
                jobs += [job for record in collection.records.values() if _discovers(job := record.object())]
        for key in self.objects["AIMService"]:
            self._caused[key] = self._w.now
        self._once.forget()
        for job in jobs:
            self._once.note_job(job)
        for kind in _TEMPLATES:
            for template in self.objects[kind].values():
                self._once.note_result(template)

    def _take(self, collection: Any, change: Any) -> None:
        self._check_limit()
        if collection.name == JOBS.group_resource:
            self._check_once(change)
            return
        kind = _KINDS.get(collection.name)
        if kind is None:
            return
        key, objects = (change.record.namespace, change.record.name), self.objects[kind]
        before = objects.get(key)
        after = None if change.type == "DELETED" else change.record.shared()
        if after is None:
            objects.pop(key, None)
        else:
            objects[key] = after
        if kind in _CAUSES:
            self._note_causes(kind, before, after)
        if kind in _TEMPLATES and after is not None:
            self._once.note_result(after)
        if after is None:
            if kind in _STATES:
                self._trace.add(f"{kind} {_place(key)} is gone")
            return
        if kind in _STATES:
            self._changed(kind, key, before, after)

    # ---- the invariants

    def _check_limit(self) -> None:
        self.checked["writes"] += 1
        unfinished = len(self._w.ledger.unfinished)
        if unfinished > self._limit:
            self._report(f"{unfinished} discovery Jobs are unfinished: {sorted(self._w.ledger.unfinished)}")

    def _check_once(self, change: Any) -> None:
        job = change.record.shared()
        if not _discovers(job):
            return
        owner = job["metadata"]["ownerReferences"][0]
        namespace = "" if owner["kind"] == "AIMClusterServiceTemplate" else change.record.namespace
        template = self.objects[owner["kind"]].get((namespace, owner["name"]))
        if template is not None and template["metadata"]["uid"] != owner["uid"]:
            template = None
        self.checked["once per input"] += change.type == "ADDED"
        now = self._w.cluster.clock.now()
        for problem in self._once.take(job, template, change=change.type, now=now):
            self._report(f"{owner['kind']} {_place((namespace, owner['name']))}: {problem}")

    def _changed(self, kind: str, key: tuple[str, str], before: Body | None, after: Body) -> None:
        old, new = (before or {}).get("status") or {}, after.get("status") or {}
        if new.get("observedGeneration", 0) > after["metadata"]["generation"]:
            self._report(f"{kind} {_place(key)} has a status of a later generation")
        if old.get("status") != new.get("status"):
            self._trace.add(f"{kind} {_place(key)}: {old.get('status')} -> {new.get('status')} {_why(new)}")
        if old.get("conditions") != new.get("conditions"):
            for problem in message_problems(new.get("conditions", ())):
                self._report(f"{kind} {_place(key)}: {problem}")
        if kind == "AIMService":
            self._check_move(key, before, after)
        if old.get("status") == new.get("status"):
            return
        if kind == "AIMModelCache" and new["status"] == "Available":
            self._check_complete(
                kind, key, new.get("completed", {}).get("volumeUid", ""), after["spec"]["sourceURI"]
            )
        if kind == "AIMTemplateCache" and new["status"] == "Available":
            self._check_caches(kind, key, key[0], [item["modelCache"] for item in new.get("models", ())])
        if (
            kind == "AIMServiceTemplate"
            and new["status"] == "Ready"
            and (after["spec"].get("caching") or {}).get("enabled")
        ):
            self._check_sources(kind, key, [item["source"] for item in new.get("modelSources", ())])

    def _check_complete(self, kind: str, key: tuple[str, str], volume: str, source: str) -> None:
        self.checked["completeness"] += 1
        held = self._w.simulation.downloads.held_bytes(volume, source)
        listed = self._sizes.get(source, -1) * 1024**3
        if held != listed:
            self._report(f"{kind} {_place(key)} is Available with {held} of {listed} bytes of {source}")

    def _check_caches(self, kind: str, key: tuple[str, str], namespace: str, names: list[str]) -> None:
        if not names:
            self._report(f"{kind} {_place(key)} is Available without model caches")
        for name in names:
            cache = self.objects["AIMModelCache"].get((namespace, name))
            status = (cache or {}).get("status") or {}
            if cache is not None:
                self._check_complete(
                    kind, key, status.get("completed", {}).get("volumeUid", ""), cache["spec"]["sourceURI"]
                )

    def _check_sources(self, kind: str, key: tuple[str, str], sources: list[str]) -> None:
        caches = {
            item["spec"]["sourceURI"]: item
            for (place, _), item in self.objects["AIMModelCache"].items()
            if place == key[0]
        }
        for source in sources:
            status = (caches.get(source) or {}).get("status") or {}
            self._check_complete(kind, key, status.get("completed", {}).get("volumeUid", ""), source)

    def _check_move(self, key: tuple[str, str], before: Body | None, after: Body) -> None:
        old = ((before or {}).get("status") or {}).get("resolvedTemplate") or {}
        new = (after.get("status") or {}).get("resolvedTemplate") or {}
        if before is None or before["metadata"]["uid"] != after["metadata"]["uid"]:
            return
        if not old.get("uid") or not new.get("uid") or old["uid"] == new["uid"]:
            return
        self.moves += 1
        self._trace.add(f"AIMService {_place(key)} moves from {old['name']} to {new['name']}")
        since = self._w.now - self._caused.get(key, float("-inf"))
        if since > CAUSE_SECONDS:
            self._report(
                f"AIMService {_place(key)} was moved from {old['name']} to {new['name']} without a cause in the last"
                f" {min(since, self._w.now):.0f} s"
            )

    def _note_causes(self, kind: str, before: Body | None, after: Body | None) -> None:
        """Note for which services there is now a reason to change the template."""
        if kind == "AIMService":
            if after is not None and (before is None or before["spec"] != after["spec"]):
                self._caused[after["metadata"]["namespace"], after["metadata"]["name"]] = self._w.now
            return
        for key, service in self.objects["AIMService"].items():
            if self._cause(service, kind, before, after):
                self._caused[key] = self._w.now

    def _cause(self, service: Body, kind: str, before: Body | None, after: Body | None) -> bool:
        """Whether the template of a service does not fit or cannot work any more, or its name means another one."""
        spec, namespace = service["spec"], service["metadata"]["namespace"]
        used = (service.get("status") or {}).get("resolvedTemplate")
        if not used:
            return False
        if kind in _TEMPLATES and spec.get("overrides"):
            # The spec of a template decides whether it can stand for the derived one.
            old, new = (before or {}).get("spec"), (after or {}).get("spec")
            if old != new:
                return True
        template = self.rules.in_use(service)
        if template is None or not self.rules.is_candidate(template, service):
            return True
        if spec.get("templateRef") and not spec.get("overrides"):
            return self.rules.template(spec["templateRef"], namespace) is not template
        failed = (template.get("status") or {}).get("status") == "Failed"
        return failed or not self.rules.has_gpu(template)

    def _report(self, text: str) -> None:
        if len(self.problems) < 50:
            self.problems.append(f"{self._w.now:.3f} {text}")
            self._trace.add(f"PROBLEM {text}")


def _discovers(job: Body) -> bool:
    """Whether it is the discovery Job of a template."""
    owners = job["metadata"].get("ownerReferences") or ()
    return bool(owners) and owners[0]["kind"] in _TEMPLATES


def _place(key: tuple[str, str]) -> str:
    return "/".join(filter(None, key))


def _why(status: Body) -> str:
    ready = next((item for item in status.get("conditions", ()) if item["type"] == "Ready"), None)
    return f"({ready.get('reason')}: {ready.get('message', '')[:160]})" if ready else ""

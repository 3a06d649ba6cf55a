"""The state of the cluster that the demo shows: every object of the operator's kinds, and the discovery Jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import CLUSTER_TEMPLATES, OPERATOR_KINDS, TEMPLATES
from aimctl.domain.naming import DISCOVERY, LABEL_COMPONENT
from aimctl.kubetypes.builtin import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.runtime.kube import Client, Object

__all__ = ["ObjectState", "Snapshot", "shown"]

DISCOVERY_JOBS = f"{LABEL_COMPONENT}={DISCOVERY}"
_TEMPLATE_KINDS = (TEMPLATES.kind, CLUSTER_TEMPLATES.kind)


@dataclass(frozen=True)
class ObjectState:
    """State and reason of one object, the template it uses, and its download progress (None without a download)."""

    state: str = ""
    reason: str = ""
    message: str = ""
    template: str = ""
    percent: int | None = None

    @property
    def state_and_reason(self) -> tuple[str, str]:
        """What expected.yaml specifies for an object."""
        return self.state, self.reason


@dataclass
class Snapshot:
    """All objects at one time. Keys are `kind.namespace.name`, as in expected.yaml."""

    expected: Mapping[str, tuple[str, ...]]
    objects: dict[str, ObjectState] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    most_running: int = 0
    discovered: int = 0

    async def refresh(self, client: Client) -> None:
        """Read all objects again."""
        objects = {}
        for resource in OPERATOR_KINDS:
            for item in (await client.list(resource)).items:
                if hasattr(item.view.status, "status"):
                    key = ".".join(filter(None, (resource.kind, item.meta.namespace, item.meta.name)))
                    objects[key] = _state_of(item)
        self.objects = objects
        jobs = (await client.list(JOBS, label_selector=DISCOVERY_JOBS)).items
        self.running = sorted(_template_of(job) for job in jobs if not _ended(job))
        self.discovered = len(jobs) - len(self.running)
        self.most_running = max(self.most_running, len(self.running))

    def matches(self, key: str) -> bool:
        """Return whether an object is in its expected state."""
        return self.objects.get(key, ObjectState()).state_and_reason == self.expected.get(key)

    @property
    def complete(self) -> bool:
        """Whether every object is in its expected state and there are no other objects."""
        return self.matching == len(self.expected) == len(self.objects)

    @property
    def matching(self) -> int:
        """Number of objects in their expected state."""
        return sum(map(self.matches, self.expected))

    def of_kinds(self, *kinds: str) -> Iterator[tuple[str, ObjectState]]:
        """Yield the objects of some kinds, sorted by namespace and name."""
        for key in sorted(self.objects, key=shown):
            if key.partition(".")[0] in kinds:
                yield key, self.objects[key]

    def templates(self) -> Iterator[tuple[str, ObjectState]]:
        """Yield the templates of both scopes."""
        return self.of_kinds(*_TEMPLATE_KINDS)

    def counts(self, *kinds: str) -> Counter[str]:
        """Count the objects of some kinds by state."""
        return Counter(item.state or "new" for _, item in self.of_kinds(*kinds))

    @property
    def waiting(self) -> list[str]:
        """Keys of the templates without a slot. The status of a template can be older than its Job; the Job counts."""
        return [
            key
            for key, item in self.templates()
            if item.reason == "AwaitingDiscovery" and key not in self.running
        ]


def shown(key: str) -> str:
    """Format a key as ``namespace/name``, or as the name of a cluster-scoped object."""
    kind, _, name = key.partition(".")
    return name if kind.startswith("AIMCluster") else name.replace(".", "/", 1)


def _state_of(item: Object[Any]) -> ObjectState:
    status = item.view.status
    ready = next((one for one in status.conditions if one.type == "Ready"), None)
    template = getattr(status, "resolved_template", None)
    progress = getattr(status, "progress", None)
    return ObjectState(
        state=status.status,
        reason=ready.reason if ready else "",
        message=ready.message if ready else "",
        template=template.name if template else "",
        percent=progress.percent if progress else None,
    )


def _ended(job: Object[Any]) -> bool:
    conditions = job.view.status.conditions or ()
    return any(one.type in {"Complete", "Failed"} and one.status == "True" for one in conditions)


def _template_of(job: Object[Any]) -> str:
    """Return the key of the template that a discovery Job belongs to."""
    owner = job.meta.owners[0]
    namespace = job.meta.namespace if owner.kind == TEMPLATES.kind else ""
    return ".".join(filter(None, (owner.kind, namespace, owner.name)))

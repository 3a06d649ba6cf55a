"""What the demo sees at one moment: the state of every object of the operator's kinds, and the discovery Jobs."""

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

__all__ = ["Scene", "Sight", "shown"]

DISCOVERY_JOBS = f"{LABEL_COMPONENT}={DISCOVERY}"
_TEMPLATE_KINDS = (TEMPLATES.kind, CLUSTER_TEMPLATES.kind)


@dataclass(frozen=True)
class Sight:
    """One object: its state and why, the template it uses, how much of it is downloaded (None where nothing is)."""

    state: str = ""
    reason: str = ""
    message: str = ""
    template: str = ""
    percent: int | None = None

    @property
    def short(self) -> tuple[str, str]:
        """What expected.yaml says of an object."""
        return self.state, self.reason


@dataclass
class Scene:
    """Keys are `kind.namespace.name`, as in expected.yaml."""

    expected: Mapping[str, tuple[str, ...]]
    sights: dict[str, Sight] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    most_running: int = 0
    discovered: int = 0

    async def look(self, client: Client) -> None:
        """Read everything anew."""
        sights = {}
        for resource in OPERATOR_KINDS:
            for item in (await client.list(resource)).items:
                if hasattr(item.view.status, "status"):
                    key = ".".join(filter(None, (resource.kind, item.meta.namespace, item.meta.name)))
                    sights[key] = _sight(item)
        self.sights = sights
        jobs = (await client.list(JOBS, label_selector=DISCOVERY_JOBS)).items
        self.running = sorted(_template_of(job) for job in jobs if not _ended(job))
        self.discovered = len(jobs) - len(self.running)
        self.most_running = max(self.most_running, len(self.running))

    def right(self, key: str) -> bool:
        """Whether an object is as expected.yaml says."""
        return self.sights.get(key, Sight()).short == self.expected.get(key)

    @property
    def complete(self) -> bool:
        """Whether all are, and there are no others."""
        return self.done == len(self.expected) == len(self.sights)

    @property
    def done(self) -> int:
        """How many are."""
        return sum(map(self.right, self.expected))

    def of(self, *kinds: str) -> Iterator[tuple[str, Sight]]:
        """The objects of some kinds, by namespace and name."""
        for key in sorted(self.sights, key=shown):
            if key.partition(".")[0] in kinds:
                yield key, self.sights[key]

    def templates(self) -> Iterator[tuple[str, Sight]]:
        """Templates of both scopes."""
        return self.of(*_TEMPLATE_KINDS)

    def counts(self, *kinds: str) -> Counter[str]:
        """How many are in each state."""
        return Counter(sight.state or "new" for _, sight in self.of(*kinds))

    @property
    def waiting(self) -> list[str]:
        """Templates without a slot. One that has just got its Job may still say that it waits: that is not meant."""
        return [
            key
            for key, sight in self.templates()
            if sight.reason == "AwaitingDiscovery" and key not in self.running
        ]


def shown(key: str) -> str:
    """A key as people write it: ``namespace/name``, or the name of what is cluster-scoped."""
    kind, _, name = key.partition(".")
    return name if kind.startswith("AIMCluster") else name.replace(".", "/", 1)


def _sight(item: Object[Any]) -> Sight:
    status = item.view.status
    ready = next((one for one in status.conditions if one.type == "Ready"), None)
    template = getattr(status, "resolved_template", None)
    progress = getattr(status, "progress", None)
    return Sight(
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
    """The key of the template that a discovery Job is for."""
    owner = job.meta.owners[0]
    namespace = job.meta.namespace if owner.kind == TEMPLATES.kind else ""
    return ".".join(filter(None, (owner.kind, namespace, owner.name)))

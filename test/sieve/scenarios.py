"""The standard scenarios of the user's document, as the actions of users.

Contract: a scenario is a coroutine that changes objects and waits for states. It depends only on what the operator
reaches, so its actions are the same in every run, and its end state must be the same too. It raises AssertionError if
a state is not reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aimctl.api import kinds
from aimctl.kubetypes.builtin import JOBS, PVCS
from aimctl.simulation.catalogue import Catalogue
from sieve.observed import Key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aimctl.runtime import Resource
    from sieve.observed import Observed
    from support.operator import World

__all__ = ["SCENARIOS", "SIZES", "Scenario", "Stage", "catalogue"]

SIZES = {"hf://org/one": 4, "hf://org/two": 6}
"""The downloadable sources and their sizes in GiB, at 1 GiB per second. The second one fails once."""

_CLAIM = "org-one-8486e36254"
"""The name of the model cache, and of the claim, of the first source."""

_GPU = {"count": 1, "model": "MI300X"}
_ONE = [{"name": "one", "sourceURI": "hf://org/one", "size": "4Gi"}]
_TWO = [*_ONE, {"name": "two", "sourceURI": "hf://org/two", "size": "6Gi"}]


def catalogue() -> Catalogue:
    """What the images and sources of the scenarios do."""
    discovered = {
        "model": "org/one",
        "models": [{"name": "one", "source": "hf://org/one", "size_gb": SIZES["hf://org/one"]}],
    }
    deployments = [
        {"gpu_count": 1, "gpu_model": "MI300X", "precision": "fp16", "metric": "latency"},
        {"gpu_count": 2, "gpu_model": "MI300X", "precision": "fp8", "metric": "throughput"},
    ]
    images = [
        {"image": "*aim-auto:1", "discover": discovered, "recommended_deployments": deployments},
        {"image": "*aim-single:1", "discover": discovered, "recommended_deployments": deployments[:1]},
        {"image": "aim-slow:1", "discover": discovered, "duration_seconds": 30.0},
        {"image": "aim-one:*", "discover": discovered},
    ]
    downloads = [
        {"source": source, "size_gb": size, "gb_per_second": 1, "fail_first": int(source.endswith("two"))}
        for source, size in SIZES.items()
    ]
    return Catalogue.of({"images": images, "downloads": downloads})


class Managers(Protocol):
    """What happens to the managers in a scenario, apart from the disturbance."""

    async def replace_leader(self) -> None:
        """Stop the leader as with SIGTERM, and start another manager."""

    async def isolate_leader(self) -> None:
        """The requests for the Lease of the present leader fail from now on."""

    async def settle(self) -> None:
        """Wait until nothing changes any more, and check what must then be true."""


class Stage:
    """The users of one run.

    Args:
        w: the cluster.
        observed: its objects.
        managers: stops and isolates managers.
    """

    def __init__(self, w: World, observed: Observed, managers: Managers) -> None:
        self.w = w
        self._observed = observed
        self._managers = managers

    async def replace_leader(self) -> None:
        """Stop the leader as with SIGTERM, and start another manager."""
        await self._managers.replace_leader()

    async def isolate_leader(self) -> None:
        """The requests for the Lease of the present leader fail from now on; its other requests do not."""
        await self._managers.isolate_leader()

    async def settle(self) -> None:
        """Wait until nothing changes any more, and check what must then be true."""
        await self._managers.settle()

    async def delete(self, kind: Resource[Any], name: str, namespace: str = "team") -> None:
        """Delete an object, and wait until it is gone."""
        namespace = namespace if kind.namespaced else ""
        await self.w.client.delete(kind, name, namespace, propagation="Background")
        await self.until_gone(kind.plural, name, namespace)

    async def patch(
        self, kind: Resource[Any], name: str, spec: dict[str, Any], namespace: str = "team"
    ) -> None:
        """Merge into the spec of an object."""
        await self.w.client.patch(kind, name, {"spec": spec}, namespace if kind.namespaced else "")

    async def cache(self, name: str, template: str) -> None:
        """Create a template cache."""
        body = {"metadata": {"name": name}, "spec": {"templateRef": template}}
        await self.w.client.create(kinds.TEMPLATE_CACHES, body, "team")

    async def lose_claim(self, name: str) -> None:
        """Delete the volume claim of a model cache, and wait until another one is filled."""
        key = Key("persistentvolumeclaims", "team", name)
        former = self._observed.objects[key]["metadata"]["uid"]
        await self.w.client.delete(PVCS, name, "team", propagation="Background")

        def filled() -> bool:
            completed = self._observed.status("aimmodelcaches", name).get("completed") or {}
            return completed.get("volumeUid", former) != former

        await self._observed.until(filled, f"{key} is filled again")

    async def foreign_jobs(self, count: int) -> None:
        """Create suspended Jobs that have the labels of discovery, and no owner."""
        pod = {"containers": [{"name": "c", "image": "aim-one:1"}], "restartPolicy": "Never"}
        for number in range(count):
            labels = {
                "aim.silogen.ai/template": "a",
                "app.kubernetes.io/managed-by": "aim",
                "app.kubernetes.io/component": "discovery",
            }
            metadata = {"name": f"user-{number}", "labels": labels}
            body = {"metadata": metadata, "spec": {"suspend": True, "template": {"spec": pod}}}
            await self.w.client.create(JOBS, body, "default")

    async def delete_jobs(self, beginning: str = "") -> None:
        """Delete the Jobs of the namespace whose names begin so, as a user who cleans up."""
        for job in self.of("jobs"):
            if job.namespace == "team" and job.name.startswith(beginning):
                await self.w.client.delete(JOBS, job.name, job.namespace, propagation="Background")

    async def claim(self, name: str) -> None:
        """Create a volume claim, as a user who does not know of the operator."""
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await self.w.client.create(PVCS, {"metadata": {"name": name}, "spec": spec}, "team")

    def downloads(self, cache: str) -> bool:
        """Whether a pod that fills a cache is running."""
        return any(
            key.name.startswith(f"download-{cache}-") and (pod.get("status") or {}).get("phase") == "Running"
            for key, pod in self._observed.of("pods")
        )

    def started(self, template: str) -> bool:
        """Whether a discovery Job of a template exists."""
        return any(key.name.startswith(f"discover-{template}-") for key, _ in self._observed.of("jobs"))

    def owners(self, plural: str, name: str) -> int:
        """The number of owners of an object."""
        body = self._observed.objects.get(Key(plural, "team", name)) or {"metadata": {}}
        return len(body["metadata"].get("ownerReferences") or ())

    def of(self, plural: str) -> list[Key]:
        """The objects of a kind."""
        return sorted(key for key, _ in self._observed.of(plural))

    # ---- waiting

    async def until(self, plural: str, name: str, state: str, namespace: str = "team") -> None:
        """Wait until the status of the latest generation of an object is in a state."""
        key = Key(plural, namespace, name)

        def there() -> bool:
            body = self._observed.objects.get(key)
            status = (body or {}).get("status") or {}
            return (
                body is not None
                and status.get("status") == state
                and status.get("observedGeneration") == body["metadata"]["generation"]
            )

        await self._observed.until(there, f"{key} is {state}")

    async def until_rolled_out(self, service: str) -> None:
        """Wait until a service is Running with its latest spec. It is Running with the former one meanwhile."""
        key = Key("aimservices", "team", service)

        def there() -> bool:
            body = self._observed.objects[key]
            status = body.get("status") or {}
            progressing = [
                item["status"] for item in status.get("conditions") or () if item["type"] == "Progressing"
            ]
            return (
                status.get("status") == "Running"
                and status.get("observedGeneration") == body["metadata"]["generation"]
                and progressing == ["False"]
            )

        await self._observed.until(there, f"{key} is rolled out")

    async def until_gone(self, plural: str, name: str, namespace: str = "team") -> None:
        """Wait until an object does not exist."""
        key = Key(plural, namespace, name)
        await self._observed.until(lambda: key not in self._observed.objects, f"{key} is gone")

    async def until_true(self, check: Callable[[], Any], what: str) -> None:
        """Wait until ``check`` is true."""
        await self._observed.until(check, what)

    def discovered_from(self, plural: str, name: str, namespace: str = "team") -> str:
        """The image from which the profile of a template was discovered."""
        status = self._observed.status(plural, name, namespace)
        return ((status.get("discovery") or {}).get("result") or {}).get("image", "")


TEMPLATES, CLUSTER_TEMPLATES = "aimservicetemplates", "aimclusterservicetemplates"


async def discovery(stage: Stage) -> None:
    """Six templates share two slots, which Jobs of others do not take.

    Inputs change, also of a template that waits for a slot; a template is deleted while its Job runs; and users delete
    finished Jobs.
    """
    w = stage.w
    await w.model("m", image="aim-one:1")
    await w.model("slow", image="aim-slow:1")
    await stage.foreign_jobs(2)
    for name in "ab":
        await w.template(name, "team")
    await w.template("c", "other")
    await w.template("d")
    await w.template("e", "team", model="slow")
    for name in "ab":
        await stage.until(TEMPLATES, name, "Ready")
    await stage.until(TEMPLATES, "c", "Ready", "other")
    await stage.until(CLUSTER_TEMPLATES, "d", "Ready", "")
    await stage.until(TEMPLATES, "e", "Progressing")
    await w.template("g", "team", model="slow")
    await stage.until_true(lambda: stage.started("g"), "the Job of g exists")
    await w.template("h", "other")
    await stage.until(TEMPLATES, "h", "Pending", "other")
    # A slot becomes free while the manager observes another input of the template that waits for it.
    await w.template("h", "other", env=[{"name": "VARIANT", "value": "3"}])
    await stage.delete(kinds.TEMPLATES, "g")
    await stage.until(TEMPLATES, "h", "Ready", "other")
    await w.template("g", "team", model="slow")
    await stage.until_true(lambda: stage.started("g"), "the Job of g exists")
    # A namespace without Jobs is preferred, so a manager that does not know of the two running ones starts a third one.
    await w.template("f", "other")
    await stage.until(TEMPLATES, "f", "Ready", "other")
    for name in "eg":
        await stage.delete(kinds.TEMPLATES, name)
    for name in "fh":
        await stage.delete(kinds.TEMPLATES, name, "other")
    await w.template("a", "team", env=[{"name": "VARIANT", "value": "2"}])
    await stage.until(TEMPLATES, "a", "Ready")
    await stage.delete_jobs()
    await stage.settle()
    await w.model("m", image="aim-one:2")
    for plural, name, namespace in (
        *((TEMPLATES, name, "team") for name in "ab"),
        (TEMPLATES, "c", "other"),
        (CLUSTER_TEMPLATES, "d", ""),
    ):
        await stage.until_true(
            lambda at=(plural, name, namespace): stage.discovered_from(*at) == "aim-one:2",
            f"{name} is discovered from the new image",
        )
    await stage.delete(kinds.TEMPLATES, "b")
    await stage.delete_jobs()


async def derivation(stage: Stage) -> None:
    """Three services share a derived template. They leave it one after the other for another one.

    The first one leaves at the moment when it is no longer the only owner.
    """
    w = stage.w
    await w.model("m", image="aim-one:1")
    await w.template("base", "team", gpuSelector=_GPU)

    async def create(name: str) -> None:
        overrides = {"metric": "throughput"}
        await w.service(name, "team", model={"ref": "m"}, templateRef="base", overrides=overrides)

    async def leave(name: str) -> None:
        await stage.patch(kinds.SERVICES, name, {"overrides": {"precision": "fp8"}})

    await create("first")
    await stage.until("aimservices", "first", "Running")
    derived = next(key.name for key in stage.of(TEMPLATES) if key.name != "base")
    await create("second")
    await stage.until_true(lambda: stage.owners(TEMPLATES, derived) == 2, f"{derived} has two owners")
    await leave("first")
    await create("third")
    for name in ("first", "second", "third"):
        await stage.until("aimservices", name, "Running")
    await stage.settle()
    await leave("second")
    await stage.until("aimservices", "second", "Running")
    await stage.settle()
    await stage.delete(kinds.SERVICES, "first")
    await leave("third")
    await stage.until_gone(TEMPLATES, derived)
    await stage.until("aimservices", "third", "Running")


async def caching(stage: Stage) -> None:
    """A template with caching and a template cache of a user share a source; a volume claim is deleted, and the template.

    The claim of a user has the name that the operator needs, and a user deletes the Job of a download.
    """
    w = stage.w
    await w.model("m", image="aim-one:1")
    await w.namespace("team")
    await stage.claim(_CLAIM)
    await w.template("shared", "", modelSources=_ONE)
    await stage.cache("mine", "shared")
    await stage.until("aimmodelcaches", _CLAIM, "Failed")
    await w.client.delete(PVCS, _CLAIM, "team", propagation="Background")
    await w.template("a", "team", modelSources=_TWO, caching={"enabled": True})
    await stage.until_true(lambda: stage.downloads(_CLAIM), "the download runs")
    await stage.delete_jobs(f"download-{_CLAIM}-")
    await stage.until("aimtemplatecaches", "mine", "Available")
    await stage.until(TEMPLATES, "a", "Ready")
    await w.service("s", "team", model={"ref": "m"}, templateRef="a", cacheModel=True)
    await stage.until("aimservices", "s", "Running")
    await stage.lose_claim(_CLAIM)
    await stage.until("aimtemplatecaches", "mine", "Available")
    await stage.delete(kinds.SERVICES, "s")
    await stage.delete(kinds.TEMPLATES, "a")
    await stage.until_gone("aimtemplatecaches", "a")
    await stage.delete(kinds.TEMPLATE_CACHES, "mine")


async def models(stage: Stage) -> None:
    """Models create templates from the labels of their images, and a model is deleted with its templates."""
    w = stage.w
    await w.model("auto", "team", image="registry.example/aim-auto:1")
    await w.model("single", image="registry.example/aim-single:1")
    await stage.until("aimmodels", "auto", "Ready")
    await stage.until("aimclustermodels", "single", "Ready", "")
    await stage.until_true(lambda: len(stage.of(TEMPLATES)) == 2, "two templates of the model")
    await stage.delete(kinds.MODELS, "auto")
    await stage.until_true(lambda: not stage.of(TEMPLATES), "the templates of the model are gone")


async def services(stage: Stage) -> None:
    """A service names an image; another one is scaled, changes its template, and is deleted."""
    w = stage.w
    await w.service("image", "team", model={"image": "registry.example/aim-single:1"})
    await w.model("m", image="aim-one:1")
    await w.template("one", "team", gpuSelector=_GPU)
    await w.template("two", "team", metric="throughput", gpuSelector=_GPU)
    await w.service("s", "team", model={"ref": "m"}, templateRef="one")
    await stage.until("aimservices", "image", "Running")
    await stage.until_rolled_out("s")
    await stage.patch(kinds.SERVICES, "s", {"replicas": 2})
    await stage.until_rolled_out("s")
    await stage.patch(kinds.SERVICES, "s", {"templateRef": "two"})
    await stage.until_rolled_out("s")
    await stage.delete(kinds.SERVICES, "image")
    await stage.until_gone("inferenceservices", "image")


async def failover(stage: Stage) -> None:
    """Two managers with a Lease: the leader stops, and the next one cannot renew the Lease any more."""
    w = stage.w
    await w.model("m", image="aim-one:1")
    for name in "abc":
        await w.template(name, "team", caching={"enabled": name == "a"})
    await stage.until_true(lambda: stage.of("persistentvolumeclaims"), "a claim exists")
    await stage.replace_leader()
    for name in "abc":
        await stage.until(TEMPLATES, name, "Ready")
    await stage.isolate_leader()
    await w.model("m", image="aim-one:2")
    for name in "abc":
        await stage.until_true(
            lambda name=name: stage.discovered_from(TEMPLATES, name) == "aim-one:2",
            f"{name} is discovered from the new image",
        )
    await stage.delete(kinds.TEMPLATES, "b")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario and its environment.

    Attributes:
        play: the actions of the users.
        limit: unfinished discovery Jobs at once.
        elected: whether two managers with a Lease run, instead of one without.
        events: whether Events reach the server. Nothing reads them, and they are a third of all writes.
        options: of the cluster.
    """

    play: Callable[[Stage], Awaitable[None]]
    limit: int = 2
    elected: bool = False
    events: bool = False
    options: dict[str, Any] = field(default_factory=dict)


SCENARIOS = {
    "discovery": Scenario(discovery),
    "derivation": Scenario(derivation, options={"kserve": True}),
    "caching": Scenario(caching, options={"kserve": True, "termination_seconds": 3.0}),
    "models": Scenario(models, events=True),
    "services": Scenario(services, options={"kserve": True}),
    "failover": Scenario(failover, elected=True),
}
